use super::*;

/// An entry of a file with this content.
fn entry(path: &str, content: &[u8]) -> Entry {
    Entry {
        path: path.to_owned(),
        is_folder: false,
        mode: 0o644,
        modified: (0, 0),
        size: content.len() as u64,
        hash: Some(*blake3::hash(content).as_bytes()),
    }
}

#[test]
fn a_file_that_is_begun_anew_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let (tell, told) = mpsc::channel();
    let tell = move |outcome| drop(tell.send(outcome));
    let store = Store::open(place.path(), false, false, tell).unwrap();
    let entry = Entry {
        // It is told later.
        hash: None,
        ..entry("file", &[7; 2 << 20])
    };
    let hash = *blake3::hash(&[7; 2 << 20]).as_bytes();
    store.begin(1, entry.clone(), true);
    store.write(1, 0, Bytes::from(vec![7; 1 << 20]));
    store.begin(1, entry, true);
    store.write(1, 1 << 20, Bytes::from(vec![7; 1 << 20]));
    store.finish(1, hash);
    let told: Vec<_> = told.iter().take(3).collect();
    let kept = std::iter::once(0..1 << 20).collect();
    assert_eq!(
        told,
        [
            Outcome::Begun(1, vec![]),
            Outcome::Begun(1, kept),
            Outcome::Stored(1)
        ]
    );
}

/// To read a long file takes long, and who waits for what is not there at all may miss it.
#[test]
fn what_needs_no_reading_is_compared_first() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("there"), "content").unwrap();
    let (tell, told) = mpsc::channel();
    let tell = move |outcome| drop(tell.send(outcome));
    let store = Store::open(place.path(), false, false, tell).unwrap();
    let (give, to_compare) = mpsc::channel();
    let (open, over) = (Arc::default(), Arc::new(AtomicBool::new(true)));
    for (index, path, is_over) in [
        (0, "there", &over),
        (1, "there", &open),
        (2, "missing", &over),
        (3, "missing", &open),
    ] {
        let comparison = Comparison {
            session: 1,
            index,
            entry: entry(path, b"content"),
            is_over: Arc::clone(is_over),
        };
        give.send(comparison).unwrap();
    }
    drop(give);
    compare(&store.shared, &to_compare);
    let told: Vec<_> = told.try_iter().collect();
    let compared = |index, found| Outcome::Compared {
        session: 1,
        index,
        found: Ok(found),
    };
    assert_eq!(
        told,
        [compared(3, Found::Missing), compared(1, Found::Same)]
    );
}

/// Where many long files wait to be read, what comes does not wait for them: it stays for another
/// attempt.
#[test]
fn who_verifies_does_not_hold_up_who_writes() {
    let place = tempfile::tempdir().unwrap();
    let (tell, told) = mpsc::channel();
    let tell = move |outcome| drop(tell.send(outcome));
    let store = Store::open(place.path(), false, false, tell).unwrap();
    let content = vec![7; 9 << 20];
    let entry = entry("file", &content);
    let (give, jobs) = mpsc::channel();
    give.send(Job::Begin(1, entry.clone(), true)).unwrap();
    // What is written twice is read at the end.
    for part in [&content[..], &content[..1]] {
        let part = Bytes::copy_from_slice(part);
        *lock(&store.shared.waiting) += weight(&part);
        give.send(Job::Write(1, 0, part)).unwrap();
    }
    give.send(Job::Finish(1, entry.hash.unwrap())).unwrap();
    drop(give);
    let (finished, _to_verify) = mpsc::sync_channel(0);
    write(&store.shared, &jobs, &finished);
    let told: Vec<_> = told.try_iter().collect();
    assert_eq!(told, [Outcome::Begun(1, vec![]), Outcome::Postponed(1)]);
    let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
