//! Every protocol keeps its contract, whatever it is called with and in whatever order.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use manycast_lab::sim::any_order;
use manycast_proto::ask::{Client, ClientConfig, Responder, ResponderConfig, Responders};
use manycast_proto::measure::{Receiver, ReceiverConfig, Sender, SenderConfig};
use manycast_proto::{Combined, probe};
use manycast_types::Received;
use proptest::prelude::*;

/// Addresses that the protocols below deal with: the asked host, the asked group, and themselves.
fn peers() -> [SocketAddr; 5] {
    [
        ([192, 0, 2, 7], 8888).into(),
        ([239, 192, 0, 100], 8888).into(),
        ([192, 0, 2, 1], 8888).into(),
        ([192, 0, 2, 1], 40_000).into(),
        "[fe80::7%2]:8888".parse().expect("an address"),
    ]
}

/// Somewhere in time: a protocol needs an instant to begin with, and no other.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn script() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..2_000)
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        (1..5_000_u64).prop_map(Duration::from_millis),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..20)
}

proptest! {
    #[test]
    fn ask_client(
        which in 0..5_usize,
        question in bytes(),
        anyone in any::<bool>(),
        answers in prop::option::of(0..5_usize),
        timeout in duration(),
        retries in prop_oneof![0..4_u32, Just(u32::MAX)],
        backoff in prop_oneof![0..4_u32, Just(u32::MAX)],
        seed in any::<[u8; 32]>(),
        script in script(),
    ) {
        let config = ClientConfig {
            responders: if anyone { Responders::Anyone } else { Responders::Asked },
            answers,
            timeout,
            retries,
            backoff,
            ..ClientConfig::new(peers()[which], question)
        };
        any_order(&mut Client::new(config, seed), &script, &peers());
    }

    #[test]
    fn ask_responder(
        prefix in bytes(),
        rate in prop_oneof![0..4_u32, Just(u32::MAX)],
        burst in prop_oneof![0..4_u32, Just(u32::MAX)],
        patience in prop_oneof![0..100_u32, Just(u32::MAX)],
        sources in prop_oneof![0..4_usize, Just(usize::MAX)],
        script in script(),
    ) {
        let config = ResponderConfig {
            prefix: prefix.into(),
            rate,
            burst,
            patience,
            sources,
            own: vec![peers()[2].ip()],
            broadcasts: vec![[192, 0, 2, 255].into()],
        };
        any_order(&mut Responder::new(config), &script, &peers());
    }

    #[test]
    fn measure_sender(
        which in 0..5_usize,
        size in 0..2_000_usize,
        rate in prop::option::of(any::<u64>()),
        burst in duration(),
        duration in prop::option::of(duration()),
        count in prop::option::of(0..1_000_u64),
        script in script(),
    ) {
        let config = SenderConfig {
            size,
            rate,
            burst,
            duration,
            count,
            ..SenderConfig::new(peers()[which])
        };
        let mut sender = Sender::new(config, start(), SystemTime::UNIX_EPOCH);
        any_order(&mut sender, &script, &peers());
    }

    #[test]
    fn measure_receiver(
        interval in duration(),
        duration in prop::option::of(duration()),
        expect in prop::option::of(0..4_usize),
        max_streams in 0..4_usize,
        seed in any::<[u8; 32]>(),
        script in script(),
    ) {
        let config = ReceiverConfig { interval, duration, expect, max_streams };
        let mut receiver = Receiver::new(config, start(), SystemTime::UNIX_EPOCH, seed);
        any_order(&mut receiver, &script, &peers());
    }

    #[test]
    fn probe_client(which in 0..5_usize, group in 0..5_usize, seed in any::<[u8; 32]>(), script in script()) {
        let config = probe::ClientConfig {
            server: peers()[which],
            group: peers()[group],
            source: None,
            key: None,
        };
        any_order(&mut probe::Client::new(config, seed), &script, &peers());
    }

    #[test]
    fn probe_server(
        rate in prop_oneof![0..4_u32, Just(u32::MAX)],
        sessions in prop_oneof![0..4_usize, Just(usize::MAX)],
        seed in any::<[u8; 32]>(),
        script in script(),
    ) {
        let config = probe::ServerConfig { key: None, rate, sessions };
        any_order(&mut probe::Server::new(config, seed), &script, &peers());
    }

    #[test]
    fn two_combined(
        rate in prop::option::of(any::<u64>()),
        count in prop::option::of(0..1_000_u64),
        seed in any::<[u8; 32]>(),
        which in 0..5_u8,
        script in script(),
    ) {
        let config = SenderConfig { rate, count, ..SenderConfig::new(peers()[1]) };
        let sender = Sender::new(config, start(), SystemTime::UNIX_EPOCH);
        let server = probe::Server::new(probe::ServerConfig::default(), seed);
        let mut both = Combined::new(sender, server, move |datagram: &Received<'_>| {
            datagram.payload.first().is_some_and(|byte| byte % 5 < which)
        });
        any_order(&mut both, &script, &peers());
    }
}
