//! TFTP on networks that lose, delay, reorder and double what they carry, and among those who lie.

mod again;
mod any_order;
mod hostile;
mod loss;
mod many;
mod obliging;
mod site;
mod speed;

use std::net::SocketAddr;
use std::time::Duration;

use manycast_lab::sim::{Endpoint, Host, Link, Sim};
use manycast_proto::tftp::{ClientConfig, PORT, ServerConfig};

use site::{Ending, Site, Transfer};

const SECOND: Duration = Duration::from_secs(1);

/// A server, and hosts beside it.
struct Net {
    sim: Sim,
    server_host: Host,
    server: Endpoint<Site>,
    hosts: u8,
}

impl Net {
    fn new(seed: u64, link: Link) -> Self {
        Self::with(seed, link, ServerConfig::default())
    }

    fn with(seed: u64, link: Link, config: ServerConfig) -> Self {
        let mut sim = Sim::new(seed);
        sim.set_links(link);
        let server_host = sim.add_host(["10.0.0.1"]);
        let server = sim.bind(server_host, PORT, Site::new(config));
        Self {
            sim,
            server_host,
            server,
            hosts: 1,
        }
    }

    fn server(&self) -> SocketAddr {
        ([10, 0, 0, 1], PORT).into()
    }

    fn host(&mut self) -> Host {
        self.hosts += 1;
        let address = format!("10.0.0.{}", self.hosts);
        self.sim.add_host([address.as_str()])
    }

    /// How to transfer a file of so many bytes.
    fn config(&self, length: u64) -> ClientConfig {
        ClientConfig::new(self.server(), format!("{length}.bin"))
    }

    fn get(&mut self, config: ClientConfig, length: u64) -> Endpoint<Transfer> {
        let host = self.host();
        self.sim.bind(host, 0, Transfer::read(config, length))
    }

    fn put(&mut self, mut config: ClientConfig, length: u64) -> Endpoint<Transfer> {
        let host = self.host();
        config.transfer_size = Some(length);
        self.sim.bind(host, 0, Transfer::write(config, length))
    }

    /// Runs until a transfer has ended, and says how.
    fn end(&mut self, transfer: Endpoint<Transfer>) -> Ending {
        let limit = self.sim.elapsed() + SECOND * 3_600;
        self.sim
            .run_until(limit, |sim| !sim.events(transfer).is_empty());
        let events = self.sim.events(transfer);
        let (_, ending) = events.first().expect("it comes to an end within an hour");
        ending.clone()
    }

    /// Runs until a transfer has ended well.
    fn done(&mut self, transfer: Endpoint<Transfer>) -> Ending {
        let ending = self.end(transfer);
        assert_eq!(ending.result, Ok(()), "{ending:?}");
        ending
    }
}
