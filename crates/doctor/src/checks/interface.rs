//! An interface that cannot receive groups.

use manycast_net::Interface;

use super::super::apart::sender;
use super::super::context::setting;
use super::super::proof::Proof;
use super::super::{Code, Confidence, Context, Finding, Severity, Snapshot};

pub(super) fn run(context: &Context) -> Option<Finding> {
    if !context.target.is_group() {
        return None;
    }
    let links = || {
        context
            .host
            .interfaces
            .iter()
            .filter(|interface| !interface.loopback)
    };
    let unusable = |interface: &Interface| unusable(interface).or_else(|| off(context, interface));
    match &context.target.interface {
        Some(id) => context.host.interface(id.index).and_then(unusable),
        // Of several, one that works is enough.
        None if links().any(|interface| unusable(interface).is_none()) => None,
        None => links().find_map(unusable),
    }
}

/// The datagrams come by an interface on which who follows the flag joins no group. A program that joins there
/// by index all the same does receive them.
pub(super) fn unheard(context: &Context) -> Option<Finding> {
    let flows = context.unheard();
    let flow = flows.first()?;
    let (host, group) = (&context.host, context.target.ip);
    let program = context.program.as_ref();
    if !context.coming_or_received().is_empty()
        || program.is_some_and(|it| it.gets_any(&flows, host))
    {
        return None;
    }
    let link = host.interface(host.at_ip(flow.interface.index))?;
    let finding = unusable(link)?.because(format!(
        "{} from {} came in by {}, and {group} is not joined there",
        super::count(flow.datagrams, "datagram"),
        sender(flow.source),
        flow.interface
    ));
    let mut joined = host.joined.iter();
    let is_member = joined.any(|own| own.group == group && own.interface.index == link.index);
    if program.is_some() || !is_member {
        return Some(finding);
    }
    let finding = Finding {
        severity: Severity::Warning,
        ..finding
    };
    Some(finding.because("a program that has joined there all the same receives them"))
}

/// An interface that was of use, and has gone or went down while it was watched: the one that is named, or
/// that the datagrams came by.
pub(super) fn lost(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let flows = context.coming_or_received();
    let named = context.target.interface.as_ref();
    let mut concerned: Vec<u32> = match named {
        Some(named) => vec![named.index],
        None => flows.iter().map(|flow| flow.interface.index).collect(),
    };
    concerned.sort_unstable();
    concerned.dedup();
    let interfaces = watched.interfaces.as_ref()?;
    let now = |known: &Interface| {
        let mut interfaces = interfaces.iter();
        // One that is made anew has its name.
        interfaces.find(|now| now.index == known.index || now.name == known.name)
    };
    let lost = |index: &u32| {
        let before = context.host.interface(*index)?;
        match now(before) {
            _ if unusable(before).is_some() => None,
            Some(now) => unusable(now),
            None => Some(gone(before)),
        }
    };
    let all: Vec<Finding> = concerned.iter().filter_map(lost).collect();
    let is_all = all.len() == concerned.len();
    let first = all.into_iter().next()?;
    let finding = first.because("it was of use when the watching began");
    let last = flows.iter().map(|flow| flow.last).max();
    let finding = match last {
        Some(last) if context.received() > 0 => finding.because(format!(
            "{} came, the last one after {:.1} s",
            super::count(context.received(), "datagram"),
            last.as_secs_f64()
        )),
        _ => finding,
    };
    Some(if is_all {
        finding
    } else {
        Finding {
            severity: Severity::Warning,
            ..finding
        }
    })
}

fn gone(interface: &Interface) -> Finding {
    let name = &interface.name;
    Finding::fault(
        Code::InterfaceDown,
        Proof::Kernel,
        format!("{name} is gone"),
    )
    .because(format!("the kernel lists no interface {name} any more"))
    .remedy(format!(
        "bring {name} back; programs have to join their groups on it anew, as 'manycast listen' does"
    ))
}

/// An interface without IPv6, for a group of IPv6.
fn off(context: &Context, interface: &Interface) -> Option<Finding> {
    let name = &interface.name;
    let setting = setting(false, name, "disable_ipv6");
    (!context.target.is_ipv4() && context.host.ipv6_is_off(name)).then(|| {
        Finding::fault(
            Code::Ipv6Off,
            Proof::Kernel,
            format!("IPv6 is switched off on {name}"),
        )
        .because(format!("{setting} is 1"))
        .remedy(format!("sudo sysctl -w {setting}=0"))
    })
}

/// Why an interface cannot receive groups, if so.
fn unusable(interface: &Interface) -> Option<Finding> {
    down(interface)
        .or_else(|| unflagged(interface))
        .or_else(|| without_carrier(interface))
}

fn down(interface: &Interface) -> Option<Finding> {
    let name = &interface.name;
    (!interface.up).then(|| {
        Finding::fault(
            Code::InterfaceDown,
            Proof::Kernel,
            format!("{name} is down"),
        )
        .because(format!("the kernel says so: {name} lacks the flag UP"))
        .remedy(format!("sudo ip link set {name} up"))
    })
}

fn unflagged(interface: &Interface) -> Option<Finding> {
    let name = &interface.name;
    (interface.up && !interface.can_multicast()).then(|| {
        Finding::fault(
            Code::InterfaceNotMulticast,
            Proof::Kernel,
            format!("{name} cannot multicast"),
        )
        .because(format!(
            "{name}, of kind {}, lacks the flag MULTICAST: who follows it, as this program, joins no \
             group there",
            interface.kind
        ))
        .remedy(format!(
            "choose another interface ('manycast interfaces'); where the link can carry multicast: \
             sudo ip link set {name} multicast on"
        ))
    })
}

fn without_carrier(interface: &Interface) -> Option<Finding> {
    let name = &interface.name;
    (interface.up && !interface.running).then(|| {
        Finding::fault(
            Code::InterfaceDown,
            Proof::Kernel,
            format!("{name} has no carrier"),
        )
        .because(format!(
            "{name} is up, but lacks the flag RUNNING: no cable, radio or peer"
        ))
        .remedy(format!(
            "plug the cable in, or look at the other end; then 'ip link show {name}'"
        ))
    })
}

fn idle(interface: &Interface) -> Option<Finding> {
    down(interface).or_else(|| without_carrier(interface))
}

/// Nothing comes, and an interface is down by which it may be meant to come.
pub(super) fn others_down(context: &Context) -> Option<Finding> {
    if !is_missed(context) {
        return None;
    }
    // What is sent to one address comes by its own interface.
    let target = &context.target;
    let is_any = target.is_group() || target.ip.is_unspecified();
    by_members(context).or_else(|| warning(&context.host, |_| is_any))
}

/// Nothing comes, and an interface lacks the flag by which it may be meant to come.
pub(super) fn others_unflagged(context: &Context) -> Option<Finding> {
    let of_group = context.target.is_group() && is_missed(context);
    of_group.then(|| of_no_name(&context.host, unflagged, |_| true))?
}

/// An interface that is down, or has no carrier, of those in question.
pub(crate) fn warning(
    host: &Snapshot,
    in_question: impl Fn(&Interface) -> bool,
) -> Option<Finding> {
    // To a bridge without a carrier, nothing is connected.
    of_no_name(host, idle, |link| {
        in_question(link) && !(link.up && link.kind == "bridge")
    })
}

/// Links that nobody has named: it is not known whether anything is to come by them. Tunnels, which have
/// no broadcast, are left out.
fn of_no_name(
    host: &Snapshot,
    what: impl Fn(&Interface) -> Option<Finding>,
    in_question: impl Fn(&Interface) -> bool,
) -> Option<Finding> {
    let links = host.interfaces.iter();
    let links = links.filter(|link| link.broadcast && !link.loopback && in_question(link));
    let mut found = links.filter_map(what);
    let first = found.next()?;
    let finding = Finding {
        severity: Severity::Warning,
        confidence: Confidence::Possible,
        ..first
    };
    let finding = finding.because("what is to come by it does not come");
    Some(found.fold(finding, |finding, other| finding.because(other.title)))
}

/// Whether nothing came by any interface, as far as it is known, and none is named.
fn is_missed(context: &Context) -> bool {
    let Some(watched) = &context.watched else {
        return false;
    };
    let captured = watched.captured.as_ref();
    let is_known = watched.obstacle.is_none() || captured.is_some();
    let arrives = captured.is_some_and(|captured| captured.count(context.target.port) > 0);
    let target = &context.target;
    is_known
        && !arrives
        && target.interface.is_none()
        && target.asked.is_none()
        && context.coming_or_received().is_empty()
}

/// It is joined on interfaces that are down alone, or the address is one of theirs.
fn by_members(context: &Context) -> Option<Finding> {
    let (members, confidence, why) = members(context);
    let links = context.host.interfaces.iter();
    let (within, own): (Vec<_>, Vec<_>) = links
        .filter(|link| members.contains(&link.index))
        .partition(|link| link.loopback);
    let all: Option<Vec<Finding>> = own.into_iter().map(idle).collect();
    let first = all?.into_iter().next()?;
    // What is sent on this host may be meant to come by loopback.
    let confidence = if within.is_empty() {
        confidence
    } else {
        Confidence::Likely
    };
    let finding = Finding {
        confidence,
        ..first
    };
    Some(finding.because(why))
}

/// By which interfaces it can come, as far as that is known, how sure that is, and why.
fn members(context: &Context) -> (Vec<u32>, Confidence, String) {
    let (host, target) = (&context.host, &context.target);
    if !target.is_group() {
        let links = host.interfaces.iter().filter(|link| link.has(target.ip));
        return (
            links.map(|link| link.index).collect(),
            Confidence::Likely,
            format!("{} is an address of it", target.ip),
        );
    }
    if let Some(program) = &context.program {
        let mut sockets = program.sockets.iter();
        if sockets.all(|found| found.memberships.is_some()) {
            let own = program.memberships().filter(|own| own.group == target.ip);
            return (
                own.map(|own| own.interface).collect(),
                Confidence::Proved,
                format!(
                    "{} has joined {} there, and by no other interface that is up",
                    program.name, target.ip
                ),
            );
        }
    }
    let joined = host.joined.iter().filter(|own| own.group == target.ip);
    (
        joined.map(|own| own.interface.index).collect(),
        Confidence::Likely,
        format!(
            "a program of this host has joined {} there, and none by another interface that is up",
            target.ip
        ),
    )
}
