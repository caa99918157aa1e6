use std::net::SocketAddr;
use std::time::{Duration, Instant};

use manycast_types::{
    ErrorKind, InterfaceId, Membership, NetworkError, Received, SourceFilter, Transmit,
};

use super::super::*;
use crate::{NetworkEvent, Output, Protocol};

const GROUP: &str = "239.255.255.250:3702";
const US: &str = "10.0.0.1:4000";
const HOST: &str = "10.0.0.9:3702";
const ENDPOINT: &str = "urn:uuid:AB-1";
const SECOND: Duration = Duration::from_secs(1);

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn give<P: Protocol>(protocol: &mut P, now: Instant, from: &str, to: &str, message: &Message) {
    let interface = InterfaceId::new(2, "eth0");
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let payload = message.emit();
    protocol.handle_datagram(now, Received::new(&payload, from, to, &interface));
}

/// What it sends until a time that follows, and what it tells. The clock is then at the end of it.
fn run<P: Protocol>(
    protocol: &mut P,
    now: &mut Instant,
    time: Duration,
) -> (Vec<(Duration, Transmit)>, Vec<P::Event>) {
    let (mut sent, mut told) = (Vec::new(), Vec::new());
    let (begin, end) = (*now, *now + time);
    loop {
        match protocol.poll_output(*now) {
            Output::Transmit(transmit) => sent.push((*now - begin, transmit)),
            Output::Event(event) => told.push(event),
            Output::Request(_) => {}
            Output::Wait {
                until: Some(until), ..
            } if until <= end => {
                *now = until;
                protocol.handle_timeout(*now);
            }
            Output::Wait { .. } | Output::Finished => {
                *now = end;
                return (sent, told);
            }
        }
    }
}

fn joined<P: Protocol>(protocol: &mut P, now: Instant) {
    let interface = InterfaceId::new(2, "eth0");
    let membership = Membership::new(GROUP.parse().unwrap(), interface, SourceFilter::any());
    protocol.handle_network(now, NetworkEvent::Joined(membership));
}

fn read(transmit: &Transmit) -> Message {
    let (message, deviations) = parse(&transmit.payload).unwrap();
    assert!(deviations.is_empty(), "{deviations}");
    message
}

fn service(change: impl FnOnce(&mut TargetServiceConfig)) -> (TargetService, Instant) {
    let mut config = TargetServiceConfig::new(ENDPOINT, device_type());
    config.addresses = vec![LocalAddress {
        interface: 2,
        address: [10, 0, 0, 9].into(),
        prefix: 24,
    }];
    config.location = Location::Here {
        port: 80,
        path: "/d".to_owned(),
    };
    change(&mut config);
    let (mut service, mut now) = (TargetService::new(config, [1; 32]).unwrap(), start());
    service.start(now);
    run(&mut service, &mut now, Duration::ZERO);
    (service, now)
}

fn client(change: impl FnOnce(&mut ClientConfig)) -> (Client, Instant) {
    let mut config = ClientConfig {
        probes: vec![Probe::default()],
        versions: vec![Version::V2005_04],
        attempts: 1,
        ..ClientConfig::default()
    };
    change(&mut config);
    let (mut client, mut now) = (Client::new(config, [1; 32]), start());
    client.start(now);
    run(&mut client, &mut now, Duration::ZERO);
    (client, now)
}

fn probe(version: Version, id: &str) -> Message {
    Message::new(version, id, Body::Probe(Probe::default()))
}

/// What a service says, with the number of a message and its addresses.
fn said(body: impl FnOnce(Service) -> Body, number: u32, address: &str) -> Message {
    let service = Service {
        endpoint: ENDPOINT.to_owned(),
        types: vec![device_type()],
        addresses: Some(address.to_owned())
            .filter(|it| !it.is_empty())
            .into_iter()
            .collect(),
        metadata_version: Some(1),
        ..Service::default()
    };
    let mut message = Message::new(
        Version::V2005_04,
        format!("urn:uuid:n{number}"),
        body(service),
    );
    message.sequence = Some(Sequence {
        instance: 7,
        id: None,
        number,
    });
    message
}

#[test]
fn a_question_is_answered_in_its_version_to_its_source_within_half_a_second_and_once() {
    for version in Version::ALL {
        let (mut service, mut now) = service(|_| ());
        let question = probe(version, "urn:uuid:5");
        for _ in 0..3 {
            give(&mut service, now, US, GROUP, &question);
        }
        let (sent, told) = run(&mut service, &mut now, SECOND);
        assert_eq!(sent.len(), 2, "once, and its repetition");
        assert!(sent[0].0 <= Duration::from_millis(500));
        let wait = sent[1].0 - sent[0].0;
        assert!((50..=250).contains(&wait.as_millis()), "{wait:?}");
        assert_eq!(sent[0].1, sent[1].1);
        assert_eq!(sent[0].1.destination, US.parse().unwrap());
        let answer = read(&sent[0].1);
        assert_eq!(
            (answer.version, answer.addressing),
            (version, version.addressing())
        );
        assert_eq!(answer.relates_to.as_deref(), Some("urn:uuid:5"));
        let Body::ProbeMatches(services) = answer.body else {
            panic!("{answer:?}")
        };
        assert_eq!(services[0].addresses, ["http://10.0.0.9:80/d"]);
        assert!(matches!(told[..], [TargetServiceEvent::Asked { .. }]));
        assert_eq!(service.stats().repeated, 2);
    }
}

#[test]
fn whatever_reply_to_says_the_source_is_answered() {
    let (mut service, mut now) = service(|_| ());
    for (number, to) in [
        "soap.udp://192.0.2.9:80",
        "soap.udp://239.255.255.250:3702",
        "soap.udp://0.0.0.0",
    ]
    .iter()
    .enumerate()
    {
        let wsa = Version::V2005_04.addressing().namespace();
        let text = probe(Version::V2005_04, &format!("urn:uuid:{number}")).emit();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let forged = format!(
            "<q:ReplyTo xmlns:q=\"{wsa}\"><q:Address>{to}</q:Address></q:ReplyTo></s:Header>"
        );
        let text = text.replace("</s:Header>", &forged);
        assert!(text.contains(to));
        let interface = InterfaceId::new(2, "eth0");
        let (from, group) = (US.parse().unwrap(), GROUP.parse().unwrap());
        service.handle_datagram(now, Received::new(text.as_bytes(), from, group, &interface));
    }
    let (sent, _) = run(&mut service, &mut now, SECOND);
    assert_eq!(sent.len(), 6);
    assert!(
        sent.iter()
            .all(|(_, it)| it.destination == US.parse().unwrap())
    );
}

#[test]
fn who_is_not_answered() {
    let (mut service, mut now) = service(|config| config.scopes = vec!["urn:a".to_owned()]);
    let mut ask = |from: &str, id: &str, body: Body| {
        give(
            &mut service,
            now,
            from,
            GROUP,
            &Message::new(Version::V1_1, id, body),
        );
    };
    ask("192.0.2.1:4000", "1", Body::Probe(Probe::default()));
    ask("10.0.0.8:0", "2", Body::Probe(Probe::default()));
    ask("239.1.1.1:4000", "3", Body::Probe(Probe::default()));
    ask(
        US,
        "4",
        Body::Probe(Probe::of(Name::new("urn:x", "Device"))),
    );
    ask(US, "5", Body::Resolve("urn:uuid:other".to_owned()));
    let none = Probe {
        rule: Rule::None,
        ..Probe::default()
    };
    ask(US, "6", Body::Probe(none));
    ask(US, &"7".repeat(200), Body::Probe(Probe::default()));
    let (sent, _) = run(&mut service, &mut now, SECOND * 2);
    assert_eq!(sent, []);
    let stats = service.stats();
    assert_eq!((stats.strangers, stats.others, stats.malformed), (3, 3, 1));
}

#[test]
fn a_flood_of_questions_is_bounded() {
    let (mut service, mut now) = service(|config| config.rate = 100);
    for number in 0..10_000 {
        give(
            &mut service,
            now,
            US,
            GROUP,
            &probe(Version::V1_1, &number.to_string()),
        );
        run(&mut service, &mut now, Duration::from_micros(100));
    }
    let stats = service.stats();
    // A second's worth at once, and another in the second that it takes; two datagrams each.
    assert!((98..=104).contains(&stats.answers), "{stats:?}");
    assert_eq!(stats.answers + stats.overflowed, 10_000);
}

/// The figures in the documentation of the module.
#[test]
fn an_answer_is_a_few_times_as_long_as_its_question() {
    let shortest = "<e:Envelope xmlns:e='http://www.w3.org/2003/05/soap-envelope' \
        xmlns:a='http://schemas.xmlsoap.org/ws/2004/08/addressing'><e:Header><a:MessageID>1\
        </a:MessageID></e:Header><e:Body><Probe \
        xmlns='http://schemas.xmlsoap.org/ws/2005/04/discovery'/></e:Body></e:Envelope>";
    assert_eq!(shortest.len(), 264);
    let (mut service, mut now) = service(|_| ());
    let interface = InterfaceId::new(2, "eth0");
    let (from, group) = (US.parse().unwrap(), GROUP.parse().unwrap());
    let datagram = Received::new(shortest.as_bytes(), from, group, &interface);
    service.handle_datagram(now, datagram);
    let (sent, _) = run(&mut service, &mut now, SECOND);
    let bytes: usize = sent.iter().map(|(_, it)| it.payload.len()).sum();
    assert_eq!(sent.len(), 2);
    assert!((6..=9).contains(&(bytes / shortest.len())), "{bytes}");
    assert_eq!(2 * MAX_SENT / shortest.len(), 11);
}

#[test]
fn what_others_say_does_not_make_a_client_flood_the_group() {
    let (mut client, mut now) = client(|config| config.multicast_repeat = 0);
    joined(&mut client, now);
    run(&mut client, &mut now, SECOND * 2);
    for number in 0..5_000_u32 {
        let hello = said(Body::Hello, number, "");
        let from = format!("10.1.{}.{}:3702", number / 250, number % 250 + 1);
        give(&mut client, now, &from, GROUP, &hello);
    }
    let (sent, _) = run(&mut client, &mut now, SECOND * 5);
    // A second's worth at once, and then at the rate.
    assert!((1_000..=1_250).contains(&sent.len()), "{}", sent.len());
}

#[test]
fn it_says_hello_and_goodbye_in_both_versions_and_numbers_them() {
    let (mut service, mut now) = service(|_| ());
    joined(&mut service, now);
    let (sent, _) = run(&mut service, &mut now, SECOND * 3);
    assert_eq!(sent.len(), 6, "three times in each version");
    assert!(sent[0].0 <= Duration::from_millis(500));
    let mut numbers = Vec::new();
    for (_, transmit) in &sent {
        let message = read(transmit);
        assert_eq!(
            (transmit.destination, transmit.interface),
            (GROUP.parse().unwrap(), Some(2))
        );
        assert!(matches!(message.body, Body::Hello(_)), "{message:?}");
        numbers.push(message.sequence.unwrap().number);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 1, 1, 2, 2, 2]);
    service.stop(now);
    let (sent, _) = run(&mut service, &mut now, SECOND);
    assert_eq!(sent.len(), 6);
    assert!(
        sent.iter()
            .all(|(at, it)| at.is_zero() && matches!(read(it).body, Body::Bye(_)))
    );
}

#[test]
fn new_addresses_are_announced_with_the_next_metadata_version() {
    let (mut service, mut now) = service(|config| config.addresses.clear());
    joined(&mut service, now);
    let (sent, told) = run(&mut service, &mut now, SECOND * 3);
    assert_eq!(sent, []);
    assert!(matches!(told[..], [TargetServiceEvent::NoAddress { .. }]));
    let address = LocalAddress {
        interface: 2,
        address: [10, 0, 0, 10].into(),
        prefix: 24,
    };
    service.set_addresses(now, vec![address]);
    let (sent, _) = run(&mut service, &mut now, SECOND * 3);
    let Body::Hello(service) = read(&sent[0].1).body else {
        panic!()
    };
    assert_eq!(service.addresses, ["http://10.0.0.10:80/d"]);
    assert_eq!(service.metadata_version, Some(2));
}

#[test]
fn what_does_not_fit_or_drives_a_terminal_is_not_announced() {
    let fails = |change: fn(&mut TargetServiceConfig)| {
        let mut config = TargetServiceConfig::new(ENDPOINT, device_type());
        change(&mut config);
        TargetService::new(config, [1; 32]).unwrap_err().to_string()
    };
    assert!(fails(|it| it.endpoint.clear()).contains("no endpoint"));
    assert!(fails(|it| it.scopes = vec!["a b".to_owned()]).contains("a space"));
    assert!(fails(|it| it.scopes = vec!["a\u{1b}".to_owned()]).contains("control"));
    assert!(fails(|it| it.types[0].local = "a<b".to_owned()).contains("name"));
    assert!(fails(|it| it.scopes = vec!["x".repeat(1_000)]).contains("too long"));
}

#[test]
fn an_answer_counts_only_to_what_was_asked() {
    let (mut client, mut now) = client(|_| ());
    joined(&mut client, now);
    let (sent, _) = run(&mut client, &mut now, SECOND * 2);
    assert_eq!(sent.len(), 3, "once, and twice again");
    let id = read(&sent[0].1).id.unwrap();
    let mut answer = said(|it| Body::ProbeMatches(vec![it]), 1, "http://a/");
    give(&mut client, now, HOST, US, &answer);
    answer.relates_to = Some("urn:uuid:other".to_owned());
    answer.id = Some("2".to_owned());
    give(&mut client, now, HOST, US, &answer);
    assert_eq!(client.stats().unasked, 2);
    // One in the group is none, whatever it relates to.
    answer.relates_to = Some(id.clone());
    answer.id = Some("3".to_owned());
    give(&mut client, now, HOST, GROUP, &answer);
    assert_eq!(client.stats().unasked, 3);
    answer.id = Some("4".to_owned());
    answer.relates_to = Some(id.to_uppercase());
    give(&mut client, now, HOST, US, &answer);
    let (_, told) = run(&mut client, &mut now, Duration::ZERO);
    let [
        ClientEvent::Found(entry),
        ClientEvent::Deviates { deviations, .. },
    ] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!(
        (&*entry.service.endpoint, entry.instance),
        (ENDPOINT, Some(7))
    );
    assert!(deviations.contains(Deviation::RelatesTo));
    // Its repetition is no news.
    give(&mut client, now, HOST, US, &answer);
    assert_eq!(client.stats().repeated, 1);
    // Ten seconds later, nobody may answer any more.
    run(&mut client, &mut now, SECOND * 11);
    answer.id = Some("5".to_owned());
    give(&mut client, now, HOST, US, &answer);
    assert_eq!(client.stats().unasked, 4);
}

#[test]
fn a_service_without_addresses_is_asked_for_them_a_few_times() {
    let (mut client, mut now) = client(|_| ());
    joined(&mut client, now);
    run(&mut client, &mut now, SECOND * 2);
    give(&mut client, now, HOST, GROUP, &said(Body::Hello, 1, ""));
    let (sent, told) = run(&mut client, &mut now, SECOND);
    assert!(
        matches!(
            &told[..],
            [ClientEvent::Found(_), ClientEvent::Asked { .. }]
        ),
        "{told:?}"
    );
    let question = read(&sent[0].1);
    assert_eq!(question.body, Body::Resolve(ENDPOINT.to_owned()));
    assert_eq!(sent[0].1.destination, GROUP.parse().unwrap());
    let mut answer = said(|it| Body::ResolveMatches(Some(it)), 2, "http://a/");
    answer.relates_to = question.id;
    give(&mut client, now, HOST, US, &answer);
    let (sent, told) = run(&mut client, &mut now, SECOND * 30);
    let [ClientEvent::Changed { entry, change }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(
        (*change, &entry.service.addresses[..]),
        (Change::Addresses, &["http://a/".to_owned()][..])
    );
    assert!(sent.len() <= 2, "the repetitions: {sent:?}");

    // One that never tells them is asked three times, and is there all the same.
    let other = |number| {
        let hello = said(Body::Hello, number, "");
        let Body::Hello(mut service) = hello.body else {
            panic!()
        };
        service.endpoint = "urn:uuid:2".to_owned();
        Message {
            body: Body::Hello(service),
            ..hello
        }
    };
    let mut questions = 0;
    for number in 3..13 {
        give(&mut client, now, HOST, GROUP, &other(number));
        let (_, told) = run(&mut client, &mut now, SECOND * 5);
        questions += told
            .iter()
            .filter(|it| matches!(it, ClientEvent::Asked { target, .. } if target == "urn:uuid:2"))
            .count();
    }
    assert_eq!(questions, 3);
}

#[test]
fn a_service_that_does_not_say_what_it_is_is_asked_before_it_is_told() {
    for (types, wanted) in [
        (vec![device_type()], true),
        (vec![Name::new("urn:x", "A")], false),
    ] {
        let (mut client, mut now) = client(|config| config.probes = vec![Probe::of(device_type())]);
        joined(&mut client, now);
        run(&mut client, &mut now, SECOND * 2);
        let mut hello = said(Body::Hello, 1, "http://a/");
        if let Body::Hello(service) = &mut hello.body {
            service.types.clear();
        }
        give(&mut client, now, HOST, GROUP, &hello);
        let (sent, told) = run(&mut client, &mut now, SECOND);
        assert!(matches!(&told[..], [ClientEvent::Asked { .. }]), "{told:?}");
        assert_eq!(client.entries().count(), 0);
        let mut answer = said(|it| Body::ResolveMatches(Some(it)), 2, "http://a/");
        if let Body::ResolveMatches(Some(service)) = &mut answer.body {
            service.types = types;
        }
        answer.relates_to = read(&sent[0].1).id;
        give(&mut client, now, HOST, US, &answer);
        let (_, told) = run(&mut client, &mut now, SECOND * 20);
        assert_eq!(told.len(), usize::from(wanted), "{told:?}");
        assert_eq!(client.entries().count(), usize::from(wanted));
    }
    // What is surely something else is not asked.
    let (mut client, mut now) = client(|config| {
        config.probes = vec![Probe::of(Name::new("urn:x", "A"))];
    });
    give(
        &mut client,
        now,
        HOST,
        GROUP,
        &said(Body::Hello, 1, "http://a/"),
    );
    let (sent, _) = run(&mut client, &mut now, SECOND * 5);
    assert!(sent.is_empty() && client.stats().unasked == 1);
}

#[test]
fn a_service_that_says_nothing_is_asked_for_and_gone_if_it_does_not_answer() {
    let (mut client, mut now) = client(|_| ());
    joined(&mut client, now);
    run(&mut client, &mut now, SECOND * 2);
    give(
        &mut client,
        now,
        HOST,
        GROUP,
        &said(Body::Hello, 1, "http://a/"),
    );
    let (sent, told) = run(&mut client, &mut now, SECOND * 59);
    assert!(sent.is_empty() && told.len() == 1);
    let (sent, _) = run(&mut client, &mut now, SECOND * 8);
    let mut answer = said(|it| Body::ResolveMatches(Some(it)), 2, "http://a/");
    answer.relates_to = read(&sent[0].1).id;
    give(&mut client, now, HOST, US, &answer);
    let (sent, told) = run(&mut client, &mut now, SECOND * 59);
    let fresh = |told: &[ClientEvent]| {
        told.iter()
            .all(|it| matches!(it, ClientEvent::Asked { .. }))
    };
    assert!(fresh(&told), "{told:?} {}", sent.len());
    let (_, told) = run(&mut client, &mut now, SECOND * 14);
    let gone = |it: &&ClientEvent| {
        matches!(
            it,
            ClientEvent::Gone {
                why: Goodbye::NoAnswer,
                ..
            }
        )
    };
    assert_eq!(told.iter().filter(gone).count(), 1, "{told:?}");
    assert_eq!(client.entries().count(), 0);
}

#[test]
fn what_is_older_than_what_was_heard_is_left_out() {
    let (mut client, mut now) = client(|_| ());
    give(
        &mut client,
        now,
        HOST,
        GROUP,
        &said(Body::Hello, 5, "http://new/"),
    );
    give(
        &mut client,
        now,
        HOST,
        GROUP,
        &said(Body::Hello, 4, "http://old/"),
    );
    give(&mut client, now, HOST, GROUP, &said(Body::Bye, 3, ""));
    // Nobody says goodbye for another host.
    give(
        &mut client,
        now,
        "10.0.0.66:3702",
        GROUP,
        &said(Body::Bye, 9, ""),
    );
    let (_, told) = run(&mut client, &mut now, Duration::ZERO);
    assert!(matches!(&told[..], [ClientEvent::Found(_)]), "{told:?}");
    let stats = client.stats();
    assert_eq!((stats.outdated, stats.unknown), (2, 1));
    // A new start is told, and a goodbye after that.
    let mut restart = said(Body::Hello, 1, "http://new/");
    restart.sequence.as_mut().unwrap().instance = 8;
    give(&mut client, now, HOST, GROUP, &restart);
    let mut bye = said(Body::Bye, 2, "");
    bye.sequence.as_mut().unwrap().instance = 8;
    give(&mut client, now, HOST, GROUP, &bye);
    let (_, told) = run(&mut client, &mut now, Duration::ZERO);
    assert!(
        matches!(
            &told[..],
            [
                ClientEvent::Changed {
                    change: Change::Rebooted,
                    ..
                },
                ClientEvent::Gone {
                    why: Goodbye::Said,
                    ..
                },
            ]
        ),
        "{told:?}"
    );
}

/// WSDiscovery makes up the instance of each answer, so a goodbye may bear a lower one.
#[test]
fn a_goodbye_counts_whatever_instance_an_answer_had() {
    let (mut client, mut now) = client(|_| ());
    joined(&mut client, now);
    let (sent, _) = run(&mut client, &mut now, Duration::ZERO);
    give(
        &mut client,
        now,
        HOST,
        GROUP,
        &said(Body::Hello, 1, "http://a/"),
    );
    let mut answer = said(|it| Body::ProbeMatches(vec![it]), 2, "http://a/");
    answer.relates_to = read(&sent[0].1).id;
    answer.sequence.as_mut().unwrap().instance = u32::MAX;
    give(&mut client, now, HOST, US, &answer);
    run(&mut client, &mut now, Duration::ZERO);
    let mut bye = said(Body::Bye, 1, "");
    bye.id = Some("urn:uuid:bye".to_owned());
    give(&mut client, now, HOST, GROUP, &bye);
    let (_, told) = run(&mut client, &mut now, Duration::ZERO);
    let gone = |it: &ClientEvent| {
        matches!(
            it,
            ClientEvent::Gone {
                why: Goodbye::Said,
                ..
            }
        )
    };
    assert!(told.iter().any(gone), "{told:?}");
}

/// A proxy's Hello to a client that has asked.
fn proxy(relates_to: Option<String>) -> Message {
    let service = Service {
        endpoint: "urn:uuid:proxy".to_owned(),
        types: vec![proxy_type(Version::V2005_04)],
        metadata_version: Some(1),
        ..Service::default()
    };
    let mut hello = Message::new(Version::V2005_04, "urn:uuid:hello", Body::Hello(service));
    (hello.relates_to, hello.suppression) = (relates_to, true);
    hello
}

#[test]
fn a_proxy_is_asked_in_place_of_the_group_until_it_does_not_answer() {
    let (mut client, mut now) = client(|config| {
        config.multicast_repeat = 4;
        config.resolve = false;
    });
    joined(&mut client, now);
    let (sent, _) = run(&mut client, &mut now, Duration::ZERO);
    let id = read(&sent[0].1).id;
    // From who was not asked it is nothing.
    give(&mut client, now, HOST, US, &proxy(None));
    assert_eq!(client.stats().unasked, 1);
    let hello = Message {
        id: Some("2".to_owned()),
        ..proxy(id)
    };
    give(&mut client, now, HOST, US, &hello);
    let (sent, told) = run(&mut client, &mut now, SECOND * 4);
    assert!(
        told.iter()
            .any(|it| matches!(it, ClientEvent::Proxy { .. })),
        "{told:?}"
    );
    let to: Vec<SocketAddr> = sent.iter().map(|(_, it)| it.destination).collect();
    assert_eq!(to, [HOST.parse().unwrap(); 2], "the group is asked no more");
    // It answers for another host, which is found by it.
    let mut answer = said(|it| Body::ProbeMatches(vec![it]), 1, "http://a/");
    answer.relates_to = read(&sent[0].1).id;
    give(&mut client, now, HOST, US, &answer);
    let (sent, told) = run(&mut client, &mut now, SECOND * 20);
    assert!(matches!(&told[..], [ClientEvent::Found(_)]), "{told:?}");
    assert_eq!(sent, []);
    // A minute later it is asked whether that is still there, and says nothing.
    let (sent, told) = run(&mut client, &mut now, SECOND * 60);
    assert!(
        told.iter()
            .any(|it| matches!(it, ClientEvent::ProxyLost { .. })),
        "{told:?}"
    );
    assert_eq!(sent[0].1.destination, HOST.parse().unwrap());
    assert_eq!(sent.last().unwrap().1.destination, GROUP.parse().unwrap());
}

#[test]
fn a_proxy_that_says_goodbye_is_asked_no_more() {
    let (mut client, mut now) = client(|config| config.resolve = false);
    joined(&mut client, now);
    let (sent, _) = run(&mut client, &mut now, Duration::ZERO);
    give(&mut client, now, HOST, US, &proxy(read(&sent[0].1).id));
    run(&mut client, &mut now, SECOND);
    let bye = |endpoint: &str| {
        let service = Service {
            endpoint: endpoint.to_owned(),
            ..Service::default()
        };
        Message::new(Version::V2005_04, endpoint, Body::Bye(service))
    };
    // Another host cannot say so, nor another endpoint.
    give(
        &mut client,
        now,
        "10.0.0.66:3702",
        GROUP,
        &bye("urn:uuid:proxy"),
    );
    give(&mut client, now, HOST, GROUP, &bye("urn:uuid:other"));
    let (sent, _) = run(&mut client, &mut now, SECOND);
    assert_eq!(sent, []);
    let goodbye = Message {
        id: Some("3".to_owned()),
        ..bye("urn:uuid:proxy")
    };
    give(&mut client, now, HOST, GROUP, &goodbye);
    let (sent, told) = run(&mut client, &mut now, SECOND);
    let lost = |it: &ClientEvent| matches!(it, ClientEvent::ProxyLost { .. });
    assert!(told.iter().any(lost), "{told:?}");
    assert_eq!(sent[0].1.destination, GROUP.parse().unwrap());
}

#[test]
fn types_are_written_with_the_prefixes_that_others_compare() {
    let text = Message::new(
        Version::V2005_04,
        "1",
        Body::Probe(Probe::of(device_type())),
    )
    .emit();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains("<d:Types>wsdp:Device</d:Types>"), "{text}");
}

#[test]
fn what_cannot_be_sent_somewhere_is_told_once() {
    let (mut client, mut now) = client(|_| ());
    for _ in 0..5 {
        client.handle_network(
            now,
            NetworkEvent::NotSent {
                destination: GROUP.parse().unwrap(),
                count: 1,
                error: NetworkError::new(ErrorKind::NetworkUnreachable, "no"),
            },
        );
    }
    let (_, told) = run(&mut client, &mut now, Duration::ZERO);
    assert!(
        matches!(&told[..], [ClientEvent::NotSent { .. }]),
        "{told:?}"
    );
    assert_eq!(client.stats().not_sent, 5);
}
