//! Datagrams whose checksum is wrong.

use super::super::proof::Grade;
use super::super::{Code, Context, Finding, Moved, Tally};

/// How many sockets may count each datagram.
const MOST_SOCKETS: u64 = 4;

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
    let captured = watched.captured.as_ref();
    let captured = captured.map_or(0, |captured| captured.count(context.target.port));
    // Since the group was joined; both are not read at the same moment.
    let since = Tally::of(&watched.joining, context.target.is_ipv4()).checksums;
    // Each socket that they are handed to counts them once.
    let least = |moved: &Moved| Tally::of(&moved.counters, context.target.is_ipv4()).checksums;
    let proof = (1..=MOST_SOCKETS)
        .find_map(|sockets| super::by_captured(watched, captured * sockets, since, least));
    Some(
        Finding::fault(
            Code::BadChecksum,
            Grade::or_likely(proof),
            "datagrams come whose UDP checksum is wrong, and the kernel drops them",
        )
        .because(format!("{counter} moved by {bad}"))
        .because(if captured > 0 {
            format!(
                "{} to the group and port were captured on the wire",
                super::count(captured, "datagram")
            )
        } else {
            "nothing was received meanwhile".to_owned()
        })
        .remedy(
            "let the sender's host compute them, and no device: sudo ethtool -K INTERFACE tx off; or \
             mend whatever on the way writes to its datagrams, or passes them on before they are \
             computed (a translation of addresses, a tunnel, a bridge that is a program)",
        )
        .confirm("each is called 'bad udp cksum' by: sudo tcpdump -nvvi any udp"),
    )
}
