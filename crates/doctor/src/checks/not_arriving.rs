//! Nothing arrives, and nothing else explains it.

use super::super::{Code, Confidence, Context, Finding, Tally, Watched};
use super::FEW;

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = match &context.program {
        None => context.vain()?,
        Some(_) => context.watched.as_ref()?,
    };
    let captured = watched.captured.as_ref();
    // Without a socket of its own, the doctor knows of the wire alone.
    let unwatched = watched.obstacle.is_some() && captured.is_none();
    if !watched.wide.is_empty() || unwatched {
        return None;
    }
    if !context.target.is_group() {
        return unicast(context);
    }
    if captured.is_some_and(|captured| captured.to_port(context.target.port).next().is_some()) {
        // It arrives, and where it is lost is for other checks to say.
        return None;
    }
    let tally = context.tally();
    let seconds = watched.lasted.as_secs_f64();
    let silent = captured.is_some();
    // By IPv4, what comes of the group is counted as multicast, whatever its port.
    let accounted =
        tally.lost() == 0 && tally.ignored == 0 && tally.multicast == 0 && below(watched) <= FEW;
    let finding = Finding::fault(
        Code::NotArriving,
        Confidence::proved_if(silent || accounted),
        format!("nothing of {} arrives at this host", context.target.ip),
    );
    let finding = finding.because(if watched.joined.is_empty() {
        format!("nothing came in {seconds:.1} s")
    } else {
        format!(
            "it was joined on {} for {seconds:.1} s, and nothing came",
            super::list(&watched.joined)
        )
    });
    let finding = if silent {
        finding.because("not one datagram to the group was captured on the wire")
    } else if tally.received == 0 {
        finding.because("not one packet of this version of IP came to this host meanwhile")
    } else if tally.lost() > 0 {
        finding.because(format!(
            "{} came and were not wanted; that these are others is likely, for the group is \
             joined and what this host sends to itself is received",
            super::count(tally.lost(), "packet")
        ))
    } else {
        finding.because(format!(
            "all of {} that came to this host were delivered, to others{}",
            super::count(tally.received, "packet"),
            if tally.multicast > 0 {
                ", some of them to programs that receive groups, perhaps this one on another port"
            } else {
                ""
            }
        ))
    };
    let finding = if !silent && below(watched) > FEW {
        finding.because(format!(
            "{} that came by interfaces never came to IP: of other protocols, or dropped before it \
             (by a bridge, at the ingress hook, by tc)",
            super::count(below(watched), "packet")
        ))
    } else {
        finding
    };
    let finding = watched
        .counters
        .interfaces
        .iter()
        .filter(|(name, _)| *name != "lo")
        .fold(finding, |finding, (name, moved)| {
            finding.because(format!("{name}: {} in, {} out", moved.received, moved.sent))
        });
    let hops = "routers on the way need a hop limit above 1 and a multicast routing protocol";
    Some(
        finding
            .remedy(format!(
                "check that somebody sends, to this group and port; {hops}; then look at the \
                 switches (IGMP snooping)"
            ))
            .confirm(format!(
                "{}at the sender's host: manycast doctor serve; and here: manycast doctor {} --with \
                 HOST",
                if silent {
                    String::new()
                } else {
                    let address = &context.target.address;
                    let sees = "as root, the doctor sees what comes in by the wire";
                    format!("{sees}: sudo manycast doctor {address}; or ")
                },
                context.target.address
            )),
    )
}

/// How many packets more came by interfaces than came to IP, of either version.
fn below(watched: &Watched) -> u64 {
    let interfaces = watched.counters.interfaces.iter();
    let came: u64 = interfaces
        .filter(|(name, _)| *name != "lo")
        .map(|(_, moved)| moved.received)
        .sum();
    let counted = [true, false].map(|ipv4| Tally::of(&watched.counters, ipv4).received);
    came.saturating_sub(counted.iter().sum())
}

fn unicast(context: &Context) -> Option<Finding> {
    let watched = context.vain()?;
    Some(
        Finding::fault(
            Code::NotArriving,
            Confidence::Likely,
            format!("nothing arrives for {}", context.target.address),
        )
        .because(format!(
            "nothing came in {:.1} s",
            watched.lasted.as_secs_f64()
        ))
        .confirm(format!(
            "send something: manycast send {} hello",
            context.target.address
        )),
    )
}
