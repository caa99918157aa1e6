//! Networks that may not carry groups: those of containers and clouds, and radio.

use manycast_net::Interface;

use super::super::proof::Doubt;
use super::super::{Code, Context, Finding, Snapshot};

/// Where nothing came, the network of a container or a cloud may be why.
pub(super) fn contained(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let came = !watched.exact.is_empty() || !watched.wide.is_empty();
    (context.target.is_group() && !came).then(|| container(&context.host))?
}

/// Radio loses much, whether something comes or not.
pub(super) fn wireless(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let flows = if watched.exact.is_empty() {
        &watched.wide
    } else {
        &watched.exact
    };
    let concerned = |interface: &Interface| {
        let index = interface.index;
        if flows.is_empty() {
            let named = context.target.interface.as_ref();
            named.is_none_or(|named| named.index == index)
        } else {
            flows.iter().any(|flow| flow.interface.index == index)
        }
    };
    let target = context.target.is_group();
    target.then(|| by_radio(&context.host, concerned))?
}

/// The network of a container or a cloud, as far as it shows.
pub(in super::super) fn container(host: &Snapshot) -> Option<Finding> {
    let links = || {
        let links = host.interfaces.iter();
        links.filter(|interface| !interface.loopback && interface.up)
    };
    let possible = |title: String| Finding::warning(Code::ContainerNetwork, Doubt::Possible, title);
    if let Some(kind) = host.surroundings.container() {
        let pairs: Vec<_> = links().filter(|link| link.kind == "veth").collect();
        // Where there is another, the container has the network of its host, or a macvlan.
        if kind != "WSL" && (pairs.is_empty() || pairs.len() < links().count()) {
            return None;
        }
        let finding = possible(format!(
            "this is a container ({kind}), whose network may not carry multicast"
        ))
        .because("bridge networks of containers forward no groups from outside");
        let finding = match pairs.first() {
            Some(pair) => finding.because(format!(
                "{} is one end of a virtual cable, whose other end is in the network of the host",
                pair.name
            )),
            None => finding,
        };
        return Some(
            finding
                .remedy(
                    "use the network of the host (docker run --network host), a macvlan, or a relay",
                )
                .confirm("run 'manycast doctor ADDRESS' inside and outside"),
        );
    }
    let cloud = host.surroundings.cloud()?;
    Some(
        possible(format!(
            "this is a virtual machine of {cloud}, whose network carries no multicast by itself"
        ))
        .because("the machine names its vendor so (/sys/class/dmi/id/sys_vendor)")
        .remedy(
            "use what the cloud has for it (Amazon: a transit gateway with multicast), a tunnel \
             between the machines, or unicast",
        )
        .confirm("run 'manycast doctor serve' on another machine there, and --with here"),
    )
}

/// The first wireless interface of those that are concerned.
pub(in super::super) fn by_radio(
    host: &Snapshot,
    concerned: impl Fn(&Interface) -> bool,
) -> Option<Finding> {
    let mut links = host.interfaces.iter();
    let wireless = links.find(|link| link.kind == "wifi" && link.up && concerned(link))?;
    let name = &wireless.name;
    Some(
        Finding::warning(
            Code::Wireless,
            Doubt::Possible,
            format!("{name} is wireless, where groups are sent slowly and without retries"),
        )
        .because(format!("its kind is {} (RFC 9119)", wireless.kind))
        .remedy("use a cable, or switch multicast-to-unicast on in the access point")
        .confirm("lose as many by unicast: 'manycast doctor serve' at the sender, and --with here"),
    )
}
