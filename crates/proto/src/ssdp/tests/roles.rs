use std::net::SocketAddr;
use std::time::{Duration, Instant};

use manycast_types::{InterfaceId, Received, Transmit};

use super::super::*;
use crate::{NetworkEvent, Output, Protocol};

const GROUP: &str = "239.255.255.250:1900";
const KIND: &str = "urn:schemas-upnp-org:device:Basic:2";

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn give<P: Protocol>(protocol: &mut P, now: Instant, from: &str, to: &str, payload: &[u8]) {
    let interface = InterfaceId::new(2, "eth0");
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    protocol.handle_datagram(now, Received::new(payload, from, to, &interface));
}

/// What it sends within `time`, and what it tells.
fn run<P: Protocol>(
    protocol: &mut P,
    mut now: Instant,
    time: Duration,
) -> (Vec<Transmit>, Vec<P::Event>) {
    let (mut sent, mut told) = (Vec::new(), Vec::new());
    let end = now + time;
    loop {
        match protocol.poll_output(now) {
            Output::Transmit(transmit) => sent.push(transmit),
            Output::Event(event) => told.push(event),
            Output::Request(_) => {}
            Output::Wait {
                until: Some(until), ..
            } if until <= end => {
                now = until;
                protocol.handle_timeout(now);
            }
            Output::Wait { .. } | Output::Finished => return (sent, told),
        }
    }
}

fn device(change: impl FnOnce(&mut DeviceConfig)) -> (Device, Instant) {
    let mut config = DeviceConfig::new("1-2", KIND);
    config.addresses = vec![LocalAddress {
        interface: 2,
        address: [10, 0, 0, 1].into(),
        prefix: 24,
    }];
    change(&mut config);
    let (mut device, now) = (Device::new(config, [1; 32]).unwrap(), start());
    device.start(now);
    run(&mut device, now, Duration::ZERO);
    (device, now)
}

fn search(target: &str, mx: Option<u8>) -> Vec<u8> {
    let search = Search {
        target: target.to_owned(),
        max_wait: mx,
        ..Search::default()
    };
    search.emit(GROUP.parse().unwrap(), Version::V2_0).to_vec()
}

fn said(transmit: &Transmit) -> Advertisement {
    match parse(&transmit.payload).unwrap() {
        (Message::Advertisement(said), deviations) => {
            assert!(!deviations.contains(Deviation::NoUsn));
            said
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_question_is_answered_in_the_version_that_was_asked_for() {
    let (mut device, now) = device(|_| ());
    let older = "urn:schemas-upnp-org:device:Basic:1";
    give(
        &mut device,
        now,
        "10.0.0.9:4000",
        GROUP,
        &search(older, Some(1)),
    );
    let (sent, _) = run(&mut device, now, Duration::from_secs(1));
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].destination, "10.0.0.9:4000".parse().unwrap());
    let answer = said(&sent[0]);
    assert_eq!(answer.target, older);
    assert_eq!(answer.usn, Some(format!("uuid:1-2::{older}")));
}

#[test]
fn who_is_not_answered() {
    let (mut device, now) = device(|_| ());
    let all = search(ALL, Some(1));
    let newer = search("urn:schemas-upnp-org:device:Basic:3", Some(1));
    give(&mut device, now, "192.0.2.1:4000", GROUP, &all);
    give(&mut device, now, "10.0.0.9:0", GROUP, &all);
    give(&mut device, now, "239.1.1.1:4000", GROUP, &all);
    give(&mut device, now, "10.0.0.9:4000", GROUP, &newer);
    give(&mut device, now, "10.0.0.9:4000", GROUP, &search(ALL, None));
    let (sent, _) = run(&mut device, now, Duration::from_secs(5));
    assert_eq!(sent.len(), 0);
    let stats = device.stats();
    assert_eq!((stats.strangers, stats.others, stats.without_mx), (3, 1, 1));
}

#[test]
fn a_flood_of_questions_is_bounded() {
    let (mut device, now) = device(|config| {
        config.pending = 100;
        config.rate = 10_000;
    });
    for _ in 0..50 {
        give(
            &mut device,
            now,
            "10.0.0.9:4000",
            GROUP,
            &search(ALL, Some(5)),
        );
    }
    assert_eq!(device.stats().repeated, 49 * 3);
    for port in 1..1_000 {
        let from = format!("10.0.0.8:{port}");
        give(
            &mut device,
            now,
            &from,
            "10.0.0.1:50000",
            &search(ALL, None),
        );
    }
    let (sent, _) = run(&mut device, now, Duration::from_secs(5));
    assert_eq!(sent.len(), 100);
}

/// What `mod.rs` says of it.
#[test]
fn how_much_it_amplifies() {
    let many = (0..28).map(|number| format!("urn:schemas-upnp-org:service:Service{number}:1"));
    let few = vec!["urn:schemas-upnp-org:service:Service:1".to_owned()];
    for (services, parts, most) in [(few, 4, 13.0), (many.collect(), 31, 120.0)] {
        let (mut device, now) = device(|config| {
            config.root.uuid = "9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c11".to_owned();
            config.root.services = services;
            config.location = Location::Url("http://10.0.0.1:8080/description.xml".to_owned());
            config.search_port = Some(50_000);
        });
        let question = search(ALL, Some(1));
        give(&mut device, now, "10.0.0.9:4000", GROUP, &question);
        let (sent, _) = run(&mut device, now, Duration::from_secs(1));
        assert_eq!(sent.len(), parts);
        assert!(sent.iter().all(|it| it.payload.len() <= MAX_SENT));
        let bytes: usize = sent.iter().map(|it| it.payload.len()).sum();
        let factor = bytes as f64 / question.len() as f64;
        assert!(
            (most / 2.0..most * 1.1).contains(&factor),
            "{factor} of {parts}"
        );
    }
}

#[test]
fn texts_that_would_break_a_message_are_refused() {
    let with = |change: fn(&mut DeviceConfig)| {
        let mut config = DeviceConfig::new("1", KIND);
        change(&mut config);
        Device::new(config, [0; 32])
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    let injected = with(|config| config.location = Location::Url("x\r\nST: y".to_owned()));
    assert!(injected.contains("a line break"), "{injected}");
    assert!(with(|config| config.root.uuid.clear()).contains("no UUID"));
    assert!(with(|config| config.agent.product = "x".repeat(1_000)).contains("too long"));
    assert!(
        with(|config| config.root.services = (0..40).map(|n| n.to_string()).collect())
            .contains("32 parts")
    );
}

fn client(change: impl FnOnce(&mut ClientConfig)) -> (Client, Instant) {
    let mut config = ClientConfig::default();
    change(&mut config);
    let (mut client, now) = (Client::new(config, [1; 32]), start());
    client.start(now);
    let interface = InterfaceId::new(2, "eth0");
    let any = manycast_types::SourceFilter::any();
    let joined = manycast_types::Membership::new(GROUP.parse().unwrap(), interface, any);
    client.handle_network(now, NetworkEvent::Joined(joined.clone()));
    client.handle_network(now, NetworkEvent::Joined(joined));
    (client, now)
}

fn alive(usn: &str) -> Vec<u8> {
    let said = Advertisement {
        kind: Kind::Alive,
        target: ROOT_DEVICE.to_owned(),
        usn: Some(usn.to_owned()),
        ..Advertisement::default()
    };
    said.emit(GROUP.parse().unwrap(), Version::V2_0).to_vec()
}

#[test]
fn it_asks_each_place_once_a_round_by_its_interface() {
    let (mut client, now) = client(|_| ());
    let (sent, _) = run(&mut client, now, Duration::ZERO);
    assert_eq!(sent.len(), 1, "joined twice is one place");
    assert_eq!(sent[0].interface, Some(2));
    let (sent, _) = run(&mut client, now, Duration::from_secs(60));
    assert_eq!(sent.len(), 3, "four attempts in all");
}

#[test]
fn forged_uuids_push_out_nobody_and_another_host_ends_nothing() {
    let (mut client, now) = client(|config| {
        config.entries = 20;
        config.per_source = 10;
    });
    give(
        &mut client,
        now,
        "10.0.0.9:1900",
        GROUP,
        &alive("uuid:honest"),
    );
    for number in 0..1_000 {
        let forged = alive(&format!("uuid:{number}"));
        give(&mut client, now, "10.0.0.66:1900", GROUP, &forged);
    }
    assert_eq!(
        (client.entries().count(), client.stats().overflowed),
        (11, 990)
    );
    let goodbye = String::from_utf8(alive("uuid:honest")).unwrap();
    let goodbye = goodbye.replace("ssdp:alive", "ssdp:byebye");
    give(
        &mut client,
        now,
        "10.0.0.66:1900",
        GROUP,
        goodbye.as_bytes(),
    );
    assert_eq!((client.entries().count(), client.stats().unknown), (11, 1));
    give(&mut client, now, "10.0.0.9:1900", GROUP, goodbye.as_bytes());
    assert_eq!(client.entries().count(), 10);
}

#[test]
fn answers_that_nobody_asked_for_do_not_count() {
    let (mut client, now) = client(|config| config.attempts = 1);
    let answer = b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nUSN: uuid:1\r\n\r\n";
    let late = now + Duration::from_secs(60);
    give(&mut client, late, "10.0.0.9:1900", "10.0.0.1:40000", answer);
    assert_eq!((client.entries().count(), client.stats().unasked), (0, 1));
    give(&mut client, now, "10.0.0.9:1900", "10.0.0.1:40000", answer);
    let (_, told) = run(&mut client, now, Duration::ZERO);
    assert_eq!(client.entries().count(), 1);
    let deviates = |event: &ClientEvent| matches!(event, ClientEvent::Deviates { .. });
    assert_eq!(told.iter().filter(|event| deviates(event)).count(), 1);
}
