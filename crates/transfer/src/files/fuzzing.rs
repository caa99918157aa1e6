//! The parsers that no public function hands bytes to, for the fuzzers (`--cfg fuzzing`). Each
//! function is one of them, and panics where it breaks a promise.

use std::path::{Component, Path};

use super::entry::Entry;
use super::message::{Report, Said, emit_hashes, emit_manifest, parse_hashes, parse_manifest};

/// Reads what a sender of files says, a manifest, hashes, and what a receiver reports.
pub fn message(payload: &[u8]) {
    if let Ok((session, said)) = Said::parse(payload) {
        if let Said::File { entry, .. } = &said {
            stays_inside(entry);
        }
        assert_eq!(Said::parse(&said.emit(session)), Ok((session, said)));
    }
    if let Ok((session, report)) = Report::parse(payload) {
        // What is too long for a report is cut.
        let (again, cut) = Report::parse(&report.emit(session)).expect("it was written so");
        assert_eq!(
            (again, &cut.runs, cut.from),
            (session, &report.runs, report.from)
        );
        assert!(report.name.starts_with(&cut.name));
    }
    // The number of the session is in the eight octets after the first four.
    let session = payload.get(4..12).and_then(|it| it.first_chunk());
    let session = u64::from_be_bytes(session.copied().unwrap_or_default());
    if let Ok(entries) = parse_manifest(session, payload) {
        entries.iter().for_each(stays_inside);
        let again = parse_manifest(session, &emit_manifest(session, &entries));
        assert_eq!(again, Ok(entries));
    }
    if let Ok(hashes) = parse_hashes(session, payload) {
        let again = parse_hashes(session, &emit_hashes(session, &hashes));
        assert_eq!(again, Ok(hashes));
    }
}

/// Whatever is read of a path leads into the folder, and no path of it out again.
fn stays_inside(entry: &Entry) {
    let path = Path::new(&entry.path);
    let inside = |part| matches!(part, Component::Normal(_));
    assert!(path.components().all(inside), "{:?}", entry.path);
    assert!(path.components().count() > 0);
}
