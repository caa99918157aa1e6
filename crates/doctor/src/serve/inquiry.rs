//! What this host finds on itself for a doctor on another one.

use std::net::SocketAddr;
use std::time::Instant;

use crate::Counters;
use manycast_net::Interface;
use manycast_proto::probe::{Arrival, Inquiry};
use manycast_types::{Address, Group, InterfaceId, NetworkError};

use super::super::host::foreign;
use super::super::mtu;
use super::super::paths::{self, cannot_send};
use super::super::rules::RuleCounters;
use super::super::watch::Meter;
use super::super::{
    Cancellation, Code, Confidence, Context, Finding, Flow, Obstacle, Report, Severity, Snapshot,
    Tally, Target, Watched, checks, self_test,
};
use crate::proof::Doubt;
use manycast_io::{Endpoint, Error, egress_to};

/// A group that somebody asks about.
#[derive(Clone, Debug)]
pub(super) struct Agreed {
    pub(super) group: SocketAddr,
    /// Why nothing could last be sent to it, if so.
    pub(super) refused: Option<NetworkError>,
    /// How it is joined.
    pub(super) wanted: Group,
    /// Why it could not be joined.
    obstacle: Option<Obstacle>,
    /// This host before it was joined.
    host: Snapshot,
    before: Counters,
    /// The rules of the firewall then, where this process may read them.
    rules: Option<RuleCounters>,
}

/// Counters that are watched for a client.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) group: SocketAddr,
    client: SocketAddr,
    since: Instant,
    before: Counters,
    meter: Meter,
}

/// An examination of this host that has begun.
#[derive(Debug)]
pub(super) struct Examination {
    context: Context,
    /// How many datagrams the client says it has sent.
    sent: u16,
    /// Whether any came.
    came: bool,
}

/// For how many clients counters are watched at the same time; those who come later take the place
/// of the earliest.
const MOST_WATCHES: usize = 8;

impl Watch {
    /// Watches from now on, in place of what was watched for the same client before.
    pub(super) fn begin(watches: &mut Vec<Self>, inquiry: &Inquiry) -> Result<(), Error> {
        Self::end(watches, inquiry);
        if watches.len() == MOST_WATCHES {
            watches.remove(0);
        }
        watches.push(Self {
            group: inquiry.group,
            client: inquiry.client,
            since: Instant::now(),
            meter: Meter::start(&target(&Group::new(inquiry.group.ip()), inquiry.group))?,
            before: Counters::read()?,
        });
        Ok(())
    }

    /// Takes out what is watched for a client.
    pub(super) fn end(watches: &mut Vec<Self>, inquiry: &Inquiry) -> Option<Self> {
        let same = |watch: &Self| watch.client == inquiry.client && watch.group == inquiry.group;
        let index = watches.iter().position(same)?;
        Some(watches.remove(index))
    }
}

impl Examination {
    /// Whether ten datagrams with hop limit 0 are to try the firewall: none came, and no other program
    /// would miss or receive something by that.
    pub(super) fn is_to_test(&self) -> bool {
        let watched = self.context.watched.as_ref();
        watched.is_some_and(|watched| watched.obstacle.is_none())
            && !self.came
            && !self.context.shares_port()
    }

    /// Tries the firewall. The group is left meanwhile: one of two sockets that share a port may get
    /// what is meant for both.
    pub(super) fn test(&mut self) {
        let Context {
            target,
            host,
            watched,
            ..
        } = &mut self.context;
        if let Some(watched) = watched {
            watched.self_tests = self_test::run(
                target,
                &watched.joined,
                host,
                false,
                &Cancellation::default(),
            );
        }
    }
}

impl Agreed {
    pub(super) fn begin(group: SocketAddr) -> Result<Self, Error> {
        let mut host = Snapshot::read(Some(group.ip()))?;
        // Its own sockets, of other groups that are asked about, are no other program's. Whose the others
        // are is not asked: others are served on this thread.
        let own = foreign::own_sockets();
        host.sockets.retain(|socket| !own.contains(&socket.inode));
        Ok(Self {
            group,
            refused: None,
            wanted: Group::new(group.ip()),
            obstacle: None,
            host,
            before: Counters::read()?,
            rules: RuleCounters::open(),
        })
    }

    /// Keeps in mind why the group could not be joined, if so.
    pub(super) fn set_obstacle(&mut self, error: Option<NetworkError>) {
        self.obstacle = error.map(|error| Obstacle {
            kind: error.kind,
            text: error.message,
        });
    }

    /// Begins an examination of this host: as it stands, and where it was watched, in what came of so
    /// many datagrams that a client has sent.
    pub(super) fn look(
        &self,
        endpoint: &Endpoint,
        watch: Option<Watch>,
        sent: u16,
        arrivals: Vec<Arrival>,
    ) -> Result<Examination, Error> {
        let mut context = Context {
            target: target(&self.wanted, self.group),
            host: self.host.clone(),
            watched: None,
            program: None,
        };
        let came = !arrivals.is_empty();
        if let Some(watch) = watch {
            let mut watched = Watched {
                lasted: watch.since.elapsed(),
                obstacle: self.obstacle.clone(),
                buffer: endpoint.receive_buffer().ok(),
                joined: self.joined(endpoint),
                ..Watched::default()
            };
            watch.meter.stop(&context, &watch.before, &mut watched)?;
            watched.joined_at(&self.before)?;
            watched.exact = flows(arrivals, self.group, watched.lasted);
            context.watched = Some(watched);
        }
        Ok(Examination {
            context,
            sent,
            came,
        })
    }

    /// What this host finds on itself.
    pub(super) fn conclude(
        &self,
        examination: Examination,
        inquiry: &Inquiry,
    ) -> Result<Report, Error> {
        let Examination {
            context,
            sent,
            came,
        } = examination;
        let mut findings = paths::weigh(checks::all(&context), &context, sent.into());
        // The address is the same on both hosts, and the other end finds by itself what is wrong with it.
        findings.retain(|finding| !checks::OF_ADDRESS.contains(&finding.code));
        if context.watched.is_some() && !came {
            findings.extend(self.links(&context, inquiry.interface));
        }
        findings.extend(self.other_egress(&context, inquiry)?);
        let explained = |finding: &Finding| {
            finding.severity == Severity::Fault && finding.code != Code::NotArriving
        };
        if findings.iter().any(explained) {
            findings.retain(|finding| finding.code != Code::NotArriving);
        }
        let mut report = Report::new(self.group.to_string(), &context, findings);
        if let Some(link) = context.host.interface(inquiry.interface) {
            mtu::tell(&mut report.steps, link);
        }
        let unusable = [Code::InterfaceDown, Code::InterfaceNotMulticast];
        if let Some(error) = &self.refused
            && !unusable.contains(&report.verdict())
        {
            // The steps are those of what comes here.
            let moved = Counters::read()?.since(&self.before);
            let held = Tally::of(&moved, self.group.is_ipv4()).held_by_ipsec;
            let rules = self.rules.clone();
            let rules = rules.and_then(|rules| rules.close_sent(self.group, &self.host));
            let refused = cannot_send(&context, error, held, rules.as_ref());
            report.add_unmarked(refused);
        }
        Ok(report)
    }

    /// Where the group is joined now.
    fn joined(&self, endpoint: &Endpoint) -> Vec<InterfaceId> {
        endpoint
            .memberships()
            .filter(|membership| membership.group == self.group)
            .map(|membership| membership.interface.clone())
            .collect()
    }

    /// Links that cannot receive the group: the one that the question came in on keeps it away,
    /// another one may.
    fn links(&self, context: &Context, asked_on: u32) -> Vec<Finding> {
        let mut links: Vec<&Interface> = context
            .host
            .interfaces
            .iter()
            .filter(|interface| !interface.loopback && !interface.addresses.is_empty())
            .collect();
        links.sort_by_key(|interface| interface.index != asked_on);
        let unusable = links.into_iter().filter_map(|interface| {
            let mut named = context.clone();
            named.target.interface = Some(interface.id());
            let finding = checks::obstacles(&named).into_iter().next()?;
            Some(if interface.index == asked_on {
                finding
            } else {
                Finding {
                    severity: Severity::Warning,
                    confidence: Confidence::Possible,
                    ..finding
                }
            })
        });
        unusable.collect()
    }

    /// That datagrams to the group leave by another interface than those to who asks.
    fn other_egress(&self, context: &Context, inquiry: &Inquiry) -> Result<Option<Finding>, Error> {
        let group = self.group.ip();
        let Some(by) = egress_to(group, None)?.map(|interface| interface.index) else {
            return Ok(None);
        };
        let asked_on = inquiry.interface;
        if by == asked_on || self.host.interface(asked_on).is_none_or(|on| on.loopback) {
            return Ok(None);
        }
        let why = if self.host.has_route {
            "the route leads by"
        } else {
            "no route leads there, and the first interface that can multicast is"
        };
        let [by, asked_on] = [by, asked_on].map(|index| context.host.name_of(index));
        Ok(Some(
            Finding::warning(
                Code::EgressOtherInterface,
                Doubt::Possible,
                format!("what this host sends to {group} leaves by {by}"),
            )
            .because(format!(
                "of {group}, {why} {by}; {} is reached by {asked_on}",
                inquiry.client.ip()
            ))
            .remedy(format!(
                "let the sender name the interface {asked_on} (IP_MULTICAST_IF, \
                 IPV6_MULTICAST_IF), or give the group a route there: {}",
                paths::route_command(group, &asked_on)
            )),
        ))
    }
}

/// The group as a target of this host.
fn target(wanted: &Group, group: SocketAddr) -> Target {
    Target {
        address: Address::from(group),
        ip: group.ip(),
        port: group.port(),
        interface: None,
        sources: wanted.sources.clone(),
        asked: None,
    }
}

/// What came, as flows that lasted until now.
fn flows(arrivals: Vec<Arrival>, group: SocketAddr, lasted: std::time::Duration) -> Vec<Flow> {
    let flow = |arrival: Arrival| Flow {
        source: arrival.source,
        destination: group,
        interface: arrival.interface,
        datagrams: arrival.datagrams.into(),
        largest: 0,
        hops: None,
        first: lasted,
        last: lasted,
        longest_gap: std::time::Duration::ZERO,
    };
    arrivals.into_iter().map(flow).collect()
}
