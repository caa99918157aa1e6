//! An interface that cannot receive groups.

use manycast_net::Interface;

use super::super::proof::Proof;
use super::super::{Code, Context, Finding};

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

/// An interface without IPv6, for a group of IPv6.
fn off(context: &Context, interface: &Interface) -> Option<Finding> {
    let name = &interface.name;
    (!context.target.is_ipv4() && context.host.ipv6_is_off(name)).then(|| {
        Finding::fault(
            Code::Ipv6Off,
            Proof::Kernel,
            format!("IPv6 is switched off on {name}"),
        )
        .because(format!("net.ipv6.conf.{name}.disable_ipv6 is 1"))
        .remedy(format!(
            "sudo sysctl -w net.ipv6.conf.{name}.disable_ipv6=0"
        ))
    })
}

/// Why an interface cannot receive groups, if so.
fn unusable(interface: &Interface) -> Option<Finding> {
    let name = &interface.name;
    if !interface.up {
        return Some(
            Finding::fault(
                Code::InterfaceDown,
                Proof::Kernel,
                format!("{name} is down"),
            )
            .because(format!("the kernel says so: {name} lacks the flag UP"))
            .remedy(format!("sudo ip link set {name} up")),
        );
    }
    if !interface.can_multicast() {
        return Some(
            Finding::fault(
                Code::InterfaceNotMulticast,
                Proof::Kernel,
                format!("{name} cannot multicast"),
            )
            .because(format!(
                "{name}, of kind {}, lacks the flag MULTICAST; a join succeeds there, and nothing \
                 arrives",
                interface.kind
            ))
            .remedy(format!(
                "choose another interface ('manycast interfaces'); where the link can carry \
                 multicast: sudo ip link set {name} multicast on"
            )),
        );
    }
    (!interface.running).then(|| {
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
