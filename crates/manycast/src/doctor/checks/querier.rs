//! A stream that ceases after a while, and comes again when the group is joined anew.

use super::super::watch::has_ceased;
use super::super::{Code, Confidence, Context, Finding};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    if context.program.is_some() || !has_ceased(watched) {
        return None;
    }
    let last = watched.exact.iter().map(|flow| flow.last).max()?;
    let age = last.as_secs_f64();
    let evidence = format!(
        "the last datagram came {age:.1} s after {} was joined",
        context.target.ip
    );
    if watched.revived != Some(true) {
        return Some(
            Finding::warning(
                Code::NothingSent,
                Confidence::Possible,
                format!("nothing came any more after {age:.1} s"),
            )
            .because(evidence)
            .because("joining the group anew did not bring it back: the sender may have stopped"),
        );
    }
    Some(
        Finding::fault(
            Code::NoQuerier,
            Confidence::Likely,
            format!(
                "the network forgot the membership after {age:.1} s, since no querier asks for it"
            ),
        )
        .because(evidence)
        .because("it came again as soon as the group was joined anew")
        .because("the kernel's tables say that the host was a member all the time")
        .remedy(
            "switch an IGMP querier on, in one switch or router of the segment; on a Linux bridge: \
             ip link set dev BRIDGE type bridge mcast_querier 1",
        )
        .settle(
            "whether queries come and are dropped here (firewall-drops-igmp): \
             sudo tcpdump -ni any igmp or icmp6",
        ),
    )
}
