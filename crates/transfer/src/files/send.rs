//! Sending files to many: over sockets, from the disk.

mod account;
mod hashing;
mod reading;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use manycast_io::{Driver, IntoAddress, Next, Sender as Egress, SenderConfig, Sent, Socket};
use manycast_proto::buffers::Buffers;
use manycast_proto::norm::{self, SenderEvent};
use manycast_types::{Address, Host, InterfaceSelector};

use super::delivery::{Delivery, Expected, WINDOW};
use super::inbox::{Inbox, Mail};
use super::message::{LONGEST_NAME, REPORT};
use super::report::{FileState, Progress, SendReport};
use super::scan::{Origin, scan};
use super::stop::{LOOK, Stop};
use super::{Error, SEGMENT_LEAST};
use account::FirstSent;
use hashing::Hashers;
use reading::{Job, Read};

/// How files are sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SendOptions {
    /// Bits a second, with the headers of NORM; 100 Mbit/s by default.
    pub rate: u64,
    /// Whether the rate follows what the network carries, beside other flows, and `rate` is the most.
    /// Receivers must be able to answer; no by default.
    pub congestion_control: bool,
    /// How many receivers are expected; 0 by default. Where more are named, as many as those.
    pub receivers: usize,
    /// Their names, as far as they are known; none by default.
    pub names: Vec<String>,
    /// How many parity symbols go with each block of 64 unasked, 0 to 64; `None`: none where
    /// receivers are expected, who can ask, and 8 otherwise.
    pub parity: Option<u8>,
    /// Whether links are left out, with a warning, and others that are neither a file nor a folder; they
    /// are an error by default.
    pub skip_links: bool,
    /// How long is waited for receivers that are expected: at the beginning until they are there, and
    /// at the end until they say that they have all; 5 s by default.
    pub wait: Duration,
    /// The round-trip time that is reckoned with until it is known; 100 ms by default.
    pub round_trip: Duration,
    /// The local address, the hop limit and the buffers.
    pub sender: SenderConfig,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            rate: 100_000_000,
            congestion_control: false,
            receivers: 0,
            names: Vec::new(),
            parity: None,
            skip_links: false,
            wait: Duration::from_secs(5),
            round_trip: Duration::from_millis(100),
            sender: SenderConfig::default(),
        }
    }
}

/// What is told while files are sent.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SendEvent {
    /// Files are read for their hashes, since receivers may have them: so many bytes until now. Told
    /// some four times a second, while that is so.
    Scanned {
        /// The bytes.
        bytes: u64,
    },
    /// It begins.
    Started {
        /// Files and folders.
        files: usize,
        /// The bytes of all files.
        bytes: u64,
        /// By which interface and from which address.
        egress: Sent,
    },
    /// A receiver was heard of for the first time.
    Receiver {
        /// Its name.
        name: String,
    },
    /// A file has come to its end at a receiver.
    File {
        /// The receiver.
        receiver: String,
        /// The file.
        path: String,
        /// What became of it.
        state: FileState,
    },
    /// How far it is, some four times a second.
    Progress(Progress),
    /// Something is not as it should be, in a whole sentence.
    Warning(String),
}

/// Sends files and folders to all receivers at an address: a group, or a host. Blocks until every
/// receiver that answers has all, or does not come on.
///
/// ```
/// use manycast::transfer::files::{self, ReceiveOptions, SendOptions};
///
/// # let folder = tempfile::tempdir()?;
/// # let (from, into) = (folder.path().join("from"), folder.path().join("into"));
/// # std::fs::create_dir(&from)?;
/// # std::fs::create_dir(&into)?;
/// std::fs::write(from.join("firmware.bin"), "new")?;
/// let address = "239.192.0.7%lo:5013";
/// # let target = into.clone();
/// std::thread::spawn(move || {
///     let mut options = ReceiveOptions::default();
///     options.name = "board-1".to_owned();
///     options.count = Some(1);
///     files::receive_files(address, target, options)
/// });
///
/// let mut options = SendOptions::default();
/// options.names = vec!["board-1".to_owned()];
/// let report = files::send_files(address, [from.join("firmware.bin")], options)?;
/// assert!(report.is_complete());
/// assert_eq!(std::fs::read(into.join("firmware.bin"))?, b"new");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// A file that cannot be read or sent, a name of a receiver that is none, no way to the address, a host
/// where nobody listens ([`ConnectionRefused`](manycast_io::Error::ConnectionRefused), within three seconds).
/// What becomes of the files at the receivers is no error but in the report.
pub fn send_files<P: AsRef<Path>>(
    address: impl IntoAddress,
    paths: impl IntoIterator<Item = P>,
    options: SendOptions,
) -> Result<SendReport, Error> {
    Sending::new(address, paths, options)?.run(|_| {})
}

/// Files that are to be sent: to be stopped from elsewhere, and to tell how far it is.
pub struct Sending {
    address: Address,
    paths: Vec<PathBuf>,
    options: SendOptions,
    stop: Stop,
}

type Protocol = Inbox<norm::Sender, Done>;

/// What threads have done.
enum Done {
    Read(Read),
    /// A file is read for its hash: so many bytes more.
    Hashing(u64),
    /// The hash of the file with this number.
    Hashed(u32, Result<[u8; 32], String>),
}

impl Sending {
    /// Will send, as [`send_files`].
    ///
    /// # Errors
    ///
    /// No path, a text that is no address, or a name of a receiver that is none.
    pub fn new<P: AsRef<Path>>(
        address: impl IntoAddress,
        paths: impl IntoIterator<Item = P>,
        options: SendOptions,
    ) -> Result<Self, Error> {
        let address = address.into_address().map_err(manycast_io::Error::from)?;
        let paths: Vec<_> = paths.into_iter().map(|it| it.as_ref().to_owned()).collect();
        if paths.is_empty() {
            return Err(Error::Unsuitable("there is nothing to send".to_owned()));
        }
        for name in &options.names {
            check_name(name)?;
        }
        Ok(Self {
            address,
            paths,
            options,
            stop: Stop::default(),
        })
    }

    /// Something that stops it from another thread. Receivers are told.
    pub fn stopper(&self) -> Stop {
        self.stop.clone()
    }

    /// Runs it, telling what happens.
    ///
    /// # Errors
    ///
    /// As [`send_files`], and [`Error::Stopped`] before the first datagram.
    pub fn run(self, mut on_event: impl FnMut(SendEvent)) -> Result<SendReport, Error> {
        let skip_links = self.options.skip_links;
        let scanned = scan(&self.paths, skip_links, || self.stop.is_requested())?;
        if !scanned.left_out.is_empty() {
            on_event(SendEvent::Warning(left_out(&scanned.left_out)));
        }
        let mut run = Run::new(self, scanned.origins)?;
        on_event(SendEvent::Started {
            files: run.delivery.entries().len(),
            bytes: run.delivery.bytes(),
            egress: run.egress.clone(),
        });
        run.run(&mut on_event)?;
        Ok(run.report())
    }
}

/// What is left out, in a sentence, the first of it by name.
fn left_out(paths: &[PathBuf]) -> String {
    const NAMED: usize = 5;
    let named = paths.iter().take(NAMED);
    let named: Vec<_> = named.map(|path| path.display().to_string()).collect();
    let more = match paths.len() {
        0..=NAMED => String::new(),
        all => format!(" and {} more", all - NAMED),
    };
    format!(
        "links, and what is neither a file nor a folder, are not sent: {}{more}",
        named.join(", ")
    )
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending")
            .field("address", &self.address)
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

/// A name of a receiver is a text of 1 to 64 bytes without control characters.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let fits = (1..=LONGEST_NAME).contains(&name.len()) && !name.chars().any(char::is_control);
    match fits {
        true => Ok(()),
        false => Err(Error::Unsuitable(format!(
            "{name:?} is no name of a receiver: it has from 1 to {LONGEST_NAME} bytes, and no control \
             characters"
        ))),
    }
}

/// How often it is told how far it is.
const OFTEN: Duration = Duration::from_millis(250);

/// The socket to send by and to hear receivers by, where what is sent goes, and how it leaves. A group
/// answers from its members' addresses, so the socket is not connected.
pub(crate) fn open(address: &Address, config: &SenderConfig) -> Result<(Socket, Sent), Error> {
    // It finds the interface, and explains where there is none.
    let egress = Egress::open(address.clone(), config.clone())?;
    let sent = egress.sent(0);
    let any: IpAddr = match sent.to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    drop(egress);
    let local = match &config.from {
        Some(from) if *from.host() != Host::Any => from.clone(),
        from => SocketAddr::new(any, from.as_ref().map_or(0, Address::port)).into(),
    };
    let mut socket = Socket::bind_with(local, config.socket.clone())?;
    if sent.to.ip().is_multicast() {
        // It is followed where it is deleted and made again.
        let by_name = || InterfaceSelector::Name(sent.interface.name.to_string());
        let interface = address.interface().cloned().unwrap_or_else(by_name);
        socket.set_multicast_interface(Some(&interface))?;
    }
    Ok((socket, sent))
}

/// The bytes of a segment that goes in one packet of the interface, less 40 for the header of NORM
/// and 72 for those below and for tunnels.
pub(crate) fn segment(to: SocketAddr) -> u16 {
    let mtu = match manycast_io::egress_to(to.ip(), None) {
        Ok(Some(interface)) => interface.mtu,
        _ => 1500,
    };
    let fits = u16::try_from(mtu.saturating_sub(112)).unwrap_or(u16::MAX);
    // Longer ones save nothing but on loopback, where a loss costs more.
    fits.clamp(SEGMENT_LEAST, 8192)
}

/// How many round-trip times receivers wait for one another at most before they ask: K of RFC 5740
/// §7.1.1. Few ask at once without harm, and what is lost is repaired sooner.
const fn backoff(count: usize) -> u8 {
    match count {
        1..=8 => 1,
        9..=32 => 2,
        _ => 4,
    }
}

/// A delivery that runs.
struct Run {
    driver: Driver<Protocol>,
    delivery: Delivery,
    origins: Arc<Vec<Origin>>,
    egress: Sent,
    /// Files that are open, by their entries.
    files: HashMap<u32, File>,
    /// Room for blocks that are read.
    buffers: Buffers,
    reader: mpsc::Sender<Job>,
    hashers: Hashers,
    stop: Stop,
    segment: u64,
    /// Whether to warn of a rate that may be too high: once, and not where the rate follows the network.
    warns_of_rate: bool,
    /// Whether the host that is sent to refused the first words.
    was_refused: bool,
    first_sent: FirstSent,
    ended: Instant,
}

impl Run {
    fn new(sending: Sending, origins: Vec<Origin>) -> Result<Self, Error> {
        let Sending {
            address,
            options,
            stop,
            ..
        } = sending;
        crate::limits::raise_limit_of_files();
        let (socket, egress) = open(&address, &options.sender)?;
        let seed = manycast_io::seed();
        let number =
            |at: usize| u32::from_be_bytes(seed[at..at + 4].try_into().unwrap_or_default());
        let expected = Expected {
            count: options.receivers.max(options.names.len()),
            names: options.names,
            at_host: !egress.to.ip().is_multicast(),
        };
        let automatic = if expected.count > 0 { 0 } else { 8 };
        let proactive = options.parity.unwrap_or(automatic).min(64);
        // The longer a block is, the less differs what receivers lose of it, and the fewer repairs
        // serve all of them. Parity that is sent unasked is counted by 64.
        let (block, parity) = if proactive == 0 { (160, 95) } else { (64, 64) };
        let config = norm::SenderConfig {
            rate: options.rate.max(8_000),
            congestion_control: options.congestion_control,
            segment: segment(egress.to),
            block,
            parity,
            proactive,
            backoff: backoff(expected.count),
            grtt: options.round_trip,
            group_size: expected.count.max(10) as u64,
            // Files, the hashes behind them, and manifests.
            objects: 2 * WINDOW + 8,
            ..norm::SenderConfig::new(egress.to, number(0).clamp(1, u32::MAX - 1))
        };
        let segment = config.segment.into();
        let buffers = Buffers::new(usize::from(config.segment) * usize::from(config.block));
        let now = Instant::now();
        let sender = norm::Sender::new(config, manycast_io::seed(), now);
        let mut driver = Driver::new(socket, Inbox::new(sender));
        let entries = origins.iter().map(|origin| origin.entry.clone()).collect();
        let session = u64::from(number(4)) << 32 | u64::from(number(8));
        let origins = Arc::new(origins);
        let (reader, to_read) = mpsc::channel();
        let (its, commands) = (Arc::clone(&origins), driver.commands()?);
        let hashers = Hashers::start(&origins, &commands)?;
        let thread = thread::Builder::new().name("read".to_owned());
        thread
            .spawn(move || reading::read(&its, &to_read, &commands))
            .map_err(|error| Error::file("start", "a thread", error))?;
        Ok(Self {
            driver,
            delivery: Delivery::new(session, entries, expected, options.wait, now),
            origins,
            egress,
            files: HashMap::new(),
            buffers,
            reader,
            hashers,
            stop,
            segment,
            warns_of_rate: !options.congestion_control,
            was_refused: false,
            first_sent: FirstSent::default(),
            ended: now,
        })
    }

    fn run(&mut self, on_event: &mut impl FnMut(SendEvent)) -> Result<(), Error> {
        let (mut told, mut until) = (Instant::now(), Instant::now());
        let (mut hashed, mut hashed_told) = (0, 0);
        let mut doubles = Vec::new();
        while !self.delivery.is_over() {
            let now = Instant::now();
            let next = self
                .driver
                .next_event(Some(until.saturating_duration_since(now).min(LOOK)))?;
            let now = Instant::now();
            let mut look = now >= until;
            match next {
                Next::Finished => break,
                Next::TimedOut => {}
                Next::Event(Mail::Message(Done::Read(read))) => self.supply(read),
                Next::Event(Mail::Message(Done::Hashing(bytes))) => {
                    hashed += bytes;
                    self.delivery.goes_on(now);
                }
                Next::Event(Mail::Message(Done::Hashed(index, hash))) => {
                    until = until.min(match hash {
                        Ok(hash) => self.delivery.hashed(index, hash, now),
                        Err(why) => {
                            self.fail(index, why);
                            now
                        }
                    });
                    look = now >= until;
                }
                Next::Event(Mail::Event(event)) => match event {
                    SenderEvent::Need {
                        object,
                        offset,
                        length,
                    } => self.read(object, offset, length),
                    SenderEvent::Sent(object) => {
                        self.was_sent(object);
                        self.delivery.sent(object, now);
                        if let Some(index) = self.delivery.entry_of(object) {
                            self.was_read(index);
                        }
                        self.look_whether_changed(object);
                        look = true;
                    }
                    SenderEvent::Released(object) => self.delivery.released(object),
                    SenderEvent::Answered {
                        node,
                        kind: REPORT,
                        payload,
                        ..
                    } => {
                        self.answered(node, &payload, now, &mut doubles, on_event);
                        look = true;
                    }
                    _ => {}
                },
            }
            if self.stop.is_requested() {
                let sender = &mut self.driver.protocol_mut().protocol;
                self.delivery.stop(sender);
            } else if look {
                let sender = &mut self.driver.protocol_mut().protocol;
                until = self.delivery.step(sender, now);
                for index in self.delivery.take_wanted() {
                    self.hashers.hash(index);
                }
            }
            if let Some(peer) = self.refused_by(now) {
                return Err(manycast_io::Error::ConnectionRefused { peer }.into());
            }
            if now.saturating_duration_since(told) >= OFTEN {
                told = now;
                let progress = self.progress(now);
                if self.warns_of_rate && progress.is_overrun() {
                    self.warns_of_rate = false;
                    on_event(SendEvent::Warning(
                        "much of what is sent is lost and sent again: the rate may be more than the network \
                         or a receiver can take; try a lower rate, or congestion control"
                            .to_owned(),
                    ));
                }
                if std::mem::replace(&mut hashed_told, hashed) != hashed {
                    on_event(SendEvent::Scanned { bytes: hashed });
                }
                on_event(SendEvent::Progress(progress));
            }
        }
        self.ended = Instant::now();
        on_event(SendEvent::Progress(self.progress(self.ended)));
        let now = self.ended;
        manycast_io::Protocol::stop(self.driver.protocol_mut(), now);
        while !matches!(
            self.driver.next_event(Some(OFTEN))?,
            Next::Finished | Next::TimedOut
        ) {}
        Ok(())
    }

    /// The host that is sent to, where nobody listens there: it has refused for long, or until the end.
    /// While receivers are waited for, they may still come; where it refuses only later, one that says
    /// nothing has perhaps got all and left.
    fn refused_by(&mut self, now: Instant) -> Option<SocketAddr> {
        let refusal = self.driver.protocol().refusal;
        if self.delivery.is_gathering() {
            self.was_refused = refusal.of_late(now).is_some();
            return None;
        }
        let mut peers = self.delivery.peers.known.values();
        let is_heard = peers.any(|peer| peer.heard.is_some());
        if !self.was_refused || is_heard || self.stop.is_requested() {
            return None;
        }
        match self.delivery.is_over() {
            true => refusal.of_late(now),
            false => refusal.lasting(),
        }
    }

    fn answered(
        &mut self,
        node: u32,
        payload: &[u8],
        now: Instant,
        doubles: &mut Vec<String>,
        on_event: &mut impl FnMut(SendEvent),
    ) {
        let Some(changes) = self.delivery.take(node, payload, now) else {
            return;
        };
        let Some(peer) = self.delivery.peers.known.get(&node) else {
            return;
        };
        let name = peer.name.clone();
        if changes.is_new {
            on_event(SendEvent::Receiver { name: name.clone() });
        }
        if changes.is_double && !doubles.contains(&name) {
            doubles.push(name.clone());
            on_event(SendEvent::Warning(format!(
                "two receivers call themselves {name}; give each a name of its own with --name"
            )));
        }
        // Of two by one name, each would take back what the other has said, and files would be told
        // without end. The report tells how it stands at last.
        if doubles.contains(&name) {
            return;
        }
        for index in changes.ended {
            let state = account::state(&self.delivery, peer, index as usize);
            let Some(origin) = self.origins.get(index as usize) else {
                continue;
            };
            on_event(SendEvent::File {
                receiver: name.clone(),
                path: origin.entry.path.clone(),
                state,
            });
        }
    }
}
