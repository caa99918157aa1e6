//! A sender that keeps its own host from hearing it.

use super::super::proof::{Grade, Proof};
use super::super::{Code, Context, Finding};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let (program, watched) = (context.program.as_ref()?, context.watched.as_ref()?);
    let target = &context.target;
    if !watched.wide.is_empty() || !target.is_group() {
        return None;
    }
    let sends_here = |found: &&super::super::ProgramSocket| {
        found
            .socket
            .peer
            .is_some_and(|peer| peer.ip() == target.ip && peer.port() == target.port)
    };
    let silent = |found: &&super::super::ProgramSocket| found.socket.loopback == Some(false);
    let certain = program.sockets.iter().filter(sends_here).find(silent);
    // A socket that is not connected may send anywhere; it is no receiver of this port.
    let unbound = |found: &&super::super::ProgramSocket| {
        found.socket.peer.is_none() && found.socket.local.port() != target.port
    };
    let found = certain.or_else(|| program.sockets.iter().filter(unbound).find(silent))?;
    let counter = if target.is_ipv4() {
        "IpExt.OutMcastPkts"
    } else {
        "Ip6OutMcastPkts"
    };
    let left = watched.counters.get(counter);
    Some(
        Finding::fault(
            Code::LoopbackOff,
            Grade::proved_if(certain.is_some() && left > 0, Proof::Kernel),
            format!(
                "{} has loopback off, so programs of this host do not receive it",
                program.name
            ),
        )
        .because(format!(
            "IP_MULTICAST_LOOP of its socket {} is 0",
            found.socket.local
        ))
        .because(format!(
            "{counter} moved by {left}, and nothing of {} came to this host",
            target.ip
        ))
        .remedy("let it set IP_MULTICAST_LOOP (IPV6_MULTICAST_LOOP) to 1, the default"),
    )
}
