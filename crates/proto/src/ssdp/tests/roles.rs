use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use manycast_types::{
    ErrorKind, InterfaceId, Membership, NetworkError, Received, SourceFilter, Transmit,
};

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
fn the_same_address_on_another_link_is_another_host() {
    let (mut device, now) = device(|_| ());
    let question = search(ROOT_DEVICE, Some(1));
    let (from, to) = ("10.0.0.9:4000".parse().unwrap(), GROUP.parse().unwrap());
    for index in [2, 3, 2] {
        let interface = InterfaceId::new(index, format!("eth{index}"));
        device.handle_datagram(now, Received::new(&question, from, to, &interface));
    }
    let (sent, _) = run(&mut device, now, Duration::from_secs(1));
    assert_eq!((sent.len(), device.stats().repeated), (2, 1));
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
    assert!(with(|config| config.boot_id = 1 << 31).contains("BOOTID"));
    assert!(with(|config| config.config_id = 1 << 24).contains("CONFIGID"));
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
    client.handle_network(now, NetworkEvent::Joined(membership(2)));
    client.handle_network(now, NetworkEvent::Joined(membership(2)));
    (client, now)
}

/// Of the group, on `eth0` under this index.
fn membership(index: u32) -> Membership {
    let interface = InterfaceId::new(index, "eth0");
    Membership::new(GROUP.parse().unwrap(), interface, SourceFilter::any())
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

/// What is told of changes.
fn changes(told: Vec<ClientEvent>) -> Vec<Change> {
    let change = |event| match event {
        ClientEvent::Changed { change, .. } => Some(change),
        _ => None,
    };
    told.into_iter().filter_map(change).collect()
}

#[test]
fn a_restart_is_told_once_and_an_update_is_none() {
    let (mut client, now) = client(|_| ());
    let mut hear = |now, headers: &str| {
        let mut said = alive("uuid:1");
        said.truncate(said.len() - 2);
        said.extend_from_slice(headers.as_bytes());
        said.extend_from_slice(b"\r\n");
        give(&mut client, now, "10.0.0.9:1900", GROUP, &said);
        changes(run(&mut client, now, Duration::ZERO).1)
    };
    assert_eq!(hear(now, "BOOTID.UPNP.ORG: 7\r\n"), []);
    assert_eq!(hear(now, "BOOTID.UPNP.ORG: 7\r\n"), []);
    let anew = "BOOTID.UPNP.ORG: 9\r\nLOCATION: http://10.0.0.9/\r\n";
    assert_eq!(hear(now, anew), [Change::Rebooted]);
    assert_eq!(hear(now, anew), []);
    // A clock that was set back is a restart too, and a BOOTID that is missing is none.
    let back = anew.replace('9', "2");
    assert_eq!(hear(now, &back), [Change::Rebooted]);
    assert_eq!(hear(now, &back.replace("BOOTID", "X")), []);

    // Of UDA 1.0 on IPv6.
    assert_eq!(hear(now, "01-NLS: a\r\n"), [Change::Location]);
    assert_eq!(hear(now, "01-NLS: b\r\n"), [Change::Rebooted]);
    assert_eq!(hear(now, "01-NLS: b\r\n"), []);
}

#[test]
fn a_client_asks_anew_on_an_interface_that_was_recreated() {
    let (mut client, now) = client(|config| config.attempts = 1);
    run(&mut client, now, Duration::ZERO);
    give(&mut client, now, "10.0.0.9:1900", GROUP, &alive("uuid:1"));
    client.handle_network(now, NetworkEvent::Left(membership(2)));
    let (sent, told) = run(&mut client, now, Duration::ZERO);
    assert_eq!(sent.len(), 0);
    let gone = |event: &ClientEvent| match event {
        ClientEvent::Gone { why, .. } => Some(*why),
        _ => None,
    };
    let gone: Vec<Goodbye> = told.iter().filter_map(gone).collect();
    assert_eq!(gone, [Goodbye::Interface]);
    assert_eq!(client.entries().count(), 0);

    // Long after the first questions, so the answers are timely by the new ones.
    let later = now + Duration::from_secs(600);
    client.handle_network(later, NetworkEvent::Joined(membership(3)));
    let (sent, _) = run(&mut client, later, Duration::ZERO);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].interface, Some(3));
    let answer = b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nUSN: uuid:1\r\n\r\n";
    give(
        &mut client,
        later,
        "10.0.0.9:1900",
        "10.0.0.1:40000",
        answer,
    );
    assert_eq!(client.entries().count(), 1);
}

#[test]
fn a_device_says_where_it_has_no_address_and_announces_itself_when_it_has() {
    let here = |interface| LocalAddress {
        interface,
        address: [10, 0, 0, 1].into(),
        prefix: 24,
    };
    let (mut device, now) = device(|config| {
        config.location = Location::Here {
            port: 80,
            path: "/".to_owned(),
        };
    });
    let second = Duration::from_secs(1);
    device.handle_network(now, NetworkEvent::Joined(membership(2)));
    let (sent, _) = run(&mut device, now, second);
    assert_eq!(sent.len(), 9, "three sets of three parts");
    assert!(sent.iter().all(|it| it.interface == Some(2)));

    // It is recreated under another index.
    let now = now + second * 2;
    device.handle_network(now, NetworkEvent::Left(membership(2)));
    device.handle_network(now, NetworkEvent::Joined(membership(3)));
    let (sent, told) = run(&mut device, now, Duration::from_millis(100));
    assert_eq!(sent.len(), 0);
    let missing = DeviceEvent::NoAddress {
        group: GROUP.parse().unwrap(),
        interface: InterfaceId::new(3, "eth0"),
    };
    assert_eq!(told, [missing]);
    device.set_addresses(now + second, vec![here(3)]);
    let (sent, _) = run(&mut device, now + second, second * 2);
    assert!(sent.iter().all(|it| it.interface == Some(3)));
    let kinds: Vec<Kind> = sent.iter().map(|it| said(it).kind).collect();
    assert_eq!(kinds[..3], [Kind::Update; 3]);
    assert_eq!(kinds[3..], [Kind::Alive; 9]);
    assert_eq!(said(&sent[0]).next_boot_id, said(&sent[3]).boot_id);
}

#[test]
fn by_ipv6_a_device_of_uda_1_0_has_01_nls() {
    let (mut device, now) = device(|config| {
        config.version = Version::V1_0;
        config.strangers = true;
    });
    let question = search(ROOT_DEVICE, Some(1));
    let mut answer = |from, to| {
        give(&mut device, now, from, to, &question);
        said(&run(&mut device, now, Duration::from_secs(1)).0[0])
    };
    let v6 = answer("[fd00::9]:4000", "[ff02::c]:1900");
    assert_eq!((v6.network.as_deref(), v6.boot_id), (Some("1"), None));
    assert_eq!(answer("10.0.0.9:4000", GROUP).network, None);
}

#[test]
fn an_answer_tells_the_time_of_day_where_the_device_was_told_it() {
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let (mut device, now) = device(|config| config.date = Some(date));
    let later = now + Duration::from_secs(60);
    let question = search(ROOT_DEVICE, Some(1));
    give(&mut device, later, "10.0.0.9:4000", GROUP, &question);
    let (sent, _) = run(&mut device, later, Duration::from_secs(2));
    let told = said(&sent[0]).date.unwrap().duration_since(date).unwrap();
    assert!((60..=61).contains(&told.as_secs()), "{told:?}");
}

#[test]
fn what_cannot_be_sent_somewhere_is_told_once() {
    let (mut device, now) = device(|_| ());
    let mut client = Client::new(ClientConfig::default(), [1; 32]);
    client.start(now);
    run(&mut client, now, Duration::ZERO);
    let not_sent = || NetworkEvent::NotSent {
        destination: "[ff05::c]:1900".parse().unwrap(),
        count: 2,
        error: NetworkError::new(ErrorKind::NetworkUnreachable, "no"),
    };
    for _ in 0..3 {
        device.handle_network(now, not_sent());
        client.handle_network(now, not_sent());
    }
    let (_, told) = run(&mut device, now, Duration::ZERO);
    assert!(
        matches!(&told[..], [DeviceEvent::NotSent { .. }]),
        "{told:?}"
    );
    let (_, told) = run(&mut client, now, Duration::ZERO);
    assert!(
        matches!(&told[..], [ClientEvent::NotSent { .. }]),
        "{told:?}"
    );
    assert_eq!((device.stats().not_sent, client.stats().not_sent), (6, 6));
}

#[test]
fn places_that_are_too_many_are_told() {
    let (mut client, now) = client(|config| config.attempts = 1);
    let (mut device, _) = device(|_| ());
    for index in 2..=258 {
        let mut membership = membership(index);
        membership.interface = InterfaceId::new(index, format!("eth{index}"));
        client.handle_network(now, NetworkEvent::Joined(membership.clone()));
        device.handle_network(now, NetworkEvent::Joined(membership));
    }
    let (sent, told) = run(&mut client, now, Duration::ZERO);
    assert_eq!(sent.len(), 256);
    let failed = told.iter().filter_map(|event| match event {
        ClientEvent::NotJoined { error, .. } => Some(error.to_string()),
        _ => None,
    });
    let failed: Vec<_> = failed.collect();
    let [why] = &failed[..] else {
        panic!("{failed:?}")
    };
    let begin = "cannot ask or announce in 239.255.255.250 on eth258: there are more than 256";
    assert!(why.starts_with(begin), "{why}");
    let (_, told) = run(&mut device, now, Duration::ZERO);
    assert!(
        matches!(&told[..], [DeviceEvent::NotJoined { .. }]),
        "{told:?}"
    );
}
