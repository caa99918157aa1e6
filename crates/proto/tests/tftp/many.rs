//! Many clients at once, each by itself or by multicast.

use std::net::IpAddr;
use std::time::Duration;

use manycast_lab::sim::{Link, Sim, seeds};
use manycast_proto::tftp::{ClientConfig, PORT, ServerConfig};

use super::site::{Site, Transfer};
use super::{Net, SECOND};

pub(super) fn by_multicast() -> ServerConfig {
    ServerConfig {
        groups: vec![
            IpAddr::from([239, 255, 0, 1]),
            IpAddr::from([239, 255, 0, 2]),
        ],
        ..ServerConfig::default()
    }
}

/// A thousand transfers at once in one server.
#[test]
fn a_thousand_at_once() {
    let mut sim = Sim::new(1);
    sim.set_links(Link {
        loss: 0.01,
        delay: Duration::from_millis(5),
        ..Link::default()
    });
    let host = sim.add_host(["10.0.0.1"]);
    let server = sim.bind(host, PORT, Site::new(ServerConfig::default()));
    let config = ClientConfig::new(([10, 0, 0, 1], PORT).into(), "50000.bin");
    let clients: Vec<_> = (0..1_000_u16)
        .map(|index| {
            let [high, low] = index.to_be_bytes();
            let host = sim.add_host([format!("10.1.{high}.{low}").as_str()]);
            // The limit of those that have not answered is met, so that some ask twice.
            sim.bind(host, 0, Transfer::read(config.clone(), 50_000))
        })
        .collect();
    sim.run_until(SECOND * 600, |sim| {
        clients.iter().all(|client| !sim.events(*client).is_empty())
    });
    for client in clients {
        assert!(
            sim.protocol(client).sink.is_stored(),
            "{:?}",
            sim.events(client)
        );
    }
    assert!(sim.protocol(server).most > 200);
}

#[test]
fn eight_by_multicast_cost_little_more_than_one() {
    let length = 2_000_000;
    let sent = |clients: usize| {
        let mut net = Net::with(
            1,
            Link {
                delay: Duration::from_millis(1),
                ..Link::default()
            },
            by_multicast(),
        );
        let config = ClientConfig {
            multicast: true,
            ..net.config(length)
        };
        let gets: Vec<_> = (0..clients)
            .map(|_| net.get(config.clone(), length))
            .collect();
        for get in gets {
            net.done(get);
        }
        net.sim.traffic().sent
    };
    let (one, eight) = (sent(1), sent(8));
    assert!(eight < one * 13 / 10, "{one} for one, {eight} for eight");
}

#[test]
fn a_group_gets_the_file_through_loss_and_late_comers_too() {
    for seed in seeds(5) {
        let link = Link {
            loss: 0.05,
            delay: Duration::from_millis(2),
            ..Link::default()
        };
        let mut net = Net::with(seed, link, by_multicast());
        let config = ClientConfig {
            multicast: true,
            ..net.config(500_000)
        };
        let mut gets = Vec::new();
        for _ in 0..6 {
            gets.push(net.get(config.clone(), 500_000));
            net.sim.run_for(Duration::from_millis(15));
        }
        for get in gets {
            net.done(get);
        }
        net.sim.run_for(SECOND * 60);
        assert_eq!(net.sim.protocol(net.server).server.transfers(), 0);
    }
}

#[test]
fn the_others_go_on_when_the_one_that_acknowledges_is_gone() {
    let mut net = Net::with(
        1,
        Link {
            delay: Duration::from_millis(5),
            ..Link::default()
        },
        by_multicast(),
    );
    let config = ClientConfig {
        multicast: true,
        ..net.config(3_000_000)
    };
    let first = net.get(config.clone(), 3_000_000);
    net.sim.run_for(Duration::from_millis(50));
    let second = net.get(config.clone(), 3_000_000);
    net.sim.run_for(Duration::from_millis(50));
    // It is cut off without a word.
    let host = net.sim.add_host(["10.9.9.9"]);
    let _ = host;
    net.sim.stop(first);
    net.done(second);
    let third = net.get(config, 3_000_000);
    net.done(third);
}

#[test]
fn whoever_did_not_ask_for_multicast_gets_the_file_alone() {
    let mut net = Net::with(1, Link::default(), by_multicast());
    let together = ClientConfig {
        multicast: true,
        ..net.config(300_000)
    };
    let a = net.get(together, 300_000);
    let b = net.get(net.config(300_000), 300_000);
    net.done(a);
    net.done(b);
}
