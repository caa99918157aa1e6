//! Sockets that are no members of the group, or of one that is gone.

use super::super::proof::{Doubt, Proof};
use super::super::{Code, Context, Finding, ProgramSocket};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let (program, target) = (context.program.as_ref()?, &context.target);
    let (group, host) = (target.ip, &context.host);
    if !target.is_group() {
        return None;
    }
    let receivers: Vec<&ProgramSocket> = program
        .sockets
        .iter()
        .filter(|found| found.socket.local.port() == target.port)
        .collect();
    if receivers.is_empty() {
        return None;
    }
    let memberships = || {
        program
            .sockets
            .iter()
            .flat_map(|found| found.memberships.iter().flatten())
            .filter(|membership| membership.group == group)
    };
    if let Some(lost) = memberships().next()
        && memberships().all(|membership| host.interface(membership.interface).is_none())
    {
        return Some(
            Finding::fault(
                Code::MembershipLost,
                Proof::Kernel,
                format!(
                    "{} joined {group} on an interface that is gone",
                    program.name
                ),
            )
            .because(format!(
                "its socket is a member on interface {}, and there is none of this index any more; \
                 a device that is made anew under its name has another",
                lost.interface
            ))
            .remedy(format!(
                "restart {}, and let it join again when an interface comes (as 'manycast listen' \
                 does)",
                program.name
            )),
        );
    }
    // What another socket has joined reaches a receiver that takes whatever the host has joined.
    let by_others = receivers
        .iter()
        .any(|found| found.socket.multicast_all != Some(false));
    let by_itself = receivers.iter().any(|found| {
        let mut own = found.memberships.iter().flatten();
        found.memberships.is_none() || own.any(|membership| membership.group == group)
    });
    if memberships().next().is_some() {
        return (!by_others && !by_itself).then(|| {
            let who = &program.name;
            Finding::fault(
                Code::NotJoined,
                Proof::Kernel,
                format!("{who} has joined {group} by a socket that is not the one on the port"),
            )
            .because(format!(
                "the socket {} receives only what it has joined itself (IP_MULTICAST_ALL is 0)",
                receivers[0].socket.local
            ))
            .remedy(format!("let it join {group} by the socket that receives"))
        });
    }
    let joined: Vec<_> = host
        .joined
        .iter()
        .filter(|joined| joined.group == group)
        .collect();
    let asked = program
        .sockets
        .iter()
        .all(|found| found.memberships.is_some());
    if !asked && !joined.is_empty() {
        return None;
    }
    let title = format!("{} has not joined {group}", program.name);
    let coming = context.coming();
    let fed = joined.iter().any(|joined| {
        coming
            .iter()
            .any(|flow| flow.interface.index == joined.interface.index)
    });
    let finding = if by_others && fed {
        // It does receive, by the membership of another program or of the host (autojoin).
        Finding::warning(Code::NotJoined, Proof::Kernel, title)
    } else {
        Finding::fault(Code::NotJoined, Proof::Kernel, title)
    };
    let finding = if joined.is_empty() {
        finding.because(format!(
            "no program of this host has: {group} is not in the kernel's table"
        ))
    } else {
        finding.because(format!(
            "none of its sockets is a member; others have joined on {}",
            super::list(joined.iter().map(|joined| &joined.interface))
        ))
    };
    let finding = if by_others && !joined.is_empty() {
        finding.because("what comes to it comes as long as those are members (IP_MULTICAST_ALL)")
    } else {
        finding
    };
    Some(
        finding
            .because("it may have lost the membership when an interface was taken away")
            .remedy(format!(
                "let it join {group} (IP_ADD_MEMBERSHIP, MCAST_JOIN_GROUP) with the index of the \
                 interface"
            )),
    )
}

/// Sockets on the port that this user may not ask for their memberships. The doctor's own membership
/// brings datagrams to this host, so that these come says nothing of the program.
pub(super) fn unknown(context: &Context) -> Option<Finding> {
    let (program, target) = (context.program.as_ref()?, &context.target);
    let mut on_port = program
        .sockets
        .iter()
        .filter(|found| found.socket.local.port() == target.port)
        .peekable();
    on_port.peek()?;
    if !target.is_group() || on_port.any(|found| found.memberships.is_some()) {
        return None;
    }
    let mut joined = context.host.joined.iter();
    // Where nobody has joined, it has not either, and that is said elsewhere.
    joined.any(|joined| joined.group == target.ip).then(|| {
        Finding::fault(
            Code::NotJoined,
            Doubt::CannotSee,
            format!(
                "whether {} has joined {} itself cannot be seen",
                program.name, target.ip
            ),
        )
        .because(
            "it belongs to another user, and the kernel tells which groups a host has joined, not \
             which program did",
        )
        .confirm(format!(
            "as root: sudo manycast doctor {} --port",
            target.address
        ))
    })
}
