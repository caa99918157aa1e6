//! Datagrams whose checksum is wrong.

use super::super::{Code, Confidence, Context, Finding, Tally};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let bad = context.tally().checksums;
    if bad == 0 || context.is_silent() || !watched.exact.is_empty() || !watched.wide.is_empty() {
        return None;
    }
    let counter = if context.target.is_ipv4() {
        "Udp.InCsumErrors"
    } else {
        "Udp6InCsumErrors"
    };
    let heard = watched.heard.as_ref();
    let heard = heard.map_or(0, |heard| heard.count(context.target.port));
    // Since the group was joined; both are not read at the same moment.
    let since = Tally::of(&watched.joining, context.target.is_ipv4()).checksums;
    let exact = heard > 0 && (since >= heard || super::alike(since, heard));
    Some(
        Finding::fault(
            Code::BadChecksum,
            Confidence::proved_if(exact),
            "datagrams come whose UDP checksum is wrong, and the kernel drops them",
        )
        .because(format!("{counter} moved by {bad}"))
        .because(if heard > 0 {
            format!(
                "{} to the group and port were heard on the wire",
                super::count(heard, "datagram")
            )
        } else {
            "nothing was received meanwhile".to_owned()
        })
        .remedy(
            "mend the sender, or whatever on the way writes to its datagrams (a translation of \
             addresses, a tunnel, a driver that computes checksums): sudo ethtool -K INTERFACE tx off",
        )
        .settle("each is called 'bad udp cksum' by: sudo tcpdump -nvvi any udp"),
    )
}
