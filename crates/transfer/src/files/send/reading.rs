//! The parts of files that are sent are read: what lies in memory at once, the rest by a thread.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc;

use bytes::BytesMut;
use manycast_io::Commands;
use manycast_proto::norm::ObjectId;

use super::{Done, Protocol, Run};
use crate::files::Error;
use crate::files::delivery::WINDOW;
use crate::files::scan::Origin;

/// What the thread that reads is to read: a part of the file with this number, into memory that it is
/// given.
pub(super) type Job = (ObjectId, u32, u64, usize, BytesMut);
/// What it has read: so many bytes.
pub(super) type Read = (ObjectId, u64, usize, Result<BytesMut, String>);

impl Run {
    /// Reads a part of a file: at once, where it lies in memory; otherwise the thread reads it.
    pub(super) fn read(&mut self, object: ObjectId, offset: u64, length: usize) {
        let Some(index) = self.delivery.entry_of(object) else {
            return;
        };
        if self.files.len() > 2 * WINDOW {
            self.files.clear();
        }
        if !self.files.contains_key(&index) {
            match self.origins[index as usize].open() {
                Ok(file) => drop(self.files.insert(index, file)),
                Err(error) => return self.fail(index, error.to_string()),
            }
        }
        let mut buffer = self.buffers.take();
        let now = self.files.get(&index).and_then(|file| {
            let slice = &mut [io::IoSliceMut::new(buffer.get_mut(..length)?)];
            // `preadv2(2)`: what would have to wait for the disk fails.
            let flags = rustix::io::ReadWriteFlags::NOWAIT;
            rustix::io::preadv2(file, slice, offset, flags).ok()
        });
        if now == Some(length) {
            self.supply((object, offset, length, Ok(buffer)));
        } else {
            // It lives as long as this does.
            let _ = self.reader.send((object, index, offset, length, buffer));
        }
    }

    /// Of a file that was changed while it was sent, no receiver can verify what came.
    pub(super) fn look_whether_changed(&mut self, object: ObjectId) {
        let Some(index) = self.delivery.entry_of(object) else {
            return;
        };
        let origin = &self.origins[index as usize];
        let file = self.files.get(&index);
        if file.is_some_and(|file| !origin.is_as_it_was(file).unwrap_or(false)) {
            let why = origin.changed().to_string();
            self.fail(index, why);
        }
    }

    pub(super) fn supply(&mut self, (object, offset, length, buffer): Read) {
        match buffer {
            Ok(buffer) => {
                let mut bytes = self.buffers.give(buffer);
                bytes.truncate(length);
                if let Some(index) = self.delivery.entry_of(object)
                    && self.delivery.is_hashed_as_sent(index)
                {
                    self.hashers.part(index, offset, &bytes);
                    let size = self.origins[index as usize].entry.size;
                    if offset + length as u64 == size {
                        self.was_read(index);
                    }
                }
                let sender = &mut self.driver.protocol_mut().protocol;
                sender.supply(object, offset, bytes);
            }
            Err(why) => {
                if let Some(index) = self.delivery.entry_of(object) {
                    self.fail(index, why);
                }
            }
        }
    }

    /// All of a file was read to be sent: it is hashed, unless it was before.
    pub(super) fn was_read(&mut self, index: u32) {
        if self.delivery.was_read(index) {
            self.hashers.finish(index);
        }
    }

    pub(super) fn fail(&mut self, index: u32, why: String) {
        self.files.remove(&index);
        self.hashers.forget(index);
        let sender = &mut self.driver.protocol_mut().protocol;
        self.delivery.fail(index, why, sender);
    }
}

/// Reads what would hold up the driver, until nobody can want any more.
pub(super) fn read(origins: &[Origin], jobs: &mpsc::Receiver<Job>, commands: &Commands<Protocol>) {
    // The file that was read last.
    let mut open: Option<(u32, File)> = None;
    for (object, index, offset, length, mut buffer) in jobs {
        let origin = &origins[index as usize];
        let result = (|| {
            let file = match open.take_if(|(its, _)| *its == index) {
                Some((_, file)) => file,
                None => origin.open()?,
            };
            let read = file.read_exact_at(&mut buffer[..length], offset);
            read.map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => origin.changed(),
                _ => Error::file("read", origin.path.display(), error),
            })?;
            open = Some((index, file));
            Ok(buffer)
        })();
        let result = result.map_err(|error: Error| error.to_string());
        if !commands.give(move |inbox, _| inbox.put(Done::Read((object, offset, length, result)))) {
            return;
        }
    }
}
