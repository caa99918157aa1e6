//! From NRL's to ours.

use std::fs;

use manycast_interop_norm::Came;
use manycast_lab::netns::Process;
use manycast_proto::norm::{FeedbackTo, ReceiverConfig};

use crate::ends::{Network, OURS, content, receiver};

const TO_GROUP: &str = "to=239.5.5.5";

/// Receives a megabyte; each loss in a hundred, at both ends. The sender ends on `line`.
fn receive_until(line: &str, config: ReceiverConfig, loss: u8, words: &[&str]) -> Came {
    receive_all(&content(1_000_003), line, config, loss, words).0
}

/// Receives, and gives what NRL's sender said too.
fn receive_all(
    bytes: &[u8],
    line: &str,
    config: ReceiverConfig,
    loss: u8,
    words: &[&str],
) -> (Came, Vec<String>) {
    let network = Network::new();
    let path = network.path("sent");
    fs::write(&path, bytes).unwrap();
    let rules = (loss > 0).then(|| match config.feedback {
        FeedbackTo::Nobody => network.lose_data(loss),
        _ => network.lose(loss),
    });
    let receiving = network.receive(config);
    let file = format!("file={}", path.display());
    let mut sender: Process = network.start("send", &[&[file.as_str()], words].concat());
    sender.wait_for_line(line);
    let came = receiving.end(bytes.len());
    let [object] = came.objects.as_slice() else {
        panic!("not one object came: {:?}", came.stats);
    };
    // NRL's streams end without a word where their sender does.
    assert!(object.complete || object.stream, "{:?}", came.stats);
    assert_eq!(object.gaps, [], "{:?}", came.stats);
    assert!(object.bytes == bytes, "other bytes came: {:?}", came.stats);
    assert_eq!(object.info.as_deref(), Some(&b"name"[..]));
    assert_eq!(came.stats.malformed, 0, "{:?}", came.stats);
    // What goes back is little, and may get through.
    if let Some([to_ours, _]) = rules {
        assert!(to_ours.count() > 0, "nothing was lost");
    }
    (came, sender.stdout())
}

/// The same, with ours to acknowledge.
fn receive(config: ReceiverConfig, loss: u8, words: &[&str]) -> Came {
    let node = format!("receiver={OURS}");
    let words = [&[node.as_str()], words].concat();
    receive_until("watermark success", config, loss, &words)
}

pub(crate) fn norm_lossless() {
    let came = receive(receiver(), 0, &[TO_GROUP]);
    assert!(came.stats.acks > 0, "{:?}", came.stats);
}

pub(crate) fn norm_losses_are_repaired_without_parity() {
    let came = receive(receiver(), 5, &[TO_GROUP, "parity=0"]);
    let stats = came.stats;
    assert!(stats.nacks > 0 && stats.decoded == 0, "{stats:?}");
}

pub(crate) fn norm_losses_are_repaired_by_parity() {
    let came = receive(receiver(), 5, &[TO_GROUP]);
    let stats = came.stats;
    assert!(stats.nacks > 0 && stats.decoded > 0, "{stats:?}");
}

pub(crate) fn norm_unicast_nacks() {
    let config = ReceiverConfig {
        feedback: FeedbackTo::Sender,
        ..receiver()
    };
    let came = receive(config, 5, &[TO_GROUP]);
    let stats = came.stats;
    assert!(stats.nacks > 0 && stats.decoded > 0, "{stats:?}");
}

pub(crate) fn norm_unicast() {
    let config = ReceiverConfig {
        group: "10.0.0.1:6003".parse().unwrap(),
        feedback: FeedbackTo::Sender,
        ..receiver()
    };
    let came = receive(config, 5, &["to=10.0.0.1"]);
    let stats = came.stats;
    assert!(stats.nacks > 0 && stats.decoded > 0, "{stats:?}");
}

/// FEC Encoding IDs 2 and 129; 5 is what all the others use.
pub(crate) fn norm_all_schemes_are_understood() {
    for fec in ["fec=2", "fec=129"] {
        let came = receive(receiver(), 5, &[TO_GROUP, fec]);
        assert!(came.stats.decoded > 0, "{fec} {:?}", came.stats);
    }
}

/// A quarter more than there is goes out ahead, and nobody says anything.
pub(crate) fn norm_silent_receivers_need_parity_ahead() {
    let config = ReceiverConfig {
        feedback: FeedbackTo::Nobody,
        ..receiver()
    };
    let words = [TO_GROUP, "auto=16", "parity=16", "robust=20"];
    let came = receive_until("flushed", config, 2, &words);
    let stats = came.stats;
    assert!(stats.decoded > 0, "{stats:?}");
    assert_eq!((stats.nacks, stats.acks), (0, 0), "{stats:?}");
}

pub(crate) fn norm_a_file_is_a_file() {
    let came = receive(receiver(), 0, &[TO_GROUP, "kind=file"]);
    assert!(came.objects[0].file);
}

/// NORM-CC: its probes, rates and lists of nodes are understood, and change nothing where the sender
/// has a least rate.
pub(crate) fn norm_congestion_control_is_understood() {
    let came = receive(receiver(), 5, &[TO_GROUP, "cc=1", "least=20e6"]);
    let stats = came.stats;
    assert!(stats.nacks > 0 && stats.decoded > 0, "{stats:?}");
}

pub(crate) fn norm_a_stream_is_in_order() {
    for loss in [0, 5] {
        let came = receive(receiver(), loss, &[TO_GROUP, "kind=stream"]);
        let object = &came.objects[0];
        assert!(
            object.stream && object.messages == [0],
            "{:?}",
            object.messages
        );
    }
}

/// NORM-CC begins with a segment a second, which only what ours answers raises.
pub(crate) fn norm_congestion_control_raises_the_rate() {
    let node = format!("receiver={OURS}");
    let words = [TO_GROUP, "cc=1", &node];
    let bytes = content(200_000);
    let (_, lines) = receive_all(&bytes, "watermark success", receiver(), 0, &words);
    let rates = lines.iter().filter_map(|line| line.strip_prefix("rate "));
    let highest = rates
        .filter_map(|rate| rate.parse().ok())
        .fold(0.0, f64::max);
    assert!(highest > 500_000.0, "{lines:?}");
}
