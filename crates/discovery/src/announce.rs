//! Saying that a service is there.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use manycast_io::{Driver, Next, Socket, Stopper, seed};
use manycast_proto::ssdp::{self, DeviceEvent, LocalAddress};
use manycast_proto::ws_discovery::{TargetService, TargetServiceEvent};
use manycast_proto::{Combined, Either, NetworkEvent, Output, Protocol};
use manycast_types::{InterfaceId, Malformed, Received};

use crate::announcement::addresses;
use crate::optional::{Optional, is_ssdp, loopback};
use crate::register::{self, Registered, Registration};
use crate::{Announcement, DiscoveryProtocol, Error};

/// How often it is looked whether the addresses of this host are still the same.
const LOOK: Duration = Duration::from_secs(2);

/// What an [`Announcer`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnnounceEvent {
    /// It was announced.
    Announced {
        /// By which protocol.
        protocol: DiscoveryProtocol,
        /// As what: the full name of the instance, `uuid:…`, or the endpoint.
        id: String,
        /// On which interface; `None` where the protocol does not tell.
        interface: Option<InterfaceId>,
    },
    /// Another host has the name already, so it has another one now (RFC 6762 §9).
    Renamed {
        /// The name that was wanted: of an instance or of this host.
        from: String,
        /// The one that it has.
        to: String,
    },
    /// Somebody looks for it, and is answered.
    Asked {
        /// By which protocol.
        protocol: DiscoveryProtocol,
        /// Who.
        source: SocketAddr,
        /// For what.
        what: String,
    },
    /// Something came that was not understood.
    Malformed {
        /// The protocol.
        protocol: DiscoveryProtocol,
        /// Who sent it.
        source: SocketAddr,
        /// What is wrong with it.
        error: Malformed,
    },
    /// A part could not be done; the rest goes on.
    Failed {
        /// The protocol.
        protocol: DiscoveryProtocol,
        /// What could not be done, why, and what to do next, in one sentence.
        what: String,
    },
}

/// Announces a service until it is dropped or stopped, and says goodbye then.
///
/// It answers those who look for it, renames itself where another host has the name already, and follows the interfaces
/// and addresses of this host.
///
/// ```
/// use std::time::Duration;
///
/// use manycast::discovery::{Announcement, announce};
///
/// let mut announcement = Announcement::new("My web", "urn:schemas-upnp-org:device:Basic:1", 8080);
/// announcement.interfaces = vec!["lo".parse()?];
/// let mut announcer = announce(announcement)?;
/// let first = announcer.next_event(Some(Duration::from_secs(5)))?;
/// assert!(first.event().is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Announcer {
    driver: Driver<Announcing>,
    registration: Option<Registration>,
}

/// Begins to announce a service; what happens comes by [`Announcer::next_event`], which must be called for it to go on.
///
/// # Errors
///
/// Those of [`Announcer::new`].
pub fn announce(announcement: Announcement) -> Result<Announcer, Error> {
    Announcer::new(announcement)
}

impl Announcer {
    /// Opens sockets for the protocols.
    ///
    /// # Errors
    ///
    /// A kind or a name that is none; texts that are too long for a datagram; an interface that is not there; too many
    /// open files.
    pub fn new(announcement: Announcement) -> Result<Self, Error> {
        let (socket, port) = socket()?;
        let mut driver = Driver::new(socket, Announcing::new(&announcement, port)?);
        let registration = match announcement.uses(DiscoveryProtocol::DnsSd) {
            true => {
                let commands = driver.commands()?;
                let told = move |registered| {
                    commands
                        .give(|announcing: &mut Announcing, _| announcing.registered(registered));
                };
                Some(register::register(&announcement, told)?)
            }
            false => None,
        };
        Ok(Self {
            driver,
            registration,
        })
    }

    /// Waits for what is told next, until `timeout` is over (`None`: for ever); [`Next::Finished`] when it was stopped,
    /// and all goodbyes are said.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn next_event(&mut self, timeout: Option<Duration>) -> Result<Next<AnnounceEvent>, Error> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            match self.driver.next_event(left)? {
                Next::Event(Told::Event(event)) => return Ok(Next::Event(event)),
                Next::Event(Told::Look) => {
                    let addresses = addresses()?;
                    let announcing = self.driver.protocol_mut();
                    announcing.set_addresses(Instant::now(), addresses);
                }
                Next::TimedOut => return Ok(Next::TimedOut),
                Next::Finished => {
                    self.registration = None;
                    return Ok(Next::Finished);
                }
            }
        }
    }

    /// Something that ends it from another thread.
    ///
    /// # Errors
    ///
    /// Too many open files.
    pub fn stopper(&mut self) -> Result<Stopper, Error> {
        Ok(self.driver.stopper()?)
    }

    /// When it wants to go on even if nothing comes, for another event loop: see [`Driver::until`].
    pub const fn until(&self) -> Option<Instant> {
        self.driver.until()
    }
}

impl AsFd for Announcer {
    /// A descriptor for another event loop: readable when there is something to be told or to be done.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.driver.as_fd()
    }
}

impl fmt::Debug for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Announcer")
            .field("uuid", &self.driver.protocol().uuid)
            .finish_non_exhaustive()
    }
}

/// What the protocols tell.
#[derive(Debug)]
enum Told {
    Event(AnnounceEvent),
    /// It is time to look which addresses this host has.
    Look,
}

/// The protocols that share the sockets of the driver.
type Wire = Combined<Optional<ssdp::Device>, Optional<TargetService>, fn(&Received<'_>) -> bool>;

/// The protocols that a service is announced by, as one protocol.
struct Announcing {
    wire: Wire,
    uuid: String,
    told: VecDeque<Told>,
    look: Option<Instant>,
}

impl Announcing {
    fn new(announcement: &Announcement, port: u16) -> Result<Self, Error> {
        announcement.check()?;
        let uuid = announcement.uuid();
        let loopback = loopback(&announcement.interfaces);
        let device = match announcement.uses(DiscoveryProtocol::Ssdp) {
            true => Some(ssdp::Device::new(
                announcement.device(&uuid, port)?,
                seed(),
            )?),
            false => None,
        };
        let service = match announcement.uses(DiscoveryProtocol::WsDiscovery) {
            true => Some(TargetService::new(
                announcement.target_service(&uuid)?,
                seed(),
            )?),
            false => None,
        };
        Ok(Self {
            wire: Combined::new(
                Optional::new(device, loopback),
                Optional::new(service, loopback),
                is_ssdp,
            ),
            uuid,
            told: VecDeque::new(),
            look: None,
        })
    }

    fn set_addresses(&mut self, now: Instant, addresses: Vec<LocalAddress>) {
        if let Some(device) = self.wire.first.get_mut() {
            device.set_addresses(now, addresses.clone());
        }
        if let Some(service) = self.wire.second.get_mut() {
            service.set_addresses(now, addresses);
        }
    }

    fn registered(&mut self, registered: Registered) {
        let protocol = DiscoveryProtocol::DnsSd;
        self.told.push_back(Told::Event(match registered {
            Registered::Announced(id) => AnnounceEvent::Announced {
                protocol,
                id,
                interface: None,
            },
            Registered::Renamed { from, to } => AnnounceEvent::Renamed { from, to },
            Registered::Failed(what) => AnnounceEvent::Failed { protocol, what },
        }));
    }

    fn device(&self, event: DeviceEvent) -> Told {
        let protocol = DiscoveryProtocol::Ssdp;
        Told::Event(match event {
            DeviceEvent::Announced { interface, .. } => AnnounceEvent::Announced {
                protocol,
                id: format!("uuid:{}", self.uuid),
                interface: Some(interface),
            },
            DeviceEvent::Asked { source, target, .. } => AnnounceEvent::Asked {
                protocol,
                source,
                what: target,
            },
            DeviceEvent::Malformed { source, error } => AnnounceEvent::Malformed {
                protocol,
                source,
                error,
            },
            DeviceEvent::NotJoined { error, .. } | DeviceEvent::NotSent { error, .. } => {
                AnnounceEvent::Failed {
                    protocol,
                    what: error.to_string(),
                }
            }
            // There is no address on that interface, or not yet.
            _ => return Told::Look,
        })
    }

    fn service(&self, event: TargetServiceEvent) -> Told {
        let protocol = DiscoveryProtocol::WsDiscovery;
        Told::Event(match event {
            TargetServiceEvent::Announced { interface, .. } => AnnounceEvent::Announced {
                protocol,
                id: format!("urn:uuid:{}", self.uuid),
                interface: Some(interface),
            },
            TargetServiceEvent::Asked { source, version } => AnnounceEvent::Asked {
                protocol,
                source,
                what: version.to_string(),
            },
            TargetServiceEvent::Malformed { source, error } => AnnounceEvent::Malformed {
                protocol,
                source,
                error,
            },
            TargetServiceEvent::NotJoined { error, .. }
            | TargetServiceEvent::NotSent { error, .. } => AnnounceEvent::Failed {
                protocol,
                what: error.to_string(),
            },
            _ => return Told::Look,
        })
    }
}

impl Protocol for Announcing {
    type Event = Told;

    fn start(&mut self, now: Instant) {
        self.wire.start(now);
        if self.wire.first.get().is_some() || self.wire.second.get().is_some() {
            self.look = now.checked_add(LOOK);
        }
    }

    fn stop(&mut self, now: Instant) {
        self.look = None;
        self.wire.stop(now);
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        self.wire.handle_datagram(now, datagram);
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        // An interface that was down for a moment has lost its IPv6 addresses, and gets them again: without a look in
        // between, they would count as unchanged.
        let is_look = |told: &Told| matches!(told, Told::Look);
        if matches!(event, NetworkEvent::Joined(_)) && !self.told.iter().any(is_look) {
            self.told.push_back(Told::Look);
        }
        self.wire.handle_network(now, event);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.look.is_some_and(|look| look <= now) {
            self.look = now.checked_add(LOOK);
            self.told.push_back(Told::Look);
        }
        self.wire.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Output<Told> {
        if let Some(told) = self.told.pop_front() {
            return Output::Event(told);
        }
        match self.wire.poll_output(now) {
            Output::Event(Either::First(event)) => Output::Event(self.device(event)),
            Output::Event(Either::Second(event)) => Output::Event(self.service(event)),
            Output::Transmit(transmit) => Output::Transmit(transmit),
            Output::Request(request) => Output::Request(request),
            Output::Finished => Output::Finished,
            Output::Wait { until, reason } => {
                let until = match (until, self.look) {
                    (Some(until), Some(look)) => Some(until.min(look)),
                    (until, look) => until.or(look),
                };
                Output::Wait { until, reason }
            }
        }
    }
}

/// How many ports are tried for the socket.
const PORTS: usize = 32;

/// A socket at a port where SSDP asks a host by itself (UDA 2.0 §1.2.2), and the port.
fn socket() -> Result<(Socket, u16), Error> {
    let mut ports = ssdp::search_ports(seed());
    let mut bind = || {
        let port = ports.next().unwrap_or_default();
        Socket::bind(format!(":{port}")).map(|socket| (socket, port))
    };
    let bound = (1..PORTS).find_map(|_| bind().ok());
    Ok(bound.map_or_else(bind, Ok)?)
}
