//! The BLAKE3 hash of a file: of one that is there, or of one as it is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use blake3::Hasher;

/// How much of a file is read at once: it is still in the processor's second cache when it is hashed.
/// With four times as much it is read and hashed at half to three quarters of the speed.
const PIECE: usize = 64 << 10;
/// How many runs that were written beyond a gap are kept.
const MOST: usize = 4096;

/// The hash of the first `length` bytes of a file. Where it is shorter, it is that of another one.
/// `None` where `progress` says not to go on.
pub(super) fn hash(
    file: &File,
    length: u64,
    progress: impl FnMut(u64) -> bool,
) -> io::Result<Option<[u8; 32]>> {
    Hashing::default().finish(file, length, progress)
}

/// The hash of a file as it is written: what comes in order is hashed from memory, and what was
/// written beyond a gap is read back when that is filled.
#[derive(Debug, Default)]
pub(super) struct Hashing {
    hasher: Box<Hasher>,
    /// Up to where it has come.
    at: u64,
    /// What was written beyond: where each run begins, and where it ends.
    beyond: BTreeMap<u64, u64>,
    /// Whether all of it is read at the end, since it was not written once, piece by piece.
    is_put_off: bool,
}

impl Hashing {
    /// Leaves all to the end.
    pub(super) fn put_off(&mut self) {
        *self = Self {
            is_put_off: true,
            ..Self::default()
        };
    }

    /// How many of the first `length` bytes are still to be read.
    pub(super) const fn left(&self, length: u64) -> u64 {
        length.saturating_sub(self.at)
    }

    /// Takes in what was written to `file`.
    pub(super) fn wrote(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.is_put_off || bytes.is_empty() {
            return Ok(());
        }
        let end = offset + bytes.len() as u64;
        let before = self.beyond.range(..end).next_back().map(|(_, end)| *end);
        if offset < self.at || before.is_some_and(|before| before > offset) {
            // What was hashed may be written over.
            self.put_off();
        } else if offset == self.at {
            self.hasher.update(bytes);
            self.at = end;
            self.catch_up(file)?;
        } else {
            let start = match self.beyond.range(..offset).next_back() {
                Some((&start, &end)) if end == offset => start,
                _ if self.beyond.len() < MOST => offset,
                _ => {
                    self.put_off();
                    return Ok(());
                }
            };
            self.beyond.insert(start, end);
        }
        Ok(())
    }

    /// Takes in bytes that follow those before; false where they lie beyond. Those that were taken in
    /// before are passed over.
    pub(super) fn follow(&mut self, bytes: &[u8], offset: u64) -> bool {
        if offset == self.at {
            self.hasher.update(bytes);
            self.at += bytes.len() as u64;
        }
        offset <= self.at
    }

    /// Reads what was written beyond the gap that is filled now.
    fn catch_up(&mut self, file: &File) -> io::Result<()> {
        let mut piece = Vec::new();
        while let Some(end) = self.beyond.remove(&self.at) {
            piece.resize(PIECE, 0);
            while self.at < end {
                let left = usize::try_from(end - self.at).unwrap_or(usize::MAX);
                let piece = &mut piece[..left.min(PIECE)];
                file.read_exact_at(piece, self.at)?;
                self.hasher.update(piece);
                self.at += piece.len() as u64;
            }
        }
        Ok(())
    }

    /// The hash of the first `length` bytes: what was not hashed yet is read.
    pub(super) fn finish(
        mut self,
        mut file: &File,
        length: u64,
        mut progress: impl FnMut(u64) -> bool,
    ) -> io::Result<Option<[u8; 32]>> {
        if self.at < length {
            file.seek(SeekFrom::Start(self.at))?;
        }
        let left = self.left(length);
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
        let (mut reader, mut piece) = (file.take(left), vec![0; room]);
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return Ok(Some(*self.hasher.finalize().as_bytes())),
                Ok(count) => {
                    self.hasher.update(&piece[..count]);
                    if !progress(count as u64) {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(length: usize) -> Vec<u8> {
        (0..length)
            .map(|at| (at * at % 251).to_le_bytes()[0])
            .collect()
    }

    /// Writes pieces of a file in an order, and hashes what is in it then.
    fn hash_of(pieces: &[(u64, Vec<u8>)], length: u64) -> ([u8; 32], Vec<u8>, bool) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true);
        let file = file.open(&path).unwrap();
        let mut hashing = Hashing::default();
        for (offset, bytes) in pieces {
            file.write_all_at(bytes, *offset).unwrap();
            hashing.wrote(&file, bytes, *offset).unwrap();
        }
        let is_through = hashing.at == length;
        let hash = hashing.finish(&file, length, |_| true).unwrap().unwrap();
        (hash, std::fs::read(path).unwrap(), is_through)
    }

    #[test]
    fn what_is_written_in_order_is_not_read_again() {
        let content = content(3 * PIECE);
        let place = tempfile::tempdir().unwrap();
        // It stays empty: who reads it would find nothing.
        let file = File::create_new(place.path().join("file")).unwrap();
        let mut hashing = Hashing::default();
        let mut offset = 0;
        for bytes in content.chunks(PIECE / 3) {
            hashing.wrote(&file, bytes, offset).unwrap();
            offset += bytes.len() as u64;
        }
        let hash = hashing.finish(&file, offset, |_| false).unwrap();
        assert_eq!(hash, Some(*blake3::hash(&content).as_bytes()));
    }

    /// What is written twice counts as it stands in the file.
    #[test]
    fn what_is_written_over_is_read_again() {
        for again in [0, 5, 10, 15, 25] {
            let pieces = [
                (0, vec![1; 10]),
                (20, vec![2; 10]),
                (again, vec![3; 7]),
                (10, vec![4; 10]),
            ];
            let (hash, file, _) = hash_of(&pieces, 30);
            assert_eq!(hash, *blake3::hash(&file[..30]).as_bytes(), "{again}");
        }
    }

    proptest! {
        #[test]
        fn the_order_of_pieces_changes_nothing(
            order in Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(),
            length in 1..70_000_usize,
        ) {
            let content = content(length);
            let size = length.div_ceil(12);
            let mut pieces: Vec<_> = (0_u64..).step_by(size).zip(content.chunks(size)).collect();
            let count = pieces.len();
            pieces.sort_by_key(|(at, _)| order[usize::try_from(*at).unwrap() / size % 12]);
            let pieces: Vec<_> = pieces.into_iter().map(|(at, it)| (at, it.to_vec())).collect();
            let (hash, file, is_through) = hash_of(&pieces, length as u64);
            prop_assert!(file == content && is_through, "{count} pieces");
            prop_assert_eq!(hash, *blake3::hash(&content).as_bytes());
        }
    }
}
