//! Getting a file from a server, and putting one to it.

use std::fmt;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use manycast_io::{Driver, Next, Socket, SocketConfig, Stopper};
use manycast_proto::tftp::{
    Agreed, Client, ClientConfig, ClientEvent, ErrorCode, Failure, Mode, Refusal, RollOver,
    Summary, Timing,
};
use manycast_types::Address;

use super::end::{End, Job, Place};
use super::file::{Origin, Target};
use super::{Error, Location};

/// How a file is transferred. What is `None` is chosen for the path.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The bytes in a block, 8 to 65,464; `None`: as many as fit into a packet of the interface,
    /// less 72 for headers and tunnels. 512 asks for no option.
    pub block_size: Option<u16>,
    /// The blocks in a window, from 1; `None`: 256 KiB of them, at most 192, and no
    /// more than half of the receive buffer. 1 asks for no option.
    pub window: Option<u16>,
    /// Octet, or netascii for text, whose lines end in LF here.
    pub mode: Mode,
    /// Whether to ask for the data by multicast, where a server sends to many at once.
    pub multicast: bool,
    /// How long nothing may come of the server; 30 s by default.
    pub timeout: Duration,
    /// What follows on block 65,535: 0 by default.
    pub roll_over: RollOver,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            block_size: None,
            window: None,
            mode: Mode::Octet,
            multicast: false,
            timeout: Duration::from_secs(30),
            roll_over: RollOver::Zero,
        }
    }
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The bytes that have gone over.
    pub bytes: u64,
    /// The bytes in the file, where they are known.
    pub total: Option<u64>,
    /// Whether the server has answered.
    pub has_answered: bool,
}

/// What came of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The address of the server.
    pub server: SocketAddr,
    /// The bytes in the file, as they were on the wire.
    pub bytes: u64,
    /// What both ends had agreed on.
    pub agreed: Option<Agreed>,
    /// What was counted.
    pub summary: Summary,
}

/// Gets a file. It takes the place of one that is there, once it is complete.
///
/// # Errors
///
/// What the server says, that it says nothing, or that the file cannot be written.
pub fn get(from: &Location, to: impl AsRef<Path>, options: &Options) -> Result<Report, Error> {
    Transfer::get(from, to, options)?.run(|_| {})
}

/// Puts a file to a server that allows it.
///
/// # Errors
///
/// What the server says, that it says nothing, or that the file cannot be read.
pub fn put(from: impl AsRef<Path>, to: &Location, options: &Options) -> Result<Report, Error> {
    Transfer::put(from, to, options)?.run(|_| {})
}

/// A transfer that is to run: to be stopped from elsewhere, and to tell how far it is.
pub struct Transfer {
    driver: Driver<Client>,
    end: End,
    server: SocketAddr,
    /// As in "get boot.bin from 10.0.0.1:69".
    what: String,
    agreed: Option<Agreed>,
    total: Option<u64>,
}

impl Transfer {
    /// Will get a file, as [`get`].
    ///
    /// # Errors
    ///
    /// The server has no address, or the file cannot be written.
    pub fn get(from: &Location, to: impl AsRef<Path>, options: &Options) -> Result<Self, Error> {
        let target = Target::file(to.as_ref(), options.mode)?;
        Self::new(from, Place::Target(target), options)
    }

    /// Will get a file and write it to a stream as it comes.
    ///
    /// # Errors
    ///
    /// As [`Transfer::get`]; also by multicast, where parts come in any order.
    pub fn get_to(
        from: &Location,
        to: impl Write + Send + 'static,
        options: &Options,
    ) -> Result<Self, Error> {
        let target = Target::stream(Box::new(to), options.mode);
        Self::new(from, Place::Target(target), options)
    }

    /// Will put a file, as [`put`].
    ///
    /// # Errors
    ///
    /// The server has no address, or the file cannot be read.
    pub fn put(from: impl AsRef<Path>, to: &Location, options: &Options) -> Result<Self, Error> {
        let origin = Origin::file(from.as_ref(), options.mode)?;
        Self::new(to, Place::Origin(origin), options)
    }

    /// Will put what a stream gives until its end.
    ///
    /// # Errors
    ///
    /// The server has no address.
    pub fn put_from(
        from: impl Read + Send + 'static,
        to: &Location,
        options: &Options,
    ) -> Result<Self, Error> {
        let origin = Origin::stream(Box::new(from), "the stream".to_owned(), options.mode);
        Self::new(to, Place::Origin(origin), options)
    }

    fn new(location: &Location, place: Place, options: &Options) -> Result<Self, Error> {
        if options.multicast && !matches!(&place, Place::Target(target) if target.is_file()) {
            return Err(Error::Unsuitable(
                "by multicast parts come in any order; get to a file, in octet mode",
            ));
        }
        let address = location.server();
        let Some(server) = manycast_io::resolve(address)?.first().copied() else {
            return Err(Error::Unsuitable("the name of the server has no address"));
        };
        let any: std::net::IpAddr = match server {
            SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let mut local = Address::from(SocketAddr::new(any, 0));
        if let Some(interface) = address.interface() {
            local = local.on(interface.clone());
        }
        let socket = Socket::bind_with(local, SocketConfig::default())?;
        let granted = socket.receive_buffer()?.granted;
        let (block_size, window) = sizes(server, granted, options);
        let (verb, preposition) = match &place {
            Place::Origin(_) => ("put", "to"),
            _ => ("get", "from"),
        };
        let mut config = ClientConfig::new(server, location.name().to_owned());
        config.mode = options.mode;
        config.block_size = (block_size != manycast_proto::tftp::BLOCK_SIZE).then_some(block_size);
        config.window = (window > 1).then_some(window);
        config.multicast = options.multicast;
        config.interface = address.interface().cloned();
        config.roll_over = options.roll_over;
        config.timing = Timing {
            patience: options.timeout,
            ..Timing::default()
        };
        let (client, total) = match &place {
            Place::Origin(origin) => {
                config.transfer_size = origin.length;
                (Client::write(config), origin.length)
            }
            _ => (Client::read(config), None),
        };
        let mut driver = Driver::new(socket, client);
        Ok(Self {
            end: End::new(place, driver.commands()?)?,
            driver,
            server,
            what: format!("{verb} {} {preposition} {}", location.name(), address),
            agreed: None,
            total,
        })
    }

    /// Something that ends it from another thread. The server is told.
    ///
    /// # Errors
    ///
    /// Too many open files.
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        Ok(self.driver.stopper()?)
    }

    /// What both ends have agreed on, once the server has answered.
    pub const fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// Runs it, telling some ten times a second how far it is.
    ///
    /// # Errors
    ///
    /// As [`get`] and [`put`], and [`Error::Stopped`].
    pub fn run(mut self, mut progress: impl FnMut(Progress)) -> Result<Report, Error> {
        const OFTEN: Duration = Duration::from_millis(100);
        let mut told = Instant::now();
        let mut outcome = Err(Error::Stopped);
        loop {
            let next = self.driver.next_event(Some(OFTEN))?;
            let now = Instant::now();
            if now.saturating_duration_since(told) >= OFTEN {
                told = now;
                progress(Progress {
                    bytes: self.driver.protocol().summary(now).bytes,
                    total: self.total,
                    has_answered: self.agreed.is_some(),
                });
            }
            match next {
                Next::Finished => break,
                Next::TimedOut => {}
                Next::Event(ClientEvent::Ended { summary, result }) => {
                    outcome = self.end.failure().map_or(outcome, Err);
                    outcome = match (outcome, result) {
                        // What went wrong here comes before what the server was told of it.
                        (Err(error @ Error::File { .. }), _) => Err(error),
                        (_, Ok(())) => Ok(Report {
                            server: self.server,
                            bytes: summary.bytes,
                            agreed: self.agreed,
                            summary,
                        }),
                        // Nothing went wrong here, so it is a stop that has broken it off.
                        (Err(Error::Stopped), Err(Failure::Aborted(_))) => Err(Error::Stopped),
                        (_, Err(failure)) => Err(Error::Transfer {
                            what: self.what.clone(),
                            failure,
                        }),
                    };
                    // RFC 1350 §6 has it linger, in case its last acknowledgment was lost. Where nothing
                    // was lost before, that is so unlikely that nobody is kept waiting for it.
                    let trouble = summary.again + summary.duplicates + summary.timeouts;
                    if trouble == 0 || self.server.ip().is_loopback() {
                        break;
                    }
                }
                Next::Event(event) => {
                    if let Err(error) = self.handle(now, event) {
                        let refusal = refusal_of(&error);
                        self.driver.protocol_mut().abort(now, refusal);
                        outcome = Err(error);
                    }
                }
            }
        }
        outcome
    }

    fn handle(&mut self, now: Instant, event: ClientEvent) -> Result<(), Error> {
        let job = match event {
            ClientEvent::Agreed(agreed) => {
                self.total = self.total.or(agreed.transfer_size);
                self.agreed = Some(agreed);
                return Ok(());
            }
            ClientEvent::Read { offset, length } => Job::Read { offset, length },
            ClientEvent::Write { offset, bytes } => Job::Write { offset, bytes },
            ClientEvent::Complete { .. } => Job::Finish,
            _ => return Ok(()),
        };
        self.end.work(job, self.driver.protocol_mut(), now)
    }
}

impl fmt::Debug for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transfer")
            .field("what", &self.what)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// What the other end is told of an error here.
pub(super) fn refusal_of(error: &Error) -> Refusal {
    use std::io::ErrorKind;
    match error {
        Error::File { source, .. } => match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Refusal::new(ErrorCode::DiskFull, "the disk is full")
            }
            ErrorKind::NotFound => Refusal::new(ErrorCode::FileNotFound, "file not found"),
            ErrorKind::AlreadyExists => {
                Refusal::new(ErrorCode::FileExists, "the file is there already")
            }
            ErrorKind::PermissionDenied | ErrorKind::IsADirectory | ErrorKind::CrossesDevices => {
                Refusal::new(ErrorCode::AccessViolation, "access is denied")
            }
            _ => Refusal::new(ErrorCode::NotDefined, "the file cannot be read or written"),
        },
        Error::Transfer {
            failure: Failure::Refused(refusal),
            ..
        } => refusal.clone(),
        _ => Refusal::new(ErrorCode::NotDefined, "the transfer was stopped"),
    }
}

/// The block size and the window for a path: large blocks where the interface takes them in one
/// packet, and as many of them as lie well in the receive buffer.
fn sizes(server: SocketAddr, receive_buffer: usize, options: &Options) -> (u16, u16) {
    // The headers of IP, UDP and TFTP are 32 or 52 bytes; the rest is for tunnels on the way.
    const HEADERS: u32 = 72;
    const WINDOW_BYTES: usize = 256 << 10;
    let mtu = match manycast_io::egress_to(server.ip(), None) {
        Ok(Some(interface)) => interface.mtu,
        _ => 1500,
    };
    let fits = mtu.saturating_sub(HEADERS).clamp(512, 65_464);
    let block_size = options.block_size.map_or(fits, u32::from).clamp(8, 65_464);
    let block_size = u16::try_from(block_size).unwrap_or(512);
    // The kernel counts a packet of an Ethernet about half as much again as it has bytes.
    let bytes = WINDOW_BYTES.min(receive_buffer / 2);
    let fits = (bytes / usize::from(block_size)).clamp(1, 192);
    let fits = u16::try_from(fits).unwrap_or(1);
    (block_size, options.window.unwrap_or(fits).max(1))
}
