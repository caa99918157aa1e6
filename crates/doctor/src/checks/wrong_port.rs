//! The datagrams go to another port.

use super::super::proof::{Doubt, Grade, Proof};
use super::super::{Code, Context, Finding, Severity};
use super::{sender, vrf};

/// How many senders are told of.
const MOST_TOLD: usize = 5;

/// Of what this host receives.
pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let target = &context.target;
    let tally = context.tally();
    let came = !watched.exact.is_empty() || !watched.wide.is_empty();
    let captured = watched
        .captured
        .as_ref()
        .filter(|captured| !captured.streams.is_empty());
    if came || !target.is_group() {
        return None;
    }
    let (group, port) = (target.ip, target.port);
    let on_the_wire = match captured {
        Some(captured) if captured.to_port(port).next().is_some() => return None,
        Some(_) => true,
        // With a wire to listen on, and nothing captured there, they are of other groups.
        None if watched.captured.is_some() => return None,
        None => false,
    };
    let in_vrf = || vrf::run(context).is_some_and(|finding| finding.severity == Severity::Fault);
    let elsewhere = taken_elsewhere(context);
    let counted = tally.ignored > 0 || elsewhere.is_some();
    if !on_the_wire && (!counted || watched.obstacle.is_some() || in_vrf()) {
        return None;
    }
    let mut others: Vec<_> = context
        .host
        .joined_by_programs(target.is_ipv4())
        .map(|joined| joined.group)
        .filter(|joined| *joined != group)
        .collect();
    others.dedup();
    let finding = Finding::fault(
        Code::WrongPort,
        Doubt::Likely,
        format!("datagrams to {group} arrive, but not for port {port}"),
    );
    let finding = captured
        .into_iter()
        .flat_map(|captured| &captured.streams)
        .take(MOST_TOLD)
        .fold(finding, |finding, stream| {
            finding.because(format!(
                "captured on the wire: {} of {} to port {}, on {}",
                stream.datagrams,
                stream.source,
                stream.port,
                context.host.name_of(stream.interface)
            ))
        });
    let finding = if on_the_wire {
        finding.because(format!(
            "nothing came to port {port} in {:.1} s; what is sent less often does not show",
            watched.lasted.as_secs_f64()
        ))
    } else {
        finding
    };
    let finding = if tally.ignored > 0 {
        finding.because(format!(
            "{} by {}: datagrams to joined groups that no socket wanted",
            if target.is_ipv4() {
                "Udp.IgnoredMulti moved more than IpExt.InBcastPkts,"
            } else {
                "Udp6IgnoredMulti moved"
            },
            tally.ignored
        ))
    } else {
        finding
    };
    let finding = match elsewhere.filter(|_| !on_the_wire) {
        Some(port) => finding.because(format!(
            "{} to groups came and were handed on; a program of this host is a member of {group}, and \
             has port {port}",
            super::count(tally.multicast, "packet")
        )),
        None => finding,
    };
    let port_now = captured.and_then(|captured| Some(captured.streams.first()?.port));
    let finding = match port_now {
        Some(now) => finding.remedy(format!(
            "receive on port {now}, or let the sender use {port}"
        )),
        None => finding
            .remedy("ask for the port at the sender, and write it after the colon")
            .confirm(format!("sudo tcpdump -ni any udp and dst host {group}")),
    };
    Some(if on_the_wire {
        finding
    } else if others.is_empty() {
        finding.because(format!("{group} is the only group that is joined here"))
    } else {
        finding.because(format!("also joined here: {}", super::list(others)))
    })
}

/// Another port, whose program takes all that comes to groups: it is a member of this one, and this host
/// of no other.
fn taken_elsewhere(context: &Context) -> Option<u16> {
    let (target, tally) = (&context.target, context.tally());
    let group = target.ip;
    let mut joined = context.host.joined_by_programs(target.is_ipv4());
    let alone = context.host.is_member(group) && joined.all(|joined| joined.group == group);
    let few = super::FEW;
    // By IPv6, groups that are not joined are counted as well, and lost.
    let handed_on = tally.multicast.saturating_sub(tally.control) > few && tally.lost() <= few;
    if !alone || !handed_on {
        return None;
    }
    let mut sockets = context.host.sockets.iter().map(|socket| socket.local);
    let other = sockets.find(|local| {
        let takes = local.ip() == group || local.ip().is_unspecified();
        takes && local.port() != target.port && local.port() != 0
    });
    other.map(|local| local.port())
}

/// A program that neither has the port nor sends.
fn silent(context: &Context, connected: bool) -> Finding {
    let program = context.program.as_ref();
    let name = program.map_or("it", |program| &program.name);
    let (address, port) = (&context.target.address, context.target.port);
    if connected {
        return Finding::fault(
            Code::NothingSent,
            Doubt::Likely,
            format!("{name} is connected to {address}, and sends nothing"),
        )
        .because("not one datagram of it was captured as it left")
        .remedy("look in the program why it does not send, or what send(2) says");
    }
    Finding::fault(
        Code::WrongPort,
        Doubt::Likely,
        format!("{name} has no socket on port {port}, and sends nothing to groups"),
    )
    .because("not one datagram of it to a group was captured as it left")
    .remedy(format!(
        "if it is to receive, let it bind to port {port} and join {}; if it is to send, look why it \
         does not",
        context.target.ip
    ))
}

/// Of a program that is examined.
pub(super) fn of_program(context: &Context) -> Option<Finding> {
    let program = context.program.as_ref()?;
    let port = context.target.port;
    let sockets = || program.sockets.iter().map(|found| &found.socket);
    // A sender has another port by nature.
    let sends = sockets().any(|socket| {
        socket
            .peer
            .is_some_and(|peer| peer.port() == port && peer.ip() == context.target.ip)
    });
    // Its own datagrams come back to this host, where it has loopback on.
    let comes_from_it = context.coming().iter().any(|flow| {
        let own = context.host.has(flow.source.ip());
        own && sender::has_port(program, flow.source.port())
    });
    let receives = sockets().any(|socket| socket.local.port() == port);
    let explained = [
        super::loopback::run,
        super::ipsec::run,
        super::firewall::run,
    ];
    let is_fault = |finding: Finding| finding.severity == Severity::Fault;
    let explained = explained
        .iter()
        .any(|check| check(context).is_some_and(is_fault));
    if comes_from_it || receives || explained {
        return None;
    }
    if !sender::receives(context, program) {
        let captured = context
            .watched
            .as_ref()
            .and_then(|watched| watched.captured.as_ref());
        return match sender::run(context) {
            Some(_) => None,
            // Who captures what leaves knows that it sends nothing.
            None if captured.is_some_and(|captured| sender::sends(context, captured)) => None,
            None if captured.is_some() => Some(silent(context, sends)),
            None if sends => Some(sender::unseen(context, program)),
            None => Some(sender::unknown(context, program)),
        };
    }
    let joins = program
        .sockets
        .iter()
        .flat_map(|found| found.memberships.iter().flatten())
        .any(|membership| membership.group == context.target.ip);
    Some(
        Finding::fault(
            Code::WrongPort,
            Grade::proved_if(joins, Proof::Kernel),
            format!("{} has no socket on port {port}", program.name),
        )
        .because(format!(
            "its UDP sockets are bound to {}",
            super::list(
                sockets()
                    .map(|socket| socket.local)
                    .filter(|local| local.port() != 0)
            )
        ))
        .remedy(format!(
            "let it bind to port {port}, or let the sender use another"
        )),
    )
}
