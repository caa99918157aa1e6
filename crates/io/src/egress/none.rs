//! Why no interface leads to a destination, in words: which are down, and how to bring them up.

use std::net::IpAddr;

use manycast_net::{Interface, InterfaceAddress};

/// What an interface must be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To send to this group or broadcast address, for which it needs an address of that version.
    Send(IpAddr),
    /// To join groups.
    Join,
}

/// Cause and remedy where no interface can do it. Loopback leads nowhere, so it is named only where
/// there is no other.
pub(crate) fn why_none(all: &[Interface], need: Need) -> (String, String) {
    let is_able = |it: &Interface| match need {
        Need::Send(to) if !to.is_multicast() => it.broadcast,
        Need::Send(_) | Need::Join => it.multicast,
    };
    let others = || all.iter().filter(|it| !it.loopback);
    let mut candidates: Vec<&Interface> = others().filter(|it| is_able(it)).collect();
    if candidates.is_empty() {
        candidates = all.iter().filter(|it| it.loopback).collect();
    }
    let down = names(candidates.iter().copied().filter(|it| !it.up));
    let mut causes = Vec::new();
    if let [_, ..] = down.as_slice() {
        causes.push(format!("{} {} down", listed(&down), are(&down)));
    }
    let mut bare = Vec::new();
    if let Need::Send(to) = need {
        let speaks = |own: &InterfaceAddress| own.address.is_ipv4() == to.is_ipv4();
        let up = candidates.iter().copied().filter(|it| it.up);
        bare = names(up.filter(|it| !it.addresses.iter().any(speaks)));
        if let [_, ..] = bare.as_slice() {
            let has = if bare.len() == 1 { "has" } else { "have" };
            causes.push(format!(
                "{} {has} no {} address",
                listed(&bare),
                version(to)
            ));
        }
    }
    let unable = names(others().filter(|it| !is_able(it)));
    if causes.is_empty() && !unable.is_empty() {
        causes.push(format!("{} cannot do it", listed(&unable)));
    }
    let remedy = match (down.first(), bare.first()) {
        (Some(name), _) => bring_up(name),
        (None, Some(name)) => {
            format!("give {name} one with 'ip address add ADDRESS/PREFIX dev {name}'")
        }
        (None, None) => "add an interface that can".to_owned(),
    };
    let cause = match causes.is_empty() {
        true => "this host has no interface for it".to_owned(),
        false => causes.join(", and "),
    };
    (cause, format!("{remedy}, or see 'manycast interfaces'"))
}

/// Cause and remedy where no route leads to a host, and interfaces that are down may be why.
pub(super) fn why_no_route(all: &[Interface], to: IpAddr) -> Option<(String, String)> {
    let is_down = |it: &&Interface| !it.loopback && !it.up;
    let all_down = all.iter().filter(is_down);
    let leads_there = |it: &&Interface| it.addresses.iter().any(|own| contains(own, to));
    if let Some(Interface { name, .. }) = all_down.clone().find(leads_there) {
        let cause = format!("{name}, which leads there, is down");
        return Some((cause, bring_up(name)));
    }
    // What lacks both is no link that anybody uses, such as ifb0.
    let down = names(all_down.filter(|it| it.multicast || !it.addresses.is_empty()));
    let first = down.first()?;
    let cause = format!(
        "no route leads there, and {} {} down",
        listed(&down),
        are(&down)
    );
    let remedy = format!(
        "{}, name the interface to send by, or add a route",
        bring_up(first)
    );
    Some((cause, remedy))
}

fn bring_up(name: &str) -> String {
    format!("bring {name} up with 'ip link set {name} up'")
}

fn version(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn names<'a>(interfaces: impl Iterator<Item = &'a Interface>) -> Vec<String> {
    interfaces.map(|it| it.name.to_string()).collect()
}

const fn are(names: &[String]) -> &'static str {
    if names.len() == 1 { "is" } else { "are" }
}

/// So many are named; a host of containers may have hundreds.
const MOST: usize = 5;

/// `eth0, eth1 and eth2`
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] if names.len() <= MOST => format!("{} and {last}", first.join(", ")),
        _ => {
            let shown = names[..MOST].join(", ");
            format!("{shown} and {} more", names.len() - MOST)
        }
    }
}

/// Whether the network of an own address has `ip`.
fn contains(own: &InterfaceAddress, ip: IpAddr) -> bool {
    let prefix = u32::from(own.prefix);
    match (own.address, ip) {
        (IpAddr::V4(own), IpAddr::V4(ip)) => {
            let differ = own.to_bits() ^ ip.to_bits();
            differ.checked_shr(32 - prefix.min(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(own), IpAddr::V6(ip)) => {
            let differ = own.to_bits() ^ ip.to_bits();
            differ.checked_shr(128 - prefix.min(128)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, up: bool, multicast: bool, addresses: &[&str]) -> Interface {
        let mut interface = Interface::new(1, name);
        (interface.up, interface.multicast) = (up, multicast);
        interface.loopback = name == "lo";
        for address in addresses {
            let address = address.parse().unwrap();
            interface.addresses.push(InterfaceAddress::new(address, 24));
        }
        interface
    }

    #[test]
    fn what_is_down_is_named_and_loopback_is_no_choice() {
        let lo = interface("lo", true, false, &["127.0.0.1"]);
        let eth0 = interface("eth0", false, true, &["10.0.0.1"]);
        let eth1 = interface("eth1", true, true, &[]);
        let wg0 = interface("wg0", true, false, &["10.9.0.1"]);
        let send = Need::Send([239, 1, 1, 1].into());
        for (all, cause, remedy) in [
            (
                vec![&lo, &eth0],
                "eth0 is down",
                "bring eth0 up with 'ip link set eth0 up'",
            ),
            (
                vec![&lo, &eth0, &eth1, &wg0],
                "eth0 is down, and eth1 has no IPv4 address",
                "bring eth0 up with 'ip link set eth0 up'",
            ),
            (
                vec![&lo, &eth1],
                "eth1 has no IPv4 address",
                "give eth1 one with 'ip address add ADDRESS/PREFIX dev eth1'",
            ),
            (vec![&wg0], "wg0 cannot do it", "add an interface that can"),
            (
                vec![],
                "this host has no interface for it",
                "add an interface that can",
            ),
        ] {
            let all: Vec<Interface> = all.into_iter().cloned().collect();
            let told = (
                cause.to_owned(),
                format!("{remedy}, or see 'manycast interfaces'"),
            );
            assert_eq!(why_none(&all, send), told);
        }
        let off = interface("lo", false, false, &["127.0.0.1"]);
        let (cause, remedy) = why_none(&[off], Need::Join);
        assert_eq!(cause, "lo is down");
        assert!(
            remedy.starts_with("bring lo up with 'ip link set lo up'"),
            "{remedy}"
        );
    }

    #[test]
    fn the_interface_of_the_destinations_network_is_named() {
        let lo = interface("lo", true, false, &["127.0.0.1"]);
        let eth0 = interface("eth0", false, true, &["10.0.0.1"]);
        let eth1 = interface("eth1", false, true, &["10.0.1.1"]);
        let ifb0 = interface("ifb0", false, false, &[]);
        let all = [lo, ifb0, eth0, eth1];
        let told = why_no_route(&all, [10, 0, 1, 9].into()).unwrap();
        assert_eq!(told.0, "eth1, which leads there, is down");
        assert_eq!(told.1, "bring eth1 up with 'ip link set eth1 up'");
        let told = why_no_route(&all, [192, 0, 2, 1].into()).unwrap();
        assert_eq!(told.0, "no route leads there, and eth0 and eth1 are down");
        assert_eq!(why_no_route(&all[..2], [192, 0, 2, 1].into()), None);
    }

    #[test]
    fn a_list_is_bounded() {
        let names = ["a", "b", "c", "d", "e", "f", "g"].map(str::to_owned);
        assert_eq!(listed(&names[..3]), "a, b and c");
        assert_eq!(listed(&names), "a, b, c, d, e and 2 more");
    }
}
