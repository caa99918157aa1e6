//! Datagrams whose checksum is wrong.

use super::super::{Code, Confidence, Context, Finding};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let bad = context.tally().checksums;
    if bad == 0 || !watched.exact.is_empty() || !watched.wide.is_empty() {
        return None;
    }
    let counter = if context.target.is_ipv4() {
        "Udp.InCsumErrors"
    } else {
        "Udp6InCsumErrors"
    };
    let heard = watched.heard.as_ref();
    let heard: Option<u64> = heard.map(|heard| {
        let streams = heard.to_port(context.target.port);
        streams.map(|stream| stream.datagrams).sum()
    });
    // A wrong checksum is counted once for each socket that would have received the datagram.
    let exact = heard.is_some_and(|heard| heard > 0 && bad >= heard);
    Some(
        Finding::fault(
            Code::BadChecksum,
            Confidence::proved_if(exact),
            "datagrams come whose UDP checksum is wrong, and the kernel drops them",
        )
        .because(format!("{counter} moved by {bad}"))
        .remedy(
            "mend the sender, or whatever on the way writes to its datagrams (a translation of \
             addresses, a tunnel, a driver that computes checksums: ethtool -K INTERFACE tx off)",
        )
        .settle("sudo tcpdump -nvvi any udp, which says 'bad udp cksum'"),
    )
}
