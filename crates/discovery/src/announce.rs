//! Saying that a service is there.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime};

use manycast_io::{Driver, Next, Socket, Stopper, interfaces, seed};
use manycast_proto::ssdp::{self, DeviceConfig, DeviceEvent, LocalAddress, Location};
use manycast_proto::ws_discovery::{
    TargetService, TargetServiceConfig, TargetServiceEvent, device_type,
};
use manycast_proto::{Combined, Either, NetworkEvent, Output, Protocol};
use manycast_types::{InterfaceId, InterfaceSelector, Malformed, Received};

use crate::dns_sd;
use crate::optional::{Optional, is_ssdp, loopback};
use crate::register::{self, Registered, Registration};
use crate::what::service_type;
use crate::{Attribute, DiscoveryProtocol, Error, uuid, ws_discovery};

/// How often it is looked whether the addresses of this host are still the same.
const LOOK: Duration = Duration::from_secs(2);

/// The type of a device that is nothing else (UPnP Basic Device 1.0).
const BASIC: &str = "urn:schemas-upnp-org:device:Basic:1";

/// A service that is to be announced.
///
/// ```
/// use manycast::discovery::{Announcement, Attribute};
///
/// let mut announcement = Announcement::new("My web", "_http._tcp", 8080);
/// announcement.attributes = vec![Attribute::new("path", "/index.html")];
/// # drop(announcement);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Announcement {
    /// Its name for people: by DNS-SD that of the instance, 63 bytes at most (RFC 6763 §4.1.1).
    pub name: String,
    /// What it is, in the words of each protocol: `_http._tcp` is for DNS-SD, `urn:…:device:…` or `urn:…:service:…` for
    /// SSDP, `wsdp:Device` or `{NAMESPACE}NAME` for WS-Discovery.
    pub kinds: Vec<String>,
    /// Its port.
    pub port: u16,
    /// What else is to be known: by DNS-SD the TXT record.
    pub attributes: Vec<Attribute>,
    /// By which protocols; those that have a kind, where none is named. SSDP without a kind announces
    /// `urn:schemas-upnp-org:device:Basic:1`, and WS-Discovery `wsdp:Device`.
    pub protocols: Vec<DiscoveryProtocol>,
    /// On which interfaces; all that are up and can multicast by default.
    pub interfaces: Vec<InterfaceSelector>,
    /// The UUID of the device, by SSDP and WS-Discovery; a random one where it is `None`. Those who look know a device by it.
    pub uuid: Option<String>,
    /// Where the description of the device is, by SSDP and WS-Discovery: `http://ADDRESS:PORT` and this path, `/` by default.
    pub path: String,
}

impl Announcement {
    /// A service of a name and a kind at a port.
    pub fn new(name: impl Into<String>, kind: impl Into<String>, port: u16) -> Self {
        Self {
            name: name.into(),
            kinds: vec![kind.into()],
            port,
            attributes: Vec::new(),
            protocols: Vec::new(),
            interfaces: Vec::new(),
            uuid: None,
            path: "/".to_owned(),
        }
    }

    /// Which kinds are for which protocol.
    fn kinds_of(&self, protocol: DiscoveryProtocol) -> impl Iterator<Item = &String> {
        let kinds = self.kinds.iter();
        kinds.filter(move |kind| protocol_of(kind) == Some(protocol))
    }

    /// Whether it is announced by a protocol.
    pub fn uses(&self, protocol: DiscoveryProtocol) -> bool {
        match self.protocols.is_empty() {
            true => self.kinds_of(protocol).next().is_some(),
            false => self.protocols.contains(&protocol),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |why: String| Err(Error::Unsuitable(why));
        if let Some(kind) = self.kinds.iter().find(|kind| protocol_of(kind).is_none()) {
            return wrong(format!(
                "{kind:?} is no kind of service; write a type such as _http._tcp, or urn:schemas-upnp-org:device:Basic:1"
            ));
        }
        if self.kinds.is_empty() && self.protocols.is_empty() {
            return wrong("no kind of service is named; name one such as _http._tcp".to_owned());
        }
        if self.port == 0 {
            return wrong("nobody can reach port 0; name the port of the service".to_owned());
        }
        if let Some(uuid) = &self.uuid
            && !uuid::is_one(&uuid::plain(uuid))
        {
            return wrong(format!(
                "{uuid:?} is no UUID; write one such as 4d696e69-5061-4a56-b7a1-3d8b9d7a1c45, or none for a random \
                 one"
            ));
        }
        if self.uses(DiscoveryProtocol::DnsSd) {
            let kinds: Vec<_> = self.kinds_of(DiscoveryProtocol::DnsSd).collect();
            if kinds.is_empty() {
                return wrong("DNS-SD needs a type; name one such as _http._tcp".to_owned());
            }
            for kind in kinds {
                if let Err(Malformed { what, .. }) = service_type(kind) {
                    return wrong(format!("{kind:?} is no type of DNS-SD: {what}"));
                }
            }
            self.attributes.iter().try_for_each(Attribute::check)?;
            // RFC 6763 §4.1.1: 63 bytes of Net-Unicode, without control characters.
            if self.name.is_empty() || self.name.len() > 63 {
                return wrong(
                    "the name of an instance has 1 to 63 bytes; choose another".to_owned(),
                );
            }
            if self.name.chars().any(char::is_control) {
                return wrong("the name holds a control character; choose another".to_owned());
            }
        }
        Ok(())
    }

    /// The device of SSDP that it is.
    fn device(&self, uuid: &str) -> Result<DeviceConfig, Error> {
        let is_service = |kind: &&String| kind.to_ascii_lowercase().contains(":service:");
        let kinds = || self.kinds_of(DiscoveryProtocol::Ssdp);
        let device = kinds().find(|kind| !is_service(kind));
        let device = device.map_or(BASIC, String::as_str);
        let mut config = DeviceConfig::new(uuid, device);
        config.root.services = kinds().filter(is_service).cloned().collect();
        config.location = Location::Here {
            port: self.port,
            path: self.path.clone(),
        };
        config.addresses = addresses()?;
        config.interfaces = self.interfaces.clone();
        config.boot_id = start();
        Ok(config)
    }

    /// The service of WS-Discovery that it is.
    fn target_service(&self, uuid: &str) -> Result<TargetServiceConfig, Error> {
        let kinds = self.kinds_of(DiscoveryProtocol::WsDiscovery);
        let mut types: Vec<_> = kinds.filter_map(|kind| ws_discovery::name(kind)).collect();
        if types.is_empty() {
            types.push(device_type());
        }
        let mut config = TargetServiceConfig::new(format!("urn:uuid:{uuid}"), device_type());
        config.types = types;
        config.location = Location::Here {
            port: self.port,
            path: self.path.clone(),
        };
        config.addresses = addresses()?;
        config.interfaces = self.interfaces.clone();
        config.instance_id = start();
        Ok(config)
    }

    fn uuid(&self) -> String {
        match &self.uuid {
            Some(uuid) => uuid::plain(uuid),
            None => uuid::random(),
        }
    }
}

/// What rises with each start: the seconds since 1970, which fit until 2038, and are cut then.
fn start() -> u32 {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = seconds.map_or(1, |since| since.as_secs() & 0x7fff_ffff);
    u32::try_from(seconds).unwrap_or(1)
}

/// Which protocol a kind is for, by its form.
fn protocol_of(kind: &str) -> Option<DiscoveryProtocol> {
    let is_urn = kind
        .get(..4)
        .is_some_and(|it| it.eq_ignore_ascii_case("urn:"));
    match kind.starts_with('_') {
        true => Some(DiscoveryProtocol::DnsSd),
        false if is_urn => Some(DiscoveryProtocol::Ssdp),
        false => ws_discovery::name(kind).map(|_| DiscoveryProtocol::WsDiscovery),
    }
}

/// The addresses of this host, in a fixed order. Nothing can be sent from one whose detection of duplicates still goes
/// on, as after an interface came up; its end is a change, so that all is announced then.
fn addresses() -> Result<Vec<LocalAddress>, Error> {
    let mut addresses = Vec::new();
    for interface in interfaces()? {
        let usable = interface.addresses.iter().filter(|own| own.is_usable());
        addresses.extend(usable.map(|own| LocalAddress {
            interface: interface.index,
            address: own.address,
            prefix: own.prefix,
        }));
    }
    Ok(addresses)
}

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
        let announcing = Announcing::new(&announcement)?;
        let mut driver = Driver::new(Socket::bind(":0")?, announcing);
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
    fn new(announcement: &Announcement) -> Result<Self, Error> {
        announcement.check()?;
        let uuid = announcement.uuid();
        let loopback = loopback(&announcement.interfaces);
        let device = match announcement.uses(DiscoveryProtocol::Ssdp) {
            true => Some(ssdp::Device::new(announcement.device(&uuid)?, seed())?),
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

/// The type as the library wants it.
pub(crate) fn types(announcement: &Announcement) -> Result<Vec<String>, Error> {
    let kinds = announcement.kinds_of(DiscoveryProtocol::DnsSd);
    let types = kinds.map(|kind| match service_type(kind) {
        Ok(bare) => Ok(format!("{bare}{}", dns_sd::DOMAIN)),
        Err(Malformed { what, .. }) => Err(Error::Unsuitable(what.into_owned())),
    });
    types.collect()
}
