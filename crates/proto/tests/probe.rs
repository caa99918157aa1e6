//! Two ends on a network that loses, delays, doubles and reorders.

use std::net::SocketAddr;
use std::time::Duration;

use manycast_lab::sim::{Endpoint, Host, Link, Sim, seeds};
use manycast_proto::probe::{
    Burst, Client, ClientConfig, ClientEvent, Counts, Finding, Inquiry, Key, Refusal, Report,
    Round, Server, ServerConfig, ServerEvent,
};
use manycast_types::Group;

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 1], 49_366);
const GROUP: [u8; 4] = [239, 1, 2, 3];
const PORT: u16 = 5000;

/// A client and a server, and what a driver does for them.
struct Net {
    sim: Sim,
    server_host: Host,
    client: Endpoint<Client>,
    server: Endpoint<Server>,
    /// Events of both that are dealt with.
    served: usize,
    told_of: usize,
}

impl Net {
    fn new(seed: u64, link: Link) -> Self {
        let mut sim = Sim::new(seed);
        sim.set_links(link);
        let hosts = ["10.0.0.1", "10.0.0.2"].map(|address| sim.add_host([address]));
        let key = Some(Key::new("secret"));
        let config = ServerConfig {
            key: key.clone(),
            ..ServerConfig::default()
        };
        let server = Server::new(config, sim.seed());
        let server = sim.bind(hosts[0], SERVER.1, server);
        let config = ClientConfig {
            server: SERVER.into(),
            group: group(),
            source: None,
            key,
        };
        let client = Client::new(config, sim.seed());
        let client = sim.bind(hosts[1], 40_000, client);
        Self {
            sim,
            server_host: hosts[0],
            client,
            server,
            served: 0,
            told_of: 0,
        }
    }

    /// Lets time pass until the client has something to tell; the host of the server finds `report`
    /// on itself.
    fn next(&mut self, report: &Report) -> ClientEvent {
        for _ in 0..100_000 {
            if let Some((_, event)) = self.sim.events(self.client).get(self.told_of) {
                self.told_of += 1;
                return event.clone();
            }
            if let Some((_, event)) = self.sim.events(self.server).get(self.served) {
                let event = event.clone();
                self.served += 1;
                self.serve(event, report);
            } else {
                assert!(self.sim.step(), "nothing happens any more");
            }
        }
        panic!("it has no end");
    }

    fn serve(&mut self, event: ServerEvent, report: &Report) {
        match event {
            ServerEvent::Watch(inquiry) => self.command(|server| server.watching(&inquiry)),
            // As a host does that tries its firewall.
            ServerEvent::Examine { inquiry, .. } => {
                self.command(|server| assert!(server.suspend(&inquiry)));
            }
            ServerEvent::Suspended(inquiry) => {
                self.command(|server| server.examined(&inquiry, report));
            }
            _ => {}
        }
    }

    /// What the server tells of its own doing.
    fn told(&self, what: impl Fn(&ServerEvent) -> bool) -> usize {
        let events = self.sim.events(self.server).iter();
        events.filter(|(_, event)| what(event)).count()
    }

    fn command(&mut self, command: impl FnOnce(&mut Server)) {
        self.sim.command(self.server, |server, _| command(server));
    }
}

fn group() -> SocketAddr {
    (GROUP, PORT).into()
}

/// Another client, on a host of its own.
fn other(net: &mut Net) -> Endpoint<Client> {
    let host = net.sim.add_host(["10.0.0.3"]);
    let config = ClientConfig {
        server: SERVER.into(),
        group: group(),
        source: None,
        key: Some(Key::new("secret")),
    };
    let client = Client::new(config, net.sim.seed());
    net.sim.bind(host, 40_000, client)
}

/// Has the client ask for an examination, and gives what the server asks its host.
fn examination(net: &mut Net) -> Inquiry {
    net.sim
        .command(net.client, |client, now| client.examine(now));
    net.sim.run_for(Duration::from_millis(100));
    let events = net.sim.events(net.server).iter();
    let mut asked = events.filter_map(|(_, event)| match event {
        ServerEvent::Examine { inquiry, .. } => Some(inquiry.clone()),
        _ => None,
    });
    asked.next_back().expect("the host is asked")
}

/// What a client was told, and what it has counted of a round of 10 to the group.
fn count_of_a_round(net: &mut Net, client: Endpoint<Client>) -> Option<ClientEvent> {
    let round = Round {
        to_group: true,
        interface: None,
        source: None,
        count: 10,
        size: 200,
        hops: 1,
    };
    net.sim
        .command(client, |client, now| client.send(now, round));
    net.sim.run_for(Duration::from_secs(2));
    let last = net.sim.events(client).last();
    last.map(|(_, event)| event.clone())
}

fn all_of_a_round() -> ClientEvent {
    let counts = Counts { group: 10, host: 0 };
    ClientEvent::Counted {
        counts,
        not_sent: None,
    }
}

/// A host that sends to itself is not disturbed by who comes meanwhile, and loses them nothing.
#[test]
fn who_comes_while_a_group_is_left_begins_when_it_is_joined_again() {
    let mut net = Net::new(1, Link::default());
    assert_eq!(net.next(&Report::default()), ClientEvent::Welcome);
    let inquiry = examination(&mut net);
    assert!(
        net.sim
            .command(net.server, |server, _| server.suspend(&inquiry))
    );
    net.sim.run_for(Duration::from_millis(100));
    let other = other(&mut net);
    let joined = |net: &Net| net.told(|event| matches!(event, ServerEvent::Joined { .. }));
    // It says hello again and again.
    net.sim.run_for(Duration::from_secs(2));
    assert_eq!((joined(&net), net.sim.events(other).len()), (1, 0));
    net.command(|server| server.examined(&inquiry, &Report::default()));
    net.sim.run_for(Duration::from_millis(100));
    let told: Vec<_> = net.sim.events(other).iter().map(|(_, it)| it).collect();
    assert_eq!((joined(&net), told), (2, vec![&ClientEvent::Welcome]));
    assert_eq!(count_of_a_round(&mut net, other), Some(all_of_a_round()));
}

/// Rounds are counted also where the host is not watched for who sends them.
#[test]
fn a_group_that_others_have_agreed_on_is_not_left() {
    let mut net = Net::new(1, Link::default());
    assert_eq!(net.next(&Report::default()), ClientEvent::Welcome);
    let other = other(&mut net);
    net.sim.run_for(Duration::from_secs(1));
    let inquiry = examination(&mut net);
    assert!(
        !net.sim
            .command(net.server, |server, _| server.suspend(&inquiry))
    );
    assert_eq!(count_of_a_round(&mut net, other), Some(all_of_a_round()));
}

/// A report of several pieces.
fn report() -> Report {
    let finding = Finding {
        code: "firewall-drops".to_owned(),
        title: "a firewall of this host drops it".to_owned(),
        evidence: vec!["x".repeat(900); 10],
        ..Finding::default()
    };
    Report {
        findings: vec![finding],
        ..Report::default()
    }
}

/// A link that does everything to a datagram that a network can, and loses this part of them.
fn rough(loss: f64) -> Link {
    Link {
        loss,
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(30),
        duplicate: 0.1,
        reorder: 0.1,
        hold: Duration::from_millis(50),
        ..Link::default()
    }
}

#[test]
fn a_report_comes_whole_or_not_at_all() {
    let mut whole = 0;
    for seed in seeds(200) {
        let mut net = Net::new(seed, rough(0.2));
        let told = net.next(&report());
        if told != ClientEvent::Welcome {
            assert_eq!(told, ClientEvent::Silent);
            continue;
        }
        net.sim.command(net.client, Client::watch);
        assert_eq!(net.next(&report()), ClientEvent::Watching);
        net.sim
            .command(net.client, |client, now| client.examine(now));
        match net.next(&report()) {
            ClientEvent::Examined(told) => {
                assert_eq!(told, report());
                whole += 1;
            }
            told => assert_eq!(told, ClientEvent::Silent),
        }
        let examined = net.told(|event| matches!(event, ServerEvent::Examine { .. }));
        assert_eq!(examined, 1, "however often it was asked for");
    }
    assert!(whole > 190, "only {whole} reports came");
}

/// Both ends join the group, send to it and to one another by themselves, each request of the driver's
/// in its turn.
#[test]
fn what_is_late_or_doubled_counts_once_and_is_not_lost() {
    for seed in seeds(100) {
        let mut net = Net::new(seed, rough(0.0));
        assert_eq!(net.next(&Report::default()), ClientEvent::Welcome);
        net.sim.command(net.client, |client, _| {
            client.join(Group::new(GROUP.into()));
        });
        assert_eq!(net.next(&Report::default()), ClientEvent::Joined);
        for to_group in [false, true] {
            let burst = Burst {
                to_group,
                by_route: true,
                count: 64,
                size: 200,
                hops: 1,
                source: None,
            };
            net.sim
                .command(net.client, |client, now| client.request(now, burst));
            let [group, host] = if to_group { [64, 0] } else { [0, 64] };
            let all = Counts { group, host };
            assert_eq!(net.next(&Report::default()), ClientEvent::Came(all));

            let round = Round {
                to_group,
                interface: None,
                source: None,
                count: 64,
                size: 200,
                hops: 1,
            };
            net.sim
                .command(net.client, |client, now| client.send(now, round));
            let counted = ClientEvent::Counted {
                counts: all,
                not_sent: None,
            };
            assert_eq!(net.next(&Report::default()), counted);
        }
        assert_eq!(
            net.told(|event| matches!(event, ServerEvent::Sent { .. })),
            2
        );

        // Who leaves lets the other leave the group, unless that word is lost.
        net.sim.stop(net.client);
        net.sim.run_for(Duration::from_secs(61));
        assert_eq!(
            net.told(|event| matches!(event, ServerEvent::Left { .. })),
            1
        );
    }
}

/// A source that the host does not have: it cannot open a socket for it, and says which it was.
#[test]
fn a_source_that_the_host_does_not_have_is_refused() {
    let mut net = Net::new(1, Link::default());
    assert_eq!(net.next(&Report::default()), ClientEvent::Welcome);
    let burst = |last| Burst {
        to_group: true,
        by_route: true,
        count: 1,
        size: 200,
        hops: 1,
        source: Some([10, 0, 0, last].into()),
    };
    for (last, told) in [
        (77, ClientEvent::Refused(Refusal::Source)),
        (1, ClientEvent::Came(Counts::default())),
    ] {
        net.sim
            .command(net.client, |client, now| client.request(now, burst(last)));
        assert_eq!(
            net.next(&Report::default()),
            told,
            "nobody has joined it there"
        );
    }
}

#[test]
fn a_server_that_dies_is_told_of_within_ten_seconds() {
    for seed in seeds(20) {
        let mut net = Net::new(seed, Link::default());
        assert_eq!(net.next(&Report::default()), ClientEvent::Welcome);
        net.sim.partition([net.server_host]);
        net.sim
            .command(net.client, |client, now| client.examine(now));
        let before = net.sim.elapsed();
        assert_eq!(net.next(&Report::default()), ClientEvent::Silent);
        assert!(net.sim.elapsed() - before < Duration::from_secs(10));
    }
}
