//! A session with the far end: what is asked of it, one thing at a time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::Counters;
use manycast_net::{Operation, errno};
use manycast_proto::probe::{
    Burst, Client, ClientConfig, ClientEvent, Counts, MAX_COUNT, Refusal, Round,
};
use manycast_types::{Address, Group, Host};

use super::super::paths::{SHORT, Toward, Trial};
use super::super::{Context, Examination, Tally, far};
use super::FarEnd;
use super::known::{Examined, Known};
use manycast_io::{Driver, Error, Next, Socket, seed};

/// How many sources of an address are asked for.
const MOST_SOURCES: usize = 8;

/// How soon a far end answers where all is well.
const SOON: Duration = Duration::from_secs(1);

/// A session with the far end.
pub(super) struct Session<'a> {
    pub(super) driver: Driver<Client>,
    pub(super) context: &'a Context,
    pub(super) how: &'a Examination,
    server: SocketAddr,
    /// The same, as it was named.
    address: Address,
    /// The index of the interface that leads to the far end.
    pub(super) egress: Option<u32>,
    /// The own address that leads there, for a group that needs a source.
    own: Option<IpAddr>,
    pub(super) joined_at: Instant,
    pub(super) before: Counters,
    pub(super) known: Known,
}

impl<'a> Session<'a> {
    /// Says hello to the far end, and joins the group.
    pub(super) fn open(
        context: &'a Context,
        how: &'a Examination,
        far: &FarEnd,
    ) -> Result<Self, Error> {
        let target = &context.target;
        let Some(server) = manycast_io::resolve(&far.address)?.into_iter().next() else {
            return Err(Error::unsuitable(&far.address, "its name has no address"));
        };
        let any: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = Socket::bind(SocketAddr::new(any, 0))?;
        let itself = server.ip().is_loopback() || context.host.has(server.ip());
        let zone = match server {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(v6.scope_id()),
            _ => None,
        };
        let Some(route) = manycast_net::route_to(server.ip(), zone)? else {
            return Err(manycast_net::Error::from_errno(
                Operation::Send,
                &far.address,
                errno::ENETUNREACH,
            )
            .into());
        };
        let own = route.source.filter(|own| {
            !target.address.sources().is_empty() && own.is_ipv4() == target.is_ipv4()
        });
        let config = ClientConfig {
            server,
            group: SocketAddr::new(target.ip, target.port),
            source: own,
            key: far.key.clone(),
        };
        let mut session = Self {
            driver: Driver::new(socket, Client::new(config, seed())),
            context,
            how,
            server,
            address: far.address.clone(),
            egress: Some(route.interface),
            own,
            joined_at: Instant::now(),
            before: Counters::default(),
            known: Known {
                far: name(&far.address),
                link: route.interface,
                ..Known::default()
            },
        };
        match session.first()? {
            ClientEvent::Welcome => {}
            other => return Err(session.failure(&other, false)),
        }
        session.how.cancellation.begin();
        if itself {
            session.note(format!(
                "{} is this host itself: what lies between two hosts is not tried",
                session.known.far
            ));
        }
        let stopper = session.driver.stopper()?;
        session.how.cancellation.stops(stopper);
        session.choose_source()?;
        session.before = Counters::read()?;
        let wanted = session.wanted();
        session.join(wanted)?;
        session.known.joined = session
            .driver
            .endpoint()
            .memberships()
            .map(|membership| membership.interface.clone())
            .collect();
        Ok(session)
    }

    /// The group as it is joined for the trials.
    pub(super) fn wanted(&self) -> Group {
        let address = &self.context.target.address;
        let group = address
            .group()
            .unwrap_or_else(|| Group::new(self.context.target.ip));
        match (address.sources(), self.known.source) {
            ([], _) => group,
            (_, Some(source)) => group.with_sources([source]),
            (_, None) => Group {
                sources: manycast_types::SourceFilter::any(),
                ..group
            },
        }
    }

    /// Chooses the source to try, where the address names any: one that the far host has, or else
    /// its own address, which says less.
    fn choose_source(&mut self) -> Result<(), Error> {
        let sources = self.context.target.address.sources();
        if sources.is_empty() {
            return Ok(());
        }
        let server = self.server.ip();
        let mut found = sources.iter().copied().find(|source| *source == server);
        let others = sources.iter().take(MOST_SOURCES);
        for source in others.filter(|source| source.is_ipv4() == self.context.target.is_ipv4()) {
            if found.is_some() {
                break;
            }
            let burst = Burst {
                to_group: true,
                by_route: true,
                count: 1,
                size: SHORT,
                hops: 1,
                source: Some(*source),
            };
            self.driver.protocol_mut().request(Instant::now(), burst);
            match self.next()? {
                ClientEvent::Came(_) | ClientEvent::CameInPart(_) => found = Some(*source),
                ClientEvent::Refused(Refusal::Source | Refusal::CannotSend) => {}
                other => return Err(self.failure(&other, true)),
            }
        }
        let names: Vec<String> = sources.iter().map(ToString::to_string).collect();
        let (names, far) = (names.join(", "), self.known.far.clone());
        if let Some(found) = found {
            self.known.source = Some(found);
            if sources.len() > 1 {
                self.note(format!("of {names}, {found} is tried: {far} has it"));
            }
            return Ok(());
        }
        self.known.is_stand_in = true;
        if server.is_ipv4() == self.context.target.is_ipv4() {
            self.known.source = Some(server);
            self.note(format!(
                "{far} does not have {names}, so it cannot send as that source: the path is tried \
                 from {server}, with {server}@{} joined instead. To try the path from {names}, run \
                 'manycast doctor serve' there",
                self.context.target.ip
            ));
        } else {
            self.note(format!(
                "{far} does not have {names}, so it cannot send as that source: the path is tried \
                 with any source. To try the path from {names}, run 'manycast doctor serve' there"
            ));
        }
        Ok(())
    }

    /// Tries one thing, and gives how many datagrams came.
    pub(super) fn attempt(&mut self, trial: Trial) -> Result<u8, Error> {
        let now = Instant::now();
        match trial.toward {
            Toward::Here => {
                let burst = Burst {
                    to_group: trial.to_group,
                    by_route: trial.by_route,
                    count: trial.sent.min(MAX_COUNT),
                    size: trial.size,
                    hops: trial.hops,
                    source: self.known.source.filter(|_| trial.to_group),
                };
                self.driver.protocol_mut().request(now, burst);
            }
            Toward::There => {
                let round = Round {
                    to_group: trial.to_group,
                    interface: self.egress_for(trial),
                    source: self.own,
                    count: trial.sent,
                    size: trial.size,
                    hops: trial.hops,
                };
                self.driver.protocol_mut().send(now, round);
            }
        }
        // Of large datagrams, an interface that is slow refuses some.
        let tells = trial.to_group && trial.size == SHORT;
        let (counts, refused) = match self.next()? {
            ClientEvent::Came(counts) => (counts, false),
            ClientEvent::CameInPart(counts) => {
                self.known.far_refused |= tells;
                (counts, true)
            }
            ClientEvent::Counted { counts, not_sent } => {
                let refused = not_sent.is_some();
                if tells {
                    let moved = Counters::read()?.since(&self.before);
                    self.known.held_by_ipsec = Tally::of(&moved, true).held_by_ipsec;
                    self.known.refused = not_sent;
                }
                (counts, refused)
            }
            ClientEvent::Refused(Refusal::CannotSend | Refusal::Source) => {
                self.known.far_refused |= tells;
                (Counts::default(), true)
            }
            other => return Err(self.failure(&other, true)),
        };
        let came = if trial.to_group {
            counts.group
        } else {
            counts.host
        };
        // What its host has refused was not sent, and says nothing of the way; how many that were is
        // not told.
        let sent = if refused { came } else { trial.sent };
        self.known.trials.push(Trial {
            sent,
            came,
            ..trial
        });
        Ok(came)
    }

    /// The index of the interface that is named for what this host sends to the group.
    fn egress_for(&self, trial: Trial) -> Option<u32> {
        match &self.context.target.interface {
            Some(named) => Some(named.index),
            None if trial.by_route => None,
            None => self.egress,
        }
    }

    /// Joins the group, with the sources that are wanted of it.
    pub(super) fn join(&mut self, wanted: Group) -> Result<(), Error> {
        self.driver.protocol_mut().join(wanted);
        match self.next()? {
            ClientEvent::Joined => {
                self.joined_at = Instant::now();
                Ok(())
            }
            ClientEvent::NotJoined(error) => Err(error.into()),
            other => Err(self.failure(&other, true)),
        }
    }

    /// Has the far host count from now on. Where it does not, no more than that is known.
    pub(super) fn watch(&mut self) -> Result<(), Error> {
        self.driver.protocol_mut().watch(Instant::now());
        match self.next()? {
            ClientEvent::Watching | ClientEvent::Refused(_) => Ok(()),
            other => Err(self.failure(&other, true)),
        }
    }

    /// Has the far host examine itself after a round of this end.
    pub(super) fn examine(&mut self) -> Result<(), Error> {
        self.driver.protocol_mut().examine(Instant::now());
        let far = self.known.far.clone();
        match self.next()? {
            ClientEvent::Examined(report) => {
                let (steps, findings) = far::from_wire(&report, &far);
                let examined = Examined { steps, findings };
                // What explains why something did not come is worth more than that it comes now.
                if !self.known.examined.as_ref().is_some_and(Examined::explains) {
                    self.known.examined = Some(examined);
                }
            }
            ClientEvent::Refused(Refusal::TooMuch) => self.note(format!(
                "{far} was asked too often to examine itself; what it finds is not known"
            )),
            ClientEvent::Refused(_) | ClientEvent::Unreadable => self.note(format!(
                "what {far} finds on itself could not be understood"
            )),
            other => return Err(self.failure(&other, true)),
        }
        Ok(())
    }

    /// Waits for the first answer of the far end. Where it is long in coming, what is awaited is told.
    fn first(&mut self) -> Result<ClientEvent, Error> {
        match self.driver.next_event(Some(SOON))? {
            Next::TimedOut => {
                let address = &self.address;
                self.how.notes.tell(&format!(
                    "no answer of {address} yet; 'manycast doctor serve' has to run there, and it is \
                     asked for some seconds more"
                ));
                self.next()
            }
            other => other.event().ok_or(Error::Stopped),
        }
    }

    /// Waits for the end of what was asked for.
    pub(super) fn next(&mut self) -> Result<ClientEvent, Error> {
        self.driver.next_event(None)?.event().ok_or(Error::Stopped)
    }

    /// Why the session cannot go on.
    pub(super) fn failure(&self, event: &ClientEvent, was_there: bool) -> Error {
        let why = match event {
            ClientEvent::Refused(Refusal::Group) => {
                "the far end refuses this group: it tries no groups of the link's own protocols"
            }
            ClientEvent::Refused(Refusal::TooMuch) => {
                "the far end was asked for more than it sends a second; wait a little"
            }
            ClientEvent::Refused(Refusal::Version) | ClientEvent::Foreign(_) => {
                "a doctor of another version answers there; install the same version of manycast \
                 on both hosts"
            }
            ClientEvent::Silent | ClientEvent::Absent if was_there => {
                "the far end has ceased to answer; see whether 'manycast doctor serve' still runs \
                 there, and whether the host can still be reached"
            }
            ClientEvent::Absent => {
                "the host is there, but nobody listens on that port; run 'manycast doctor serve' on \
                 it"
            }
            ClientEvent::Silent => {
                "no doctor answers there; run 'manycast doctor serve' on that host, let its UDP \
                 port pass, and give both the same --key, or none"
            }
            _ => "the far end refuses what was asked for, or answers what makes no sense",
        };
        Error::unsuitable(&self.address, why)
    }

    pub(super) fn note(&mut self, note: String) {
        self.how.notes.tell(&note);
        self.known.notes.push(note);
    }
}

/// A far end's address without its port, as the user wrote it.
fn name(address: &Address) -> String {
    let host = match address.host() {
        Host::Any => "localhost".to_owned(),
        Host::Ip(ip) => ip.to_string(),
        Host::Name(name) => name.clone(),
    };
    match address.interface() {
        Some(interface) => format!("{host}%{interface}"),
        None => host,
    }
}
