//! ZeroMQ's transport over NORM, by libzmq and with NRL's library below.
//!
//! Each frame is a message of the stream: a byte that is 0 for the first of a message of ZeroMQ, and the
//! frame as in ZMTP 2: flags, length, content.

use manycast_lab::netns::Process;

use crate::ends::{NRL, Network, built, receiver, sender};

/// What is sent: of less than 256 bytes and of more, where the form of the length changes, and longer
/// than a segment. What is longer than 2,048 bytes libzmq itself sends in part alone.
fn texts() -> [String; 4] {
    [
        "short".to_owned(),
        "x".repeat(255),
        "y".repeat(256),
        "z".repeat(2000),
    ]
}

fn start(network: &Network, role: &str) -> Process {
    let program = built("zeromq", "/usr/include/zmq.h", "-lzmq");
    let mut command = network.nrl.command(&program.display().to_string());
    let mut process = Process::start(command.args([role, &NRL.to_string()]));
    process.wait_for_line("ready");
    process
}

/// A frame that is a whole message.
fn frame(text: &str) -> Vec<u8> {
    let length = text.len() as u64;
    let head = match u8::try_from(length) {
        Ok(short) => vec![0, 0, short],
        // Flag 2: the length has eight bytes.
        Err(_) => [&[0, 2][..], &length.to_be_bytes()].concat(),
    };
    [&head, text.as_bytes()].concat()
}

pub(crate) fn norm_zeromq_understands_ours() {
    let network = Network::new();
    let mut subscriber = start(&network, "receive");
    let frames = texts().map(|text| frame(&text));
    let frames = frames.each_ref().map(Vec::as_slice);
    let sent = network.send_stream(sender(), &frames);
    for text in texts() {
        assert_eq!(
            subscriber.wait_for_line("message "),
            format!("message {text}")
        );
    }
    assert_eq!(sent.delivered, 1, "{sent:?}");
    assert_eq!(sent.stats.malformed, 0, "{sent:?}");
}

/// It sends by NORM-CC, which begins with a segment a second.
pub(crate) fn norm_ours_understands_zeromq() {
    let network = Network::new();
    let receiving = network.receive(receiver());
    let mut publisher = start(&network, "send");
    for text in texts() {
        publisher.write_line(&text);
    }
    let frames = texts().map(|text| frame(&text));
    let whole = frames.concat();
    let came = receiving.end(whole.len());
    let [object] = came.objects.as_slice() else {
        panic!("not one object came: {:?}", came.stats);
    };
    assert!(object.stream);
    assert!(
        object.bytes == whole,
        "{} of {} bytes came: {:?}",
        object.bytes.len(),
        whole.len(),
        came.stats
    );
    let starts = frames.iter().scan(0, |at, frame| {
        let start = *at;
        *at += frame.len() as u64;
        Some(start)
    });
    assert!(
        object.messages.iter().eq(starts.collect::<Vec<_>>().iter()),
        "{:?}",
        object.messages
    );
    assert_eq!(came.stats.malformed, 0, "{:?}", came.stats);
}
