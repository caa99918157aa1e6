use super::*;

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
            .all(|it| matches!(it, ClientEvent::Asked { .. } | ClientEvent::Refreshed(_)))
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

/// Where each of what was sent goes.
fn destinations(sent: &[(Duration, Transmit)]) -> Vec<SocketAddr> {
    sent.iter().map(|(_, it)| it.destination).collect()
}

#[test]
fn a_proxy_is_asked_beside_the_group_until_it_does_not_answer() {
    let (mut client, mut now) = client(|config| {
        config.multicast_repeat = 4;
        config.resolve = false;
    });
    let (host, group): (SocketAddr, SocketAddr) = (HOST.parse().unwrap(), GROUP.parse().unwrap());
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
    let to = destinations(&sent);
    let count = |to: &[SocketAddr], wanted| to.iter().filter(|it| **it == wanted).count();
    assert_eq!((count(&to, host), count(&to, group)), (2, 4), "{to:?}");
    // It answers for another host, which is found by it.
    let question = sent.iter().find(|(_, it)| it.destination == host).unwrap();
    let mut answer = said(|it| Body::ProbeMatches(vec![it]), 1, "http://a/");
    answer.relates_to = read(&question.1).id;
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
    assert!(destinations(&sent).iter().all(|it| *it == host), "{sent:?}");
    assert_eq!(client.entries().count(), 0);
}

/// Whoever says that it is a proxy hides nobody, however often it does.
#[test]
fn the_group_is_asked_as_often_whoever_says_that_it_is_a_proxy() {
    let asked = |liar: bool| {
        let (mut client, mut now) = client(|config| {
            (config.attempts, config.multicast_repeat) = (3, 0);
            config.resolve = false;
        });
        joined(&mut client, now);
        let mut to = Vec::new();
        for number in 0..50 {
            if liar {
                let hello = Message {
                    id: Some(number.to_string()),
                    ..proxy(None)
                };
                let from = format!("10.0.0.66:{}", 1_024 + number);
                give(&mut client, now, &from, GROUP, &hello);
            }
            let (sent, _) = run(&mut client, &mut now, SECOND);
            to.extend(destinations(&sent));
        }
        let (group, others): (Vec<_>, Vec<_>) =
            to.into_iter().partition(|it| it.ip().is_multicast());
        (group.len(), others.len())
    };
    assert_eq!(asked(false), (3, 0));
    let (group, proxies) = asked(true);
    assert_eq!(group, 3);
    // They are asked themselves, and few times: that could be a host that has said nothing.
    assert!((1..=12).contains(&proxies), "{proxies}");
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
    assert!(
        matches!(
            &told[..],
            [ClientEvent::ProxyLost { .. }, ClientEvent::Gone { .. }]
        ),
        "{told:?}"
    );
    assert_eq!(sent, []);
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

#[test]
fn a_client_asks_anew_on_an_interface_that_was_recreated() {
    let (mut client, mut now) = client(|config| config.multicast_repeat = 0);
    joined(&mut client, now);
    run(&mut client, &mut now, SECOND);
    let hello = said(Body::Hello, 1, "http://a/");
    give(&mut client, now, HOST, GROUP, &hello);
    run(&mut client, &mut now, SECOND);
    let on = |index: u32| {
        let interface = InterfaceId::new(index, "eth0");
        Membership::new(GROUP.parse().unwrap(), interface, SourceFilter::any())
    };
    client.handle_network(now, NetworkEvent::Left(on(2)));
    let (sent, told) = run(&mut client, &mut now, SECOND);
    assert_eq!(sent, []);
    let [ClientEvent::Gone { why, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((*why, client.entries().count()), (Goodbye::Interface, 0));

    client.handle_network(now, NetworkEvent::Joined(on(3)));
    let (sent, _) = run(&mut client, &mut now, SECOND);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1.interface, Some(3));
    // What it says there is new, though its Hello came before on the other.
    let interface = InterfaceId::new(3, "eth0");
    let (from, to) = (HOST.parse().unwrap(), GROUP.parse().unwrap());
    let payload = hello.emit();
    client.handle_datagram(now, Received::new(&payload, from, to, &interface));
    let (_, told) = run(&mut client, &mut now, SECOND);
    assert!(matches!(&told[..], [ClientEvent::Found(_)]), "{told:?}");
}
