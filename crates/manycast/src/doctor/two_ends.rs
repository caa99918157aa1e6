//! This end: asks the far one to send and to count, and draws conclusions.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use manycast_net::{Counters, SocketConfig};
use manycast_proto::probe::{Burst, Client, ClientConfig, ClientEvent, Counts, Key, MAX_COUNT};
use manycast_types::{Address, Group, InterfaceSelector, Transmit};

use super::paths::{self, SHORT, Soak, Toward, Trial};
use super::serve::{PACE, to_group};
use super::{
    Code, Confidence, Context, Examination, Finding, Report, Severity, Snapshot, Target, Watched,
    checks, examine, self_test,
};
use crate::endpoint::{Endpoint, unspecified};
use crate::{Driver, Error, IntoAddress, resolve};

/// The other end of a way.
#[derive(Clone, Debug)]
pub struct FarEnd {
    /// Where a [`Doorman`](super::Doorman) serves: `HOST:PORT`.
    pub address: Address,
    /// The key that it was given.
    pub key: Option<Key>,
    /// How long to go on, a datagram or two a second: beyond 260 s, after which switches forget a
    /// membership of which they hear no more.
    pub soak: Option<Duration>,
}

const HOPS: [u8; 6] = [1, 2, 4, 8, 16, 32];
const MOST_HOPS: u8 = 64;
const SIZES: [u16; 4] = [1400, 4000, 9000, 32_000];
const COUNT: u8 = 20;
const FEW: u8 = 5;

/// How long a datagram of this host may be on its way to the far end.
const SETTLE: Duration = Duration::from_millis(150);

/// A group that was silent for so many seconds of a soak has ceased.
const CEASED: u32 = 4;

/// As [`examine`], but together with the far end: numbered datagrams go in both directions, by
/// unicast and to the group, with several hop limits and sizes.
///
/// # Errors
///
/// As [`examine`]; and when no far end answers.
pub fn examine_with(
    address: impl IntoAddress,
    how: &Examination,
    far: &FarEnd,
) -> Result<Report, Error> {
    let target = super::target(&address.into_address()?)?;
    if !target.is_group() {
        return Err(Error::unsuitable(
            &target.address,
            "two ends try a group; write GROUP:PORT",
        ));
    }
    let host = Snapshot::read(Some(target.ip))?;
    let mut context = Context {
        target,
        host,
        watched: None,
        program: None,
    };
    let subject = context.target.address.to_string();
    if !checks::obstacles(&context).is_empty() {
        let findings = checks::all(&context);
        return Ok(Report::new(subject, &context, findings));
    }
    let mut ends = Ends::open(&context.target, far)?;
    ends.unicast()?;
    let (joining, counters) = ends.groups()?;
    let soak = match far.soak {
        Some(duration) if paths::passes(&ends.trials, Toward::Here) => Some(ends.soak(duration)?),
        _ => None,
    };
    let (trials, joined) = (ends.trials.clone(), ends.joined.clone());
    // What it listened on must not be taken for another program's, nor get its datagrams.
    drop(ends);

    let mut between = paths::findings(&context.target, &trials, soak.as_ref());
    let mut report = if paths::passes(&trials, Toward::Here) {
        let mut report = examine(&context.target.address, how)?;
        // The way is open, so what does not come is not sent.
        report
            .findings
            .retain(|finding| finding.code != Code::NotArriving);
        if report.received == 0 && report.is_healthy() {
            let blocked = between
                .iter()
                .any(|finding| finding.severity == Severity::Fault);
            let finding = nothing_sent(&context.target, &trials, how);
            between.push(if blocked {
                // It may be sent, and not find its way.
                Finding {
                    severity: Severity::Warning,
                    confidence: Confidence::Possible,
                    ..finding
                }
            } else {
                finding
            });
        }
        report
    } else {
        context.watched = Some(Watched {
            lasted: SETTLE,
            self_tests: self_test::run(&context.target, &joined, &context.host),
            joined,
            joining,
            counters,
            ..Watched::default()
        });
        let mut findings = checks::all(&context);
        // What this host does with them is surer than that they do not come.
        findings.retain(|finding| finding.code != Code::NotArriving);
        Report::new(subject, &context, findings)
    };
    if !report.is_healthy() && !paths::passes(&trials, Toward::Here) {
        between.retain(|finding| finding.code != Code::NotArriving);
    }
    report.add(between);
    report.trials = trials;
    Ok(report)
}

fn nothing_sent(target: &Target, trials: &[Trial], how: &Examination) -> Finding {
    let (sent, came) = trials
        .iter()
        .filter(|trial| trial.to_group && trial.toward == Toward::Here && trial.came > 0)
        .fold((0_u32, 0_u32), |(sent, came), trial| {
            (sent + u32::from(trial.sent), came + u32::from(trial.came))
        });
    Finding::fault(
        Code::NothingSent,
        Confidence::proved_if(sent == came),
        format!("the way is open, and nobody sends to {}", target.address),
    )
    .because(format!(
        "{came} of {sent} datagrams of the far end came to group and port, and in {:.1} s not one \
         of anybody else",
        how.duration.as_secs_f64()
    ))
    .remedy(format!(
        "start the sender, and see where it sends to: on its host, 'manycast doctor {} --pid PID'",
        target.address
    ))
}

/// A session with the far end.
struct Ends {
    driver: Driver<Client>,
    target: Target,
    server: SocketAddr,
    /// The index of the interface that leads to the far end.
    egress: Option<u32>,
    joined: Vec<manycast_types::InterfaceId>,
    joined_at: Instant,
    before: Counters,
    trials: Vec<Trial>,
}

impl Ends {
    fn open(target: &Target, far: &FarEnd) -> Result<Self, Error> {
        let Some(server) = resolve::socket_addrs(&far.address)?.into_iter().next() else {
            return Err(Error::unsuitable(&far.address, "its name has no address"));
        };
        let before = Counters::read()?;
        let any = SocketAddr::new(unspecified(server.is_ipv4()), 0);
        let addresses = [Address::from(any), target.address.clone()];
        let endpoint = Endpoint::listen(&addresses, SocketConfig::default())?;
        let joined = endpoint
            .memberships()
            .map(|membership| membership.interface.clone())
            .collect();
        let config = ClientConfig {
            server,
            group: SocketAddr::new(target.ip, target.port),
            key: far.key.clone(),
        };
        let mut ends = Self {
            driver: Driver::new(endpoint, Client::new(config, resolve::seed())),
            target: target.clone(),
            server,
            egress: manycast_net::route_to(server.ip(), None)?.map(|route| route.interface),
            joined,
            joined_at: Instant::now(),
            before,
            trials: Vec::new(),
        };
        ends.answer()?;
        Ok(ends)
    }

    /// Waits for the end of what was asked for.
    fn answer(&mut self) -> Result<Counts, Error> {
        let why = match self.driver.next_event(None)? {
            Some(ClientEvent::Came(counts) | ClientEvent::Counted(counts)) => return Ok(counts),
            Some(ClientEvent::Welcome) => return Ok(Counts::default()),
            // What cannot be sent does not come.
            Some(ClientEvent::Refused(manycast_proto::probe::Refusal::CannotSend)) => {
                return Ok(Counts::default());
            }
            Some(ClientEvent::Refused(_)) => "the far end refuses this group, or so much at once",
            Some(ClientEvent::Silent) => {
                "no doctor answers there; run 'manycast doctor serve' on that host, let its UDP \
                 port pass, and give both the same --key, or none"
            }
            None => return Err(Error::Stopped),
        };
        Err(Error::unsuitable(self.server, why))
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

    /// Both directions by the group, as far as it takes to know what passes. Gives the counters of
    /// this host since before the group was joined, and during the last trial of a known number.
    fn groups(&mut self) -> Result<(Counters, Counters), Error> {
        let mut last = Counters::default();
        for toward in [Toward::Here, Toward::There] {
            let trial = Trial {
                toward,
                to_group: true,
                by_route: true,
                hops: 1,
                size: SHORT,
                sent: COUNT,
                came: 0,
            };
            let mut found = None;
            if self.attempt(trial)? > 0 {
                found = Some(trial);
            } else {
                for by_route in [true, false] {
                    let most = Trial {
                        by_route,
                        hops: MOST_HOPS,
                        ..trial
                    };
                    let start = Counters::read()?;
                    let came = self.attempt(most)?;
                    if toward == Toward::Here {
                        last = Counters::read()?.since(&start);
                    }
                    if came > 0 {
                        found = Some(most);
                        break;
                    }
                }
            }
            let Some(found) = found else { continue };
            if found.hops > 1 {
                // By another interface than the route's, 1 was not tried yet.
                let lowest = usize::from(found.by_route);
                for hops in HOPS.into_iter().skip(lowest) {
                    if self.attempt(Trial { hops, ..found })? > 0 {
                        break;
                    }
                }
            }
            for size in SIZES {
                self.attempt(Trial {
                    size,
                    sent: FEW,
                    ..found
                })?;
            }
        }
        Ok((Counters::read()?.since(&self.before), last))
    }

    /// Tries one thing, and gives how many datagrams came.
    fn attempt(&mut self, trial: Trial) -> Result<u8, Error> {
        let counts = match trial.toward {
            Toward::Here => {
                let burst = Burst {
                    to_group: trial.to_group,
                    by_route: trial.by_route,
                    count: trial.sent.min(MAX_COUNT),
                    size: trial.size,
                    hops: trial.hops,
                };
                self.driver.protocol_mut().request(Instant::now(), burst);
                self.answer()?
            }
            Toward::There => {
                let round = self.driver.protocol_mut().begin_round();
                self.send(round, trial)?;
                // Nothing tells when a datagram has come to the other end.
                thread::sleep(SETTLE);
                self.driver.protocol_mut().count(Instant::now(), round);
                self.answer()?
            }
        };
        let came = if trial.to_group {
            counts.group
        } else {
            counts.host
        };
        self.trials.push(Trial { came, ..trial });
        Ok(came)
    }

    fn send(&mut self, round: u32, trial: Trial) -> Result<(), Error> {
        let group = SocketAddr::new(self.target.ip, self.target.port);
        let mut address = Address::from(group);
        if let Some(named) = &self.target.interface {
            address = address.on(InterfaceSelector::Index(named.index));
        } else if let (false, Some(egress)) = (trial.by_route, self.egress) {
            address = address.on(InterfaceSelector::Index(egress));
        }
        let sender = match trial.to_group {
            true => Some(to_group(address, trial.hops)?),
            false => None,
        };
        for index in 0..trial.sent {
            let datagram = self.driver.protocol().datagram(round, index, trial.size);
            // What the own host does not send does not come either, which is what is counted.
            if let Some(sender) = &sender {
                let _ = sender.send(datagram);
            } else {
                let transmit = Transmit::new(self.server, datagram);
                let _ = self.driver.endpoint_mut().send(&[transmit], true);
            }
            thread::sleep(PACE);
        }
        Ok(())
    }

    /// Two datagrams a second to the group, until it ceases to come or time is up.
    fn soak(&mut self, duration: Duration) -> Result<Soak, Error> {
        let found = self
            .trials
            .iter()
            .rev()
            .find(|trial| trial.to_group && trial.toward == Toward::Here && trial.came > 0)
            .copied();
        let Some(found) = found else {
            return Ok(Soak::default());
        };
        let two = Trial {
            size: SHORT,
            sent: 2,
            ..found
        };
        let began = Instant::now();
        let mut soak = Soak::default();
        let (mut silent, mut last) = (0, self.joined_at.elapsed());
        while began.elapsed() < duration {
            let next = Instant::now() + Duration::from_secs(1);
            let came = self.attempt(two)?;
            self.trials.pop();
            soak.sent += 2;
            soak.came += u32::from(came);
            if came > 0 {
                (silent, last) = (0, self.joined_at.elapsed());
            } else {
                silent += 1;
            }
            if silent == CEASED {
                soak.cut = Some(last);
                soak.revived = self.join_anew(two)?;
                break;
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        soak.lasted = began.elapsed();
        Ok(soak)
    }

    /// Leaves the group, joins it again, and says whether it comes again.
    fn join_anew(&mut self, trial: Trial) -> Result<bool, Error> {
        let group = self
            .target
            .address
            .group()
            .unwrap_or_else(|| Group::new(self.target.ip));
        let port = self.target.port;
        let endpoint = self.driver.endpoint_mut();
        endpoint.leave(&group, port)?;
        endpoint.join(group, port)?;
        for _ in 0..CEASED {
            let came = self.attempt(trial)?;
            self.trials.pop();
            if came > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
