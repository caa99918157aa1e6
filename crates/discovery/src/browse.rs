//! Looking for what is there.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use manycast_io::{Commands, Driver, Next, Socket, Stopper};
use manycast_proto::{Combined, Either, NetworkEvent, Output, Protocol, ssdp, ws_discovery};
use manycast_types::{InterfaceSelector, Received};

use crate::dns_sd::{self, Said, Search};
use crate::optional::{Optional, is_ssdp, loopback};
use crate::services::Services;
use crate::{Device, DiscoveryProtocol, Error, Event, Service, What, devices};

/// What to look for, where, and how.
///
/// ```
/// use std::time::Duration;
///
/// use manycast::discovery::BrowseConfig;
///
/// let mut config = BrowseConfig::default();
/// config.what = "_http._tcp".parse()?;
/// config.interfaces = vec!["eth0".parse()?];
/// config.duration = Some(Duration::from_secs(3));
/// # Ok::<(), manycast::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrowseConfig {
    /// What to look for; everything by default.
    pub what: What,
    /// By which protocols; all by default. One that has no words for what is looked for is not asked.
    pub protocols: Vec<DiscoveryProtocol>,
    /// On which interfaces; all that are up and can multicast by default.
    pub interfaces: Vec<InterfaceSelector>,
    /// When to end; `None`, the default, looks until it is stopped.
    pub duration: Option<Duration>,
    /// How many services are kept; 4,096 by default. Later ones are counted and not told. A service takes as much
    /// memory as what is said of it, some 8 KiB at most by SSDP and 64 KiB by WS-Discovery, for each address that it is
    /// heard from.
    pub most: usize,
}

impl Default for BrowseConfig {
    fn default() -> Self {
        Self {
            what: What::default(),
            protocols: DiscoveryProtocol::ALL.to_vec(),
            interfaces: Vec::new(),
            duration: None,
            most: 4_096,
        }
    }
}

impl BrowseConfig {
    /// Whether a protocol is asked.
    pub fn asks(&self, protocol: DiscoveryProtocol) -> bool {
        self.protocols.contains(&protocol) && self.what.asks(protocol)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if DiscoveryProtocol::ALL.iter().any(|it| self.asks(*it)) {
            return Ok(());
        }
        let names: Vec<_> = self.protocols.iter().map(|it| it.name()).collect();
        let why = match names[..] {
            [] => "no protocol is named; name one".to_owned(),
            _ => format!(
                "{} has no words for what is looked for; name another protocol, or none",
                names.join(" and ")
            ),
        };
        Err(Error::Unsuitable(why))
    }
}

/// What a [`Browser`] has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrowseStats {
    /// What SSDP has counted.
    pub ssdp: ssdp::ClientStats,
    /// What WS-Discovery has counted.
    pub ws_discovery: ws_discovery::ClientStats,
    /// Services, and addresses of services, that were left out because there were too many.
    pub overflowed: u64,
}

impl BrowseStats {
    /// How many datagrams were not understood, by all protocols. Of DNS-SD it is not known.
    pub const fn malformed(&self) -> u64 {
        self.ssdp.malformed + self.ws_discovery.malformed
    }
}

/// Looks for services by all protocols, and tells of each as it comes, changes and goes.
///
/// It asks as often as the standards say, and listens to what is said unasked. An interface that appears or is
/// recreated is asked on too.
///
/// ```
/// use std::time::Duration;
///
/// use manycast::Next;
/// use manycast::discovery::{BrowseConfig, Event, browse};
///
/// let mut config = BrowseConfig::default();
/// config.interfaces = vec!["lo".parse()?];
/// config.duration = Some(Duration::from_millis(200));
/// let mut browser = browse(config)?;
/// while let Next::Event(event) = browser.next_event(None)? {
///     match event {
///         Event::Found(service) => println!("{} {}", service.kind, service.name),
///         Event::Gone { service, .. } => println!("{} is gone", service.name),
///         _ => {}
///     }
/// }
/// println!("{} devices", browser.devices().len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Browser {
    driver: Driver<Browsing>,
    _search: Option<Search>,
}

/// Begins to look; what is found comes by [`Browser::next_event`].
///
/// # Errors
///
/// Those of [`Browser::new`].
pub fn browse(config: BrowseConfig) -> Result<Browser, Error> {
    Browser::new(config)
}

/// Looks for as long as the configuration says, or for 3 s, and returns what is there then.
///
/// ```
/// use std::time::Duration;
///
/// use manycast::discovery::{BrowseConfig, discover};
///
/// let mut config = BrowseConfig::default();
/// config.interfaces = vec!["lo".parse()?];
/// config.duration = Some(Duration::from_millis(200));
/// let devices = discover(config)?;
/// for device in devices {
///     println!("{} at {:?}", device.name, device.addresses);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of [`Browser::new`] and [`Browser::next_event`].
pub fn discover(mut config: BrowseConfig) -> Result<Vec<Device>, Error> {
    config.duration.get_or_insert(PATIENCE);
    let mut browser = browse(config)?;
    while let Next::Event(_) = browser.next_event(None)? {}
    Ok(browser.devices())
}

/// How long [`discover`] looks unless it is told otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

impl Browser {
    /// Opens sockets for the protocols. Nothing is sent before the first [`next_event`](Self::next_event), but by
    /// DNS-SD.
    ///
    /// # Errors
    ///
    /// No protocol has words for what is looked for; an interface that was named is not there; too many open files.
    pub fn new(config: BrowseConfig) -> Result<Self, Error> {
        config.check()?;
        let mut driver = Driver::new(socket()?, Browsing::new(&config));
        let commands = driver.commands()?;
        let search = driver.protocol_mut().search(&config, commands)?;
        Ok(Self {
            driver,
            _search: search,
        })
    }

    /// Waits for what is told next, until `timeout` is over (`None`: for ever); [`Next::Finished`] when the time is
    /// over that the configuration gives, or it was stopped.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails. What cannot be asked or joined is an [`Event::Failed`].
    pub fn next_event(&mut self, timeout: Option<Duration>) -> Result<Next<Event>, Error> {
        Ok(self.driver.next_event(timeout)?)
    }

    /// The services that are known now, by protocol and identity.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.driver.protocol().services()
    }

    /// The same by device: see [`devices`](devices()).
    pub fn devices(&self) -> Vec<Device> {
        devices(self.services())
    }

    /// What it has counted so far.
    pub fn stats(&self) -> BrowseStats {
        self.driver.protocol().stats()
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

impl AsFd for Browser {
    /// A descriptor for another event loop: readable when there is something to be told.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.driver.as_fd()
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browser")
            .field("driver", &self.driver)
            .finish_non_exhaustive()
    }
}

/// The socket at which answers come; groups are joined beside it.
pub(crate) fn socket() -> Result<Socket, Error> {
    Ok(Socket::bind(":0")?)
}

/// The protocols that share the sockets of the driver.
type Wire =
    Combined<Optional<ssdp::Client>, Optional<ws_discovery::Client>, fn(&Received<'_>) -> bool>;

/// The protocols that are looked by, as one protocol.
pub(crate) struct Browsing {
    wire: Wire,
    dns_sd: Option<mpsc::Receiver<Said>>,
    services: Services,
    duration: Option<Duration>,
    end: Option<Instant>,
    finished: bool,
}

impl Browsing {
    pub(crate) fn new(config: &BrowseConfig) -> Self {
        let loopback = loopback(&config.interfaces);
        let ssdp = config.asks(DiscoveryProtocol::Ssdp).then(|| {
            let config = crate::ssdp::config(config);
            ssdp::Client::new(config, manycast_io::seed())
        });
        let ws_discovery = config.asks(DiscoveryProtocol::WsDiscovery).then(|| {
            let config = crate::ws_discovery::config(config);
            ws_discovery::Client::new(config, manycast_io::seed())
        });
        Self {
            wire: Combined::new(
                Optional::new(ssdp, loopback),
                Optional::new(ws_discovery, loopback),
                is_ssdp,
            ),
            dns_sd: None,
            services: Services::new(config.most),
            duration: config.duration,
            end: None,
            finished: false,
        }
    }

    /// Begins to look by DNS-SD, if that is asked.
    pub(crate) fn search(
        &mut self,
        config: &BrowseConfig,
        commands: Commands<Self>,
    ) -> Result<Option<Search>, Error> {
        if !config.asks(DiscoveryProtocol::DnsSd) {
            return Ok(None);
        }
        let wake = move || {
            commands.give(|browsing, _| browsing.listen_to_dns_sd());
        };
        let (search, said) = dns_sd::search(&config.what.dns_sd, &config.interfaces, wake)?;
        self.dns_sd = Some(said);
        Ok(Some(search))
    }

    fn listen_to_dns_sd(&mut self) {
        if let Some(receiver) = &self.dns_sd
            && let Ok(said) = receiver.try_recv()
        {
            dns_sd::take(&mut self.services, said);
        }
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.all()
    }

    pub(crate) fn stats(&self) -> BrowseStats {
        let ssdp = self.wire.first.get().map(ssdp::Client::stats);
        let ws_discovery = self.wire.second.get().map(ws_discovery::Client::stats);
        let (ssdp, ws_discovery) = (ssdp.unwrap_or_default(), ws_discovery.unwrap_or_default());
        BrowseStats {
            ssdp,
            ws_discovery,
            overflowed: self.services.overflowed() + ssdp.overflowed + ws_discovery.overflowed,
        }
    }

    fn finish(&mut self, now: Instant) {
        if !self.finished {
            self.finished = true;
            self.dns_sd = None;
            self.wire.stop(now);
        }
    }
}

impl fmt::Debug for Browsing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Browsing")
            .field("services", &self.services)
            .field("end", &self.end)
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}

impl Protocol for Browsing {
    type Event = Event;

    fn start(&mut self, now: Instant) {
        self.end = self.duration.and_then(|duration| now.checked_add(duration));
        self.wire.start(now);
    }

    fn stop(&mut self, now: Instant) {
        self.finish(now);
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Received<'_>) {
        self.wire.handle_datagram(now, datagram);
    }

    fn handle_network(&mut self, now: Instant, event: NetworkEvent) {
        self.wire.handle_network(now, event);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.end.is_some_and(|end| end <= now) {
            self.end = None;
            self.finish(now);
        }
        self.wire.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Output<Event> {
        loop {
            if let Some(event) = self.services.events.pop_front() {
                return Output::Event(event);
            }
            match self.wire.poll_output(now) {
                Output::Event(Either::First(event)) => {
                    crate::ssdp::take(&mut self.services, event);
                }
                Output::Event(Either::Second(event)) => {
                    crate::ws_discovery::take(&mut self.services, event);
                }
                Output::Transmit(transmit) => return Output::Transmit(transmit),
                Output::Request(request) => return Output::Request(request),
                Output::Wait { until, reason } if !self.finished => {
                    let until = match (until, self.end) {
                        (Some(until), Some(end)) => Some(until.min(end)),
                        (until, end) => until.or(end),
                    };
                    return Output::Wait { until, reason };
                }
                Output::Wait { .. } | Output::Finished => return Output::Finished,
            }
        }
    }
}
