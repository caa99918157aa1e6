//! A program that sends: to where, by which interface, and how far.

use std::net::SocketAddr;

use super::super::proof::{Doubt, Grade, Proof};
use super::super::{Captured, CapturedStream, Code, Context, Finding, Flow, Program};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let program = context.program.as_ref()?;
    if !context.target.is_group() || receives(context, program) {
        return None;
    }
    elsewhere(context, program)
        .or_else(|| by_loopback(context, program))
        .or_else(|| no_hop(context, program))
}

/// Whether it is a receiver: it has the port, or is a member of the group.
pub(super) fn receives(context: &Context, program: &Program) -> bool {
    let target = &context.target;
    program.sockets.iter().any(|found| {
        let mut joined = found.memberships.iter().flatten();
        found.socket.local.port() == target.port
            || joined.any(|membership| membership.group == target.ip)
    })
}

/// Whether one of its sockets has this port, or may: 0 stands for several.
pub(super) fn has_port(program: &Program, port: u16) -> bool {
    let mut sockets = program.sockets.iter();
    port == 0 || sockets.any(|found| found.socket.local.port() == port)
}

/// Its own datagrams, as they came back to this host.
fn own(context: &Context, program: &Program) -> Vec<Flow> {
    let mut coming = context.coming();
    coming
        .retain(|flow| context.host.has(flow.source.ip()) && has_port(program, flow.source.port()));
    coming
}

/// It sends to another group, or to another port.
fn elsewhere(context: &Context, program: &Program) -> Option<Finding> {
    let target = &context.target;
    if !own(context, program).is_empty() {
        return None;
    }
    let captured = context.watched.as_ref()?.captured.as_ref();
    let sent: Vec<&CapturedStream> = captured
        .into_iter()
        .flat_map(|captured| &captured.sent)
        .filter(|stream| has_port(program, stream.source.port()))
        .collect();
    let right =
        |stream: &&CapturedStream| (stream.destination, stream.port) == (target.ip, target.port);
    if sent.iter().any(right) {
        return None;
    }
    let seen = sent
        .first()
        .map(|stream| (stream.destination, stream.port, stream.datagrams));
    let peers = program.sockets.iter().map(|found| found.socket.peer);
    let to_target = |peer: SocketAddr| (peer.ip(), peer.port()) == (target.ip, target.port);
    if peers.clone().flatten().any(to_target) {
        return None;
    }
    // One that is not connected may send anywhere.
    let all_connected = peers.clone().all(|peer| peer.is_some());
    let connected = peers
        .flatten()
        .find(|peer| peer.ip().is_multicast())
        .map(|peer| (peer.ip(), peer.port(), 0));
    let (group, port, datagrams) = seen.or(connected)?;
    let to = SocketAddr::new(group, port);
    let code = if group == target.ip {
        Code::WrongPort
    } else {
        Code::WrongGroup
    };
    let grade = if seen.is_some() {
        Proof::Seen.into()
    } else {
        Grade::proved_if(all_connected, Proof::Kernel)
    };
    let finding = Finding::fault(
        code,
        grade,
        format!(
            "{} sends to {to}, and not to {}",
            program.name, target.address
        ),
    );
    let finding = if seen.is_some() {
        finding.because(format!(
            "captured as it left: {} to {to}, and none to {}",
            super::count(datagrams, "datagram"),
            target.address
        ))
    } else {
        finding.because(format!("its socket is connected to {to} (connect(2))"))
    };
    Some(finding.remedy(format!(
        "let it send to {}, or listen on {to}",
        target.address
    )))
}

/// What it sends leaves by loopback alone, so no other host receives it.
fn by_loopback(context: &Context, program: &Program) -> Option<Finding> {
    let host = &context.host;
    let own = own(context, program);
    let loopback = |(index, _): &(u32, u64)| {
        let interface = host.interface(*index);
        interface.is_some_and(|interface| interface.loopback)
    };
    let mut links = host.interfaces.iter();
    let link = links.find(|link| !link.loopback && link.can_multicast())?;
    // As root, it is seen as it leaves; otherwise as it comes back.
    let target = &context.target;
    let captured = context.watched.as_ref()?.captured.as_ref();
    let sent = captured.into_iter().flat_map(|captured| &captured.sent);
    let sent = sent.filter(|stream| {
        (stream.destination, stream.port) == (target.ip, target.port)
            && has_port(program, stream.source.port())
    });
    let left: Vec<(u32, u64)> = if own.is_empty() {
        sent.map(|stream| (stream.interface, stream.datagrams))
            .collect()
    } else {
        let own = own.iter();
        own.map(|flow| (flow.interface.index, flow.datagrams))
            .collect()
    };
    let Some((index, datagrams)) = left.first().copied() else {
        return by_option(context, program, &link.name);
    };
    if !left.iter().all(loopback) {
        return None;
    }
    let name = host.name_of(index);
    Some(
        Finding::fault(
            Code::EgressOtherInterface,
            Proof::Seen,
            format!(
                "what {} sends to {} leaves by {name} alone, and no other host receives it",
                program.name, target.ip
            ),
        )
        .because(format!(
            "{} of its own were seen on {name}, and none on another interface",
            super::count(datagrams, "datagram")
        ))
        .remedy(format!(
            "let it name the interface (IP_MULTICAST_IF, IPV6_MULTICAST_IF), such as {}; or give \
             the group a route: {}",
            link.name,
            super::super::paths::route_command(context.target.ip, &link.name)
        )),
    )
}

/// Nothing of it was seen, and its socket names loopback or is bound to it: where no route leads to the
/// group there, sending fails, and elsewhere nobody receives it.
fn by_option(context: &Context, program: &Program, better: &str) -> Option<Finding> {
    let (host, target) = (&context.host, &context.target);
    let sockets = program.sockets.iter();
    let of_version = sockets.filter(|found| found.socket.local.is_ipv4() == target.is_ipv4());
    // Of both options, the kernel follows the first.
    let mut names = of_version.map(|found| {
        let named = found.multicast_interface.filter(|_| !target.is_ipv4());
        let bound = found.socket.device.map(|device| (device, BOUND));
        bound.or_else(|| named.map(|index| (index, NAMED)))
    });
    let (index, option) = names.next()??;
    let loopback = host.interface(index).filter(|link| link.loopback)?;
    let alone = names.next().is_none();
    let name = &loopback.name;
    Some(
        Finding::fault(
            Code::EgressOtherInterface,
            Grade::proved_if(alone, Proof::Kernel),
            format!(
                "what {} sends to groups can leave by {name} alone, and no other host receives it",
                program.name
            ),
        )
        .because(format!("its socket is to send by {name} ({option})"))
        .because(format!(
            "where no route leads to {} by {name}, sending fails with ENETUNREACH",
            target.ip
        ))
        .remedy(format!(
            "let it send by the interface that the receivers are on ({option}), such as {better}"
        )),
    )
}

/// The options by which a socket sends by one interface.
const BOUND: &str = "SO_BINDTODEVICE";
const NAMED: &str = "IPV6_MULTICAST_IF";

/// With a hop limit of 0, a datagram stays on its host where that is a member on the interface that it would
/// leave by; by IPv6 (`ip6_finish_output2`), where it has loopback on as well, and by IPv4 (`ip_mc_output`)
/// whatever that is. Elsewhere it leaves. What came back to the doctor, which is a member, has stayed.
fn no_hop(context: &Context, program: &Program) -> Option<Finding> {
    let own = own(context, program);
    let flow = own.iter().find(|flow| flow.hops == Some(0))?;
    Some(
        Finding::fault(
            Code::HopLimit,
            Proof::Seen,
            format!(
                "{} sends with a hop limit of 0: its datagrams stay on this host while a program here is a \
                 member of {}",
                program.name, context.target.ip
            ),
        )
        .because(format!(
            "datagrams from {} came back with hop limit 0",
            flow.source
        ))
        .because(
            "the doctor is a member meanwhile; where nobody is by that interface, Linux lets them leave",
        )
        .remedy(
            "let it set IP_MULTICAST_TTL (IPV6_MULTICAST_HOPS) to 1 for the link, and to more for \
             what is behind routers",
        ),
    )
}

/// Whether one of its datagrams to the target was captured as it left.
pub(super) fn sends(context: &Context, captured: &Captured) -> bool {
    let (target, program) = (&context.target, context.program.as_ref());
    captured.sent.iter().any(|stream| {
        (stream.destination, stream.port) == (target.ip, target.port)
            && program.is_some_and(|program| has_port(program, stream.source.port()))
    })
}

/// A program that is connected to the target, and none of whose datagrams came back.
pub(super) fn unseen(context: &Context, program: &Program) -> Finding {
    let target = &context.target;
    Finding::fault(
        Code::NothingSent,
        Doubt::CannotSee,
        format!(
            "whether {} sends to {} cannot be seen: nothing of it came back to this host",
            program.name, target.ip
        ),
    )
    .because(format!("its socket is connected to {}", target.address))
    .confirm(format!(
        "as root, the doctor sees what it sends: sudo manycast doctor {} --pid PID",
        target.address
    ))
}

/// A program that is no receiver, and of which it cannot be seen to where it sends.
pub(super) fn unknown(context: &Context, program: &Program) -> Finding {
    let target = &context.target;
    Finding::fault(
        Code::WrongGroup,
        Doubt::CannotSee,
        format!(
            "{} has no socket on port {}; whether it sends to {} cannot be seen",
            program.name, target.port, target.ip
        ),
    )
    .because(
        "a sender has another port, and to where a socket sends that is not connected shows on the \
         wire alone; none of its datagrams came back to this host",
    )
    .remedy(format!(
        "if it is to receive, let it bind to port {} and join {}",
        target.port, target.ip
    ))
    .confirm(format!(
        "as root, the doctor sees what it sends: sudo manycast doctor {} --pid PID",
        target.address
    ))
}
