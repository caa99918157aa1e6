//! Where a client puts what it reads, and where it takes what it writes.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use manycast_proto::tftp::Mode;
use manycast_proto::tftp::netascii::{Decoder, Encoder};
use tempfile::NamedTempFile;

use super::Error;

/// Where a file goes that is read.
pub(super) struct Target {
    place: Place,
    decoder: Option<Decoder>,
    /// Where text goes on, which is shorter here than on the wire.
    offset: u64,
}

enum Place {
    /// A file that has its name only once it is complete.
    Named {
        file: NamedTempFile,
        path: PathBuf,
    },
    Stream(Box<dyn Write + Send>),
}

impl Target {
    /// A file. It takes the place of one that is there, once it is complete.
    pub(super) fn file(path: &Path, mode: Mode) -> Result<Self, Error> {
        // A device or a pipe cannot be replaced.
        let is_special = fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir());
        if is_special {
            let stream = File::options().write(true).open(path);
            let stream = stream.map_err(|error| Error::file("write", path.display(), error))?;
            return Ok(Self::stream(Box::new(stream), mode));
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if path.is_dir() {
            let error = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(Error::file("write", path.display(), error));
        }
        let file = tempfile::Builder::new()
            .prefix(".tftp-")
            .suffix(".part")
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)
            // Its own text names the temporary file, which nobody knows.
            .map_err(|error| {
                let cause = fs::metadata(folder).err();
                Error::file(
                    "write",
                    path.display(),
                    cause.unwrap_or_else(|| error.kind().into()),
                )
            })?;
        Ok(Self::new(
            Place::Named {
                file,
                path: path.to_owned(),
            },
            mode,
        ))
    }

    pub(super) fn stream(stream: Box<dyn Write + Send>, mode: Mode) -> Self {
        Self::new(Place::Stream(stream), mode)
    }

    fn new(place: Place, mode: Mode) -> Self {
        Self {
            place,
            decoder: (mode == Mode::Netascii).then(Decoder::new),
            offset: 0,
        }
    }

    /// Whether parts may come in any order.
    pub(super) const fn is_file(&self) -> bool {
        matches!(self.place, Place::Named { .. }) && self.decoder.is_none()
    }

    /// Whether it may be as slow as whoever reads it.
    pub(super) const fn is_stream(&self) -> bool {
        matches!(self.place, Place::Stream(_))
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let mut text = Vec::new();
        let (offset, bytes) = match &mut self.decoder {
            Some(decoder) => {
                decoder.decode(bytes, &mut text);
                (self.offset, text.as_slice())
            }
            None => (offset, bytes),
        };
        self.offset += bytes.len() as u64;
        match &mut self.place {
            Place::Named { file, path } => file
                .as_file()
                .write_all_at(bytes, offset)
                .map_err(|error| Error::file("write", path.display(), error)),
            Place::Stream(stream) => stream
                .write_all(bytes)
                .map_err(|error| Error::file("write", "standard output", error)),
        }
    }

    /// Gives the file its name.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        if let Some(mut decoder) = self.decoder.take() {
            let mut text = Vec::new();
            decoder.finish(&mut text);
            self.write(self.offset, &text)?;
        }
        match self.place {
            Place::Named { file, path } => match file.persist(&path) {
                Ok(_) => Ok(()),
                Err(error) => Err(Error::file("write", path.display(), error.error)),
            },
            Place::Stream(mut stream) => stream
                .flush()
                .map_err(|error| Error::file("write", "standard output", error)),
        }
    }
}

/// Where a file comes from that is written.
pub(super) struct Origin {
    stream: Box<dyn Read + Send>,
    name: String,
    encoder: Option<Encoder>,
    /// What was encoded and does not fit into the part that was asked for.
    left: Vec<u8>,
    /// How long it is on the wire, where that is known.
    pub(super) length: Option<u64>,
    /// Whether it is a file, and no pipe that may be slow.
    is_file: bool,
}

impl Origin {
    pub(super) fn file(path: &Path, mode: Mode) -> Result<Self, Error> {
        let wrong = |error| Error::file("read", path.display(), error);
        let file = File::open(path).map_err(wrong)?;
        let metadata = file.metadata().map_err(wrong)?;
        if metadata.is_dir() {
            return Err(wrong(io::ErrorKind::IsADirectory.into()));
        }
        let length = metadata.is_file().then_some(metadata.len());
        let mut origin = Self::stream(Box::new(file), path.display().to_string(), mode);
        origin.is_file = length.is_some();
        origin.length = length.filter(|_| mode == Mode::Octet);
        Ok(origin)
    }

    pub(super) fn stream(stream: Box<dyn Read + Send>, name: String, mode: Mode) -> Self {
        Self {
            stream,
            name,
            encoder: (mode == Mode::Netascii).then(Encoder::new),
            left: Vec::new(),
            length: None,
            is_file: false,
        }
    }

    /// Whether it may be as slow as whoever writes it.
    pub(super) const fn is_stream(&self) -> bool {
        !self.is_file
    }

    /// The next part, shorter than asked for only at the end.
    pub(super) fn read(&mut self, length: usize) -> Result<Bytes, Error> {
        let mut part = std::mem::take(&mut self.left);
        while part.len() < length {
            let start = part.len();
            part.resize(length, 0);
            let count = match self.stream.read(&mut part[start..]) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    part.truncate(start);
                    continue;
                }
                Err(error) => return Err(Error::file("read", &self.name, error)),
            };
            let is_end = count == 0;
            if let Some(encoder) = &mut self.encoder {
                let text = part[start..start + count].to_vec();
                part.truncate(start);
                encoder.encode(&text, &mut part);
            } else {
                part.truncate(start + count);
            }
            if is_end {
                break;
            }
        }
        self.left = part.split_off(part.len().min(length));
        Ok(part.into())
    }
}
