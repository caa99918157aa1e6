//! The kernel's cache of multicast routes, where this host is a router (`/proc/net/ip_mr_cache`,
//! `ip6_mr_cache`). Anybody may read it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// One route of a group, and what came for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MulticastRoute {
    /// The group.
    pub group: IpAddr,
    /// The source that it is for; the unspecified address stands for any.
    pub source: IpAddr,
    /// The interface that it is to come in by; `None` where no daemon has said so yet.
    pub from: Option<String>,
    /// How many packets came for it, by whatever interface.
    pub packets: u64,
    /// How many of these came in by another interface, and were not forwarded.
    pub wrong: u64,
    /// The interfaces that it goes out by, and the hop limit that a packet must have more than.
    pub to: Vec<(String, u8)>,
}

/// `/proc/net` would be those of the first thread's network namespace.
const TABLES: &str = "/proc/thread-self/net";

/// The routes of one version of IP; none where this host is no router.
pub(crate) fn multicast_routes(ipv4: bool) -> Vec<MulticastRoute> {
    let read = |name| fs::read_to_string(Path::new(TABLES).join(name)).unwrap_or_default();
    let names = if ipv4 {
        ["ip_mr_vif", "ip_mr_cache"]
    } else {
        ["ip6_mr_vif", "ip6_mr_cache"]
    };
    let [interfaces, cache] = names.map(read);
    routes(&interfaces, &cache, ipv4)
}

/// Understands both tables; lines that are not as they are known to be are passed over.
pub(crate) fn routes(interfaces: &str, cache: &str, ipv4: bool) -> Vec<MulticastRoute> {
    let names: Vec<(&str, &str)> = interfaces
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .collect();
    let name = |number: &str| {
        let found = names.iter().find(|(known, _)| *known == number);
        found.map(|(_, name)| (*name).to_owned())
    };
    let address = |text: &str| {
        if ipv4 {
            // As it stands in memory.
            let bits = u32::from_str_radix(text, 16).ok()?;
            Some(IpAddr::V4(Ipv4Addr::from(bits.to_ne_bytes())))
        } else {
            text.parse().ok()
        }
    };
    let route = |line: &str| {
        let mut words = line.split_whitespace();
        let (group, source) = (address(words.next()?)?, address(words.next()?)?);
        let from = name(words.next()?);
        let mut number = || words.next()?.parse().ok();
        let (packets, _bytes, wrong): (u64, u64, u64) = (number()?, number()?, number()?);
        let to = words.filter_map(|word| {
            let (number, threshold) = word.split_once(':')?;
            Some((name(number)?, threshold.trim().parse().ok()?))
        });
        Some(MulticastRoute {
            group,
            source,
            from,
            packets,
            wrong,
            to: to.collect(),
        })
    };
    cache.lines().skip(1).filter_map(route).collect()
}

/// What came since `earlier`.
pub(crate) fn since(now: Vec<MulticastRoute>, earlier: &[MulticastRoute]) -> Vec<MulticastRoute> {
    let grown = |now: MulticastRoute| {
        let same =
            |before: &&MulticastRoute| (before.group, before.source) == (now.group, now.source);
        let before = earlier.iter().find(same);
        MulticastRoute {
            packets: now
                .packets
                .saturating_sub(before.map_or(0, |before| before.packets)),
            wrong: now
                .wrong
                .saturating_sub(before.map_or(0, |before| before.wrong)),
            ..now
        }
    };
    now.into_iter().map(grown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_says_from_where_to_where_and_what_came_wrongly() {
        let interfaces = "Interface      BytesIn  PktsIn  BytesOut PktsOut Flags Local    Remote\n \
                          0 eth0           0       0         0       0 00000 00000000 00000000\n \
                          1 eth1           0       0         0       0 00000 00000000 00000000\n";
        let cache = "Group    Origin   Iif     Pkts    Bytes    Wrong Oifs\n\
                     030201EF 0100000A 0         12     1200       7  1:3   \n\
                     junk\n";
        let found = routes(interfaces, cache, true);
        let [route] = &found[..] else {
            panic!("{found:?}")
        };
        // As a machine stores them whose numbers begin with the low byte.
        if cfg!(target_endian = "little") {
            assert_eq!(route.group, IpAddr::from([239, 1, 2, 3]));
        }
        assert_eq!(route.from.as_deref(), Some("eth0"));
        assert_eq!((route.packets, route.wrong), (12, 7));
        assert_eq!(route.to, [("eth1".to_owned(), 3)]);
    }
}
