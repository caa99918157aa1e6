//! Sockets that are bound so that the group does not reach them.

use std::net::IpAddr;

use super::super::{Code, Confidence, Context, Finding, ProgramSocket};

/// A socket on the port that is bound to an address of this host.
pub(super) fn to_unicast(context: &Context) -> Option<Finding> {
    let (found, local) = bound(context, |local| {
        !local.is_multicast() && !local.is_unspecified()
    })?;
    let program = context.program.as_ref()?;
    Some(
        Finding::fault(
            Code::BoundToUnicast,
            Confidence::Proved,
            format!("{} is bound to {local}, so datagrams to groups do not reach it", program.name),
        )
        .because(format!("its socket on the port is bound to {}", found.socket.local))
        .because("Linux hands a datagram to a socket that is bound to an address only where the datagram was sent to this address")
        .remedy(format!(
            "let it bind to the group, {}, or to the unspecified address",
            context.target.address
        )),
    )
}

/// A socket on the port that is bound to another group.
pub(super) fn to_other_group(context: &Context) -> Option<Finding> {
    let group = context.target.ip;
    let (found, local) = bound(context, |local| local.is_multicast() && local != group)?;
    let program = context.program.as_ref()?;
    Some(
        Finding::fault(
            Code::BoundToOtherGroup,
            Confidence::Proved,
            format!(
                "{} is bound to {local}, and so never receives {group}",
                program.name
            ),
        )
        .because(format!(
            "its socket on the port is bound to {}",
            found.socket.local
        ))
        .remedy(format!(
            "let it bind to {group}, or to the unspecified address, or open a socket for each group"
        )),
    )
}

/// The first socket on the port that is bound as told, unless another one is bound rightly.
fn bound(context: &Context, wrong: impl Fn(IpAddr) -> bool) -> Option<(&ProgramSocket, IpAddr)> {
    let target = &context.target;
    if !target.is_group() {
        return None;
    }
    let program = context.program.as_ref()?;
    let on_port = || {
        program
            .sockets
            .iter()
            .filter(|found| found.socket.local.port() == target.port)
    };
    let right = |found: &ProgramSocket| {
        let local = found.socket.local.ip();
        local == target.ip || local.is_unspecified()
    };
    if on_port().any(right) {
        return None;
    }
    on_port()
        .map(|found| (found, found.socket.local.ip()))
        .find(|(_, local)| wrong(*local))
}
