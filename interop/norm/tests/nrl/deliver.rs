//! From ours to NRL's.

use std::fs;

use manycast_interop_norm::Sent;
use manycast_proto::norm::SenderConfig;
use manycast_proto::norm::message::FecId;

use crate::ends::{Network, content, object, sender};

/// Delivers a megabyte; each loss in a hundred, at both ends.
fn deliver(config: SenderConfig, loss: u8, words: &[&str]) -> Sent {
    let network = Network::new();
    let bytes = content(1_000_003);
    let came = network.path("came");
    let mut receiver = network.start_receiver(&came, words);
    let acknowledges = !config.receivers.is_empty();
    let rules = (loss > 0).then(|| match acknowledges {
        true => network.lose(loss),
        false => network.lose_data(loss),
    });
    let sent = network.send(config, object(&bytes));
    assert_eq!(sent.delivered, usize::from(acknowledges), "{sent:?}");
    receiver.wait_for_line("completed data");
    assert!(fs::read(&came).unwrap() == bytes, "other bytes came");
    assert!(receiver.stdout().contains(&"info made of bytes".to_owned()));
    assert_eq!(sent.stats.malformed, 0, "{sent:?}");
    // What comes back is little, and may get through.
    if let Some([_, to_nrl]) = rules {
        assert!(to_nrl.count() > 0, "nothing was lost");
    }
    sent
}

const TO_GROUP: &str = "to=239.5.5.5";

pub(crate) fn norm_lossless() {
    let sent = deliver(sender(), 0, &[TO_GROUP]);
    assert!(sent.stats.acks > 0, "{sent:?}");
}

pub(crate) fn norm_losses_are_repaired_without_parity() {
    let config = SenderConfig {
        parity: 0,
        ..sender()
    };
    let sent = deliver(config, 5, &[TO_GROUP]);
    assert!(sent.stats.nacks > 0 && sent.stats.repairs > 0, "{sent:?}");
}

pub(crate) fn norm_losses_are_repaired_by_parity() {
    let sent = deliver(sender(), 5, &[TO_GROUP]);
    assert!(sent.stats.nacks > 0 && sent.stats.repairs > 0, "{sent:?}");
}

pub(crate) fn norm_unicast_nacks() {
    let sent = deliver(sender(), 5, &[TO_GROUP, "unicast=1"]);
    assert!(sent.stats.nacks > 0 && sent.stats.repairs > 0, "{sent:?}");
}

pub(crate) fn norm_unicast() {
    let config = SenderConfig {
        destination: "10.0.0.2:6003".parse().unwrap(),
        ..sender()
    };
    let sent = deliver(config, 5, &["to=10.0.0.1", "unicast=1"]);
    assert!(sent.stats.nacks > 0 && sent.stats.repairs > 0, "{sent:?}");
}

/// FEC Encoding IDs 2 and 129; 5 is what all the others use.
pub(crate) fn norm_all_schemes_are_understood() {
    for fec in [FecId::ReedSolomon, FecId::SmallBlock] {
        let config = SenderConfig { fec, ..sender() };
        let sent = deliver(config, 5, &[TO_GROUP]);
        assert!(sent.stats.repairs > 0, "{fec:?} {sent:?}");
    }
}

/// A fifth more than there is goes out ahead, and nobody says anything.
pub(crate) fn norm_silent_receivers_need_parity_ahead() {
    let config = SenderConfig {
        rate: 10_000_000,
        proactive: 32,
        robust: 20,
        receivers: Vec::new(),
        ..sender()
    };
    let sent = deliver(config, 2, &[TO_GROUP, "silent=1"]);
    assert_eq!((sent.stats.nacks, sent.stats.repairs), (0, 0), "{sent:?}");
}

pub(crate) fn norm_a_file_is_a_file() {
    let network = Network::new();
    let bytes = content(300_000);
    let came = network.path("came");
    let cache = format!("cache={}/", network.path("").display());
    let mut receiver = network.start_receiver(&came, &[TO_GROUP, &cache]);
    let object = manycast_proto::norm::Object {
        file: true,
        ..object(&bytes)
    };
    let sent = network.send(sender(), object);
    receiver.wait_for_line("completed file");
    assert!(fs::read(&came).unwrap() == bytes, "other bytes came");
    assert_eq!(sent.delivered, 1, "{sent:?}");
}

/// Messages of the application in a stream, more than the window of either end holds.
pub(crate) fn norm_a_stream_is_in_order() {
    for loss in [0, 5] {
        let network = Network::new();
        let bytes = content(3_000_001);
        let messages: Vec<_> = bytes.chunks(10_007).collect();
        let came = network.path("came");
        let mut receiver = network.start_receiver(&came, &[TO_GROUP]);
        let _rules = (loss > 0).then(|| network.lose(loss));
        let sent = network.send_stream(sender(), &messages);
        assert_eq!(sent.delivered, 1, "{sent:?}");
        receiver.wait_for_line(&format!("bytes {}", bytes.len()));
        assert!(fs::read(&came).unwrap() == bytes, "other bytes came");
        assert!(!receiver.stdout().contains(&"broken".to_owned()));
        assert!(loss == 0 || sent.stats.repairs > 0, "{sent:?}");
    }
}

/// NORM-CC begins with a segment a second, which only what NRL's answers raises.
pub(crate) fn norm_congestion_control_raises_the_rate() {
    let network = Network::new();
    let bytes = content(200_000);
    let came = network.path("came");
    let mut receiver = network.start_receiver(&came, &[TO_GROUP]);
    let config = SenderConfig {
        congestion_control: true,
        ..sender()
    };
    let sent = network.send(config, object(&bytes));
    assert_eq!(sent.delivered, 1, "{sent:?}");
    receiver.wait_for_line("completed data");
    assert!(fs::read(&came).unwrap() == bytes, "other bytes came");
    assert!(sent.stats.rate > 500_000, "{sent:?}");
}
