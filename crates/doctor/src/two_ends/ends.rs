//! A session with the far end: what is asked of it, and what came of that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::Counters;
use manycast_net::{ErrorKind, Operation, errno};
use manycast_proto::probe::{Burst, Client, ClientConfig, ClientEvent, Counts, MAX_COUNT, Refusal};
use manycast_types::{Address, Group, Host, InterfaceId, InterfaceSelector, Transmit};

use super::super::paths::{MOST_HOPS, SHORT, Soak, Toward, Trial};
use super::super::serve::{paced, to_group};
use super::super::watch::{Meter, REPORTS};
use super::super::{Code, Context, Examination, Finding, Severity, StepState, Watched, far};
use super::FarEnd;
use manycast_io::{Driver, Error, Socket, seed};

const HOPS: [u8; 6] = [1, 2, 4, 8, 16, 32];
const SIZES: [u16; 4] = [1400, 4000, 9000, 32_000];
const COUNT: u8 = 20;
const FEW: u8 = 5;

/// A group that was silent for so many seconds of a soak has ceased.
const CEASED: u32 = 4;

/// How many sources of an address are asked for.
const MOST_SOURCES: usize = 8;

/// A session with the far end.
pub(super) struct Ends<'a> {
    driver: Driver<Client>,
    context: &'a Context,
    how: &'a Examination,
    server: SocketAddr,
    /// The same, as it was named.
    address: Address,
    /// The index of the interface that leads to the far end.
    egress: Option<u32>,
    /// The own address that leads there, for a group that needs a source.
    own: Option<IpAddr>,
    joined_at: Instant,
    before: Counters,
    /// The round that was last sent.
    round: u32,
    pub(super) known: Known,
}

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The far host, as it was named.
    pub(super) far: String,
    /// For a group that needs a source: the one that the far end sends from.
    pub(super) source: Option<IpAddr>,
    /// Whether that is none that was asked for.
    pub(super) is_stand_in: bool,
    /// Where the group is joined here.
    pub(super) joined: Vec<InterfaceId>,
    pub(super) trials: Vec<Trial>,
    /// Whether all trials were done.
    pub(super) tried: bool,
    /// What happened on this host while so many datagrams of the far end were sent, and none came.
    pub(super) vain: Vec<(Watched, u8)>,
    /// Why this host could not send.
    pub(super) refused: Option<(ErrorKind, String)>,
    /// Whether the far host could not send.
    pub(super) far_refused: bool,
    /// What the far host has found on itself.
    pub(super) examined: Option<Examined>,
    pub(super) soak: Option<Soak>,
    pub(super) notes: Vec<String>,
}

/// What the far host has found on itself.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) steps: Vec<StepState>,
    pub(super) findings: Vec<Finding>,
}

impl Examined {
    /// Whether it tells why nothing comes there.
    pub(super) fn explains(&self) -> bool {
        self.findings.iter().any(explains)
    }
}

/// Whether a finding tells why nothing comes, and not only that it does not.
pub(super) fn explains(finding: &Finding) -> bool {
    finding.severity == Severity::Fault && finding.code != Code::NotArriving
}

impl<'a> Ends<'a> {
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
        let mut ends = Self {
            driver: Driver::new(socket, Client::new(config, seed())),
            context,
            how,
            server,
            address: far.address.clone(),
            egress: Some(route.interface),
            own,
            joined_at: Instant::now(),
            before: Counters::default(),
            round: 0,
            known: Known {
                far: name(&far.address),
                ..Known::default()
            },
        };
        match ends.next()? {
            ClientEvent::Welcome => {}
            other => return Err(ends.unfit(&other, false)),
        }
        ends.how.cancellation.begin();
        if itself {
            ends.note(format!(
                "{} is this host itself: what lies between two hosts is not tried",
                ends.known.far
            ));
        }
        let stopper = ends.driver.stopper()?;
        ends.how.cancellation.stops(stopper);
        ends.choose_source()?;
        ends.before = Counters::read()?;
        let wanted = ends.wanted();
        ends.driver.endpoint_mut().join(wanted, target.port)?;
        ends.joined_at = Instant::now();
        ends.known.joined = ends
            .driver
            .endpoint_mut()
            .memberships()
            .map(|membership| membership.interface.clone())
            .collect();
        Ok(ends)
    }

    /// Tries everything; what is known before it fails or is cancelled stays known.
    pub(super) fn run(&mut self, soak: Option<Duration>) -> Result<(), Error> {
        self.unicast()?;
        self.group_to_here()?;
        self.group_to_there()?;
        self.known.tried = true;
        match soak {
            Some(duration) => self.soak(duration),
            None => Ok(()),
        }
    }

    /// The group as it is joined for the trials.
    fn wanted(&self) -> Group {
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
                ClientEvent::Came(_) => found = Some(*source),
                ClientEvent::Refused(Refusal::Source | Refusal::CannotSend) => {}
                other => return Err(self.unfit(&other, true)),
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
                "{far} does not have {names}, so it cannot send as that source: the way is tried \
                 from {server}, with {server}@{} joined instead. To try the way from {names}, run \
                 'manycast doctor serve' there",
                self.context.target.ip
            ));
        } else {
            self.note(format!(
                "{far} does not have {names}, so it cannot send as that source: the way is tried \
                 with any source. To try the way from {names}, run 'manycast doctor serve' there"
            ));
        }
        Ok(())
    }

    /// Both directions by unicast.
    fn unicast(&mut self) -> Result<(), Error> {
        for toward in [Toward::Here, Toward::There] {
            self.attempt(Trial {
                toward,
                to_group: false,
                by_route: true,
                hops: MOST_HOPS,
                size: SHORT,
                sent: COUNT,
                came: 0,
            })?;
        }
        Ok(())
    }

    /// The group from the far end, as far as it takes to know what passes.
    fn group_to_here(&mut self) -> Result<(), Error> {
        let trial = group_trial(Toward::Here);
        if self.attempt(trial)? > 0 {
            return self.sweep(trial);
        }
        self.await_reports();
        for by_route in [true, false] {
            let most = Trial {
                by_route,
                hops: MOST_HOPS,
                ..trial
            };
            let (meter, since) = (Meter::start(&self.context.target)?, Instant::now());
            let settled = Counters::read()?;
            if self.attempt(most)? > 0 {
                return self.sweep(most);
            }
            let mut watched = Watched {
                lasted: since.elapsed(),
                joined: self.known.joined.clone(),
                ..Watched::default()
            };
            meter.stop(self.context, &settled, &mut watched)?;
            watched.joined_at(&self.before)?;
            self.known.vain.push((watched, most.sent));
        }
        Ok(())
    }

    /// The group to the far end, and what that host finds on itself.
    fn group_to_there(&mut self) -> Result<(), Error> {
        let trial = group_trial(Toward::There);
        self.await_reports();
        self.watch()?;
        if self.attempt(trial)? > 0 {
            self.examine(trial.sent)?;
            return self.sweep(trial);
        }
        let route =
            manycast_net::route_to(self.context.target.ip, None)?.map(|route| route.interface);
        let one_way =
            self.context.target.interface.is_some() || route.is_some() && route == self.egress;
        let ways = if one_way { &[true][..] } else { &[true, false] };
        for by_route in ways {
            let most = Trial {
                by_route: *by_route,
                hops: MOST_HOPS,
                ..trial
            };
            self.watch()?;
            let came = self.attempt(most)?;
            self.examine(most.sent)?;
            if came > 0 {
                return self.sweep(most);
            }
        }
        Ok(())
    }

    /// The host reports a new membership to itself as well, and counters are no use meanwhile; the
    /// far host joined at about the same time.
    fn await_reports(&self) {
        self.how
            .cancellation
            .wait(REPORTS.saturating_sub(self.joined_at.elapsed()));
    }

    /// How many hops and bytes pass, on a way that does.
    fn sweep(&mut self, found: Trial) -> Result<(), Error> {
        if found.hops > 1 {
            // 1 is tried again: it is a fault only if nothing comes of it twice.
            for hops in HOPS {
                if self.attempt(Trial { hops, ..found })? > 0 {
                    break;
                }
            }
        }
        for size in SIZES {
            let large = Trial {
                size,
                sent: FEW,
                ..found
            };
            if self.attempt(large)? == 0 {
                self.attempt(large)?;
            }
        }
        Ok(())
    }

    /// Tries one thing, and gives how many datagrams came.
    fn attempt(&mut self, trial: Trial) -> Result<u8, Error> {
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
                self.driver.protocol_mut().request(Instant::now(), burst);
            }
            Toward::There => {
                self.round = self.driver.protocol_mut().begin_round();
                let sent = self.send(trial);
                if trial.to_group {
                    self.known.refused = sent.err().map(|error| (error.kind(), error.to_string()));
                }
                let client = self.driver.protocol_mut();
                client.count(Instant::now(), self.round, trial.sent);
            }
        }
        let counts = match self.next()? {
            ClientEvent::Came(counts) | ClientEvent::Counted(counts) => counts,
            // What cannot be sent does not come.
            ClientEvent::Refused(Refusal::CannotSend | Refusal::Source) => {
                self.known.far_refused |= trial.to_group;
                Counts::default()
            }
            other => return Err(self.unfit(&other, true)),
        };
        let came = if trial.to_group {
            counts.group
        } else {
            counts.host
        };
        self.known.trials.push(Trial { came, ..trial });
        Ok(came)
    }

    /// Sends a round to the far end.
    fn send(&mut self, trial: Trial) -> Result<(), Error> {
        let mut address = Address::from(SocketAddr::new(
            self.context.target.ip,
            self.context.target.port,
        ));
        if let Some(named) = &self.context.target.interface {
            address = address.on(InterfaceSelector::Index(named.index));
        } else if let (false, Some(egress)) = (trial.by_route, self.egress) {
            address = address.on(InterfaceSelector::Index(egress));
        }
        let own = self.own.map(|own| SocketAddr::new(own, 0));
        let sender = match trial.to_group {
            true => Some(to_group(address, trial.hops, own)?),
            false => None,
        };
        let mut result = Ok(());
        paced(trial.sent, |index| {
            let client = self.driver.protocol();
            let datagram = client.datagram(self.round, index, trial.size);
            let sent = match &sender {
                Some(sender) => sender.send(datagram).map(drop),
                None => {
                    let transmit = Transmit::new(self.server, datagram);
                    self.driver.endpoint_mut().send(&[transmit], true).map(drop)
                }
            };
            // What the own host does not send does not come either, which is what is counted.
            if sent.is_err() {
                result = sent;
            }
            Ok(())
        })?;
        result
    }

    /// Has the far host count from now on. Where it does not, no more than that is known.
    fn watch(&mut self) -> Result<(), Error> {
        self.driver.protocol_mut().watch(Instant::now());
        match self.next()? {
            ClientEvent::Watching | ClientEvent::Refused(_) => Ok(()),
            other => Err(self.unfit(&other, true)),
        }
    }

    /// Has the far host examine itself after a round.
    fn examine(&mut self, sent: u8) -> Result<(), Error> {
        let client = self.driver.protocol_mut();
        client.examine(Instant::now(), self.round, sent.into());
        let far = self.known.far.clone();
        match self.next()? {
            ClientEvent::Examined(report) => {
                let (steps, findings) = far::hear(&report, &far);
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
            other => return Err(self.unfit(&other, true)),
        }
        Ok(())
    }

    /// Two datagrams a second to the group, until it ceases to come or time is up.
    fn soak(&mut self, duration: Duration) -> Result<(), Error> {
        let passed =
            |trial: &&Trial| trial.to_group && trial.toward == Toward::Here && trial.came > 0;
        let found = self.known.trials.iter().rev().find(passed).copied();
        let Some(found) = found else {
            return Ok(());
        };
        let two = Trial {
            size: SHORT,
            sent: 2,
            ..found
        };
        self.how.notes.tell(&format!(
            "all was tried once; two datagrams a second follow for {:.0} s",
            duration.as_secs_f64()
        ));
        let began = Instant::now();
        let (mut silent, mut last) = (0, self.joined_at.elapsed());
        let mut soak = Soak::default();
        while began.elapsed() < duration && !self.how.cancellation.is_requested() {
            let next = Instant::now() + Duration::from_secs(1);
            let came = self.attempt(two)?;
            self.known.trials.pop();
            soak.sent += 2;
            soak.came += u32::from(came);
            soak.lasted = began.elapsed();
            self.known.soak = Some(soak);
            if came > 0 {
                (silent, last) = (0, self.joined_at.elapsed());
            } else {
                silent += 1;
            }
            if silent == CEASED {
                soak.revived = self.join_anew(two)?;
                soak.silent_after = Some(last);
                self.known.soak = Some(soak);
                break;
            }
            self.how
                .cancellation
                .wait(next.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }

    /// Leaves the group, joins it again, and says whether it comes again.
    fn join_anew(&mut self, trial: Trial) -> Result<bool, Error> {
        let (wanted, port) = (self.wanted(), self.context.target.port);
        let endpoint = self.driver.endpoint_mut();
        endpoint.leave(&wanted, port)?;
        endpoint.join(wanted, port)?;
        for _ in 0..CEASED {
            let came = self.attempt(trial)?;
            self.known.trials.pop();
            if came > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits for the end of what was asked for.
    fn next(&mut self) -> Result<ClientEvent, Error> {
        self.driver.next_event(None)?.event().ok_or(Error::Stopped)
    }

    /// Why the session cannot go on.
    fn unfit(&self, event: &ClientEvent, was_there: bool) -> Error {
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

    fn note(&mut self, note: String) {
        self.how.notes.tell(&note);
        self.known.notes.push(note);
    }
}

const fn group_trial(toward: Toward) -> Trial {
    Trial {
        toward,
        to_group: true,
        by_route: true,
        hops: 1,
        size: SHORT,
        sent: COUNT,
        came: 0,
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
