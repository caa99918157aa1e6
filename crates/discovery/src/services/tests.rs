use std::net::SocketAddr;
use std::time::{Duration, Instant};

use manycast_proto::ws_discovery::{self, Body, Message, Version};
use manycast_proto::{Output, Protocol, ssdp};
use manycast_types::{InterfaceId, Received};

use super::*;
use crate::{Attribute, ServiceAddress};

const SSDP: DiscoveryProtocol = DiscoveryProtocol::Ssdp;

/// What the host 10.0.0.`host` says of a service on an interface.
fn said(id: &str, host: u8, interface: u32) -> (Source, Service) {
    let ip = [10, 0, 0, host].into();
    let service = Service {
        protocol: SSDP,
        id: id.to_owned(),
        name: "web".to_owned(),
        kind: "upnp:rootdevice".to_owned(),
        uuid: None,
        host: None,
        addresses: vec![ServiceAddress {
            ip,
            interface: InterfaceId::new(interface, format!("eth{interface}")),
        }],
        port: Some(80),
        attributes: vec![Attribute::new("LOCATION", format!("http://10.0.0.{host}/"))],
        heard: Instant::now(),
        lifetime: None,
    };
    (Some((ip, interface)), service)
}

fn next(services: &mut Services) -> Event {
    services.events.pop_front().expect("something is told")
}

fn addresses(service: &Service) -> Vec<String> {
    service.addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn a_service_at_two_addresses_is_one_until_both_are_gone() {
    let mut services = Services::new(8);
    let (first, at_5) = said("uuid:1", 5, 1);
    let (second, at_9) = said("uuid:1", 9, 1);
    services.said(first, at_5, None);
    assert!(matches!(next(&mut services), Event::Found(_)));
    services.said(second, at_9, None);
    let Event::Changed { service, change } = next(&mut services) else {
        panic!("it is at another address")
    };
    assert_eq!(addresses(&service), ["10.0.0.9", "10.0.0.5"]);
    let Change::Addresses { added, removed } = change else {
        panic!("{change:?}")
    };
    assert_eq!(
        (added[0].to_string().as_str(), removed.len()),
        ("10.0.0.9", 0)
    );

    services.gone(first, (SSDP, "uuid:1".to_owned()), Reason::Expired);
    let Event::Changed { service, .. } = next(&mut services) else {
        panic!("one address is gone")
    };
    assert_eq!(addresses(&service), ["10.0.0.9"]);
    assert_eq!(service.attributes.len(), 1);
    services.gone(second, (SSDP, "uuid:1".to_owned()), Reason::Goodbye);
    let Event::Gone { reason, .. } = next(&mut services) else {
        panic!("it is gone")
    };
    assert_eq!((reason, services.all().count()), (Reason::Goodbye, 0));
}

#[test]
fn what_another_says_neither_ends_nor_hides() {
    let mut services = Services::new(8);
    let (good, service) = said("uuid:1", 5, 1);
    services.said(good, service, None);
    let (forged, service) = said("uuid:1", 66, 1);
    services.said(forged, service, None);
    services.gone(forged, (SSDP, "uuid:1".to_owned()), Reason::Goodbye);
    let (stranger, _) = said("uuid:1", 67, 1);
    services.gone(stranger, (SSDP, "uuid:1".to_owned()), Reason::Goodbye);
    let known: Vec<_> = services.all().collect();
    assert_eq!(addresses(known[0]), ["10.0.0.5"]);
}

#[test]
fn name_and_port_are_those_of_who_is_known_for_longest() {
    let mut services = Services::new(8);
    let (good, service) = said("uuid:1", 5, 1);
    let (forged, mut other) = said("uuid:1", 66, 1);
    (other.name, other.port) = ("evil".to_owned(), Some(666));
    for (source, said) in [
        (good, &service),
        (forged, &other),
        (good, &service),
        (forged, &other),
    ] {
        services.said(source, said.clone(), None);
        let known = services.all().next().unwrap();
        assert_eq!((known.name.as_str(), known.port), ("web", Some(80)));
    }
    let known = services.all().next().unwrap();
    assert_eq!(addresses(known), ["10.0.0.66", "10.0.0.5"]);
    assert_eq!(known.attributes.len(), 2);
    services.gone(good, (SSDP, "uuid:1".to_owned()), Reason::Expired);
    let known = services.all().next().unwrap();
    assert_eq!((known.name.as_str(), known.port), ("evil", Some(666)));
}

#[test]
fn a_flood_is_counted_and_takes_no_more_memory() {
    let mut services = Services::new(100);
    for number in 0..1_000 {
        let (source, service) = said(&format!("uuid:{number}"), 5, 1);
        services.said(source, service, None);
    }
    assert_eq!((services.all().count(), services.overflowed()), (100, 900));
    for host in 0..200 {
        let (source, service) = said("uuid:1", host, 1);
        services.said(source, service, None);
    }
    let first = services.all().find(|it| it.id == "uuid:1").unwrap();
    assert_eq!(first.addresses.len(), MAX_SOURCES);
}

#[test]
fn what_is_said_again_is_not_told_again() {
    let mut services = Services::new(8);
    for _ in 0..3 {
        let (source, service) = said("uuid:1", 5, 1);
        services.said(source, service, None);
    }
    assert_eq!(services.events.len(), 1);
}

/// By SSDP it is told in the version that was searched for, and in the one that it has.
#[test]
fn a_service_is_one_in_whatever_version_it_is_told() {
    let mut services = Services::new(8);
    let told = ["uuid:A::urn:x:device:B:1", "uuid:a::urn:x:device:B:2"];
    let [(first, older), (second, newer)] = [said(told[0], 5, 1), said(told[1], 9, 1)];
    services.said(first, older.clone(), None);
    services.said(second, newer.clone(), None);
    services.gone(first, (SSDP, newer.id.clone()), Reason::Goodbye);
    services.gone(second, (SSDP, newer.id), Reason::Goodbye);
    // Whoever is told of it knows it by the same word to the end.
    let [Event::Found(_), rest @ ..] = services.events.make_contiguous() else {
        panic!("it is found once")
    };
    let [
        Event::Changed { .. },
        Event::Changed { service, .. },
        Event::Gone { service: last, .. },
    ] = rest
    else {
        panic!("{rest:?}")
    };
    assert!(service.is_same(&older) && last.is_same(&older));
    assert_eq!(services.all().count(), 0);
}

/// When a service is known to have been heard that says the same at once and ten seconds later, after the first.
fn heard_after<P: Protocol>(
    mut client: P,
    take: fn(&mut Services, P::Event),
    group: SocketAddr,
    say: impl Fn(usize) -> Vec<u8>,
) -> Duration {
    let (mut services, first) = (Services::new(8), Instant::now());
    let interface = InterfaceId::new(2, "eth0");
    client.start(first);
    for number in 0..2 {
        let now = first + Duration::from_secs(10) * u32::try_from(number).unwrap();
        let said = say(number);
        let from = ([10, 0, 0, 5], group.port()).into();
        client.handle_datagram(now, Received::new(&said, from, group, &interface));
        loop {
            match client.poll_output(now) {
                Output::Event(event) => take(&mut services, event),
                Output::Wait { .. } => break,
                _ => {}
            }
        }
    }
    let told = |it: &&Event| matches!(it, Event::Found(_) | Event::Changed { .. });
    let told = services.events.iter().filter(told).count();
    assert_eq!(told, 1, "what is the same is not told");
    services.all().next().unwrap().heard - first
}

#[test]
fn when_a_service_was_heard_last_is_known() {
    let config = ssdp::ClientConfig {
        targets: Vec::new(),
        ..Default::default()
    };
    let alive = "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nCACHE-CONTROL: max-age=60\r\n\
                 LOCATION: http://10.0.0.5/\r\nNT: upnp:rootdevice\r\nNTS: ssdp:alive\r\nSERVER: a/1 UPnP/1.1 b/1\r\n\
                 USN: uuid:1::upnp:rootdevice\r\n\r\n";
    let client = ssdp::Client::new(config, [1; 32]);
    let group = (ssdp::groups()[0], ssdp::PORT).into();
    let after = heard_after(client, crate::ssdp::take, group, |_| alive.into());
    assert_eq!(after, Duration::from_secs(10));

    let config = ws_discovery::ClientConfig {
        probes: Vec::new(),
        ..Default::default()
    };
    let hello = |number| {
        let service = ws_discovery::Service {
            endpoint: "urn:uuid:1".to_owned(),
            addresses: vec!["http://10.0.0.5/".to_owned()],
            ..Default::default()
        };
        let id = format!("urn:uuid:{number}");
        Message::new(Version::V1_1, id, Body::Hello(service))
            .emit()
            .to_vec()
    };
    let client = ws_discovery::Client::new(config, [1; 32]);
    let group = (ws_discovery::groups()[0], ws_discovery::PORT).into();
    let after = heard_after(client, crate::ws_discovery::take, group, hello);
    assert_eq!(after, Duration::from_secs(10));
}
