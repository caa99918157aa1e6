//! Services and those who search for them, on networks that lose, in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use manycast_lab::sim::{Endpoint, Link, Sim, any_order, seeds};
use manycast_proto::ws_discovery::{
    Body, Change, Client, ClientConfig, ClientEvent, Goodbye, LocalAddress, Location, Message,
    Name, Probe, TargetService, TargetServiceConfig, Version, device_type, groups, parse,
};
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

#[test]
fn ninety_nine_of_a_hundred_are_found_in_five_seconds_where_one_in_ten_is_lost() {
    let (mut runs, mut poor) = (0, 0);
    for seed in seeds(20) {
        let mut net = Net::new(seed, 100, 0.1, ClientConfig::default());
        net.sim.run_for(SECOND * 5);
        let found = net.found().len();
        assert!(found >= 98, "{found} of 100 with seed {seed}");
        poor += usize::from(found < 99);
        runs += 1;
    }
    assert!(poor * 100 <= runs, "{poor} of {runs}");
}
