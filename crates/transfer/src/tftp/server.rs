//! A server for a folder.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use manycast_io::{Driver, Listener, Next, SocketConfig, Stopper};
use manycast_proto::tftp::{
    Agreed, ErrorCode, Failure, FileRequest, Refusal, Server as Protocol, ServerConfig,
    ServerEvent, ServerStats, Summary, TransferId,
};
use manycast_types::Address;

use super::Error;
use super::disk::{Disk, Rules};
use crate::folder::Folder;
use crate::limits::raise_limit_of_files;

/// What a [`Server`] allows.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Whether files may be written; by default they are only read.
    pub write: bool,
    /// Whether a file that is written may take the place of one that is there.
    pub overwrite: bool,
    /// The bytes that a file may have which is written; any number by default.
    pub max_size: Option<u64>,
    /// The protocol: bounds, ports, groups.
    pub protocol: ServerConfig,
}

/// A transfer that has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// Who asked.
    pub peer: SocketAddr,
    /// Whether the file was written.
    pub write: bool,
    /// Its name, as it was asked for.
    pub name: String,
    /// What both ends had agreed on, if it came to that.
    pub agreed: Option<Agreed>,
    /// What was counted.
    pub summary: Summary,
    /// Why it failed, if it did.
    pub result: Result<(), String>,
}

/// What a [`Server`] tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A transfer begins.
    Began {
        /// Who asked.
        peer: SocketAddr,
        /// Whether the file is written.
        write: bool,
        /// Its name, as it was asked for.
        name: String,
        /// What both ends have agreed on.
        agreed: Agreed,
    },
    /// A transfer has ended. Requests that made room for others before anybody had answered are
    /// only counted ([`ServerStats::displaced`]).
    Ended(Record),
}

/// Serves the files of a folder, and nothing outside of it: the kernel resolves each name beneath
/// the folder, so neither `..` nor a link leads out.
///
/// Its memory is bounded: besides 32 MiB of files that several may want, a transfer has about twice
/// [`ServerConfig::window_bytes`] at most. It has a socket for each transfer, but with
/// [`ServerConfig::single_port`]; the soft limit of open files of the process is raised for that, as
/// far as the hard one allows.
#[derive(Debug)]
pub struct Server {
    driver: Driver<Protocol>,
    disk: Disk,
    running: HashMap<TransferId, Running>,
    local: Vec<SocketAddr>,
}

#[derive(Debug)]
struct Running {
    peer: SocketAddr,
    request: FileRequest,
    agreed: Option<Agreed>,
    began: Instant,
}

impl Server {
    /// Serves `folder` on `addresses`, such as `:69`.
    ///
    /// # Errors
    ///
    /// There is no such folder; a port in use or privileged.
    pub fn open(
        folder: impl AsRef<Path>,
        addresses: &[Address],
        options: ServerOptions,
    ) -> Result<Self, Error> {
        let path = folder.as_ref();
        let folder =
            Folder::open(path).map_err(|error| Error::file("serve", path.display(), error))?;
        let listener = Listener::open(addresses, SocketConfig::default())?;
        let local = listener.local_addrs().collect();
        raise_limit_of_files();
        let rules = Rules {
            write: options.write,
            overwrite: options.overwrite,
            max_size: options.max_size,
            most_waiting: 2 * options.protocol.unconfirmed.max(1),
        };
        let mut driver = Driver::new(listener, Protocol::new(options.protocol));
        let disk = Disk::new(folder, rules, driver.commands()?)?;
        Ok(Self {
            driver,
            disk,
            running: HashMap::new(),
            local,
        })
    }

    /// The addresses and ports that it listens on.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local
    }

    /// What it has counted so far.
    pub fn stats(&self) -> ServerStats {
        self.driver.protocol().stats()
    }

    /// Something that ends it from another thread. Those who have transfers are told.
    ///
    /// # Errors
    ///
    /// Too many open files.
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        Ok(self.driver.stopper()?)
    }

    /// Serves until it is stopped, and says then what it has counted.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn run(mut self, mut on_event: impl FnMut(Event)) -> Result<ServerStats, Error> {
        while let Next::Event(event) = self.driver.next_event(None)? {
            if let Some(event) = self.handle(event) {
                on_event(event);
            }
        }
        Ok(self.stats())
    }

    fn handle(&mut self, event: ServerEvent) -> Option<Event> {
        match event {
            ServerEvent::Requested { id, peer, request } => {
                if self.disk.open(id, request.clone()) {
                    let began = Instant::now();
                    let running = Running {
                        peer,
                        request,
                        agreed: None,
                        began,
                    };
                    self.running.insert(id, running);
                } else {
                    let text = "the server is busy; try again later";
                    let refusal = Refusal::new(ErrorCode::NotDefined, text);
                    let now = Instant::now();
                    self.driver.protocol_mut().refuse(now, id, refusal);
                }
            }
            ServerEvent::Agreed { id, agreed } => {
                let running = self.running.get_mut(&id)?;
                running.agreed = Some(agreed);
                return Some(Event::Began {
                    peer: running.peer,
                    write: running.request.write,
                    name: running.request.name_text(),
                    agreed,
                });
            }
            ServerEvent::Read { id, offset, length } => {
                if let Some(bytes) = self.disk.read(id, offset, length) {
                    let now = Instant::now();
                    self.driver.protocol_mut().provide(now, id, offset, bytes);
                }
            }
            ServerEvent::Write { id, offset, bytes } => self.disk.write(id, offset, bytes),
            ServerEvent::Complete { id, .. } => self.disk.complete(id),
            ServerEvent::Ended {
                id,
                mut summary,
                result,
            } => {
                let running = self.running.remove(&id)?;
                let cause = self.disk.close(id);
                // Of a flood of forged requests only the number is told.
                if result == Err(Failure::Displaced) {
                    return None;
                }
                if summary.elapsed.is_zero() {
                    summary.elapsed = running.began.elapsed();
                }
                return Some(Event::Ended(Record {
                    peer: running.peer,
                    write: running.request.write,
                    name: running.request.name_text(),
                    agreed: running.agreed,
                    summary,
                    result: result.map_err(|failure| match (cause, failure) {
                        (Some(cause), Failure::Aborted(refusal)) => format!("{refusal}: {cause}"),
                        (_, failure) => failure.to_string(),
                    }),
                }));
            }
            _ => {}
        }
        None
    }
}
