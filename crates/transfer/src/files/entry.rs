//! What is told of a file: its entry in the manifest, and which paths are taken.

use std::collections::{HashMap, hash_map};
use std::fmt;

use manycast_proto::wire::{Reader, Writer};
use manycast_types::Malformed;

use super::message::LONGEST_MANIFEST;

/// The longest path in bytes: with what else is told of a file, it fits into a datagram.
pub(super) const LONGEST_PATH: usize = 1000;

/// A file or a folder, as the manifest tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative, with `/` between its parts.
    pub(super) path: String,
    pub(super) is_folder: bool,
    /// The bits of its permissions: no more than `0o777`.
    pub(super) mode: u16,
    /// When it was modified: seconds since 1970, and nanoseconds.
    pub(super) modified: (i64, u32),
    /// Its length in bytes; 0 of a folder.
    pub(super) size: u64,
    /// The BLAKE3 hash of its bytes, where it is known already; none of a folder.
    pub(super) hash: Option<[u8; 32]>,
}

/// ```text
/// ┌──────┬──────┬──────────────┬───────────────────┬──────┬──────┬─────────────┬──────┐
/// │ kind │ mode │ seconds      │ nanoseconds       │ size │ hash │ path length │ path │
/// │ 1    │ 2    │ 8            │ 4                 │ 8    │ 32   │ 2           │      │
/// └──────┴──────┴──────────────┴───────────────────┴──────┴──────┴─────────────┴──────┘
/// ```
impl Entry {
    const FILE: u8 = 0;
    const FOLDER: u8 = 1;
    /// A file of which the hash is told later.
    const UNHASHED: u8 = 2;
    /// The bytes of an entry without its path.
    pub(super) const LEAST: usize = 57;

    pub(super) fn emit(&self, writer: &mut Writer) {
        let length = u16::try_from(self.path.len()).unwrap_or(u16::MAX);
        let kind = match (self.is_folder, self.hash) {
            (true, _) => Self::FOLDER,
            (false, Some(_)) => Self::FILE,
            (false, None) => Self::UNHASHED,
        };
        writer
            .u8(kind)
            .u16(self.mode)
            .u64(self.modified.0.cast_unsigned())
            .u32(self.modified.1)
            .u64(self.size)
            .bytes(&self.hash.unwrap_or_default())
            .u16(length)
            .bytes(self.path.as_bytes());
    }

    /// Reads an entry. Its path is checked by itself, not yet beside others.
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, Wrong> {
        let kind = reader.u8()?;
        if kind > Self::UNHASHED {
            return Err(Malformed::new("there is no such kind of entry", reader.offset()).into());
        }
        let is_folder = kind == Self::FOLDER;
        let mode = reader.u16()? & 0o777;
        let modified = (reader.u64()?.cast_signed(), reader.u32()?.min(999_999_999));
        let size = reader.u64()?;
        let hash = Some(reader.array()?).filter(|_| kind == Self::FILE);
        let length = reader.u16()?;
        let path = check(reader.bytes(length.into())?)?.to_owned();
        Ok(Self {
            path,
            is_folder,
            mode,
            modified,
            size: if is_folder { 0 } else { size },
            hash,
        })
    }

    /// Whether two may tell of the same file: nothing but a hash that is not known differs.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let Self {
            path,
            is_folder,
            mode,
            modified,
            size,
            hash,
        } = other;
        let said = (&self.path, &self.is_folder, &self.mode, &self.modified);
        (said, &self.size) == ((path, is_folder, mode, modified), size)
            && (self.hash == *hash || self.hash.is_none() || hash.is_none())
    }
}

/// Why a message of a sender is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Malformed(Malformed),
    Path(Refusal),
}

impl From<Malformed> for Wrong {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

impl From<Refusal> for Wrong {
    fn from(error: Refusal) -> Self {
        Self::Path(error)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "the message is malformed: {error}"),
            Self::Path(error) => error.fmt(f),
        }
    }
}

/// A path that is not taken, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    path: String,
    why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    Empty,
    TooLong,
    NotText,
    Absolute,
    Unclear,
    Control,
    Backslash,
    Reserved,
    Temporary,
    Twice,
    Case(String),
    Within(String),
    TooMany,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.why {
            Why::Empty => f.write_str("a path is empty"),
            Why::TooLong => write!(f, "{path:?} is longer than {LONGEST_PATH} bytes"),
            Why::NotText => write!(f, "{path:?} is not UTF-8"),
            Why::Absolute => write!(f, "{path:?} is absolute"),
            Why::Unclear => write!(f, "{path:?} has a part that is empty, . or .."),
            Why::Control => write!(f, "{path:?} has a control character"),
            Why::Backslash => write!(f, "{path:?} has a backslash, which divides paths elsewhere"),
            Why::Reserved => write!(f, "{path:?} has a part that is reserved elsewhere"),
            Why::Temporary => write!(f, "{path:?} has the name of a temporary file"),
            Why::Twice => write!(f, "{path:?} is there twice"),
            Why::Case(other) => write!(f, "{path:?} and {other:?} differ in nothing but case"),
            Why::Within(other) => write!(f, "{path:?} lies in {other:?}, which is a file"),
            Why::TooMany => write!(f, "{path:?} makes more than {MOST_NAMES} files and folders"),
        }
    }
}

/// The names that devices have on Windows, whatever follows after a dot.
const RESERVED: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8",
    "com9", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// The text of a path that can be taken: relative, without `.` and `..`, a file name on every system.
pub(super) fn check(path: &[u8]) -> Result<&str, Refusal> {
    let refuse = |why| {
        let shown = &path[..path.len().min(LONGEST_PATH)];
        Err(Refusal {
            path: String::from_utf8_lossy(shown).into_owned(),
            why,
        })
    };
    if path.is_empty() {
        return refuse(Why::Empty);
    }
    if path.len() > LONGEST_PATH {
        return refuse(Why::TooLong);
    }
    let Ok(text) = std::str::from_utf8(path) else {
        return refuse(Why::NotText);
    };
    if text.starts_with('/') {
        return refuse(Why::Absolute);
    }
    if text.chars().any(char::is_control) {
        return refuse(Why::Control);
    }
    if text.contains('\\') {
        return refuse(Why::Backslash);
    }
    for part in text.split('/') {
        if matches!(part, "" | "." | "..") {
            return refuse(Why::Unclear);
        }
        let stem = part.split('.').next().unwrap_or(part).to_lowercase();
        if RESERVED.contains(&stem.trim_end()) || part.ends_with([' ', '.']) {
            return refuse(Why::Reserved);
        }
        if is_temporary(part) {
            return refuse(Why::Temporary);
        }
    }
    Ok(text)
}

/// The name that a file has beside its own until it is complete: the same at each try, so that a try
/// that was broken off leaves one file at most, and short, however long the own name is.
pub(super) fn temporary(path: &str) -> String {
    let hash = blake3::hash(path.as_bytes()).to_hex();
    format!(".manycast-{}.part", &hash[..16])
}

/// Whether a name may be that of a temporary file.
fn is_temporary(name: &str) -> bool {
    let name = name.to_lowercase();
    name.starts_with(".manycast-") && name.ends_with(".part")
}

/// How many files and folders a session has at most, those that only a path names among them: as many
/// as a manifest can name.
pub(super) const MOST_NAMES: usize = LONGEST_MANIFEST / Entry::LEAST;

/// The paths of a session, which must not clash, on any system.
///
/// It is a tree, so that a path of many parts takes no more than its own length.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By the number of the folder, and the last part without case. The root is 0.
    known: HashMap<(usize, String), Name>,
}

#[derive(Debug)]
struct Name {
    number: usize,
    /// The last part as it was written.
    part: String,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    File,
    Folder,
    /// Only what lies in it was named.
    Above,
}

impl Names {
    /// Adds a path that [`check`] has taken.
    pub(super) fn add(&mut self, path: &str, is_folder: bool) -> Result<(), Refusal> {
        let refuse = |why| {
            Err(Refusal {
                path: path.to_owned(),
                why,
            })
        };
        let mut folder = 0;
        let mut start = 0;
        let ends = path.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let (part, is_last) = (&path[start..end], end == path.len());
            let number = self.known.len() + 1;
            let place = match (is_last, is_folder) {
                (false, _) => Place::Above,
                (true, true) => Place::Folder,
                (true, false) => Place::File,
            };
            match self.known.entry((folder, part.to_lowercase())) {
                hash_map::Entry::Vacant(_) if number > MOST_NAMES => return refuse(Why::TooMany),
                hash_map::Entry::Vacant(vacant) => {
                    let part = part.to_owned();
                    vacant.insert(Name {
                        number,
                        part,
                        place,
                    });
                    folder = number;
                }
                hash_map::Entry::Occupied(mut occupied) => {
                    let name = occupied.get_mut();
                    if name.part != part {
                        return refuse(Why::Case(format!("{}{}", &path[..start], name.part)));
                    }
                    match (name.place, place) {
                        (Place::File, Place::Above) => {
                            return refuse(Why::Within(path[..end].to_owned()));
                        }
                        (_, Place::Above) => {}
                        (Place::Above, Place::Folder) => name.place = place,
                        _ => return refuse(Why::Twice),
                    }
                    folder = name.number;
                }
            }
            start = end + 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(path: &str) -> Entry {
        Entry {
            path: path.to_owned(),
            is_folder: false,
            mode: 0o640,
            modified: (-5, 7),
            size: 3,
            hash: Some([9; 32]),
        }
    }

    fn bytes_of(entry: &Entry) -> Vec<u8> {
        let mut writer = Writer::new();
        entry.emit(&mut writer);
        writer.finish().to_vec()
    }

    #[test]
    fn an_entry_comes_back_as_it_was() {
        let entry = entry("a/b c/ü.txt");
        let bytes = bytes_of(&entry);
        assert_eq!(bytes.len(), Entry::LEAST + entry.path.len());
        assert_eq!(Entry::parse(&mut Reader::new(&bytes)), Ok(entry));
    }

    #[test]
    fn what_is_no_path_for_all_is_refused_with_a_sentence() {
        for (path, why) in [
            (&b""[..], "a path is empty"),
            (b"/etc/passwd", "\"/etc/passwd\" is absolute"),
            (b"../x", "\"../x\" has a part that is empty, . or .."),
            (b"a/../x", "\"a/../x\" has a part that is empty, . or .."),
            (b"a//x", "\"a//x\" has a part that is empty, . or .."),
            (b"./x", "\"./x\" has a part that is empty, . or .."),
            (b"a/", "\"a/\" has a part that is empty, . or .."),
            (b"\xff", "\"\u{fffd}\" is not UTF-8"),
            (b"a\0", "\"a\\0\" has a control character"),
            (
                b"a\\b",
                "\"a\\\\b\" has a backslash, which divides paths elsewhere",
            ),
            (
                b"x/Nul.txt",
                "\"x/Nul.txt\" has a part that is reserved elsewhere",
            ),
            (b"COM1", "\"COM1\" has a part that is reserved elsewhere"),
            (b"a ", "\"a \" has a part that is reserved elsewhere"),
            (
                b"a/.manycast-1.part",
                "\"a/.manycast-1.part\" has the name of a temporary file",
            ),
        ] {
            assert_eq!(check(path).unwrap_err().to_string(), why);
        }
        assert!(check(&[b'a'; LONGEST_PATH]).is_ok());
        assert!(check(&[b'a'; LONGEST_PATH + 1]).is_err());
        for right in [
            "a", "a/b", "..a", "a..b/c", "...a", "console", "ünï/ç", ".hidden",
        ] {
            assert_eq!(check(right.as_bytes()), Ok(right));
        }
    }

    #[test]
    fn paths_that_clash_are_refused_with_a_sentence() {
        let add = |paths: &[(&str, bool)]| {
            let mut names = Names::default();
            let mut results = paths.iter().map(|(path, folder)| names.add(path, *folder));
            results.find_map(Result::err).map(|it| it.to_string())
        };
        let (file, folder) = (false, true);
        assert_eq!(
            add(&[("a", file), ("a", file)]),
            Some("\"a\" is there twice".to_owned())
        );
        assert_eq!(
            add(&[("a", file), ("A", file)]),
            Some("\"A\" and \"a\" differ in nothing but case".to_owned())
        );
        assert_eq!(
            add(&[("d/x", file), ("D/y", file)]),
            Some("\"D/y\" and \"d\" differ in nothing but case".to_owned())
        );
        assert_eq!(
            add(&[("a", file), ("a/b", file)]),
            Some("\"a/b\" lies in \"a\", which is a file".to_owned())
        );
        assert_eq!(
            add(&[("a/b", file), ("a", file)]),
            Some("\"a\" is there twice".to_owned())
        );
        assert_eq!(add(&[("a/b", file), ("a", folder), ("a/c", file)]), None);
        assert_eq!(
            add(&[("a", folder), ("a", folder)]),
            Some("\"a\" is there twice".to_owned())
        );
    }

    /// Paths of many parts, none of which is like another: no more is kept of them than of others.
    #[test]
    fn no_manifest_names_more_than_it_can_list() {
        let mut names = Names::default();
        let deep = "/a".repeat(490);
        let error = (0..10_000).find_map(|at| names.add(&format!("{at}{deep}"), false).err());
        let told = error.unwrap().to_string();
        assert!(told.ends_with(&format!("makes more than {MOST_NAMES} files and folders")));
        assert_eq!(names.known.len(), MOST_NAMES);
    }

    proptest! {
        /// Whatever a path is made of: what is taken leads nowhere but below.
        #[test]
        fn what_is_taken_lies_below(path in r"[aA.~/\\ \x00:]{0,12}|\PC{0,12}") {
            if let Ok(text) = check(path.as_bytes()) {
                let path = std::path::Path::new(text);
                let normal = |part| matches!(part, std::path::Component::Normal(_));
                prop_assert!(path.components().all(normal));
                prop_assert_eq!(path.components().count(), text.split('/').count());
            }
        }

        #[test]
        fn any_bytes_are_an_entry_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::parse(&mut Reader::new(&bytes));
        }
    }
}
