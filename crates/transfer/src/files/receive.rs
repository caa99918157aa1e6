//! Receiving files into a folder: over sockets, onto the disk.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use manycast_io::{Driver, IntoAddress, Listener, Next, SocketConfig};
use manycast_proto::norm::{self, FeedbackTo, ObjectKey, ReceiverEvent};
use manycast_proto::random::Random;
use manycast_types::Address;

use super::Error;
use super::inbox::{Inbox, Mail};
use super::message::{REPORT, Status, node_of};
use super::report::{FileInfo, FileState};
use super::send::check_name;
use super::session::{Session, Told};
use super::stop::{LOOK, Stop};
use super::store::{Outcome, Store};

/// How files are received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReceiveOptions {
    /// The name of this receiver, another one for each: 1 to 64 bytes. By default that of the host.
    pub name: String,
    /// After how many deliveries it ends; `None`: it goes on until it is stopped.
    pub count: Option<u64>,
    /// How long nothing may come of any sender; `None`: for ever.
    pub timeout: Option<Duration>,
    /// How many bytes a delivery may have; any number by default.
    pub limit: u64,
    /// Whether a file may take the place of one that is there with other content; no by default.
    pub overwrite: bool,
    /// Whether to say nothing at all, where there is no way back: what is lost is repaired by the
    /// parity alone that the sender sends unasked, and nobody knows of this receiver.
    pub silent: bool,
    /// Buffers, and the hop limit of answers.
    pub socket: SocketConfig,
}

impl Default for ReceiveOptions {
    fn default() -> Self {
        let name = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        Self {
            name,
            count: None,
            timeout: None,
            limit: u64::MAX,
            overwrite: false,
            silent: false,
            socket: SocketConfig::default(),
        }
    }
}

/// What is told while files are received.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ReceiveEvent {
    /// It listens.
    Listening {
        /// The name of this receiver.
        name: String,
        /// The groups, or local addresses, and ports that it listens on.
        addresses: Vec<SocketAddr>,
    },
    /// A delivery begins.
    Began {
        /// The number of its sender.
        sender: u32,
        /// Files and folders.
        files: usize,
        /// The bytes of all files.
        bytes: u64,
    },
    /// A file has come to its end.
    File {
        /// The number of its sender.
        sender: u32,
        /// The file.
        path: String,
        /// Its length in bytes.
        size: u64,
        /// What became of it.
        state: FileState,
    },
    /// How far it is, some four times a second.
    Progress {
        /// The number of the sender.
        sender: u32,
        /// The bytes that are there.
        bytes: u64,
        /// The bytes of all files.
        total: u64,
        /// The part of the datagrams that did not come, from 0 to 1.
        loss: f64,
    },
    /// A delivery has ended, and with it a line of the report.
    Ended(Delivered),
    /// Something is not as it should be, in a whole sentence.
    Warning(String),
}

/// A delivery that has ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Delivered {
    /// The number of its sender.
    pub sender: u32,
    /// What was to come, and what became of it.
    pub files: Vec<(FileInfo, FileState)>,
    /// The bytes that are there.
    pub bytes: u64,
    /// For how long it lasted.
    pub elapsed: Duration,
    /// Whether all its files are known: its manifest has come.
    pub is_known: bool,
    /// Whether the sender said that this was all. Otherwise it fell silent.
    pub has_ended: bool,
}

impl Delivered {
    /// Whether all is there, verified.
    pub fn is_complete(&self) -> bool {
        let mut files = self.files.iter();
        self.is_known && files.all(|(_, state)| *state == FileState::Verified)
    }
}

/// What came of receiving.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ReceiveReport {
    /// The deliveries that have ended.
    pub deliveries: Vec<Delivered>,
    /// Whether it was stopped.
    pub stopped: bool,
    /// Whether it ended since nothing came.
    pub timed_out: bool,
}

/// Receives files into a folder, until [`ReceiveOptions::count`] deliveries have ended. See
/// [`send_files`](super::send_files) for an example.
///
/// # Errors
///
/// There is no such folder, or one cannot listen at the address. What becomes of files is no error but
/// in the report.
pub fn receive_files(
    address: impl IntoAddress,
    folder: impl AsRef<Path>,
    options: ReceiveOptions,
) -> Result<ReceiveReport, Error> {
    Receiving::new([address], folder, options)?.run(|_| {})
}

/// A receiver that is to run: to be stopped from elsewhere, and to tell what comes.
pub struct Receiving {
    addresses: Vec<Address>,
    folder: PathBuf,
    options: ReceiveOptions,
    stop: Stop,
}

impl fmt::Debug for Receiving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving")
            .field("addresses", &self.addresses)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Receiving {
    /// Will receive, as [`receive_files`], from several addresses.
    ///
    /// # Errors
    ///
    /// A text that is no address, a name that is none.
    pub fn new(
        addresses: impl IntoIterator<Item = impl IntoAddress>,
        folder: impl AsRef<Path>,
        options: ReceiveOptions,
    ) -> Result<Self, Error> {
        let addresses = addresses.into_iter().map(IntoAddress::into_address);
        let addresses: Result<Vec<_>, _> = addresses.collect();
        check_name(&options.name)?;
        Ok(Self {
            addresses: addresses.map_err(manycast_io::Error::from)?,
            folder: folder.as_ref().to_owned(),
            options,
            stop: Stop::default(),
        })
    }

    /// Something that stops it from another thread. Of what is not complete, files of 1 MiB and more stay
    /// under their temporary names, and the next delivery goes on with them.
    pub fn stopper(&self) -> Stop {
        self.stop.clone()
    }

    /// Runs it, telling what happens.
    ///
    /// # Errors
    ///
    /// As [`receive_files`].
    pub fn run(self, mut on_event: impl FnMut(ReceiveEvent)) -> Result<ReceiveReport, Error> {
        let mut run = Run::new(self, &mut on_event)?;
        run.run(&mut on_event)?;
        run.break_off(&mut on_event);
        Ok(run.report)
    }
}

/// How many senders are received from at a time.
const SENDERS: usize = 4;
/// How many objects of each: twice as many as a sender has on their way.
const OBJECTS: usize = 128;
/// How many bytes are kept of blocks that are not through; a sender has half of it: what comes at
/// 1 Gbit/s in half a second, in which repairs come.
const MEMORY: usize = 128 << 20;
/// How often it is told how far it is.
const OFTEN: Duration = Duration::from_millis(250);

/// A receiver that runs.
struct Run {
    driver: Driver<Inbox<norm::Receiver, Outcome>>,
    store: Store,
    sessions: HashMap<(u32, u16), (Session, Instant)>,
    options: ReceiveOptions,
    stop: Stop,
    random: Random,
    /// Another one at each start, and where a session was broken off.
    start: u32,
    /// How many sessions there were.
    count: u32,
    report: ReceiveReport,
    heard: Instant,
}

impl Run {
    fn new(receiving: Receiving, on_event: &mut impl FnMut(ReceiveEvent)) -> Result<Self, Error> {
        let Receiving {
            addresses,
            folder,
            options,
            stop,
        } = receiving;
        crate::limits::raise_limit_of_files();
        let listener = Listener::open(&addresses, options.socket.clone())?;
        let groups = listener.memberships().map(|it| it.group);
        // A group is there once for each interface.
        let mut local: Vec<_> = groups.chain(listener.local_addrs()).collect();
        local.sort();
        local.dedup();
        let group = local.first().copied();
        let config = norm::ReceiverConfig {
            feedback: match options.silent {
                true => FeedbackTo::Nobody,
                // It needs no way from receiver to receiver, and works with source-specific groups;
                // the sender tells all what was asked for.
                false => FeedbackTo::Sender,
            },
            senders: SENDERS,
            objects: OBJECTS,
            // The information says which file it is, of which a part may be there.
            waits: true,
            memory: MEMORY,
            ..norm::ReceiverConfig::new(
                group.unwrap_or_else(|| ([0, 0, 0, 0], 0).into()),
                node_of(&options.name),
            )
        };
        let now = Instant::now();
        let receiver = norm::Receiver::new(config, manycast_io::seed(), now);
        let mut driver = Driver::new(listener, Inbox::new(receiver));
        let commands = driver.commands()?;
        let tell = move |outcome| {
            // Where the driver is gone, nobody wants to know.
            let _ = commands.give(|inbox, _| inbox.put(outcome));
        };
        let store = Store::open(&folder, options.overwrite, options.silent, tell)?;
        let mut random = Random::new(manycast_io::seed());
        on_event(ReceiveEvent::Listening {
            name: options.name.clone(),
            addresses: local,
        });
        Ok(Self {
            driver,
            store,
            sessions: HashMap::new(),
            options,
            stop,
            start: random.u32(),
            random,
            count: 0,
            report: ReceiveReport::default(),
            heard: now,
        })
    }

    fn run(&mut self, on_event: &mut impl FnMut(ReceiveEvent)) -> Result<(), Error> {
        let mut told = Instant::now();
        loop {
            let now = Instant::now();
            let answers = self.sessions.values().filter_map(|(it, _)| it.answer);
            let until = answers
                .map(|(at, _)| at.saturating_duration_since(now))
                .min();
            let next = self
                .driver
                .next_event(Some(until.unwrap_or(LOOK).min(LOOK)))?;
            let now = Instant::now();
            match next {
                Next::Finished => return Ok(()),
                Next::TimedOut => {}
                Next::Event(Mail::Message(outcome)) => self.stored(outcome, now, on_event),
                Next::Event(Mail::Event(event)) => self.handle(event, now, on_event),
            }
            self.answer(now);
            if now.saturating_duration_since(told) >= OFTEN {
                told = now;
                self.tell_progress(on_event);
            }
            let deliveries = self.report.deliveries.len() as u64;
            if self.options.count.is_some_and(|count| deliveries >= count) {
                return Ok(());
            }
            if self.stop.is_requested() {
                self.report.stopped = true;
                return Ok(());
            }
            let silent = now.saturating_duration_since(self.heard);
            if self.options.timeout.is_some_and(|most| silent >= most)
                && !self.sessions.values().any(|(it, _)| it.is_busy())
            {
                self.report.timed_out = true;
                return Ok(());
            }
        }
    }

    fn handle(
        &mut self,
        event: ReceiverEvent,
        now: Instant,
        on_event: &mut impl FnMut(ReceiveEvent),
    ) {
        // What is abandoned, or was there before, is no word of the sender.
        let is_word = !matches!(
            event,
            ReceiverEvent::Gone { .. }
                | ReceiverEvent::Abandoned { .. }
                | ReceiverEvent::Completed(_)
        );
        if is_word {
            self.heard = now;
        }
        let of_object = |key: ObjectKey| (key.node, key.instance);
        let key = match &event {
            ReceiverEvent::Started { object, .. }
            | ReceiverEvent::Info { object, .. }
            | ReceiverEvent::Data { object, .. }
            | ReceiverEvent::Completed(object)
            | ReceiverEvent::Abandoned { object, .. } => of_object(*object),
            ReceiverEvent::Announced { node, instance, .. }
            | ReceiverEvent::Gone { node, instance } => (*node, *instance),
            _ => return,
        };
        if let ReceiverEvent::Gone { .. } = event {
            if let Some((session, _)) = self.sessions.get_mut(&key) {
                session.is_gone = true;
            }
            self.end_if_over(key, now, on_event);
            return;
        }
        if is_word && !self.sessions.contains_key(&key) {
            // One whose sender is gone is kept while it is verified, but keeps no other from its place.
            if self.sessions.len() >= SENDERS {
                let mut sessions = self.sessions.iter();
                let gone = sessions.find(|(_, (session, _))| session.is_gone);
                if let Some(gone) = gone.map(|(key, _)| *key) {
                    self.end(gone, now, on_event);
                }
            }
            // A sender that was started anew has another instance, so the one before is over.
            self.count = self.count.wrapping_add(1);
            let (node, instance) = key;
            let limit = self.options.limit;
            let session = Session::new(node, instance, self.count, limit, self.start);
            self.sessions.insert(key, (session, now));
        }
        let Some((session, _)) = self.sessions.get_mut(&key) else {
            return;
        };
        session.is_gone &= !is_word;
        let receiver = &mut self.driver.protocol_mut().protocol;
        let store = &self.store;
        let told = match event {
            ReceiverEvent::Started {
                object,
                length,
                info,
                ..
            } => {
                session.started(object, length, info, receiver);
                None
            }
            ReceiverEvent::Info { object, info } => session.info(object, &info, receiver, store),
            ReceiverEvent::Data {
                object,
                offset,
                bytes,
            } => {
                session.data(object, offset, bytes, receiver, store);
                None
            }
            ReceiverEvent::Completed(object) => session.completed(object, store),
            ReceiverEvent::Abandoned { object, .. } => {
                session.abandoned(object, store);
                None
            }
            ReceiverEvent::Announced { payload, .. } => {
                let random = &mut self.random;
                session.announced(&payload, now, |most| random.duration(Duration::ZERO..=most));
                None
            }
            _ => None,
        };
        if let Some(told) = told {
            tell(session, told, on_event);
        }
        self.end_if_over(key, now, on_event);
    }

    fn stored(&mut self, outcome: Outcome, now: Instant, on_event: &mut impl FnMut(ReceiveEvent)) {
        let key = Session::key_of(&outcome);
        let mut sessions = self.sessions.iter_mut();
        let found = sessions.find(|(_, (session, _))| u64::from(session.key()) == key);
        let Some((&key, (session, _))) = found else {
            return;
        };
        let receiver = &mut self.driver.protocol_mut().protocol;
        if let Some(told) = session.stored(outcome, receiver, &self.store) {
            tell(session, told, on_event);
        }
        self.end_if_over(key, now, on_event);
    }

    /// Ends a session of which the sender has said that this was all, or who is gone, once all that came
    /// is on the disk.
    fn end_if_over(
        &mut self,
        key: (u32, u16),
        now: Instant,
        on_event: &mut impl FnMut(ReceiveEvent),
    ) {
        let over = |(it, _): &(Session, Instant)| (it.has_ended || it.is_gone) && !it.is_busy();
        if self.sessions.get(&key).is_some_and(over) {
            self.end(key, now, on_event);
        }
    }

    /// Ends what is still under way.
    fn break_off(&mut self, on_event: &mut impl FnMut(ReceiveEvent)) {
        let now = Instant::now();
        let mut keys: Vec<_> = self.sessions.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            self.end(key, now, on_event);
        }
    }

    fn end(&mut self, key: (u32, u16), now: Instant, on_event: &mut impl FnMut(ReceiveEvent)) {
        let Some((mut session, began)) = self.sessions.remove(&key) else {
            return;
        };
        session.close(&self.store);
        if !session.has_ended {
            // Should its sender come again, nothing is known of what was said before, as if this receiver
            // was started anew.
            self.start = self.start.wrapping_add(1);
        }
        let files = session.entries().map(|(index, entry)| {
            let info = FileInfo {
                path: entry.path.clone(),
                size: entry.size,
                is_folder: entry.is_folder,
            };
            (info, state(&session, index))
        });
        let delivered = Delivered {
            sender: session.node,
            files: files.collect(),
            bytes: session.bytes(),
            elapsed: now.saturating_duration_since(began),
            is_known: session.is_known(),
            has_ended: session.has_ended,
        };
        if delivered.files.is_empty() && !session.is_known() {
            // Nothing of it has come.
        } else if session.is_complete() || session.has_ended {
            on_event(ReceiveEvent::Ended(delivered.clone()));
            self.report.deliveries.push(delivered);
        } else {
            let files = delivered.files.iter().filter(|(file, _)| !file.is_folder);
            let there = files.clone();
            let there = there.filter(|(_, state)| *state == FileState::Verified);
            let how = match session.is_gone || self.report.timed_out {
                true => "fell silent",
                false => "is not through",
            };
            on_event(ReceiveEvent::Warning(format!(
                "sender {:08x} {how}: {} of {} files are complete; what it sends again goes on from there",
                session.node,
                there.count(),
                files.count()
            )));
        }
    }

    /// Answers the questions of senders for which it is time.
    fn answer(&mut self, now: Instant) {
        let inbox = self.driver.protocol_mut();
        for (session, _) in self.sessions.values_mut() {
            let Some((_, from)) = session.answer.take_if(|(at, _)| *at <= now) else {
                continue;
            };
            let count = inbox.counts.of(session.node);
            let report = session.report(&self.options.name, from, count, self.store.read());
            if let Some(report) = report {
                let (node, instance) = (session.node, session.instance);
                inbox.protocol.answer((node, instance), (REPORT, 0), report);
            }
        }
    }

    fn tell_progress(&self, on_event: &mut impl FnMut(ReceiveEvent)) {
        for (session, _) in self.sessions.values().filter(|(it, _)| it.is_known()) {
            let count = self.driver.protocol().counts.of(session.node);
            let came = count.came.min(count.expected) as f64;
            on_event(ReceiveEvent::Progress {
                sender: session.node,
                bytes: session.bytes(),
                total: session
                    .entries()
                    .fold(0, |sum, (_, entry)| entry.size.saturating_add(sum)),
                loss: match count.expected {
                    0 => 0.0,
                    expected => 1.0 - came / expected as f64,
                },
            });
        }
    }
}

fn state(session: &Session, index: u32) -> FileState {
    match session.status(index) {
        Status::Verified => FileState::Verified,
        Status::Failed => FileState::Failed(session.reason(index).unwrap_or_default().to_owned()),
        _ => FileState::Incomplete,
    }
}

fn tell(session: &Session, told: Told, on_event: &mut impl FnMut(ReceiveEvent)) {
    on_event(match told {
        Told::Manifest(files, bytes) => ReceiveEvent::Began {
            sender: session.node,
            files,
            bytes,
        },
        Told::Ended(index) => {
            let Some(entry) = session.entry(index) else {
                return;
            };
            ReceiveEvent::File {
                sender: session.node,
                path: entry.path.clone(),
                size: entry.size,
                state: state(session, index),
            }
        }
        Told::Refused(why) => ReceiveEvent::Warning(format!("sender {:08x}: {why}", session.node)),
    });
}
