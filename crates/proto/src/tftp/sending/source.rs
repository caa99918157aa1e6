//! The part of a file that lies in memory: what was sent and not acknowledged, and a little more.

use std::collections::VecDeque;

use bytes::Bytes;

/// Parts of a file, side by side.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// What was provided, in order: where each begins, and its bytes.
    pieces: VecDeque<(u64, Bytes)>,
    /// Where they end.
    provided: u64,
    /// What was asked for and is not there yet.
    asked: VecDeque<Asked>,
    requested: u64,
    length: Option<u64>,
}

/// A part of the file that was asked for.
#[derive(Debug)]
struct Asked {
    offset: u64,
    length: usize,
    /// What came, while something before it has not.
    answer: Option<Bytes>,
}

impl Source {
    /// How much is read at once at most. No read goes beyond a multiple of this, so that transfers
    /// of one file can share what was read.
    pub(super) const PIECE: usize = 64 << 10;

    /// How long the file is, once its end was met.
    pub(super) const fn length(&self) -> Option<u64> {
        self.length
    }

    /// What to read next, so that `ahead` bytes of the file are there.
    pub(super) fn read(&mut self, ahead: u64, most: usize) -> Option<(u64, usize)> {
        const AT_ONCE: usize = 8;
        if self.requested >= ahead || self.asked.len() >= AT_ONCE {
            return None;
        }
        if self.length.is_some_and(|length| self.requested >= length) {
            return None;
        }
        let piece = Self::PIECE as u64;
        let until_boundary = usize::try_from(piece - self.requested % piece).unwrap_or(Self::PIECE);
        let length = until_boundary.min(most.max(1));
        let read = (self.requested, length);
        self.asked.push_back(Asked {
            offset: read.0,
            length,
            answer: None,
        });
        self.requested += length as u64;
        Some(read)
    }

    /// Takes in what was read. What was asked for together may come in any order: some of it lies in
    /// memory, and some must be waited for.
    pub(super) fn provide(&mut self, offset: u64, bytes: Bytes) {
        // What was asked for before the last seek comes to nothing.
        let wanted = |asked: &&mut Asked| asked.offset == offset && asked.answer.is_none();
        if let Some(asked) = self.asked.iter_mut().find(wanted) {
            asked.answer = Some(bytes);
        }
        while let Some(Asked {
            offset,
            length,
            answer,
        }) = self.asked.front_mut()
            && let Some(bytes) = answer.take()
        {
            let (offset, length) = (*offset, *length);
            self.asked.pop_front();
            let bytes = bytes.slice(..bytes.len().min(length));
            self.provided = offset + bytes.len() as u64;
            let is_end = bytes.len() < length;
            if !bytes.is_empty() {
                self.pieces.push_back((offset, bytes));
            }
            if is_end {
                self.length = Some(self.provided);
                self.asked.clear();
                self.requested = self.provided;
            }
        }
    }

    /// Appends a block to `into`, the last one of the file as short as it is. False if it is not
    /// all there.
    pub(super) fn copy(&self, offset: u64, block_size: usize, into: &mut Vec<u8>) -> bool {
        let mut end = offset + block_size as u64;
        if let Some(length) = self.length {
            end = end.min(length).max(offset);
        }
        if end > self.provided {
            return false;
        }
        let mut at = offset;
        for (start, bytes) in &self.pieces {
            if at == end {
                break;
            }
            let stop = start + bytes.len() as u64;
            if (*start..stop).contains(&at) {
                let from = usize::try_from(at - start).unwrap_or(usize::MAX);
                let to = usize::try_from(end.min(stop) - start).unwrap_or(usize::MAX);
                into.extend_from_slice(&bytes[from..to]);
                at = end.min(stop);
            }
        }
        at == end
    }

    /// Lets go of what lies before `offset`.
    pub(super) fn forget_before(&mut self, offset: u64) {
        while let Some((start, bytes)) = self.pieces.front()
            && start + bytes.len() as u64 <= offset
        {
            self.pieces.pop_front();
        }
    }

    /// Lets go of what was asked for and has not come.
    pub(super) fn forget_reads(&mut self) {
        self.asked.clear();
        self.requested = self.provided;
    }

    /// Goes on from `offset`.
    pub(super) fn seek(&mut self, offset: u64) {
        let first = self
            .pieces
            .front()
            .map_or(self.provided, |(start, _)| *start);
        if (first..=self.provided).contains(&offset) {
            self.forget_before(offset);
            return;
        }
        self.pieces.clear();
        self.asked.clear();
        self.provided = offset;
        self.requested = offset;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_in_any_order() {
        let file: Vec<u8> = (0..249).cycle().take(200_000).collect();
        let file = Bytes::from(file);
        let mut source = Source::default();
        let mut asked = Vec::new();
        while let Some(read) = source.read(1_000_000, Source::PIECE) {
            asked.push(read);
        }
        assert!(asked.len() > 3, "{asked:?}");
        for (offset, length) in asked.into_iter().rev() {
            let from = usize::try_from(offset).unwrap().min(file.len());
            let to = (from + length).min(file.len());
            source.provide(offset, file.slice(from..to));
        }
        assert_eq!(source.length(), Some(200_000));
        let mut all = Vec::new();
        for block in 0..200 {
            assert!(source.copy(block * 1_000, 1_000, &mut all));
        }
        assert_eq!(all, file);
    }
}
