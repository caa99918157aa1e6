//! Hosts, their interfaces, and what lies between them.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use manycast_types::{InterfaceId, InterfaceSelector};

use super::Sim;
use crate::Link;
use crate::link::LinkState;

/// A host of a [`Sim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(pub(super) usize);

/// A network of a [`Sim`]: interfaces that reach each other, and each other's groups, without a
/// route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(pub(super) usize);

impl Network {
    /// The one that is there from the beginning.
    pub const FIRST: Self = Self(0);
}

/// An interface of a host, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) host: Host,
    pub(super) number: usize,
}

/// A link and what it remembers.
#[derive(Debug)]
pub(super) struct Path {
    /// `None` is like all others.
    pub(super) link: Option<Link>,
    pub(super) state: LinkState,
}

impl Path {
    pub(super) const fn new(link: Option<Link>, start: Instant) -> Self {
        let state = LinkState::new(start);
        Self { link, state }
    }
}

#[derive(Debug, Default)]
pub(super) struct NetworkState {
    pub(super) interfaces: Vec<Interface>,
    /// The numbers of the routes that begin here.
    pub(super) routes: Vec<usize>,
}

/// A link from one network to another.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) from: Network,
    pub(super) to: Network,
    pub(super) path: Path,
}

#[derive(Debug)]
pub(super) struct HostState {
    pub(super) interfaces: Vec<InterfaceState>,
    /// The endpoints, in the order in which they were bound.
    pub(super) endpoints: Vec<usize>,
    /// On which side of each partition it is; hosts reach each other while these are equal.
    pub(super) sides: Vec<bool>,
}

#[derive(Debug)]
pub(super) struct InterfaceState {
    pub(super) id: InterfaceId,
    pub(super) network: Network,
    pub(super) addresses: Vec<IpAddr>,
    /// To the network, and from it.
    pub(super) access: Option<Box<[Path; 2]>>,
}

impl Sim {
    /// Makes all links between two hosts like this, but those that [`set_link`](Self::set_link) has
    /// set. Each pair has a link of its own in each direction.
    pub const fn set_links(&mut self, link: Link) {
        self.links = link;
    }

    /// Makes the link from one host to another like this; that in the other direction stays as it
    /// is.
    pub fn set_link(&mut self, from: Host, to: Host, link: Link) {
        let start = self.start;
        self.pairs
            .entry((from, to))
            .or_insert_with(|| Path::new(None, start))
            .link = Some(link);
    }

    /// Puts access links between an interface and its network: all that the host sends there goes
    /// through `up`, a datagram to a group once, and all that it receives through `down`. It comes
    /// in addition to the links between pairs.
    ///
    /// A host whose `up` has a rate is kept from sending by a full send buffer of 212,992 bytes, if
    /// the queue of the link is longer than that. A shorter queue drops.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use manycast_lab::sim::{Link, Sim};
    /// # let mut sim = Sim::new(1);
    /// let home = sim.add_host(["10.0.0.1"]);
    /// let dsl = Link { delay: Duration::from_millis(5), queue: 64_000, ..Link::default() };
    /// let up = Link { rate: Some(10_000_000), ..dsl };
    /// let down = Link { rate: Some(50_000_000), ..dsl };
    /// sim.set_access(home, "eth0", up, down);
    /// ```
    ///
    /// # Panics
    ///
    /// When the host has no such interface.
    pub fn set_access(&mut self, host: Host, interface: &str, up: Link, down: Link) {
        let start = self.start;
        let interfaces = &mut self.hosts[host.0].interfaces;
        let interface = interfaces.iter_mut().find(|it| &*it.id.name == interface);
        let interface = interface.unwrap_or_else(|| panic!("{host:?} has no such interface"));
        interface.access = Some(Box::new(
            [up, down].map(|link| Path::new(Some(link), start)),
        ));
    }

    /// Adds a network, which nothing connects to the others yet.
    pub fn add_network(&mut self) -> Network {
        self.networks.push(NetworkState::default());
        Network(self.networks.len() - 1)
    }

    /// Connects two networks by a router: `there` is the link from `a` to `b`, `back` that from `b`
    /// to `a`. All hosts share them, and a datagram to a group goes through once, if its hop limit
    /// is 2 or more and there is a member beyond.
    ///
    /// ```
    /// # use manycast_lab::sim::{Link, Network, Sim};
    /// # let mut sim = Sim::new(1);
    /// // Three senders share 10 Mbit/s towards the receiver.
    /// let far = sim.add_network();
    /// let bottleneck = Link { rate: Some(10_000_000), queue: 64_000, ..Link::default() };
    /// sim.add_route(Network::FIRST, far, bottleneck, Link::default());
    /// let senders = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|address| sim.add_host([address]));
    /// let receiver = sim.add_host_on(far, ["10.0.1.1"]);
    /// ```
    pub fn add_route(&mut self, a: Network, b: Network, there: Link, back: Link) {
        for (from, to, link) in [(a, b, there), (b, a, back)] {
            self.networks[from.0].routes.push(self.routes.len());
            let path = Path::new(Some(link), self.start);
            self.routes.push(Route { from, to, path });
        }
    }

    /// Adds a host with the interface `eth0` on the first network, and these addresses.
    ///
    /// # Panics
    ///
    /// When a text is no address, or another host has it.
    pub fn add_host<'a>(&mut self, addresses: impl IntoIterator<Item = &'a str>) -> Host {
        self.add_host_on(Network::FIRST, addresses)
    }

    /// Adds a host with the interface `eth0` on a network, and these addresses.
    ///
    /// # Panics
    ///
    /// When a text is no address, or another host has it.
    pub fn add_host_on<'a>(
        &mut self,
        network: Network,
        addresses: impl IntoIterator<Item = &'a str>,
    ) -> Host {
        // A newcomer is on the side of those that no partition has named.
        let partitions = self.hosts.first().map_or(0, |host| host.sides.len());
        self.hosts.push(HostState {
            interfaces: Vec::new(),
            endpoints: Vec::new(),
            sides: vec![false; partitions],
        });
        let host = Host(self.hosts.len() - 1);
        self.connect(host, network, addresses);
        host
    }

    /// Gives a host one more interface, on a network and with these addresses: `eth1` is the second,
    /// `eth2` the third. Their indices are 2 for `eth0`, 3 for `eth1` and so on.
    ///
    /// ```
    /// # use manycast_lab::sim::{Network, Sim};
    /// # let mut sim = Sim::new(1);
    /// let other = sim.add_network();
    /// let host = sim.add_host(["10.0.0.1", "fd00::1"]);
    /// sim.connect(host, other, ["10.0.1.1"]);
    /// ```
    ///
    /// # Panics
    ///
    /// When a text is no address, or another interface has it.
    pub fn connect<'a>(
        &mut self,
        host: Host,
        network: Network,
        addresses: impl IntoIterator<Item = &'a str>,
    ) {
        let parse = |text: &str| match text.parse() {
            Ok(address) => address,
            Err(_) => panic!("{text:?} is no address"),
        };
        let addresses: Vec<IpAddr> = addresses.into_iter().map(parse).collect();
        let number = self.hosts[host.0].interfaces.len();
        for &address in &addresses {
            let before = self.addresses.insert(address, (host, number));
            assert!(before.is_none(), "{address} is taken");
        }
        let index = u32::try_from(number).expect("a host has few interfaces") + 2;
        self.hosts[host.0].interfaces.push(InterfaceState {
            id: InterfaceId::new(index, format!("eth{number}")),
            network,
            addresses,
            access: None,
        });
        let interface = Interface { host, number };
        self.networks[network.0].interfaces.push(interface);
    }

    /// Cuts `hosts` off from all others. Among themselves they reach each other, if they did.
    pub fn partition(&mut self, hosts: impl IntoIterator<Item = Host>) {
        let before = self.hosts.first().map_or(0, |host| host.sides.len());
        for host in &mut self.hosts {
            host.sides.push(false);
        }
        for host in hosts {
            self.hosts[host.0].sides[before] = true;
        }
    }

    /// Ends all partitions.
    pub fn heal(&mut self) {
        for host in &mut self.hosts {
            host.sides.clear();
        }
    }

    /// By which route each network is reached from this one, on a shortest way.
    pub(super) fn tree(&self, origin: Network) -> Vec<Option<usize>> {
        let mut reached_by = vec![None; self.networks.len()];
        let mut next = VecDeque::from([origin]);
        while let Some(network) = next.pop_front() {
            for &route in &self.networks[network.0].routes {
                let to = self.routes[route].to;
                if to != origin && reached_by[to.0].is_none() {
                    reached_by[to.0] = Some(route);
                    next.push_back(to);
                }
            }
        }
        reached_by
    }

    /// The routes from the root of a tree to one of its networks, the last first.
    pub(super) fn branch<'a>(
        &'a self,
        tree: &'a [Option<usize>],
        network: Network,
    ) -> impl Iterator<Item = usize> + 'a {
        std::iter::successors(tree[network.0], |&route| tree[self.routes[route].from.0])
    }

    /// The interface of a host by which an address is reached: that on its network, or on the
    /// nearest from which routes lead there; for a group the first.
    pub(super) fn interface_to(&self, host: Host, address: IpAddr) -> Option<usize> {
        let interfaces = &self.hosts[host.0].interfaces;
        let Some(&(owner, number)) = self.addresses.get(&address) else {
            return (!interfaces.is_empty()).then_some(0);
        };
        if owner == host {
            return Some(number);
        }
        let target = self.hosts[owner.0].interfaces[number].network;
        let direct = interfaces.iter().position(|it| it.network == target);
        direct.or_else(|| {
            let routes = |number: &usize| {
                let tree = self.tree(interfaces[*number].network);
                let count = self.branch(&tree, target).count();
                if count == 0 { usize::MAX } else { count }
            };
            let nearest = (0..interfaces.len()).min_by_key(routes)?;
            (routes(&nearest) < usize::MAX).then_some(nearest)
        })
    }
}

impl HostState {
    /// The numbers of the interfaces that a selector means, all without one.
    pub(super) fn select(&self, selector: Option<&InterfaceSelector>) -> Vec<usize> {
        let is_meant = |number: &usize| {
            let interface = &self.interfaces[*number];
            match selector {
                None => true,
                Some(InterfaceSelector::Name(name)) => **name == *interface.id.name,
                Some(InterfaceSelector::Index(index)) => *index == interface.id.index,
                Some(InterfaceSelector::Address(address)) => interface.addresses.contains(address),
            }
        };
        (0..self.interfaces.len()).filter(is_meant).collect()
    }

    /// For each version of IP that the host has an address of, what stands for any of them; for a host
    /// without addresses that of IPv4.
    pub(super) fn any_addresses(&self) -> Vec<IpAddr> {
        let mut addresses = self.interfaces.iter().flat_map(|it| &it.addresses);
        let any_6 = addresses.clone().any(IpAddr::is_ipv6);
        let any_4 = addresses.any(IpAddr::is_ipv4) || !any_6;
        let any_4 = any_4.then_some(Ipv4Addr::UNSPECIFIED.into());
        let any_6 = any_6.then_some(Ipv6Addr::UNSPECIFIED.into());
        any_4.into_iter().chain(any_6).collect()
    }

    /// The number of the interface that has an address.
    pub(super) fn owner(&self, address: IpAddr) -> Option<usize> {
        self.interfaces
            .iter()
            .position(|interface| interface.addresses.contains(&address))
    }

    /// The host's address that is this one, or else one of the same family, first on an interface.
    pub(super) fn address_like(&self, address: IpAddr, interface: usize) -> Option<IpAddr> {
        if self.owner(address).is_some() {
            return Some(address);
        }
        let preferred = self.interfaces.get(interface).into_iter();
        preferred
            .chain(&self.interfaces)
            .flat_map(|interface| &interface.addresses)
            .find(|own| own.is_ipv4() == address.is_ipv4())
            .copied()
    }
}
