use super::*;

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
