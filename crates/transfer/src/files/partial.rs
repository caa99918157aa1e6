//! A file on its way, and the record of what has come of it: it stands in the file itself, behind its
//! end, so that whoever is killed leaves both or neither, and the next one goes on.
//!
//! A run is written down after its bytes. What a kernel that crashes makes of that order is not
//! relied on: the hash of the whole decides.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use super::entry::{Entry, temporary};
use super::hashing::Hashing;
use crate::folder::{Folder, Upload};

/// Of a shorter file nothing is kept: it is sent again sooner than it is looked for.
const LEAST: u64 = 1 << 20;
/// What a record begins with: a name, and the version.
const MAGIC: [u8; 8] = *b"MCPART\0\x02";
/// Its length without the runs: the name, the permissions, the length, the time of modification, and
/// the hash, of zeros where it was not known.
const HEAD: usize = 8 + 2 + 8 + 12 + 32;
/// The length of a run: where it begins and where it ends.
const RUN: usize = 16;
/// How many runs that do not touch are looked at. What lies in others is asked for again.
const MOST: usize = 65_536;

/// After how long without a word of its sender a file gives way to another one's.
const IDLE: Duration = Duration::from_secs(1);

/// A file on its way. Dropped, it stays under its temporary name where something of it was recorded,
/// and is gone otherwise.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) entry: Entry,
    pub(super) upload: Upload,
    record: Option<Record>,
    hashing: Hashing,
    /// Whether an earlier attempt wrote a part of it.
    pub(super) is_resumed: bool,
    /// When something of it was last written.
    written: Instant,
}

#[derive(Debug, Default)]
struct Record {
    /// How many runs it has.
    count: u64,
    /// The last one, which grows where the next bytes follow it.
    last: Range<u64>,
}

impl Partial {
    /// Begins a file, or goes on with what an earlier attempt has left of the same one; with the runs
    /// that are there.
    pub(super) fn begin(folder: &Folder, entry: Entry) -> io::Result<(Self, Vec<Range<u64>>)> {
        let mut found = None;
        let upload = folder.begin(
            Path::new(&entry.path),
            &temporary(&entry.path),
            entry.mode,
            |left| {
                found = runs(left, &entry).ok().filter(|runs| !runs.is_empty());
                found.is_some()
            },
        )?;
        let is_resumed = found.is_some();
        let record = Self::is_kept(entry.size).then(Record::default);
        let mut partial = Self {
            entry,
            upload,
            record,
            hashing: Hashing::default(),
            is_resumed,
            written: Instant::now(),
        };
        if is_resumed {
            // To read what is there would hold up what comes.
            partial.hashing.put_off();
        }
        let runs = found.unwrap_or_default();
        if partial.record.is_some() {
            // What was recorded goes first, as few runs as it is by now.
            partial.upload.file.set_len(partial.entry.size)?;
            let head = head(&partial.entry);
            let file = &partial.upload.file;
            file.write_all_at(&head, partial.entry.size)?;
            for run in &runs {
                partial.add(run.clone())?;
            }
        }
        Ok((partial, runs))
    }

    /// Whether something is kept of a file of this length that was broken off.
    pub(super) const fn is_kept(length: u64) -> bool {
        length >= LEAST
    }

    pub(super) const fn is_recorded(&self) -> bool {
        self.record.is_some()
    }

    /// Whether another sender may take its place: with the same content it goes on with what is
    /// there, and one that was started again may have another.
    pub(super) fn gives_way_to(&self, entry: &Entry) -> bool {
        goes_on(&head(&self.entry), entry) || self.written.elapsed() >= IDLE
    }

    /// Writes a part of it.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.written = Instant::now();
        self.upload.file.write_all_at(bytes, offset)?;
        self.hashing.wrote(&self.upload.file, bytes, offset)?;
        self.add(offset..offset + bytes.len() as u64)
    }

    fn add(&mut self, run: Range<u64>) -> io::Result<()> {
        let Some(record) = &mut self.record else {
            return Ok(());
        };
        if record.count > 0 && record.last.end == run.start {
            record.last.end = run.end;
        } else if record.count < self.entry.size / LEAST * 32 {
            // Whatever pieces it comes in, it takes a two-thousandth of the file at most.
            record.last = run;
            record.count += 1;
        } else {
            return Ok(());
        }
        let (start, end) = (record.last.start, record.last.end);
        let mut octets = [0; RUN];
        octets[..8].copy_from_slice(&start.to_be_bytes());
        octets[8..].copy_from_slice(&end.to_be_bytes());
        let at = self.entry.size + HEAD as u64 + (record.count - 1) * RUN as u64;
        self.upload.file.write_all_at(&octets, at)?;
        self.upload.keep = true;
        Ok(())
    }

    /// How many bytes of it are still to be read for its hash.
    pub(super) const fn unhashed(&self) -> u64 {
        self.hashing.left(self.entry.size)
    }

    /// The hash of what was written: what was not hashed then is read. `None` where `progress` says not
    /// to go on.
    pub(super) fn hash(
        &mut self,
        progress: impl FnMut(u64) -> bool,
    ) -> io::Result<Option<[u8; 32]>> {
        let hashing = std::mem::take(&mut self.hashing);
        hashing.finish(&self.upload.file, self.entry.size, progress)
    }

    /// Nothing of it is of use: it is gone, however it ends.
    pub(super) fn discard(&mut self) {
        self.upload.keep = false;
    }

    /// Takes the record away: what is left is the file alone.
    pub(super) fn complete(&mut self) -> io::Result<()> {
        if self.record.take().is_some() {
            self.discard();
            self.upload.file.set_len(self.entry.size)?;
        }
        Ok(())
    }
}

fn head(entry: &Entry) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..10].copy_from_slice(&entry.mode.to_be_bytes());
    head[10..18].copy_from_slice(&entry.size.to_be_bytes());
    head[18..26].copy_from_slice(&entry.modified.0.to_be_bytes());
    head[26..30].copy_from_slice(&entry.modified.1.to_be_bytes());
    head[30..].copy_from_slice(&entry.hash.unwrap_or_default());
    head
}

/// Whether what is recorded under `left` is the begin of this file: by the hash where both are known,
/// and by the time of modification otherwise.
fn goes_on(left: &[u8; HEAD], entry: &Entry) -> bool {
    let head = head(entry);
    let are_known = [left, &head].iter().all(|it| it[30..] != [0; 32]);
    let same = match are_known {
        true => 30..HEAD,
        false => 18..30,
    };
    left[..18] == head[..18] && left[same.clone()] == head[same]
}

/// The runs that are recorded in a file that was left, in order and none touching another. None where
/// it is not what this user left of the same file.
fn runs(left: &File, entry: &Entry) -> io::Result<Vec<Range<u64>>> {
    let metadata = left.metadata()?;
    // Another user's file could be changed by it later; one of two names is perhaps another file.
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.is_file() || metadata.nlink() != 1 || !is_own || !Partial::is_kept(entry.size) {
        return Ok(Vec::new());
    }
    let mut reader = BufReader::new(left);
    reader.seek(SeekFrom::Start(entry.size))?;
    let mut octets = [0; HEAD];
    reader.read_exact(&mut octets)?;
    if !goes_on(&octets, entry) {
        return Ok(Vec::new());
    }
    let most = entry.size / LEAST * 32;
    let mut reader = reader.take(most * RUN as u64);
    let mut runs: BTreeMap<u64, u64> = BTreeMap::new();
    let mut octets = [0; RUN];
    while reader.read_exact(&mut octets).is_ok() && runs.len() < MOST {
        let (start, end) = octets.split_at(8);
        let number = |octets: &[u8]| u64::from_be_bytes(octets.try_into().unwrap_or_default());
        let (mut start, mut end) = (number(start), number(end));
        if start >= end || end > entry.size {
            break;
        }
        // It takes up those that it touches.
        while let Some((&first, &last)) = runs.range(..=end).next_back()
            && last >= start
        {
            runs.remove(&first);
            (start, end) = (start.min(first), end.max(last));
        }
        runs.insert(start, end);
    }
    Ok(runs.into_iter().map(|(start, end)| start..end).collect())
}

#[cfg(test)]
#[expect(
    clippy::single_range_in_vec_init,
    reason = "a file may have one run alone"
)]
mod tests {
    use std::fs;

    use super::*;

    const SIZE: u64 = 3 << 20;

    fn entry(hash: u8) -> Entry {
        Entry {
            path: "file".to_owned(),
            is_folder: false,
            mode: 0o444,
            modified: (0, 0),
            size: SIZE,
            hash: Some([hash; 32]),
        }
    }

    /// Writes runs of an attempt that is then broken off, and begins the file again.
    fn again(written: &[Range<u64>], next: Entry) -> (Partial, Vec<Range<u64>>) {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let (mut first, none) = Partial::begin(&folder, entry(1)).unwrap();
        assert!(none.is_empty() && !first.is_resumed);
        for run in written {
            let bytes = vec![7; usize::try_from(run.end - run.start).unwrap()];
            first.write(&bytes, run.start).unwrap();
        }
        drop(first);
        let left = fs::read_dir(place.path()).unwrap().count();
        assert_eq!(left, usize::from(!written.is_empty()));
        Partial::begin(&folder, next).unwrap()
    }

    #[test]
    fn what_has_come_is_there_at_the_next_attempt() {
        let written = [0..1000, 1000..3000, 5000..6000, 4000..5000, 9000..9001];
        let (partial, runs) = again(&written, entry(1));
        assert_eq!(runs, [0..3000, 4000..6000, 9000..9001]);
        assert!(partial.is_resumed);
        let mut bytes = [0; 1000];
        partial.upload.file.read_exact_at(&mut bytes, 4500).unwrap();
        assert_eq!(bytes, [7; 1000]);
    }

    /// A file has the hash that it had, or, while that is not known, its time.
    #[test]
    fn it_goes_on_with_what_may_be_the_same() {
        let unhashed = Entry {
            hash: None,
            ..entry(1)
        };
        let touched = Entry {
            modified: (5, 5),
            ..entry(1)
        };
        for next in [unhashed, touched] {
            let (partial, runs) = again(&[0..1000], next);
            assert!(partial.is_resumed);
            assert_eq!(runs, [0..1000]);
        }
    }

    #[test]
    fn another_version_or_nothing_begins_anew() {
        let long = Entry {
            size: SIZE + 1,
            ..entry(1)
        };
        let later = Entry {
            modified: (0, 1),
            hash: None,
            ..entry(1)
        };
        for (written, next) in [
            (vec![0..1000], entry(2)),
            (vec![0..1000], long),
            (vec![0..1000], later),
            (vec![], entry(1)),
        ] {
            let (partial, runs) = again(&written, next);
            assert!(runs.is_empty() && !partial.is_resumed);
            let mut bytes = [9; 1000];
            partial.upload.file.read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!(bytes, [0; 1000], "nothing of the other is in it");
        }
    }

    /// Whatever stands behind the end, be it half written: it is runs of the file, or none.
    #[test]
    fn a_record_that_is_cut_or_wrong_is_read_as_far_as_it_is_right() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("left");
        let write = |runs: &[u64], more: &[u8]| {
            fs::write(&path, b"").unwrap();
            let file = File::options().read(true).write(true).open(&path).unwrap();
            let runs: Vec<_> = runs.iter().flat_map(|it| it.to_be_bytes()).collect();
            let record = [&head(&entry(1))[..], &runs, more].concat();
            file.write_all_at(&record, SIZE).unwrap();
            super::runs(&file, &entry(1)).unwrap()
        };
        assert_eq!(write(&[0, 9, 20, 30], &[0; 15]), [0..9, 20..30]);
        assert_eq!(write(&[0, 9, 30, 20, 40, 50], &[]), [0..9]);
        assert_eq!(write(&[0, 9, 40, SIZE + 1], &[]), [0..9]);
        assert_eq!(write(&[0, 9, 10, 19, 5, 12], &[]), [0..19]);
        let many: Vec<_> = (0..1000).flat_map(|at| [at * 10, at * 10 + 1]).collect();
        assert_eq!(write(&many, &[]).len(), 96, "no more than there can be");
        // Of two names: it is perhaps no temporary file.
        fs::hard_link(&path, place.path().join("other")).unwrap();
        let file = File::open(&path).unwrap();
        assert!(runs(&file, &entry(1)).unwrap().is_empty());
    }

    /// It comes in pieces of one byte: the record does not outgrow the file.
    #[test]
    fn a_record_has_a_bound() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let (mut partial, _) = Partial::begin(&folder, entry(1)).unwrap();
        for at in 0..1000 {
            partial.write(&[1], at * 2).unwrap();
        }
        let length = partial.upload.file.metadata().unwrap().len();
        assert_eq!(length, SIZE + (HEAD + 96 * RUN) as u64);
        partial.complete().unwrap();
        partial.upload.finish().unwrap();
        let file = fs::metadata(place.path().join("file")).unwrap();
        assert_eq!((file.len(), file.mode() & 0o777), (SIZE, 0o444));
    }
}
