//! Those who flood, forge and lie.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_lab::sim::{Link, seeds};
use manycast_proto::tftp::{
    ClientConfig, ErrorCode, FileRequest, Message, Mode, Multicast, Options, Refusal, Server,
    ServerConfig, ServerEvent,
};
use manycast_proto::{Output, Protocol};
use manycast_types::{InterfaceId, Received};

use super::many::by_multicast;
use super::{Net, SECOND};

pub(super) fn request(name: &str, options: Options) -> Bytes {
    Message::Request(FileRequest {
        write: false,
        name: Bytes::copy_from_slice(name.as_bytes()),
        mode: Mode::Octet,
        options,
    })
    .emit()
}

/// A host that answers nothing, and counts what comes.
#[derive(Debug, Default)]
struct Silent {
    datagrams: usize,
    bytes: usize,
    last: Option<Instant>,
}

impl Protocol for Silent {
    type Event = ();

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        self.datagrams += 1;
        self.bytes += datagram.payload.len();
        self.last = Some(now);
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        Output::Wait {
            until: None,
            reason: "a datagram",
        }
    }
}

/// What is stated in the documentation of the server: 4 times 516 bytes at most, the last after 7
/// seconds, and the request is forgotten after 15.
#[test]
fn the_answer_to_a_forged_request_is_bounded() {
    let greedy = Options {
        block_size: Some(65_464),
        window: Some(65_535),
        timeout: Some(255),
        transfer_size: Some(0),
        ..Options::default()
    };
    let together = Options {
        multicast: Some(Multicast::default()),
        ..greedy
    };
    // The first data packet, or the option acknowledgment: the request without the name and the mode,
    // with the size of the file, and the group.
    for (options, each) in [(Options::default(), 516), (greedy, 64), (together, 96)] {
        let mut net = Net::with(1, Link::default(), by_multicast());
        let attacker = net.host();
        let victim = net.sim.add_host(["10.0.9.9"]);
        let victim = net.sim.bind(victim, 5000, Silent::default());
        let source: SocketAddr = ([10, 0, 9, 9], 5000).into();
        let packet = request("100000.bin", options);
        let (server, start) = (net.server(), net.sim.now());
        net.sim.forge(attacker, source, server, packet);
        net.sim.run_for(SECOND * 16);
        let site = net.sim.protocol(net.server);
        assert_eq!(site.server.transfers(), 0, "it is forgotten");
        net.sim.run_for(SECOND * 60);
        let Silent {
            datagrams,
            bytes,
            last,
        } = net.sim.protocol(victim);
        assert_eq!(*datagrams, 4, "the first answer goes out four times");
        assert!(*bytes <= 4 * each, "{bytes} bytes, at most 4 times {each}");
        let last = last.expect("something came") - start;
        // There and back again take 2 ms.
        assert_eq!(last, Duration::from_millis(7_002));
    }
}

/// However many requests come at once, whoever was answered has its time to answer.
#[test]
fn a_burst_of_forged_requests_costs_a_client_nothing() {
    let link = Link {
        delay: Duration::from_millis(10),
        ..Link::default()
    };
    let config = ServerConfig {
        // The simulator is slow where a host has many ports.
        single_port: true,
        ..ServerConfig::default()
    };
    let elapsed = |forged: u32| {
        let mut net = Net::with(1, link, config.clone());
        let (attacker, server) = (net.host(), net.server());
        let get = net.get(net.config(100_000), 100_000);
        net.sim.run_for(Duration::from_millis(1));
        for number in 0..forged {
            let [_, b, c, d] = number.to_be_bytes();
            let source = ([11, b, c, d], 5000).into();
            let packet = request("100000.bin", Options::default());
            net.sim.forge(attacker, source, server, packet);
        }
        let elapsed = net.done(get).summary.elapsed;
        let stats = net.sim.protocol(net.server).server.stats();
        (elapsed, stats.passed_over)
    };
    let (quiet, _) = elapsed(0);
    // A thousand are kept, of which the client is one.
    assert_eq!(elapsed(3_000), (quiet, 2_001));
}

/// Requests for a multicast transfer are forgotten like others, and each of them ends once.
#[test]
fn a_flood_of_forged_requests_for_multicast_is_forgotten() {
    let config = ServerConfig {
        unconfirmed: 10,
        ..by_multicast()
    };
    let mut net = Net::with(1, Link::default(), config);
    let (attacker, server) = (net.host(), net.server());
    let options = Options {
        multicast: Some(Multicast::default()),
        ..Options::default()
    };
    for number in 0..500_u16 {
        let [c, d] = number.to_be_bytes();
        let source = ([11, 0, c, d], 5000).into();
        net.sim.forge(
            attacker,
            source,
            server,
            request("1000.bin", options.clone()),
        );
        net.sim.run_for(Duration::from_millis(10));
    }
    let most = net.sim.protocol(net.server).most;
    assert!(most <= 12, "{most} transfers");
    // The last ten are told four times each that they are to acknowledge, one after another.
    net.sim.run_for(SECOND * 150);
    let sent = net.sim.traffic().sent;
    net.sim.run_for(SECOND * 600);
    assert_eq!(
        net.sim.traffic().sent,
        sent,
        "none of them is answered still"
    );
    assert_eq!(net.sim.protocol(net.server).server.transfers(), 0);
}

/// Thirty thousand requests of forged sources in three seconds, and one client that is real.
#[test]
fn a_flood_of_forged_requests_drives_out_no_client() {
    let config = ServerConfig {
        // The simulator is slow where a host has many ports.
        single_port: true,
        ..ServerConfig::default()
    };
    let mut net = Net::with(1, Link::default(), config.clone());
    let attacker = net.host();
    let server = net.server();
    let quiet = {
        let mut net = Net::new(1, Link::default());
        let get = net.get(net.config(1_000_000), 1_000_000);
        net.done(get).summary.elapsed
    };
    let running = net.get(net.config(20_000_000), 20_000_000);
    let mut late = None;
    for round in 0..300_u32 {
        for index in 0..100_u32 {
            let number = round * 100 + index;
            let [_, b, c, d] = number.to_be_bytes();
            let source = ([11, b, c, d], 1_024 + u16::from_be_bytes([c, d]) % 50_000).into();
            net.sim.forge(
                attacker,
                source,
                server,
                request("1000000.bin", Options::default()),
            );
        }
        net.sim.run_for(Duration::from_millis(10));
        if round == 150 {
            late = Some(net.get(net.config(1_000_000), 1_000_000));
        }
    }
    let late = net.done(late.expect("it was begun"));
    assert!(late.summary.elapsed < quiet + SECOND, "{quiet:?} {late:?}");
    net.done(running);
    let site = net.sim.protocol(net.server);
    let most = config.unconfirmed + 4;
    assert!(site.most <= most, "{} transfers, at most {most}", site.most);
    net.sim.run_for(SECOND * 60);
    assert_eq!(net.sim.protocol(net.server).server.transfers(), 0);
}

#[test]
fn one_address_has_its_share_and_no_more() {
    let config = ServerConfig {
        per_address: 3,
        ..ServerConfig::default()
    };
    let link = Link {
        delay: Duration::from_millis(20),
        ..Link::default()
    };
    let mut net = Net::with(1, link, config);
    let host = net.host();
    let config = net.config(2_000_000);
    let mut gets = Vec::new();
    for _ in 0..5 {
        let transfer = super::site::Transfer::read(config.clone(), 2_000_000);
        gets.push(net.sim.bind(host, 0, transfer));
        net.sim.run_for(Duration::from_millis(100));
    }
    let other = net.get(config, 2_000_000);
    let results: Vec<bool> = gets
        .iter()
        .map(|get| net.end(*get).result.is_ok())
        .collect();
    assert_eq!(results.iter().filter(|ok| **ok).count(), 3, "{results:?}");
    net.done(other);
}

/// RFC 1350 §4: packets of another source are answered with error 5, and change nothing.
#[test]
fn strangers_change_nothing() {
    for seed in seeds(5) {
        let mut net = Net::new(
            seed,
            Link {
                delay: Duration::from_millis(5),
                ..Link::default()
            },
        );
        let host = net.host();
        let config = net.config(500_000);
        let get = super::site::Transfer::read(config, 500_000);
        let get = net.sim.bind(host, 40_000, get);
        let attacker = net.host();
        // Before the server has answered, nobody knows which port is the right one.
        net.sim.run_for(Duration::from_millis(15));
        let client: SocketAddr = ([10, 0, 0, 2], 40_000).into();
        for round in 0..2_000_u16 {
            net.sim.run_for(Duration::from_micros(500));
            let wrong_port = ([10, 0, 0, 1], 1_000 + round).into();
            let wrong_host = ([10, 0, 0, 3], 69).into();
            for source in [wrong_port, wrong_host] {
                let refusal = Refusal::new(ErrorCode::DiskFull, "no");
                let packet = match round % 3 {
                    0 => Message::Data {
                        block: round,
                        payload: b"wrong",
                    }
                    .emit(),
                    1 => Message::Acknowledgment { block: round }.emit(),
                    _ => Message::Error(refusal).emit(),
                };
                net.sim.forge(attacker, source, client, packet);
            }
        }
        net.done(get);
    }
}

#[test]
fn nonsense_is_counted_and_nothing_else() {
    let mut net = Net::new(1, Link::default());
    let attacker = net.host();
    let server = net.server();
    let source = ([10, 0, 0, 2], 4_000).into();
    let packets: [&[u8]; 9] = [
        b"",
        b"\0",
        b"\0\x01",
        b"\0\x01name",
        b"\0\x01name\0octet",
        b"\0\x09\0\0",
        b"\0\x03\0",
        b"\0\x04",
        b"\xff\xff\xff\xff",
    ];
    for packet in packets {
        net.sim.forge(attacker, source, server, packet.to_vec());
    }
    net.sim.run_for(SECOND);
    let stats = net.sim.protocol(net.server).server.stats();
    assert_eq!((stats.malformed, stats.requests), (9, 0));
    assert_eq!(net.sim.traffic().sent, 9, "nonsense is not answered");
    // Values that make no sense are left out, and the file comes.
    let config = ClientConfig {
        block_size: Some(8),
        ..net.config(1_000)
    };
    let get = net.get(config, 1_000);
    net.done(get);
}

/// A server with one port, alone with one peer.
struct Alone {
    server: Server,
    now: Instant,
    interface: InterfaceId,
    /// What it has sent, and how many bytes it has handed over to be written.
    sent: Vec<Bytes>,
    written: usize,
}

impl Alone {
    /// One that was asked to take a file, and has granted it.
    fn asked(options: Options) -> Self {
        let config = ServerConfig {
            single_port: true,
            ..ServerConfig::default()
        };
        // It starts at no time in particular.
        #[expect(clippy::disallowed_methods)]
        let now = Instant::now();
        let mut alone = Self {
            server: Server::new(config),
            now,
            interface: InterfaceId::new(2, "eth0"),
            sent: Vec::new(),
            written: 0,
        };
        alone.server.start(now);
        let request = Message::Request(FileRequest {
            write: true,
            name: Bytes::from_static(b"file"),
            mode: Mode::Octet,
            options,
        });
        alone.hear(&request);
        alone
    }

    /// A packet of the peer comes. Nothing is ever written.
    fn hear(&mut self, message: &Message<'_>) {
        self.hear_packet(&message.emit());
    }

    fn hear_packet(&mut self, packet: &[u8]) {
        let (peer, own) = (([10, 0, 0, 9], 5000).into(), ([10, 0, 0, 1], 69).into());
        let received = Received::new(packet, peer, own, &self.interface);
        self.server.handle_datagram(self.now, received);
        loop {
            match self.server.poll_output(self.now) {
                Output::Transmit(transmit) => self.sent.push(transmit.payload),
                Output::Event(ServerEvent::Requested { id, .. }) => {
                    self.server.accept(self.now, id, None, 0);
                }
                Output::Event(ServerEvent::Write { bytes, .. }) => self.written += bytes.len(),
                Output::Wait { .. } | Output::Finished => return,
                _ => {}
            }
        }
    }
}

/// Who sends on without waiting for acknowledgments takes a bounded place: what waits to be written is a
/// window, and a quarter of a mebibyte at least, and what comes meanwhile.
#[test]
fn who_waits_for_no_acknowledgment_takes_a_bounded_place() {
    let options = Options {
        block_size: Some(1024),
        window: Some(64),
        ..Options::default()
    };
    let mut alone = Alone::asked(options);
    let payload = [7; 1024];
    for block in 1..10_000 {
        let payload = &payload[..];
        alone.hear(&Message::Data { block, payload });
    }
    assert!(alone.written > 256 << 10, "{}", alone.written);
    assert!(alone.written < 512 << 10, "{}", alone.written);
}

/// A forged request may come from the port of a service that sends back what it gets: the answer is not
/// answered.
#[test]
fn an_answer_that_comes_back_is_not_answered() {
    let options = Options {
        block_size: Some(1024),
        ..Options::default()
    };
    let mut alone = Alone::asked(options);
    assert_eq!(alone.sent.len(), 1);
    let answer = alone.sent[0].clone();
    for _ in 0..100 {
        alone.now += Duration::from_micros(10);
        alone.hear_packet(&answer);
    }
    assert_eq!(alone.sent.len(), 1);
}
