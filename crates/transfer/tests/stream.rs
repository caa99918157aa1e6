//! A stream to many over loopback.
#![allow(clippy::unwrap_used, reason = "a failure ends the test either way")]

use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use manycast::transfer::files::{Error, Stop};
use manycast::transfer::stream::{
    StreamReceiveOptions, StreamReceived, StreamSendOptions, receive_stream, send_stream,
};

/// A writer that tells of each part.
struct Parts(mpsc::Sender<Vec<u8>>);

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Receiving = (
    thread::JoinHandle<Result<StreamReceived, Error>>,
    mpsc::Receiver<Vec<u8>>,
);

fn receive(address: &'static str, name: &str) -> Receiving {
    let (tell, parts) = mpsc::channel();
    let mut options = StreamReceiveOptions::default();
    options.name = name.to_owned();
    options.timeout = Some(Duration::from_secs(20));
    let receive = move || receive_stream(address, Parts(tell), &options, &Stop::default());
    (thread::spawn(receive), parts)
}

fn send(
    address: &'static str,
    name: &str,
    reader: impl io::Read + Send + 'static,
) -> thread::JoinHandle<bool> {
    let mut options = StreamSendOptions::default();
    options.names = vec![name.to_owned()];
    options.wait = Duration::from_secs(20);
    thread::spawn(move || {
        let sent = send_stream(address, reader, &options, &Stop::default()).unwrap();
        sent.is_complete()
    })
}

/// What is written is there before more is, however little it is; and the end is the end.
#[test]
fn little_comes_at_once_and_in_order() {
    const ADDRESS: &str = "239.192.77.2%lo:5121";
    let (receiver, parts) = receive(ADDRESS, "r");
    let (reader, mut writer) = io::pipe().unwrap();
    let sender = send(ADDRESS, "r", reader);
    for text in ["one", "two", "three"] {
        writer.write_all(text.as_bytes()).unwrap();
        assert_eq!(parts.recv().unwrap(), text.as_bytes());
    }
    drop(writer);
    assert!(sender.join().unwrap());
    let received = receiver.join().unwrap().unwrap();
    assert_eq!((received.bytes, received.result), (11, Ok(())));
}

/// Who comes in the middle is told that something is missing, and writes nothing that follows.
#[test]
fn who_comes_late_is_told_what_is_missing() {
    const ADDRESS: &str = "239.192.77.2%lo:5122";
    let (receiver, parts) = receive(ADDRESS, "r");
    let (reader, mut writer) = io::pipe().unwrap();
    let sender = send(ADDRESS, "r", reader);
    let bytes = vec![1; 2_000_000];
    writer.write_all(&bytes).unwrap();
    let mut came = 0;
    while came < bytes.len() {
        came += parts.recv().unwrap().len();
    }
    let (late, nothing) = receive(ADDRESS, "late");
    // It ends by itself once it has heard more of the stream.
    while !late.is_finished() {
        if writer.write_all(&[2; 50_000]).is_err() {
            break;
        }
    }
    drop(writer);
    let received = late.join().unwrap().unwrap();
    let why = received.result.unwrap_err();
    assert!(why.contains("bytes from byte 0 on are missing"), "{why}");
    assert_eq!((received.bytes, nothing.try_iter().count()), (0, 0));
    assert!(sender.join().unwrap());
    assert_eq!(receiver.join().unwrap().unwrap().result, Ok(()));
}
