//! Two ends on a network that loses, delays, doubles and reorders.

use std::net::SocketAddr;
use std::time::Duration;

use manycast_lab::sim::{Endpoint, Host, Link, Sim, seeds};
use manycast_proto::probe::{
    Burst, Client, ClientConfig, ClientEvent, Counts, Finding, Key, Report, Server, ServerConfig,
    ServerEvent,
};

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 1], 49_366);
const GROUP: [u8; 4] = [239, 1, 2, 3];
const PORT: u16 = 5000;

/// A client and a server, and what a driver does for them.
struct Net {
    sim: Sim,
    hosts: [Host; 2],
    client: Endpoint<Client>,
    server: Endpoint<Server>,
    /// Events of both that are dealt with.
    served: usize,
    heard: usize,
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
            hosts,
            client,
            server,
            served: 0,
            heard: 0,
        }
    }

    /// Lets time pass until the client has something to tell; the host of the server does what it
    /// is asked for, and finds `report` on itself.
    fn next(&mut self, report: &Report) -> ClientEvent {
        for _ in 0..100_000 {
            if let Some((_, event)) = self.sim.events(self.client).get(self.heard) {
                self.heard += 1;
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
        let host = self.hosts[0];
        match event {
            ServerEvent::Send(order) => {
                for index in 0..order.burst.count {
                    let datagram = order.datagram(index);
                    self.sim.forge(host, SERVER.into(), order.to, datagram);
                }
                self.command(|server| server.sent(&order, Ok(())));
            }
            ServerEvent::Watch(inquiry) => self.command(|server| server.watching(&inquiry)),
            ServerEvent::Examine { inquiry, .. } => {
                self.command(|server| server.examined(&inquiry, report));
            }
            ServerEvent::Join { .. } | ServerEvent::Leave { .. } => {}
        }
    }

    fn command(&mut self, command: impl FnOnce(&mut Server)) {
        self.sim.command(self.server, |server, _| command(server));
    }
}

fn group() -> SocketAddr {
    (GROUP, PORT).into()
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
            .command(net.client, |client, now| client.examine(now, 0, 20));
        match net.next(&report()) {
            ClientEvent::Examined(told) => {
                assert_eq!(told, report());
                whole += 1;
            }
            told => assert_eq!(told, ClientEvent::Silent),
        }
        let asked = net.sim.events(net.server).iter();
        let examined = asked.filter(|(_, event)| matches!(event, ServerEvent::Examine { .. }));
        assert_eq!(examined.count(), 1, "however often it was asked for");
    }
    assert!(whole > 190, "only {whole} reports came");
}

#[test]
fn what_is_late_or_doubled_counts_once_and_is_not_lost() {
    for seed in seeds(100) {
        let mut net = Net::new(seed, rough(0.0));
        assert_eq!(net.next(&Report::default()), ClientEvent::Welcome);
        let burst = Burst {
            to_group: false,
            by_route: true,
            count: 64,
            size: 200,
            hops: 1,
            source: None,
        };
        net.sim
            .command(net.client, |client, now| client.request(now, burst));
        let all = Counts { group: 0, host: 64 };
        assert_eq!(net.next(&Report::default()), ClientEvent::Came(all));

        let (host, server) = (net.hosts[1], SERVER.into());
        let (round, datagrams) = net.sim.command(net.client, |client, _| {
            let round = client.begin_round();
            let datagrams: Vec<_> = (0..64)
                .map(|index| client.datagram(round, index, 200))
                .collect();
            (round, datagrams)
        });
        for datagram in datagrams {
            net.sim
                .forge(host, ([10, 0, 0, 2], 40_000).into(), server, datagram);
        }
        net.sim
            .command(net.client, |client, now| client.count(now, round, 64));
        assert_eq!(net.next(&Report::default()), ClientEvent::Counted(all));
    }
}

#[test]
fn a_server_that_dies_is_told_of_within_ten_seconds() {
    for seed in seeds(20) {
        let mut net = Net::new(seed, Link::default());
        assert_eq!(net.next(&Report::default()), ClientEvent::Welcome);
        net.sim.partition([net.hosts[0]]);
        net.sim
            .command(net.client, |client, now| client.examine(now, 0, 0));
        let before = net.sim.elapsed();
        assert_eq!(net.next(&Report::default()), ClientEvent::Silent);
        assert!(net.sim.elapsed() - before < Duration::from_secs(10));
    }
}
