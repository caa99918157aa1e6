//! One client, and a network that is not kind.

use std::time::Duration;

use manycast_lab::sim::{Link, seeds};
use manycast_proto::tftp::{ClientConfig, ErrorCode, Failure, RollOver, ServerConfig};

use super::site::Transfer;
use super::{Net, SECOND};

const MILLISECOND: Duration = Duration::from_millis(1);

/// As RFC 1350 has it: 512 bytes at a time, and no options.
fn plain(config: ClientConfig) -> ClientConfig {
    ClientConfig {
        block_size: None,
        window: None,
        timeout: None,
        transfer_size: None,
        ..config
    }
}

#[test]
fn files_of_every_length_go_over_in_both_directions() {
    for length in [
        0,
        1,
        511,
        512,
        513,
        1_427,
        1_428,
        1_429,
        100_000,
        1_428 * 64,
    ] {
        for is_plain in [false, true] {
            let mut net = Net::new(1, Link::default());
            let mut config = net.config(length);
            if is_plain {
                config = plain(config);
            }
            let get = net.get(config.clone(), length);
            let put = net.put(config, length);
            let (got, wrote) = (net.done(get), net.done(put));
            assert_eq!((got.summary.bytes, wrote.summary.bytes), (length, length));
            assert!(net.sim.protocol(get).sink.is_stored());
            net.sim.run_for(SECOND * 60);
            let site = net.sim.protocol(net.server);
            assert_eq!((site.stored, site.server.stats().completed), (1, 2));
            assert_eq!(site.server.transfers(), 0, "nothing is left behind");
        }
    }
}

#[test]
fn nothing_is_sent_twice_where_nothing_is_lost() {
    for length in [100, 1_000_000] {
        let mut net = Net::new(
            1,
            Link {
                delay: 20 * MILLISECOND,
                ..Link::default()
            },
        );
        let get = net.get(net.config(length), length);
        let put = net.put(net.config(length), length);
        for transfer in [get, put] {
            let ending = net.done(transfer);
            assert_eq!(
                (ending.summary.again, ending.summary.timeouts),
                (0, 0),
                "{ending:?}"
            );
        }
    }
}

#[test]
fn loss_from_0_to_30_percent() {
    for seed in seeds(5) {
        for percent in [0_u8, 1, 5, 10, 20, 30] {
            for window in [1, 4, 64] {
                let link = Link {
                    loss: f64::from(percent) / 100.0,
                    delay: 5 * MILLISECOND,
                    ..Link::default()
                };
                let mut net = Net::new(seed, link);
                let config = ClientConfig {
                    window: Some(window),
                    ..net.config(200_000)
                };
                let get = net.get(config.clone(), 200_000);
                let put = net.put(config, 200_000);
                let got = net.done(get);
                net.done(put);
                if percent == 1 && window == 64 {
                    assert!(got.summary.elapsed < SECOND * 2, "{got:?}");
                }
            }
        }
    }
}

#[test]
fn reordering_duplication_and_jitter() {
    for seed in seeds(10) {
        let link = Link {
            loss: 0.02,
            delay: MILLISECOND,
            jitter: 20 * MILLISECOND,
            duplicate: 0.2,
            reorder: 0.2,
            hold: 30 * MILLISECOND,
            ..Link::default()
        };
        let mut net = Net::new(seed, link);
        let get = net.get(net.config(300_000), 300_000);
        let put = net.put(net.config(300_000), 300_000);
        net.done(get);
        net.done(put);
    }
}

#[test]
fn delays_from_0_to_500_ms() {
    for delay in [0, 1, 50, 200, 500] {
        let link = Link {
            delay: MILLISECOND * delay,
            jitter: MILLISECOND * delay / 2,
            loss: 0.01,
            ..Link::default()
        };
        for seed in seeds(3) {
            let mut net = Net::new(seed, link);
            let get = net.get(net.config(200_000), 200_000);
            let put = net.put(net.config(200_000), 200_000);
            net.done(get);
            net.done(put);
        }
    }
}

/// RFC 1123 §4.2.3.1: where every packet comes twice, no block may be sent twice for it.
#[test]
fn the_sorcerers_apprentice_finds_no_work() {
    for window in [1, 8, 64] {
        for delay in [1, 40] {
            let link = Link {
                duplicate: 1.0,
                delay: MILLISECOND * delay,
                ..Link::default()
            };
            let mut net = Net::new(1, link);
            let config = ClientConfig {
                window: Some(window),
                ..net.config(500_000)
            };
            let get = net.get(config.clone(), 500_000);
            let put = net.put(config, 500_000);
            assert_eq!(
                net.done(put).summary.again,
                0,
                "window {window}, {delay} ms"
            );
            net.done(get);
            net.sim.run_for(SECOND * 10);
            for (_, ending) in net.sim.events(net.server) {
                if ending.name == "500000.bin" && ending.peer != Some(net.server()) {
                    assert!(ending.summary.timeouts == 0, "{ending:?}");
                }
            }
            // Both files have 351 blocks; each packet was sent once, and its acknowledgment.
            let most = 2 * (351 + 351 / u64::from(window) + 20);
            let sent = net.sim.traffic().sent;
            assert!(sent <= most, "{sent} sent, {most} expected");
        }
    }
}

#[test]
fn a_lost_last_acknowledgment_is_repeated() {
    // The client writes; what the server says is lost now and then.
    let (mut late, mut runs) = (0, 0);
    for seed in seeds(60) {
        runs += 1;
        let mut net = Net::new(seed, Link::default());
        let put = net.put(net.config(3_000), 3_000);
        let client = net.sim.add_host(["10.0.9.9"]);
        let _ = client;
        let lossy = Link {
            loss: 0.4,
            ..Link::default()
        };
        net.sim.set_links(lossy);
        let ending = net.end(put);
        // The server has the file whole or not at all; the client may lose only the last word.
        let site = net.sim.protocol(net.server);
        if ending.result.is_ok() {
            assert_eq!(site.stored, 1);
            late += usize::from(ending.summary.timeouts > 0);
        }
    }
    assert!(runs < 60 || late > 5, "{late} had something repeated");
}

#[test]
fn whoever_reads_answers_a_last_block_that_comes_again() {
    let mut net = Net::new(1, Link::default());
    let get = net.get(net.config(100), 100);
    // The acknowledgment of the only block is lost: nothing the client sends arrives any more.
    net.sim
        .run_until(SECOND, |sim| sim.protocol(get).sink.bytes == 100);
    net.sim.partition([net.server_host]);
    net.sim.run_for(150 * MILLISECOND);
    net.sim.heal();
    net.done(get);
    net.sim.run_for(SECOND * 5);
    let (_, ending) = &net.sim.events(net.server)[0];
    assert_eq!(
        ending.result,
        Ok(()),
        "the server heard the acknowledgment in the end"
    );
}

#[test]
fn a_server_that_goes_away_is_given_up_and_one_that_comes_back_serves() {
    let mut net = Net::new(
        1,
        Link {
            delay: 5 * MILLISECOND,
            ..Link::default()
        },
    );
    let get = net.get(net.config(50_000_000), 50_000_000);
    net.sim.run_for(SECOND);
    net.sim.stop(net.server);
    let ending = net.end(get);
    assert!(
        matches!(ending.result, Err(Failure::Refused(_))),
        "{ending:?}"
    );
    assert!(!net.sim.protocol(get).sink.is_stored());

    net.server = net.sim.bind(
        net.server_host,
        manycast_proto::tftp::PORT,
        super::site::Site::new(ServerConfig::default()),
    );
    let get = net.get(net.config(10_000), 10_000);
    net.done(get);
}

#[test]
fn a_client_that_is_cut_off_is_forgotten_and_one_that_comes_back_goes_on() {
    for (pause, survives) in [(10, true), (40, false)] {
        let mut net = Net::new(
            1,
            Link {
                delay: 5 * MILLISECOND,
                ..Link::default()
            },
        );
        let get = net.get(net.config(5_000_000), 5_000_000);
        net.sim.run_for(300 * MILLISECOND);
        net.sim.partition([net.server_host]);
        net.sim.run_for(SECOND * pause);
        net.sim.heal();
        let ending = net.end(get);
        assert_eq!(ending.result.is_ok(), survives, "{ending:?}");
        net.sim.run_for(SECOND * 60);
        assert_eq!(net.sim.protocol(net.server).server.transfers(), 0);
    }
}

#[test]
fn a_client_that_stops_tells_the_server() {
    let mut net = Net::new(1, Link::default());
    let put = net.put(net.config(50_000_000), 50_000_000);
    net.sim.run_for(SECOND / 10);
    net.sim.stop(put);
    net.sim.run_for(SECOND / 10);
    let (_, ending) = &net.sim.events(net.server)[0];
    assert!(
        matches!(&ending.result, Err(Failure::Refused(_))),
        "{ending:?}"
    );
    assert_eq!(net.sim.protocol(net.server).stored, 0);
}

#[test]
fn a_file_that_is_not_there_is_refused() {
    let mut net = Net::new(1, Link::default());
    let config = ClientConfig {
        name: "missing".into(),
        ..net.config(0)
    };
    let get = net.get(config, 0);
    match net.end(get).result {
        Err(Failure::Refused(refusal)) => assert_eq!(refusal.code, ErrorCode::FileNotFound),
        other => panic!("{other:?}"),
    }
}

#[test]
fn nobody_there_is_told_at_once() {
    let mut net = Net::new(1, Link::default());
    let config = ClientConfig {
        server: ([10, 0, 0, 1], 70).into(),
        ..net.config(0)
    };
    let get = net.get(config, 0);
    let ending = net.end(get);
    assert!(
        matches!(ending.result, Err(Failure::Unreachable(_))),
        "{ending:?}"
    );
    assert!(net.sim.elapsed() < SECOND);
}

/// 5 GB are 76,378 of the largest blocks, and 200,000 blocks of 8 bytes roll over three times.
#[test]
fn block_numbers_roll_over() {
    for (roll_over, block_size, length, loss) in [
        (RollOver::Zero, 65_464, 5_000_000_000, 0.0),
        (RollOver::Zero, 8, 1_600_000, 0.01),
        (RollOver::One, 8, 1_600_000, 0.01),
    ] {
        let server = ServerConfig {
            roll_over,
            ..ServerConfig::default()
        };
        let link = Link {
            loss,
            delay: Duration::from_micros(100),
            ..Link::default()
        };
        let mut net = Net::with(1, link, server);
        let config = ClientConfig {
            roll_over,
            block_size: Some(block_size),
            window: Some(64),
            ..net.config(length)
        };
        let get = net.get(config.clone(), length);
        let ending = net.done(get);
        assert_eq!(ending.summary.bytes, length);
        if loss > 0.0 {
            let put = net.put(config, length);
            net.done(put);
        }
    }
}

#[test]
fn two_that_roll_over_differently_do_not_agree_on_a_file() {
    let link = Link {
        delay: Duration::from_micros(100),
        ..Link::default()
    };
    let mut net = Net::new(1, link);
    let config = ClientConfig {
        roll_over: RollOver::One,
        block_size: Some(8),
        ..net.config(1_600_000)
    };
    let host = net.host();
    let get = net.sim.bind(host, 0, Transfer::read(config, 1_600_000));
    let ending = net.end(get);
    assert!(ending.result.is_err(), "{ending:?}");
}

#[test]
fn one_port_is_enough_where_it_must_be() {
    for seed in seeds(5) {
        let config = ServerConfig {
            single_port: true,
            ..ServerConfig::default()
        };
        let mut net = Net::with(
            seed,
            Link {
                loss: 0.05,
                ..Link::default()
            },
            config,
        );
        let gets: Vec<_> = (0..5)
            .map(|_| net.get(net.config(100_000), 100_000))
            .collect();
        let put = net.put(net.config(100_000), 100_000);
        for get in gets {
            net.done(get);
        }
        net.done(put);
    }
}
