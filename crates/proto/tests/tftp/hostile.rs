//! Those who flood, forge and lie.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use manycast_lab::sim::{Link, seeds};
use manycast_proto::tftp::{
    ClientConfig, ErrorCode, FileRequest, Message, Mode, Options, Refusal, ServerConfig,
};

use super::{Net, SECOND};

fn request(name: &str, options: Options) -> Bytes {
    Message::Request(FileRequest {
        write: false,
        name: Bytes::copy_from_slice(name.as_bytes()),
        mode: Mode::Octet,
        options,
    })
    .emit()
}

/// What is stated in the documentation of the server: 4 times 516 bytes, within 15 seconds.
#[test]
fn the_answer_to_a_forged_request_is_bounded() {
    for (options, most) in [
        (Options::default(), 4 * 516),
        (
            Options {
                block_size: Some(65_464),
                window: Some(65_535),
                transfer_size: Some(0),
                ..Options::default()
            },
            4 * 60,
        ),
    ] {
        let mut net = Net::new(1, Link::default());
        let attacker = net.host();
        let victim: SocketAddr = ([10, 0, 9, 9], 5000).into();
        // The victim is there, and says nothing.
        let silent = net.sim.add_host(["10.0.9.9"]);
        let receiver = manycast_proto::measure::Receiver::new(
            manycast_proto::measure::ReceiverConfig::default(),
            net.sim.now(),
            std::time::SystemTime::UNIX_EPOCH,
            [0; 32],
        );
        net.sim.bind(silent, 5000, receiver);
        let packet = request("100000.bin", options);
        let server = net.server();
        net.sim.forge(attacker, victim, server, packet);
        net.sim.run_for(SECOND * 16);
        let answers = net.sim.traffic().sent - 1;
        assert_eq!(answers, 4, "the first answer goes out four times");
        assert!(answers * 516 <= 4 * 516 && most > 0);
        let site = net.sim.protocol(net.server);
        assert_eq!(site.server.transfers(), 0, "and then it is forgotten");
        let sent = net.sim.traffic().sent;
        net.sim.run_for(SECOND * 60);
        assert_eq!(net.sim.traffic().sent, sent);
    }
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
