//! Services of one device, joined.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::{DiscoveryProtocol, Service, ServiceAddress, natural_order};

/// A device, and all that the protocols tell of it.
///
/// Services are of one device where they have a UUID, a host name, or an address on an interface in common.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// Its name for people: that of its host without the domain, else that of its first service that has one, else its
    /// first address. Since the services are sorted, it does not depend on which was found first.
    pub name: String,
    /// The UUIDs that it has; a host with several programs has several.
    pub uuids: Vec<String>,
    /// The protocols that tell of it.
    pub protocols: Vec<DiscoveryProtocol>,
    /// Its addresses, and by which interfaces they were heard.
    pub addresses: Vec<ServiceAddress>,
    /// What it offers, at least one: by protocol, as [`DiscoveryProtocol::ALL`] has them, and by name as
    /// [`natural_order`] has it.
    pub services: Vec<Service>,
}

/// What makes services be of one device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark<'a> {
    Uuid(&'a str),
    Host(&'a str),
    Address(IpAddr, u32),
}

/// Joins services to the devices that they are of, sorted by name as [`natural_order`] has it, and by address.
pub fn devices<'a>(services: impl IntoIterator<Item = &'a Service>) -> Vec<Device> {
    let services: Vec<&Service> = services.into_iter().collect();
    let mut joined = Joined((0..services.len()).collect());
    let mut first: BTreeMap<Mark<'_>, usize> = BTreeMap::new();
    for (index, service) in services.iter().enumerate() {
        let uuid = service.uuid.as_deref().map(Mark::Uuid);
        let host = service.host.as_deref().map(Mark::Host);
        let addresses = service.addresses.iter();
        let addresses = addresses.map(|it| Mark::Address(it.ip, it.interface.index));
        for mark in uuid.into_iter().chain(host).chain(addresses) {
            let other = *first.entry(mark).or_insert(index);
            joined.join(other, index);
        }
    }
    let mut groups: BTreeMap<usize, Vec<&Service>> = BTreeMap::new();
    for (index, service) in services.iter().enumerate() {
        groups.entry(joined.root(index)).or_default().push(service);
    }
    let mut devices: Vec<Device> = groups.into_values().filter_map(device).collect();
    devices.sort_by(|one, other| {
        let address = |it: &Device| it.addresses.first().map(|it| it.ip);
        natural_order(&one.name, &other.name).then_with(|| address(one).cmp(&address(other)))
    });
    devices
}

fn device(services: Vec<&Service>) -> Option<Device> {
    let mut device = Device {
        name: String::new(),
        uuids: Vec::new(),
        protocols: Vec::new(),
        addresses: Vec::new(),
        services: services.into_iter().cloned().collect(),
    };
    device.services.sort_by(|one, other| {
        let order = one.protocol.cmp(&other.protocol);
        let order = order.then_with(|| natural_order(&one.name, &other.name));
        order.then_with(|| natural_order(&one.id, &other.id))
    });
    let services = &device.services;
    for service in services {
        device.uuids.extend(service.uuid.clone());
        device.protocols.push(service.protocol);
        device.addresses.extend(service.addresses.iter().cloned());
    }
    device.uuids.sort();
    device.uuids.dedup();
    device.protocols.sort();
    device.protocols.dedup();
    // People read IPv4 first, and link-local addresses last.
    device.addresses.sort_by_key(|address| {
        let ip = address.ip;
        (
            ip.is_ipv6(),
            manycast_types::needs_zone(ip),
            ip,
            address.interface.index,
        )
    });
    device.addresses.dedup();
    let host = services.iter().find_map(|service| service.host.as_deref());
    let host = host.map(|host| host.trim_end_matches('.').trim_end_matches(".local"));
    let names = services.iter().map(|service| service.name.as_str());
    let name = host.into_iter().chain(names).find(|name| !name.is_empty());
    device.name = match name {
        Some(name) => name.to_owned(),
        None => device.addresses.first()?.to_string(),
    };
    Some(device)
}

/// Which of them are joined: each points at another, or at itself.
struct Joined(Vec<usize>);

impl Joined {
    fn root(&mut self, mut index: usize) -> usize {
        while self.0[index] != index {
            // The way is made shorter for those that come after.
            self.0[index] = self.0[self.0[index]];
            index = self.0[index];
        }
        index
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one.max(other)] = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use manycast_types::InterfaceId;

    use super::*;

    fn service(id: &str, uuid: Option<&str>, host: Option<&str>, at: &[(&str, u32)]) -> Service {
        let place = |(ip, index): &(&str, u32)| ServiceAddress {
            ip: ip.parse().unwrap(),
            interface: InterfaceId::new(*index, format!("eth{index}")),
        };
        Service {
            protocol: match host {
                Some(_) => DiscoveryProtocol::DnsSd,
                None => DiscoveryProtocol::Ssdp,
            },
            id: id.to_owned(),
            name: String::new(),
            kind: "_http._tcp".to_owned(),
            uuid: uuid.map(str::to_owned),
            host: host.map(str::to_owned),
            addresses: at.iter().map(place).collect(),
            port: None,
            attributes: Vec::new(),
            heard: Instant::now(),
            lifetime: None,
        }
    }

    #[test]
    fn what_has_uuid_host_or_address_in_common_is_one_device() {
        let services = [
            service("a", Some("1"), None, &[("10.0.0.5", 1)]),
            service(
                "b",
                None,
                Some("nas.local."),
                &[("10.0.0.5", 1), ("10.0.1.5", 2)],
            ),
            service("c", Some("1"), None, &[("fe80::5", 1)]),
            // The same numbers on another link are another device.
            service("d", None, None, &[("10.0.0.5", 3)]),
        ];
        let found = devices(&services);
        let ids: Vec<Vec<&str>> = found
            .iter()
            .map(|device| device.services.iter().map(|it| it.id.as_str()).collect())
            .collect();
        // DNS-SD comes first.
        assert_eq!(ids, [vec!["d"], vec!["b", "a", "c"]]);
        assert_eq!(found[1].name, "nas");
        assert_eq!(found[1].protocols, DiscoveryProtocol::ALL[..2]);
        let addresses: Vec<_> = found[1].addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.0.0.5", "10.0.1.5", "fe80::5%eth1"]);
    }

    #[test]
    fn names_are_sorted_as_people_do_whatever_was_found_first() {
        let named = |id: &str, name: &str, number: u8| Service {
            name: name.to_owned(),
            ..service(id, None, None, &[(&format!("10.0.0.{number}"), 1)])
        };
        let mut services = vec![
            named("a", "Camera 10", 1),
            named("b", "camera 9", 2),
            named("c", "Camera 2", 3),
            named("d", "tray 10", 3),
            named("e", "tray 9", 3),
        ];
        let found = devices(&services);
        let names: Vec<&str> = found.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["Camera 2", "camera 9", "Camera 10"]);
        let offers: Vec<&str> = found[0].services.iter().map(|it| &*it.name).collect();
        assert_eq!(offers, ["Camera 2", "tray 9", "tray 10"]);
        services.reverse();
        assert_eq!(devices(&services), found);
    }
}
