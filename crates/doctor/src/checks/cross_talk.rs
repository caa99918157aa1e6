//! Datagrams of other groups that reach a socket.

use super::super::proof::{Grade, Proof};
use super::super::{Code, Context, Finding};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let (program, watched) = (context.program.as_ref()?, context.watched.as_ref()?);
    let target = &context.target;
    // What it has joined by another socket, it wants.
    let mut others = watched.others.iter();
    let flow = others.find(|flow| {
        let mut joined = program.memberships();
        joined.all(|membership| membership.group != flow.destination.ip())
    })?;
    let open = |found: &&super::super::ProgramSocket| {
        let socket = &found.socket;
        socket.local.port() == target.port
            && socket.local.ip().is_unspecified()
            && socket.multicast_all == Some(true)
    };
    let found = program.sockets.iter().find(open)?;
    Some(
        Finding::fault(
            Code::CrossTalk,
            Grade::proved_if(found.memberships.is_some(), Proof::Seen),
            format!(
                "{} also receives {}, which it has not joined",
                program.name, flow.destination
            ),
        )
        .because(format!(
            "{} to {} came in on {} meanwhile",
            super::count(flow.datagrams, "datagram"),
            flow.destination,
            flow.interface
        ))
        .because(format!(
            "its socket {} takes every group that any program of this host has joined \
             (IP_MULTICAST_ALL is 1, the default)",
            found.socket.local
        ))
        .remedy(format!(
            "let it set IP_MULTICAST_ALL to 0 (IPV6_MULTICAST_ALL), or bind to {}",
            target.ip
        )),
    )
}
