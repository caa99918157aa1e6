//! Sockets that are bound so that the group does not reach them.

use std::net::IpAddr;

use super::super::apart::sender;
use super::super::proof::Proof;
use super::super::{Code, Context, Finding, Program, ProgramSocket};

/// A socket on the port that is bound to an address of this host.
pub(super) fn to_unicast(context: &Context) -> Option<Finding> {
    let (found, local) = bound(context, |local| {
        !local.is_multicast() && !local.is_unspecified()
    })?;
    let program = context.program.as_ref()?;
    let finding = Finding::fault(
        Code::BoundToUnicast,
        Proof::Kernel,
        format!(
            "{} is bound to {local}, so datagrams to groups do not reach it",
            program.name
        ),
    )
    .because(format!(
        "its socket on the port is bound to {}",
        found.socket.local
    ));
    let right = format!("{}, or to the unspecified address", context.target.address);
    Some(match found.socket.peer {
        Some(peer) => finding
            .because(format!(
                "it is connected to {peer}, and connect(2) binds what was not bound before to the \
                 address that the route chooses"
            ))
            .remedy(format!(
                "let it not connect, or bind to the group before, {}",
                context.target.address
            )),
        None => finding
            .because(
                "Linux hands a datagram to a socket that is bound to an address only where the \
                 datagram was sent to this address",
            )
            .remedy(format!("let it bind to the group, {right}")),
    })
}

/// Sockets on the port that take the other version of IP alone.
pub(super) fn to_other_version(context: &Context) -> Option<Finding> {
    let ipv4 = context.target.is_ipv4();
    let (found, program) = shut(context, |found| found.socket.takes(ipv4))?;
    let (group, local) = (context.target.ip, found.socket.local);
    let wildcard = local.ip().is_unspecified();
    if !wildcard {
        // To which address it is bound says more.
        return None;
    }
    let (takes, why, remedy) = if ipv4 {
        (
            "IPv6",
            "it has the option IPV6_V6ONLY, without which it would take IPv4 as well",
            "let it switch IPV6_V6ONLY off before it binds, or open a socket of IPv4",
        )
    } else {
        (
            "IPv4",
            "it is a socket of IPv4 (AF_INET)",
            "let it open a socket of IPv6 (AF_INET6)",
        )
    };
    Some(
        Finding::fault(
            Code::OtherIpVersion,
            Proof::Kernel,
            format!(
                "{} takes {takes} alone, and so never receives {group}",
                program.name
            ),
        )
        .because(format!("its socket on the port is bound to {local}"))
        .because(why)
        .remedy(remedy),
    )
}

/// Sockets on the port that take what comes in by one interface only, and it comes by another.
pub(super) fn to_device(context: &Context) -> Option<Finding> {
    let coming = context.coming();
    let flow = coming.first()?;
    let reached = |found: &ProgramSocket| {
        let device = found.socket.device;
        coming
            .iter()
            .any(|flow| device.is_none_or(|device| device == flow.interface.index))
    };
    let (found, program) = shut(context, reached)?;
    let device = context.host.name_of(found.socket.device?);
    Some(
        Finding::fault(
            Code::BoundToDevice,
            Proof::Kernel,
            format!(
                "{} is bound to {device}, and {} comes in by {}",
                program.name, context.target.ip, flow.interface
            ),
        )
        .because(format!(
            "its socket {} takes only what comes in by {device} (SO_BINDTODEVICE)",
            found.socket.local
        ))
        .because(format!(
            "{} from {} came in by {}",
            super::count(flow.datagrams, "datagram"),
            sender(flow.source),
            flow.interface
        ))
        .remedy(format!(
            "let it bind to {}, or to no device",
            flow.interface
        )),
    )
}

/// Sockets on the port that are connected, and it comes from others.
pub(super) fn to_peer(context: &Context) -> Option<Finding> {
    let coming = context.coming();
    let flow = coming.first()?;
    let group = context.target.ip;
    let reached = |found: &ProgramSocket| {
        let peer = found.socket.peer;
        // Who is connected to the group sends to it.
        peer.is_some_and(|peer| peer.ip() == group)
            || coming.iter().any(|flow| found.socket.admits(flow))
    };
    let (found, program) = shut(context, reached)?;
    let peer = found.socket.peer?;
    Some(
        Finding::fault(
            Code::BoundToPeer,
            Proof::Kernel,
            format!(
                "{} is connected to {peer}, and the datagrams come from {}",
                program.name,
                sender(flow.source)
            ),
        )
        .because(format!(
            "its socket {} receives from {peer} alone (connect(2))",
            found.socket.local
        ))
        .because(format!(
            "{} from {} came in by {}",
            super::count(flow.datagrams, "datagram"),
            sender(flow.source),
            flow.interface
        ))
        .remedy("let it not connect; to take one source alone, join the group for that source"),
    )
}

/// The first socket on the port, where none of them is reached.
fn shut(
    context: &Context,
    reached: impl Fn(&ProgramSocket) -> bool,
) -> Option<(&ProgramSocket, &Program)> {
    let program = context.program.as_ref()?;
    let mut on_port = program
        .sockets
        .iter()
        .filter(|found| found.socket.local.port() == context.target.port);
    let first = on_port.next()?;
    let none = context.target.is_group() && !reached(first) && !on_port.any(reached);
    none.then_some((first, program))
}

/// A socket on the port that is bound to another group.
pub(super) fn to_other_group(context: &Context) -> Option<Finding> {
    let group = context.target.ip;
    let (found, local) = bound(context, |local| local.is_multicast() && local != group)?;
    let program = context.program.as_ref()?;
    Some(
        Finding::fault(
            Code::BoundToOtherGroup,
            Proof::Kernel,
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
        local == target.ip || local.is_unspecified() && found.socket.takes(target.is_ipv4())
    };
    if on_port().any(right) {
        return None;
    }
    on_port()
        .map(|found| (found, found.socket.local.ip()))
        .find(|(_, local)| wrong(*local))
}
