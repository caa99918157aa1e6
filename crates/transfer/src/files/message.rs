//! What sender and receivers say to each other beside the files, in payloads of NORM.
//!
//! Each begins with four octets `MCF` and the version, 1; the number of the session, eight octets;
//! and its kind, one octet. Numbers are in network byte order. See `docs/files.md`.

use bytes::Bytes;
use manycast_proto::wire::{Reader, Writer};
use manycast_types::Malformed;

use super::entry::{Entry, Names, Wrong};

/// What all begin with: a name, and the version.
const MAGIC: [u8; 4] = *b"MCF\x01";

/// The kind of acknowledgement in which receivers report (ack_type).
// RFC 5740 §4.3.2: 16 to 255 are the application's.
pub(super) const REPORT: u8 = 16;

/// The most bytes of a manifest, which receivers keep in memory.
pub(super) const LONGEST_MANIFEST: usize = 16 << 20;

/// The most hashes that are told at once, after the files have begun.
pub(super) const MOST_HASHES: usize = 1024;
/// The most bytes of them.
pub(super) const LONGEST_HASHES: usize = HEAD + MOST_HASHES * 36;
/// How long what all begin with is, with the session and the kind.
const HEAD: usize = 13;

/// How long a report is at most, in bytes, so that it goes through any path in one piece.
const LONGEST_REPORT: usize = 1100;
/// The longest reason in it.
const LONGEST_REASON: usize = 300;
/// The longest name of a receiver, in bytes.
pub(super) const LONGEST_NAME: usize = 64;

/// How it stands with a file at a receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    /// It is not known there.
    #[default]
    Unknown,
    /// Its hash must come first, to know whether what is there already, or what came, is right.
    Unhashed,
    /// What is there already, or what came, is compared with it.
    Checking,
    /// It is wanted.
    Missing,
    /// It is coming.
    Coming,
    /// It is there, whole, and has the right hash.
    Verified,
    /// It will not be taken.
    Failed,
}

impl Status {
    const fn of(octet: u8) -> Option<Self> {
        Some(match octet {
            0 => Self::Unknown,
            1 => Self::Unhashed,
            2 => Self::Checking,
            3 => Self::Missing,
            4 => Self::Coming,
            5 => Self::Verified,
            6 => Self::Failed,
            _ => return None,
        })
    }

    /// Whether no more is to be sent of it.
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Self::Verified | Self::Failed)
    }

    /// Whether it is wanted, for all that is known of it.
    pub(super) const fn is_wanted(self) -> bool {
        matches!(self, Self::Unknown | Self::Missing | Self::Coming)
    }
}

/// What a sender says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// In the NORM_INFO of an object: it is the manifest of so many entries and bytes.
    Manifest { entries: u32, bytes: u64 },
    /// In the NORM_INFO of an object: it is the file with this number.
    File { index: u32, entry: Entry },
    /// In the NORM_INFO of an object: it is hashes of files.
    Hashes,
    /// To all: report, from this entry on, within so many milliseconds.
    Question { from: u32, within: u16 },
    /// To all: this was all; whether all that were heard of have all.
    End,
}

impl Said {
    pub(super) fn emit(&self, session: u64) -> Bytes {
        let mut writer = Writer::with_capacity(256);
        writer.bytes(&MAGIC).u64(session);
        match self {
            Self::Manifest { entries, bytes } => writer.u8(1).u32(*entries).u64(*bytes),
            Self::File { index, entry } => {
                writer.u8(2).u32(*index);
                entry.emit(&mut writer);
                &mut writer
            }
            Self::Question { from, within } => writer.u8(3).u32(*from).u16(*within),
            Self::End => writer.u8(4),
            Self::Hashes => writer.u8(7),
        };
        writer.finish()
    }

    /// Reads it, with the number of its session.
    pub(super) fn parse(payload: &[u8]) -> Result<(u64, Self), Wrong> {
        let mut reader = Reader::new(payload);
        let session = head(&mut reader)?;
        let offset = reader.offset();
        let said = match reader.u8()? {
            1 => Self::Manifest {
                entries: reader.u32()?,
                bytes: reader.u64()?,
            },
            2 => Self::File {
                index: reader.u32()?,
                entry: Entry::parse(&mut reader)?,
            },
            3 => Self::Question {
                from: reader.u32()?,
                within: reader.u16()?,
            },
            4 => Self::End,
            7 => Self::Hashes,
            _ => return Err(Malformed::new("there is no such kind of message", offset).into()),
        };
        reader.end()?;
        Ok((session, said))
    }
}

fn head(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    if reader.array()? != MAGIC {
        return Err(Malformed::new(
            "it is of no sender of files that is known",
            0,
        ));
    }
    reader.u64()
}

/// The manifest of a session, as the object that goes ahead of the files.
pub(super) fn emit_manifest(session: u64, entries: &[Entry]) -> Bytes {
    let mut writer = Writer::new();
    writer.bytes(&MAGIC).u64(session).u8(0);
    for entry in entries {
        entry.emit(&mut writer);
    }
    writer.finish()
}

/// Reads a manifest: of which no path is refused, and none clashes with another.
pub(super) fn parse_manifest(session: u64, bytes: &[u8]) -> Result<Vec<Entry>, Wrong> {
    let mut reader = Reader::new(bytes);
    if head(&mut reader)? != session || reader.u8()? != 0 {
        return Err(Malformed::new("it is the manifest of another session", 4).into());
    }
    let (mut entries, mut names) = (Vec::new(), Names::default());
    while !reader.remaining().is_empty() {
        let entry = Entry::parse(&mut reader)?;
        names.add(&entry.path, entry.is_folder)?;
        entries.push(entry);
    }
    Ok(entries)
}

/// Hashes of the files with these numbers, as the object in which they follow.
pub(super) fn emit_hashes(session: u64, hashes: &[(u32, [u8; 32])]) -> Bytes {
    let mut writer = Writer::new();
    writer.bytes(&MAGIC).u64(session).u8(6);
    for (index, hash) in hashes {
        writer.u32(*index).bytes(hash);
    }
    writer.finish()
}

/// Reads hashes of files.
pub(super) fn parse_hashes(session: u64, bytes: &[u8]) -> Result<Vec<(u32, [u8; 32])>, Malformed> {
    let mut reader = Reader::new(bytes);
    if head(&mut reader)? != session || reader.u8()? != 6 {
        return Err(Malformed::new("it is no hashes of this session", 4));
    }
    let mut hashes = Vec::new();
    while !reader.remaining().is_empty() {
        hashes.push((reader.u32()?, reader.array()?));
    }
    Ok(hashes)
}

/// What a receiver says of itself, in answer to a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) name: String,
    /// Another one after each start of the receiver.
    pub(super) start: u32,
    /// Counts its reports.
    pub(super) number: u32,
    pub(super) has_manifest: bool,
    /// The bytes of files that it has, those on their way among them.
    pub(super) bytes: u64,
    /// The bytes that it has read to compare or to verify files.
    pub(super) read: u64,
    /// The sender's datagrams that were to come, and that came.
    pub(super) expected: u64,
    pub(super) came: u64,
    /// The first entry that is told of.
    pub(super) from: u32,
    /// How it stands with that many entries, one after the other.
    pub(super) runs: Vec<(Status, u32)>,
    /// Why entries have failed, as many as fit.
    pub(super) reasons: Vec<(u32, String)>,
}

impl Report {
    /// How it stands from entry `from` on, as far as it fits.
    pub(super) fn set_statuses(&mut self, from: u32, statuses: &[Status]) {
        let start = usize::try_from(from).unwrap_or(usize::MAX);
        let statuses = statuses.get(start..).unwrap_or_default();
        // Half of the room; the other half is for reasons.
        let most = LONGEST_REPORT / 2 / 5;
        (self.from, self.runs) = (from, Vec::new());
        for run in statuses.chunk_by(|one, other| one == other).take(most) {
            let length = u32::try_from(run.len()).unwrap_or(u32::MAX);
            self.runs.push((run[0], length));
        }
    }

    /// The entry after the last that is told of.
    pub(super) fn end(&self) -> u32 {
        let told = self.runs.iter().map(|(_, length)| *length);
        told.fold(self.from, u32::saturating_add)
    }

    pub(super) fn emit(&self, session: u64) -> Bytes {
        let mut writer = Writer::with_capacity(LONGEST_REPORT);
        let name = cut(&self.name, LONGEST_NAME);
        writer.bytes(&MAGIC).u64(session).u8(5);
        writer.u32(self.start).u32(self.number);
        writer.u8(u8::from(self.has_manifest));
        writer.u64(self.bytes).u64(self.read);
        writer.u64(self.expected).u64(self.came);
        writer.u8(u8::try_from(name.len()).unwrap_or(0));
        writer.bytes(name.as_bytes()).u32(self.from);
        writer.u16(u16::try_from(self.runs.len()).unwrap_or(0));
        for (status, length) in &self.runs {
            writer.u8(*status as u8).u32(*length);
        }
        for (index, reason) in &self.reasons {
            let reason = cut(reason, LONGEST_REASON);
            if writer.offset() + 6 + reason.len() > LONGEST_REPORT {
                break;
            }
            writer
                .u32(*index)
                .u16(u16::try_from(reason.len()).unwrap_or(0))
                .bytes(reason.as_bytes());
        }
        writer.finish()
    }

    pub(super) fn parse(payload: &[u8]) -> Result<(u64, Self), Malformed> {
        let mut reader = Reader::new(payload);
        let session = head(&mut reader)?;
        if reader.u8()? != 5 {
            return Err(Malformed::new("it is no report", 12));
        }
        let (start, number) = (reader.u32()?, reader.u32()?);
        let has_manifest = reader.u8()? != 0;
        let (bytes, read) = (reader.u64()?, reader.u64()?);
        let (expected, came) = (reader.u64()?, reader.u64()?);
        let length = reader.u8()?;
        let name = text(reader.bytes(length.into())?);
        let from = reader.u32()?;
        let count = reader.u16()?;
        let mut runs = Vec::new();
        for _ in 0..count {
            let offset = reader.offset();
            let status = Status::of(reader.u8()?);
            let status = status.ok_or_else(|| Malformed::new("there is no such status", offset))?;
            runs.push((status, reader.u32()?));
        }
        let mut reasons = Vec::new();
        while !reader.remaining().is_empty() {
            let (index, length) = (reader.u32()?, reader.u16()?);
            let reason = text(reader.bytes(length.into())?);
            reasons.push((index, cut(&reason, LONGEST_REASON).to_owned()));
        }
        let report = Self {
            name,
            start,
            number,
            has_manifest,
            bytes,
            read,
            expected,
            came,
            from,
            runs,
            reasons,
        };
        Ok((session, report))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// As much of a text as is at most so long, in bytes.
fn cut(text: &str, most: usize) -> &str {
    let at = (0..=most.min(text.len())).rev();
    let mut at = at.filter(|at| text.is_char_boundary(*at));
    &text[..at.next().unwrap_or(0)]
}

/// The number of the node that a receiver of this name is (NormNodeId): so one that is named is known
/// before it is heard of.
pub(crate) fn node_of(name: &str) -> u32 {
    let hash = blake3::hash(name.as_bytes());
    let number = u32::from_be_bytes([
        hash.as_bytes()[0],
        hash.as_bytes()[1],
        hash.as_bytes()[2],
        hash.as_bytes()[3],
    ]);
    // RFC 5740 §4.1: NORM_NODE_NONE and NORM_NODE_ANY are no nodes.
    number.clamp(1, u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(path: &str) -> Entry {
        Entry {
            path: path.to_owned(),
            is_folder: false,
            mode: 0o644,
            modified: (1_700_000_000, 5),
            size: 1 << 40,
            hash: Some([3; 32]),
        }
    }

    #[test]
    fn what_is_said_is_understood() {
        for said in [
            Said::Manifest {
                entries: 3,
                bytes: 1 << 40,
            },
            Said::File {
                index: 7,
                entry: entry("a/b"),
            },
            Said::Question {
                from: 9,
                within: 250,
            },
            Said::Hashes,
            Said::End,
        ] {
            assert_eq!(Said::parse(&said.emit(77)), Ok((77, said)));
        }
        let follows = Entry {
            hash: None,
            ..entry("b/c")
        };
        let entries = vec![entry("a"), follows];
        let manifest = emit_manifest(77, &entries);
        assert_eq!(parse_manifest(77, &manifest), Ok(entries));
        assert!(parse_manifest(78, &manifest).is_err());
        let hashes = vec![(0, [1; 32]), (7, [2; 32])];
        let told = emit_hashes(77, &hashes);
        assert_eq!(parse_hashes(77, &told), Ok(hashes));
        assert!(parse_hashes(78, &told).is_err() && parse_hashes(77, &manifest).is_err());
        let most = emit_hashes(77, &[(1, [3; 32]); MOST_HASHES]);
        assert_eq!(most.len(), LONGEST_HASHES);
        let twice = emit_manifest(77, &[entry("a"), entry("a")]);
        let error = parse_manifest(77, &twice).unwrap_err();
        assert_eq!(error.to_string(), "\"a\" is there twice");
    }

    #[test]
    fn the_longest_entry_fits_into_the_shortest_segment() {
        let said = Said::File {
            index: u32::MAX,
            entry: entry(&"a".repeat(super::super::entry::LONGEST_PATH)),
        };
        assert!(said.emit(1).len() <= usize::from(super::super::SEGMENT_LEAST));
    }

    #[test]
    fn a_report_tells_what_fits_and_where_it_ends() {
        let alternating = [Status::Missing, Status::Verified].repeat(5000);
        let mut report = Report {
            name: "ü".repeat(100),
            reasons: vec![(1, "x".repeat(1000)); 100],
            ..Report::default()
        };
        let (mut from, mut reports) = (0, 0);
        let mut seen = Vec::new();
        while (from as usize) < alternating.len() {
            report.set_statuses(from, &alternating);
            let bytes = report.emit(5);
            assert!(bytes.len() <= LONGEST_REPORT, "{}", bytes.len());
            let (session, parsed) = Report::parse(&bytes).unwrap();
            assert_eq!((session, parsed.from, parsed.name.len()), (5, from, 64));
            for (status, length) in &parsed.runs {
                seen.extend(std::iter::repeat_n(*status, *length as usize));
            }
            from = parsed.end();
            reports += 1;
        }
        assert_eq!(seen, alternating);
        assert!(reports < 100);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
            kind in 0..8_u8,
        ) {
            let _ = (Said::parse(&bytes), Report::parse(&bytes), parse_manifest(1, &bytes));
            let _ = parse_hashes(1, &bytes);
            // Those that begin well come farther.
            let head: Vec<u8> = [&MAGIC[..], &1_u64.to_be_bytes(), &[kind]].concat();
            bytes.splice(0..0, head);
            let _ = (Said::parse(&bytes), Report::parse(&bytes), parse_manifest(1, &bytes));
            let _ = parse_hashes(1, &bytes);
        }
    }
}
