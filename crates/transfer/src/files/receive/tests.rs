use bytes::Bytes;

use super::super::entry::Entry;
use super::super::message::{Said, emit_manifest};
use super::*;

const NODE: u32 = 1;
const INSTANCE: u16 = 2;
const SESSION: u64 = 3;

/// What a sender would send, by the events that come of it.
fn object(run: &mut Run, number: u64, said: &Said, bytes: Bytes) {
    let object = ObjectKey {
        node: NODE,
        instance: INSTANCE,
        object: number,
    };
    for event in [
        ReceiverEvent::Started {
            object,
            length: bytes.len() as u64,
            file: false,
            info: true,
        },
        ReceiverEvent::Info {
            object,
            info: said.emit(SESSION),
        },
        ReceiverEvent::Data {
            object,
            offset: 0,
            bytes,
        },
        ReceiverEvent::Completed(object),
    ] {
        run.handle(event, Instant::now(), &mut |_| {});
    }
}

/// What has come is verified and has its name, though its sender is gone by then.
#[test]
fn a_sender_that_is_gone_does_not_end_what_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let options = ReceiveOptions {
        count: Some(1),
        // Where nothing ended, the test would wait for ever.
        timeout: Some(Duration::from_secs(10)),
        ..ReceiveOptions::default()
    };
    let receiving = Receiving::new(["127.0.0.1:0"], &folder, options).unwrap();
    let mut run = Run::new(receiving, &mut |_| {}).unwrap();

    let content = Bytes::from_static(b"content");
    let entry = Entry {
        path: "file".to_owned(),
        is_folder: false,
        mode: 0o644,
        modified: (0, 0),
        size: content.len() as u64,
        hash: Some(*blake3::hash(&content).as_bytes()),
    };
    let manifest = Said::Manifest {
        entries: 1,
        bytes: entry.size,
    };
    // Before its manifest, of which it would first be compared with what is there.
    let entries = emit_manifest(SESSION, std::slice::from_ref(&entry));
    object(&mut run, 0, &Said::File { index: 0, entry }, content);
    object(&mut run, 1, &manifest, entries);
    let gone = ReceiverEvent::Gone {
        node: NODE,
        instance: INSTANCE,
    };
    run.handle(gone, Instant::now(), &mut |_| {});

    run.run(&mut |_| {}).unwrap();
    let [delivered] = &run.report.deliveries[..] else {
        panic!("{:?}", run.report);
    };
    assert!(delivered.is_complete(), "{delivered:?}");
    assert_eq!(
        std::fs::read(folder.path().join("file")).unwrap(),
        b"content"
    );
}
