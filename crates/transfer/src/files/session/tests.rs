use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::mpsc;
use std::time::Instant;

use manycast_proto::norm::ReceiverConfig;
use manycast_proto::wire::Writer;
use proptest::prelude::*;

use super::super::message::{emit_hashes, emit_manifest};
use super::*;

/// A session as a hostile sender would have it, and the folder that is to be kept.
struct Site {
    folder: tempfile::TempDir,
    receiver: Receiver,
    store: Store,
    outcomes: mpsc::Receiver<Outcome>,
    session: Session,
    /// The next object.
    object: u64,
}

const LIMIT: u64 = 100_000;

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inside")).unwrap();
        std::fs::create_dir(folder.path().join("outside")).unwrap();
        let out = folder.path().join("inside/out");
        std::os::unix::fs::symlink(folder.path().join("outside"), out).unwrap();
        let (tell, outcomes) = mpsc::channel();
        let tell = move |outcome| {
            let _ = tell.send(outcome);
        };
        let store = Store::open(&folder.path().join("inside"), true, false, tell).unwrap();
        let config = ReceiverConfig::new(([239, 1, 1, 1], 1).into(), 7);
        let now = Instant::now();
        Self {
            receiver: Receiver::new(config, [1; 32], now),
            session: Session::new(1, 2, 3, LIMIT, 0),
            folder,
            store,
            outcomes,
            object: 0,
        }
    }

    /// An object comes, with its information before its bytes or after them.
    fn object(&mut self, info: &[u8], length: u64, bytes: &[u8], late: bool) {
        self.object += 1;
        let key = ObjectKey {
            node: 1,
            instance: 2,
            object: self.object,
        };
        let (receiver, store) = (&mut self.receiver, &self.store);
        self.session.started(key, length, true, receiver);
        if !late {
            self.session.info(key, info, receiver, store);
        }
        let bytes = Bytes::copy_from_slice(bytes);
        self.session.data(key, 0, bytes, receiver, store);
        if late {
            self.session.info(key, info, receiver, store);
        }
        self.session.completed(key, store);
    }

    /// Until all that was begun has come to an end.
    fn finish(self) -> tempfile::TempDir {
        let Self {
            folder,
            mut receiver,
            store,
            outcomes,
            mut session,
            ..
        } = self;
        while session.is_busy() {
            let outcome = outcomes.recv().unwrap();
            session.stored(outcome, &mut receiver, &store);
        }
        drop(store);
        folder
    }
}

/// A path as a hostile sender writes it.
fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("a".to_owned()),
        Just("A".to_owned()),
        Just("b".to_owned()),
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just(String::new()),
        Just("out".to_owned()),
        Just("nul".to_owned()),
        Just(".manycast-0.part".to_owned()),
        r"[a-c/\\\x00]{0,4}",
    ];
    proptest::collection::vec(part, 0..4).prop_map(|parts| parts.join("/"))
}

/// Entries with the bytes that come for them, which may be others than their hash says.
fn entries() -> impl Strategy<Value = Vec<(Entry, Vec<u8>)>> {
    let content = proptest::collection::vec(any::<u8>(), 0..50);
    let lies = proptest::bool::weighted(0.2);
    let entry = (path(), any::<bool>(), any::<u16>(), content, lies);
    let entry = entry.prop_map(|(path, is_folder, mode, content, lies)| {
        let entry = Entry {
            path,
            is_folder,
            mode,
            modified: (i64::from(mode), 0),
            size: if lies { u64::MAX } else { content.len() as u64 },
            hash: Some(*blake3::hash(&content).as_bytes()),
        };
        (entry, content)
    });
    proptest::collection::vec(entry, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a sender says of its files, in whatever order: nothing comes to lie outside of the
    /// folder, and what is in it has the hash that was said.
    #[test]
    fn nothing_leaves_the_folder(
        entries in entries(),
        manifest_at in 0..7_usize,
        wrong in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..60)),
        lengths in proptest::collection::vec(0..60_u64, 6),
        late in any::<bool>(),
        hashed_later in 0..64_u8,
        hashes_at in 0..7_usize,
    ) {
        let mut site = Site::new();
        let (entries, contents): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        let mut said = entries.clone();
        let mut hashes = Vec::new();
        for (index, entry) in (0_u32..).zip(&mut said) {
            if hashed_later >> index & 1 == 1 {
                hashes.extend(entry.hash.take().map(|hash| (index, hash)));
            }
        }
        let hashes = emit_hashes(9, &hashes);
        let manifest = emit_manifest(9, &said);
        let info = Said::Manifest { entries: 1, bytes: 2 }.emit(9);
        for (index, entry) in (0_u32..).zip(&said) {
            if index as usize == manifest_at {
                site.object(&info, manifest.len() as u64, &manifest, late);
            }
            if index as usize == hashes_at {
                site.object(&Said::Hashes.emit(9), hashes.len() as u64, &hashes, late);
            }
            let mut writer = Writer::new();
            writer.bytes(b"MCF\x01").u64(9).u8(2).u32(index);
            entry.emit(&mut writer);
            let length = match entry.size {
                u64::MAX => lengths[index as usize],
                size => size,
            };
            let bytes = wrong.as_ref().unwrap_or(&contents[index as usize]);
            site.object(&writer.finish(), length, bytes, late);
        }
        let folder = site.finish();
        let outside: Vec<_> = std::fs::read_dir(folder.path().join("outside")).unwrap().collect();
        prop_assert!(outside.is_empty());
        let mut above: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        above.sort();
        prop_assert_eq!(above, ["inside", "outside"]);
        // Each file that has a name has a hash that was said, and no temporary one is left.
        let mut waiting = vec![folder.path().join("inside")];
        while let Some(at) = waiting.pop() {
            for found in std::fs::read_dir(at).unwrap() {
                let path = found.unwrap().path();
                let kind = path.symlink_metadata().unwrap();
                if !kind.is_symlink() {
                    // What was sent may forbid its owner to read it.
                    std::fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
                }
                if kind.is_dir() {
                    waiting.push(path);
                } else if kind.is_file() {
                    let hash = *blake3::hash(&std::fs::read(&path).unwrap()).as_bytes();
                    prop_assert!(entries.iter().any(|entry| entry.hash == Some(hash)), "{}", path.display());
                    prop_assert!(path.extension().is_none_or(|it| it != "part"), "{}", path.display());
                }
            }
        }
    }

    /// Any bytes as information and content change nothing outside either, and end nothing.
    #[test]
    fn any_bytes_do_no_harm(
        objects in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..80), proptest::collection::vec(any::<u8>(), 0..80), 0..6_u8),
            1..6,
        ),
    ) {
        let mut site = Site::new();
        for (info, bytes, kind) in &objects {
            let head = [b"MCF\x01\0\0\0\0\0\0\0\x09", &[*kind][..], info].concat();
            site.object(&head, bytes.len() as u64, bytes, false);
            site.session.announced(&head, Instant::now(), |most| most);
        }
        let folder = site.finish();
        prop_assert_eq!(std::fs::read_dir(folder.path().join("outside")).unwrap().count(), 0);
    }
}

/// What is kept of objects of which nobody says what they are has a bound, and so has a manifest.
#[test]
fn what_is_kept_has_a_bound() {
    let mut site = Site::new();
    let part = Bytes::from(vec![0; 1 << 20]);
    for object in 0..32 {
        let key = ObjectKey {
            node: 1,
            instance: 2,
            object,
        };
        site.session.started(key, 1 << 30, true, &mut site.receiver);
        for at in 0..4 {
            let (receiver, store) = (&mut site.receiver, &site.store);
            site.session
                .data(key, at << 20, part.clone(), receiver, store);
            assert!(site.session.held <= HELD);
        }
    }
    let info = Said::Manifest {
        entries: 1,
        bytes: 1,
    };
    let key = ObjectKey {
        node: 1,
        instance: 2,
        object: 99,
    };
    let too_long = LONGEST_MANIFEST as u64 + 1;
    site.session
        .started(key, too_long, true, &mut site.receiver);
    let told = site
        .session
        .info(key, &info.emit(9), &mut site.receiver, &site.store);
    assert_eq!(
        told,
        Some(Told::Refused("its manifest is too long".to_owned()))
    );
}

/// Hashes that come later: of a file that has come, of one that is there, and of one that comes after.
#[test]
fn a_hash_may_come_later() {
    let mut site = Site::new();
    let inside = site.folder.path().join("inside");
    std::fs::write(inside.join("there"), b"abc").unwrap();
    std::fs::write(inside.join("differs"), b"xyz").unwrap();
    let hash = *blake3::hash(b"abc").as_bytes();
    let entries = ["comes", "there", "differs", "early"].map(|path| Entry {
        path: path.to_owned(),
        is_folder: false,
        mode: 0o644,
        modified: (0, 0),
        size: 3,
        hash: None,
    });
    let file = |index: u32, hash| {
        let entry = Entry {
            hash,
            ..entries[index as usize].clone()
        };
        Said::File { index, entry }.emit(9)
    };
    // One that comes before the manifest, and says its hash itself.
    site.object(&file(3, Some(hash)), 3, b"abc", false);
    let manifest = emit_manifest(9, &entries);
    let info = Said::Manifest {
        entries: 4,
        bytes: 12,
    };
    site.object(&info.emit(9), manifest.len() as u64, &manifest, false);
    while site.session.is_busy() {
        let outcome = site.outcomes.recv().unwrap();
        site.session
            .stored(outcome, &mut site.receiver, &site.store);
    }
    let statuses = |session: &Session| [0, 1, 2, 3].map(|index| session.status(index));
    use Status::{Missing, Unhashed, Verified};
    assert_eq!(
        statuses(&site.session),
        [Missing, Unhashed, Unhashed, Verified]
    );
    for index in 0..3 {
        site.object(&file(index, None), 3, b"abc", false);
    }
    assert_eq!(
        statuses(&site.session),
        [Unhashed, Unhashed, Unhashed, Verified]
    );
    // The first that is told counts; of numbers that there are not nothing comes.
    let told = [
        (0, hash),
        (1, hash),
        (2, hash),
        (0, [7; 32]),
        (3, [7; 32]),
        (9, hash),
    ];
    let hashes = emit_hashes(9, &told);
    site.object(&Said::Hashes.emit(9), hashes.len() as u64, &hashes, false);
    while site.session.is_busy() {
        let outcome = site.outcomes.recv().unwrap();
        site.session
            .stored(outcome, &mut site.receiver, &site.store);
    }
    assert_eq!(
        statuses(&site.session),
        [Verified, Verified, Missing, Verified]
    );
    let folder = site.finish();
    for name in ["comes", "there", "early"] {
        let path = folder.path().join("inside").join(name);
        assert_eq!(std::fs::read(path).unwrap(), b"abc");
    }
}

/// Files that came, of which the sender never tells a hash, are not kept open without end.
#[test]
fn files_without_a_hash_have_a_bound() {
    let mut site = Site::new();
    let count = 3 * u32::try_from(MOST_UNHASHED).unwrap();
    for index in 0..count {
        let entry = Entry {
            path: index.to_string(),
            is_folder: false,
            mode: 0o644,
            modified: (0, 0),
            size: 1,
            hash: None,
        };
        site.object(&Said::File { index, entry }.emit(9), 1, b"x", false);
    }
    let open = (0..count).filter(|index| site.session.status(*index) == Status::Unhashed);
    assert_eq!(open.count(), MOST_UNHASHED);
    assert_eq!(site.session.allowed, MOST_UNHASHED as u64);
    site.session.close(&site.store);
    let folder = site.finish();
    let inside = std::fs::read_dir(folder.path().join("inside")).unwrap();
    assert_eq!(inside.count(), 1, "but the link there is nothing");
}

/// A manifest that contradicts what came before it is not taken, and what comes is still accounted for.
#[test]
fn a_contradiction_takes_nothing_from_the_account() {
    let mut site = Site::new();
    let entry = |path: &str| Entry {
        path: path.to_owned(),
        is_folder: false,
        mode: 0o644,
        modified: (0, 0),
        size: 3,
        hash: Some(*blake3::hash(b"abc").as_bytes()),
    };
    let file = |index, path| {
        let entry = entry(path);
        Said::File { index, entry }.emit(9)
    };
    site.object(&file(0, "a"), 3, b"abc", false);
    let manifest = emit_manifest(9, &[entry("b")]);
    let info = Said::Manifest {
        entries: 1,
        bytes: 3,
    };
    let length = manifest.len() as u64;
    site.object(&info.emit(9), length, &manifest, false);
    assert!(!site.session.is_known());
    assert_eq!(site.session.entry(0), Some(&entry("a")));
    // Neither does another name for the same number, nor the same name for another number.
    site.object(&file(0, "c"), 3, b"abc", false);
    site.object(&file(1, "a"), 3, b"abc", false);
    assert_eq!(site.session.entries().count(), 1);
    // What an object is, is said once.
    let key = ObjectKey {
        node: 1,
        instance: 2,
        object: 50,
    };
    site.session.started(key, 3, true, &mut site.receiver);
    for path in ["d", "e"] {
        let (receiver, store) = (&mut site.receiver, &site.store);
        site.session.info(key, &file(2, path), receiver, store);
    }
    assert_eq!(site.session.entry(2), Some(&entry("d")));
    assert!(matches!(
        site.session.objects.get(&50),
        Some(Incoming::File(2))
    ));
}

/// Parts of one byte each take more memory than they are long.
#[test]
fn what_is_kept_of_short_parts_has_a_bound() {
    let mut site = Site::new();
    let key = ObjectKey {
        node: 1,
        instance: 2,
        object: 1,
    };
    site.session.started(key, 1 << 30, true, &mut site.receiver);
    let mut kept = 0;
    for at in 0..(HELD as u64) {
        let (receiver, store) = (&mut site.receiver, &site.store);
        let part = Bytes::from_static(b"x");
        site.session.data(key, at, part, receiver, store);
        match site.session.objects.get(&1) {
            Some(Incoming::Held(_, parts)) => kept = parts.len(),
            _ => break,
        }
    }
    assert!((1..HELD / 60).contains(&kept), "{kept}");
}

/// Of files that were abandoned parts stay on the disk: with them, a sender has no more than its limit.
#[test]
fn what_is_left_of_abandoned_files_counts() {
    const MIB: u64 = 1 << 20;
    let mut site = Site::new();
    site.session.limit = 3 * MIB;
    let entry = |path: &str, size| Entry {
        path: path.to_owned(),
        is_folder: false,
        mode: 0o644,
        modified: (0, 0),
        size,
        hash: Some([7; 32]),
    };
    let mut object = 0;
    // Half of a file comes. Whether it is taken.
    let mut abandon = |index: u32, path: &str, size: u64| {
        object += 1;
        let key = ObjectKey {
            node: 1,
            instance: 2,
            object,
        };
        let entry = entry(path, size);
        let info = Said::File { index, entry }.emit(9);
        let (receiver, store) = (&mut site.receiver, &site.store);
        site.session.started(key, size, true, receiver);
        let told = site.session.info(key, &info, receiver, store);
        let half = usize::try_from(size / 2).unwrap();
        let bytes = Bytes::from(vec![1; half]);
        site.session.data(key, 0, bytes, receiver, store);
        site.session.abandoned(key, store);
        told.is_none()
    };
    assert!(abandon(0, "long", 2 * MIB));
    assert!(
        !abandon(1, "too long", 2 * MIB),
        "a part of another is there"
    );
    assert!(abandon(0, "long", 2 * MIB), "it counts once");
    for index in 2..10 {
        assert!(
            abandon(index, &format!("short {index}"), MIB - 1),
            "nothing of it stays"
        );
    }
    assert!(abandon(10, "fits", MIB));
    assert!(!abandon(11, "more", 1));
    // What comes after all of it has come: so it is written.
    site.store.begin(0, entry("last", MIB), true);
    while site.outcomes.recv().unwrap() != Outcome::Begun(0, Vec::new()) {}
    let folder = site.finish();
    let left = std::fs::read_dir(folder.path().join("inside")).unwrap();
    let files = left.map(|it| it.unwrap().metadata().unwrap());
    let parts: Vec<_> = files.filter(|it| it.is_file()).collect();
    assert_eq!(parts.len(), 2, "of the two long ones");
    let bytes: u64 = parts.iter().map(|it| it.blocks() * 512).sum();
    assert!(bytes <= 3 * MIB, "{bytes}");
}

/// A sender of very many small files does nothing wrong where its manifest comes late.
#[test]
fn files_that_come_long_before_the_manifest_are_no_fault_of_the_sender() {
    let mut site = Site::new();
    for index in 0..2 * u32::try_from(EARLY).unwrap() {
        let key = ObjectKey {
            node: 1,
            instance: 2,
            object: index.into(),
        };
        let entry = Entry {
            path: format!("file{index}"),
            is_folder: false,
            mode: 0o644,
            modified: (0, 0),
            size: 0,
            hash: None,
        };
        let info = Said::File { index, entry }.emit(1);
        let (receiver, store) = (&mut site.receiver, &site.store);
        site.session.started(key, 0, true, receiver);
        assert_eq!(site.session.info(key, &info, receiver, store), None);
        site.session.completed(key, store);
    }
}
