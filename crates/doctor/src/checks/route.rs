//! No route to the group or host.

use super::super::proof::{Doubt, Proof};
use super::super::{Code, Context, Finding};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let target = &context.target;
    if context.host.has_route || target.ip.is_unspecified() {
        return None;
    }
    let links = context
        .host
        .interfaces
        .iter()
        .filter(|interface| interface.can_multicast() && !interface.loopback);
    let name = links
        .map(|interface| interface.name.to_string())
        .next()
        .unwrap_or_else(|| "eth0".to_owned());
    let (family, range) = if target.is_ipv4() {
        ("-4", "224.0.0.0/4")
    } else {
        ("-6", "ff00::/8")
    };
    if !target.is_group() {
        return Some(
            Finding::fault(
                Code::NoRoute,
                Proof::Kernel,
                format!("this host knows no way to {}", target.ip),
            )
            .because("the kernel, asked for the route, has none")
            .remedy(
                "'ip route' shows what there is; give it one: sudo ip route add NETWORK via ROUTER",
            ),
        );
    }
    Some(
        Finding::warning(
            Code::NoRoute,
            Doubt::Possible,
            format!(
                "programs that name no interface cannot join {} or send to it",
                target.ip
            ),
        )
        .because("the kernel knows no route to it; manycast itself needs none")
        .remedy(format!(
            "name the interface in the program; or give groups a route: sudo ip {family} route add {range} dev {name}"
        )),
    )
}
