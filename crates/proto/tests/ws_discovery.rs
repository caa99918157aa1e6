//! Services and those who search for them, on networks that lose, in virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use manycast_lab::sim::{Endpoint, Link, Network, Sim, any_order, seeds};
use manycast_proto::ws_discovery::{
    Body, Change, Client, ClientConfig, ClientEvent, Goodbye, LocalAddress, Location, Message,
    Name, Probe, TargetService, TargetServiceConfig, Version, device_type, groups, parse,
};
use manycast_proto::{Output, Protocol};
use manycast_types::{Received, Transmit};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn endpoint(number: usize) -> String {
    format!("urn:uuid:9f3c6a52-7a61-4a56-b7a1-{number:012x}")
}

/// A service on a host whose addresses are all on one interface.
fn service(number: usize, addresses: &[&str]) -> TargetServiceConfig {
    let of = |text: &&str| LocalAddress {
        interface: 2,
        address: text.parse().expect("an address"),
        prefix: if text.contains(':') { 64 } else { 8 },
    };
    TargetServiceConfig {
        location: Location::Here {
            port: 5_357,
            path: "/d".to_owned(),
        },
        addresses: addresses.iter().map(of).collect(),
        ..TargetServiceConfig::new(endpoint(number), device_type())
    }
}

/// Asks once for everything, in one version.
fn once() -> ClientConfig {
    ClientConfig {
        probes: vec![Probe::default()],
        versions: vec![Version::V2005_04],
        attempts: 1,
        ..ClientConfig::default()
    }
}

struct Net {
    sim: Sim,
    services: Vec<Endpoint<TargetService>>,
    client: Endpoint<Client>,
}

impl Net {
    /// Services that have announced themselves, and one who begins to search.
    fn new(seed: u64, count: usize, loss: f64, config: ClientConfig) -> Self {
        let mut sim = Sim::new(seed);
        let mut services = Vec::new();
        // What they announce at first reaches nobody: the client comes later, and it is much.
        sim.set_links(Link {
            loss: 1.0,
            ..Link::default()
        });
        for number in 0..count {
            let address = format!("10.0.{}.{}", 1 + number / 250, 1 + number % 250);
            let host = sim.add_host([address.as_str()]);
            let config = service(number, &[&address]);
            let service = TargetService::new(config, sim.seed()).expect("it is suitable");
            services.push(sim.bind(host, 50_000, service));
        }
        sim.run_for(SECOND * 3);
        sim.set_links(Link {
            loss,
            ..Link::default()
        });
        let host = sim.add_host(["10.0.0.1"]);
        let client = Client::new(config, sim.seed());
        let client = sim.bind(host, 40_000, client);
        Self {
            sim,
            services,
            client,
        }
    }

    fn found(&self) -> BTreeSet<String> {
        let events = self.sim.events(self.client).iter();
        let found = events.filter_map(|(_, event)| match event {
            ClientEvent::Found(entry) => Some(entry.service.endpoint.clone()),
            _ => None,
        });
        found.collect()
    }
}

/// `MANYCAST_SEEDS=1000` tries as many seeds.
#[test]
fn ninety_nine_of_a_hundred_are_found_in_five_seconds_where_one_in_ten_is_lost() {
    for seed in seeds(20) {
        let mut net = Net::new(seed, 100, 0.1, ClientConfig::default());
        net.sim.run_for(SECOND * 5);
        let found = net.found().len();
        assert!(found >= 99, "{found} of 100 with seed {seed}");
    }
}

#[test]
fn a_thousand_answers_are_spread_over_half_a_second() {
    for seed in seeds(1) {
        let mut net = Net::new(seed, 1_000, 0.0, once());
        let begin = net.sim.elapsed();
        net.sim.run_for(SECOND * 3);
        let mut tenths = [0_usize; 10];
        for (at, event) in net.sim.events(net.client) {
            if let ClientEvent::Found(_) = event {
                let after = (*at - begin).as_millis();
                assert!(after <= 510, "{after} ms");
                tenths[usize::try_from(after / 50).expect("small").min(9)] += 1;
            }
        }
        assert_eq!(tenths.iter().sum::<usize>(), 1_000);
        // 100 each are expected; the standard deviation is 9.5.
        assert!(tenths.iter().all(|it| (60..140).contains(it)), "{tenths:?}");
        // Each was sent once more, after 50 to 250 ms; and none was answered again of the question's repetitions.
        assert_eq!(net.sim.protocol(net.client).stats().answers, 1_000);
        assert_eq!(net.sim.protocol(net.client).stats().repeated, 1_000);
        for service in &net.services {
            let stats = net.sim.protocol(*service).stats();
            assert_eq!((stats.answers, stats.repeated), (1, 2));
        }
    }
}

/// Asks a group once, and tells of each datagram that comes: who sent it, and its identifier.
struct Asker {
    question: Option<Transmit>,
    came: VecDeque<(SocketAddr, String)>,
}

impl Protocol for Asker {
    type Event = (SocketAddr, String);

    fn handle_datagram(&mut self, _now: Instant, datagram: Received<'_>) {
        let (message, _) = parse(datagram.payload).expect("an answer");
        let id = message.id.expect("an identifier");
        self.came.push_back((datagram.source, id));
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<Self::Event> {
        if let Some(question) = self.question.take() {
            return Output::Transmit(question);
        }
        match self.came.pop_front() {
            Some(answer) => Output::Event(answer),
            None => Output::Wait {
                until: None,
                reason: "answers",
            },
        }
    }
}

/// SOAP-over-UDP: the second transmission follows on the first after 50 to 250 ms at random.
#[test]
fn a_thousand_repetitions_are_spread_over_the_back_off() {
    for seed in seeds(1) {
        let mut net = Net::new(seed, 1_000, 0.0, once());
        net.sim.stop(net.client);
        net.sim.run_for(SECOND);
        let body = Body::Probe(Probe::default());
        let question = Message::new(Version::V1_1, "urn:uuid:question", body).emit();
        let mut question = Transmit::new((groups()[0], 3_702).into(), question);
        question.interface = Some(2);
        let host = net.sim.add_host(["10.0.0.2"]);
        let asker = Asker {
            question: Some(question),
            came: VecDeque::new(),
        };
        let asker = net.sim.bind(host, 40_000, asker);
        net.sim.run_for(SECOND * 3);
        let mut times: BTreeMap<SocketAddr, Vec<(Duration, &str)>> = BTreeMap::new();
        for (at, (source, id)) in net.sim.events(asker) {
            times.entry(*source).or_default().push((*at, id));
        }
        assert_eq!(times.len(), 1_000);
        let mut tenths = [0_usize; 10];
        for (source, came) in times {
            let [(first, id), (second, again)] = came[..] else {
                panic!("{source}: {came:?}")
            };
            assert_eq!(id, again, "{source}: it is the same message");
            let wait = (second - first).as_millis();
            assert!((50..=250).contains(&wait), "{source}: {wait} ms");
            tenths[usize::try_from((wait - 50) / 20).expect("small").min(9)] += 1;
        }
        // 100 each are expected; the standard deviation is 9.5.
        assert!(tenths.iter().all(|it| (60..140).contains(it)), "{tenths:?}");
    }
}

fn gone(net: &Net, number: usize) -> Vec<Goodbye> {
    let events = net.sim.events(net.client).iter();
    let why = events.filter_map(|(_, event)| match event {
        ClientEvent::Gone { entry, why } if entry.service.endpoint == endpoint(number) => {
            Some(*why)
        }
        _ => None,
    });
    why.collect()
}

#[test]
fn goodbyes_crashes_and_new_addresses_are_told() {
    let mut net = Net::new(1, 3, 0.0, ClientConfig::default());
    net.sim.run_for(SECOND * 5);
    assert_eq!(net.found().len(), 3);

    // One says goodbye, the second has a new address, the third is cut off.
    net.sim.stop(net.services[0]);
    let address = LocalAddress {
        interface: 2,
        address: [10, 9, 9, 9].into(),
        prefix: 8,
    };
    net.sim.command(net.services[1], move |service, now| {
        service.set_addresses(now, vec![address]);
    });
    net.sim.run_for(SECOND * 3);
    assert_eq!(gone(&net, 0), [Goodbye::Said]);
    let events = net.sim.events(net.client).iter();
    let changes: Vec<_> = events
        .filter_map(|(_, event)| match event {
            ClientEvent::Changed { change, entry } => Some((*change, entry.service.clone())),
            _ => None,
        })
        .collect();
    let [(Change::Addresses, service)] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(service.addresses, ["http://10.9.9.9:5357/d"]);
    assert_eq!(service.metadata_version, Some(2));
    assert_eq!(service.endpoint, endpoint(1));

    net.sim.set_links(Link {
        loss: 1.0,
        ..Link::default()
    });
    net.sim.run_for(SECOND * 80);
    assert_eq!(gone(&net, 2), [Goodbye::NoAnswer]);
    assert_eq!(gone(&net, 0).len(), 1);
}

/// A switch is started anew, say: the services do not know that anybody has missed them.
#[test]
fn what_was_out_of_reach_is_found_again() {
    for (cut_off, patience) in [(SECOND * 85, SECOND * 70), (SECOND * 300, SECOND * 320)] {
        let mut net = Net::new(1, 1, 0.0, ClientConfig::default());
        // Its questions have become rare until then.
        net.sim.run_for(SECOND * 7_200);
        net.sim.set_links(Link {
            loss: 1.0,
            ..Link::default()
        });
        net.sim.run_for(cut_off);
        assert_eq!(gone(&net, 0), [Goodbye::NoAnswer]);
        net.sim.set_links(Link::default());
        net.sim.run_for(patience);
        let found = net.sim.events(net.client).iter();
        let found = found.filter(|(_, event)| matches!(event, ClientEvent::Found(_)));
        assert_eq!(found.count(), 2, "after {cut_off:?}");
    }
}

/// A host of another network was chosen: it is asked by itself, though the group is asked too, which does not
/// reach it.
#[test]
fn a_host_beside_a_group_is_asked_by_itself() {
    let mut net = Net::new(1, 0, 0.0, ClientConfig::default());
    let network = net.sim.add_network();
    let (there, back) = (Link::default(), Link::default());
    net.sim.add_route(Network::FIRST, network, there, back);
    let host = net.sim.add_host_on(network, ["10.9.0.1"]);
    let target = service(0, &["10.9.0.1"]);
    let target = TargetService::new(target, net.sim.seed()).expect("it is suitable");
    net.sim.bind(host, 50_000, target);
    let host = net.sim.add_host(["10.0.0.2"]);
    let config = ClientConfig {
        hosts: vec![([10, 9, 0, 1], 50_000).into()],
        ..ClientConfig::default()
    };
    let client = Client::new(config, net.sim.seed());
    net.client = net.sim.bind(host, 40_000, client);
    net.sim.run_for(SECOND * 600);
    assert_eq!(net.found().len(), 1);
    assert_eq!(gone(&net, 0), []);
}

#[test]
fn it_is_asked_again_and_less_and_less() {
    let asked = |again| {
        let config = ClientConfig {
            again,
            groups: vec![groups()[0]],
            ..once()
        };
        let mut net = Net::new(1, 0, 0.0, config);
        net.sim.run_for(SECOND * 20_000);
        let events = net.sim.events(net.client).iter();
        let asked = events.filter(|(_, event)| matches!(event, ClientEvent::Asked { .. }));
        asked.map(|(at, _)| *at).collect::<Vec<_>>()
    };
    assert_eq!(asked(None).len(), 1);
    let times = asked(Some(SECOND * 60));
    let gaps: Vec<Duration> = times.windows(2).map(|it| it[1] - it[0]).collect();
    let least = [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600, 3_600];
    for (gap, least) in gaps.iter().zip(least) {
        let least = SECOND * least;
        assert!((least..=least + least / 10).contains(gap), "{gaps:?}");
    }
    assert_eq!(gaps.len(), least.len(), "{gaps:?}");
}

#[test]
fn services_are_found_on_three_interfaces_by_ipv4_and_ipv6() {
    for seed in seeds(20) {
        let mut sim = Sim::new(seed);
        sim.set_links(Link {
            loss: 0.1,
            ..Link::default()
        });
        let ours = [
            ["10.0.1.1", "fd00:1::1"],
            ["10.0.2.1", "fd00:2::1"],
            ["10.0.3.1", "fd00:3::1"],
        ];
        let networks = ours.map(|_| sim.add_network());
        for (number, network) in networks.iter().enumerate() {
            let n = number + 1;
            let [v4, v6] = [format!("10.0.{n}.9"), format!("fd00:{n}::9")];
            let host = sim.add_host_on(*network, [v4.as_str(), v6.as_str()]);
            let mut config = service(n, &[&v4, &v6]);
            config.addresses.iter_mut().for_each(|it| {
                it.prefix = if it.address.is_ipv4() { 24 } else { 64 };
                // What those are told who ask in ff02::c is a link-local address; there is none here.
            });
            config.location = Location::Url(format!("http://{v4}/"));
            let service = TargetService::new(config, sim.seed()).expect("it is suitable");
            sim.bind(host, 50_000, service);
        }
        let host = sim.add_host_on(networks[0], ours[0]);
        for (number, addresses) in ours.iter().enumerate().skip(1) {
            sim.connect(host, networks[number], *addresses);
        }
        let client = Client::new(ClientConfig::default(), sim.seed());
        let client = sim.bind(host, 40_000, client);
        sim.run_for(SECOND * 5);
        let mut places: BTreeMap<String, BTreeSet<(String, bool)>> = BTreeMap::new();
        for (_, event) in sim.events(client) {
            if let ClientEvent::Found(entry) = event {
                let place = (entry.interface.name.to_string(), entry.source.is_ipv4());
                let of = places.entry(entry.service.endpoint.clone()).or_default();
                of.insert(place);
            }
        }
        assert_eq!(places.len(), 3, "{places:?} with seed {seed}");
        let interfaces: BTreeSet<_> = places.values().flatten().map(|(name, _)| name).collect();
        assert_eq!(interfaces.len(), 3, "each by its own interface");
        assert!(
            places.values().all(|it| it.len() == 2),
            "{places:?} with seed {seed}"
        );
    }
}

#[test]
fn forged_questions_have_nobody_answered_who_is_far() {
    let mut net = Net::new(1, 10, 0.0, once());
    let victim: SocketAddr = ([192, 0, 2, 9], 4_000).into();
    let liar = net.sim.add_host(["10.7.7.7"]);
    net.sim.run_for(SECOND * 5);
    let before = net.sim.traffic().unroutable;
    let question = Message::new(
        Version::V2005_04,
        "urn:uuid:1",
        Body::Probe(Probe::default()),
    );
    let group = (groups()[0], 3_702).into();
    net.sim.forge(liar, victim, group, question.emit());
    net.sim.run_for(SECOND * 3);
    assert_eq!(net.sim.traffic().unroutable, before, "nothing went there");
    for service in &net.services {
        assert_eq!(net.sim.protocol(*service).stats().strangers, 1);
    }
}

#[test]
fn forged_endpoints_neither_fill_the_memory_nor_end_what_others_have_said() {
    let mut net = Net::new(1, 3, 0.0, ClientConfig::default());
    let liar: SocketAddr = ([10, 7, 7, 7], 3_702).into();
    let host = net.sim.add_host(["10.7.7.7"]);
    net.sim.run_for(SECOND * 5);
    let group = (groups()[0], 3_702).into();
    let said = |body: Body, number: usize| {
        Message::new(Version::V2005_04, format!("urn:uuid:{number}"), body).emit()
    };
    let service = |number: usize| manycast_proto::ws_discovery::Service {
        endpoint: endpoint(number),
        types: vec![device_type()],
        addresses: vec!["http://10.7.7.7/".to_owned()],
        metadata_version: Some(u32::MAX),
        ..Default::default()
    };
    // It says goodbye for all, in their name, and that there are thousands of others.
    for number in 0..3 {
        net.sim
            .forge(host, liar, group, said(Body::Bye(service(number)), number));
    }
    for number in 0..3_000 {
        let hello = said(Body::Hello(service(number)), 10_000 + number);
        net.sim.forge(host, liar, group, hello);
        net.sim.run_for(Duration::from_millis(1));
    }
    net.sim.run_for(SECOND);
    for number in 0..3 {
        assert_eq!(gone(&net, number), []);
    }
    let client = net.sim.protocol(net.client);
    assert_eq!(client.entries().count(), 3 + 256);
    assert_eq!(client.stats().overflowed, 3_000 - 256);
    // What is true stays as it is.
    let of = |number| {
        let entries = client.entries();
        let own = entries.filter(move |it| it.service.endpoint == endpoint(number));
        own.filter(|it| it.source.ip() != liar.ip()).count()
    };
    assert_eq!([of(0), of(1), of(2)], [1, 1, 1]);
}

fn peers() -> [SocketAddr; 4] {
    [
        ([239, 255, 255, 250], 3_702).into(),
        ([192, 0, 2, 1], 40_000).into(),
        ([192, 0, 2, 7], 3_702).into(),
        "[ff02::c%2]:3702".parse().expect("an address"),
    ]
}

/// XML as services might send it, and not.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("<?xml version='1.0' encoding='utf-8'?>"),
        Just("<!DOCTYPE a [<!ENTITY b 'b'>]>"),
        Just("<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope'"),
        Just(" xmlns:a='http://schemas.xmlsoap.org/ws/2004/08/addressing'"),
        Just(" xmlns:d='http://schemas.xmlsoap.org/ws/2005/04/discovery'>"),
        Just("<s:Header>"),
        Just("<a:MessageID>urn:uuid:1</a:MessageID>"),
        Just("</s:Header><s:Body>"),
        Just("<d:Hello><a:EndpointReference><a:Address>"),
        Just("</a:Address></a:EndpointReference>"),
        Just("<d:Types>d:A b:C</d:Types>"),
        Just("<d:Scopes MatchBy='&#27;[2J'>urn:&#155;</d:Scopes>"),
        Just("<d:MetadataVersion>99999999999999999999</d:MetadataVersion>"),
        Just("</d:Hello>"),
        Just("<d:Probe/>"),
        Just("</s:Body></s:Envelope>"),
        Just("&b;"),
        Just("<![CDATA["),
        Just("]]>"),
        Just("\u{1b}[2J"),
    ];
    let noise = prop::collection::vec(any::<u8>(), 0..10);
    let piece = prop_oneof![9 => piece.prop_map(|it| it.as_bytes().to_vec()), 1 => noise];
    prop::collection::vec(piece, 0..25).prop_map(|pieces| pieces.concat())
}

/// Whether a terminal might obey anything in a message, as it is shown for debugging but for what that escapes.
fn drives(message: &Message) -> bool {
    let services = match &message.body {
        Body::Hello(it) | Body::Bye(it) => vec![it.clone()],
        Body::ProbeMatches(all) => all.clone(),
        Body::ResolveMatches(one) => one.iter().cloned().collect(),
        Body::Probe(_) | Body::Resolve(_) => Vec::new(),
    };
    let texts = services.iter().flat_map(|it| {
        let names = it
            .types
            .iter()
            .flat_map(|name| [&name.namespace, &name.local]);
        names
            .chain(&it.scopes)
            .chain(&it.addresses)
            .chain([&it.endpoint])
    });
    let ids = [&message.id, &message.relates_to];
    let mut all = texts.chain(ids.into_iter().flatten());
    all.any(|text| text.contains(char::is_control))
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused_and_is_safe_to_show(payload in text()) {
        match parse(&payload) {
            Ok((message, _)) => prop_assert!(!drives(&message), "{message:?}"),
            Err(error) => prop_assert!(!error.to_string().contains(char::is_control)),
        }
    }

    #[test]
    fn what_is_read_is_read_again_as_it_was_emitted(
        types in prop::collection::vec(("urn:[a-z&<>]{0,5}", "[a-z]{1,5}"), 0..4),
        texts in prop::collection::vec("[!-~äß€]{1,20}", 1..6),
        metadata_version in any::<Option<u32>>(),
        version in prop_oneof![Just(Version::V2005_04), Just(Version::V1_1)],
    ) {
        let service = manycast_proto::ws_discovery::Service {
            endpoint: texts[0].clone(),
            types: types.into_iter().map(|(uri, local)| Name::new(uri, local)).collect(),
            scopes: texts.clone(),
            addresses: texts,
            metadata_version,
        };
        let message = Message::new(version, "urn:uuid:1", Body::ProbeMatches(vec![service]));
        let (read, _) = parse(&message.emit()).unwrap();
        prop_assert_eq!(read, message);
    }

    #[test]
    fn client_in_any_order(
        script in prop::collection::vec(any::<u8>(), 0..2_000),
        seed in any::<[u8; 32]>(),
        entries in 0..4_usize,
        listens in any::<bool>(),
    ) {
        let mut config = ClientConfig { entries, hosts: vec![peers()[2]], ..ClientConfig::default() };
        if listens {
            config.probes.clear();
        }
        any_order(&mut Client::new(config, seed), &script, &peers());
    }

    #[test]
    fn target_service_in_any_order(
        script in prop::collection::vec(any::<u8>(), 0..2_000),
        seed in any::<[u8; 32]>(),
        rate in prop_oneof![Just(0), Just(1), Just(u32::MAX)],
        pending in 0..4_usize,
    ) {
        let config = TargetServiceConfig {
            rate,
            pending,
            strangers: true,
            ..service(1, &["192.0.2.1"])
        };
        any_order(&mut TargetService::new(config, seed).unwrap(), &script, &peers());
    }
}
