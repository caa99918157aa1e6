//! What an examination comes to.

use std::time::Duration;

use crate::Counters;

use super::apart::sender;
use super::checks::count;
use super::{Code, Confidence, Context, Finding, Severity, Soak, Step, Tally, Trial};

/// The outcome of an examination.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// What was examined, as text: an address, or this host.
    pub subject: String,
    /// What was found, the most important first: faults before warnings, what is surer before
    /// what is less so, and then in the order of the walk.
    pub findings: Vec<Finding>,
    /// The walk, step by step.
    pub steps: Vec<StepState>,
    /// By how much the kernel's counters moved meanwhile; only those that did.
    pub counters: Counters,
    /// How many datagrams were received as they were asked for.
    pub received: u64,
    /// What was tried between two ends, and what came of it.
    pub trials: Vec<Trial>,
    /// What came of sending for a long time, where that was asked for.
    pub soak: Option<Soak>,
    /// The walk on the far host, where there is one.
    pub far: Option<FarWalk>,
    /// What must be known to read this report: what was tried instead of what was asked for, or
    /// what could not be tried; of a host by itself, what was looked at.
    pub notes: Vec<String>,
    /// After how long it was cancelled, where it was.
    pub cancelled_after: Option<Duration>,
}

/// The walk of datagrams that this host sends, on the host that they go to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FarWalk {
    /// The far host, as it was named.
    pub host: String,
    /// The walk there, step by step; empty where the far host did not tell.
    pub steps: Vec<StepState>,
}

/// How it stands with one step of the walk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepState {
    /// Which step.
    pub step: Step,
    /// How it stands.
    pub mark: Mark,
    /// What is known of it, in a few words; it may be empty.
    pub detail: String,
}

/// How it stands with a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mark {
    /// Datagrams passed it.
    Passed,
    /// Here they stop.
    Broken,
    /// Whether they passed it cannot be told.
    Unknown,
    /// They did not come so far.
    NotReached,
}

impl Mark {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Passed, Self::Broken, Self::Unknown, Self::NotReached];

    /// The name, as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
            Self::NotReached => "not-reached",
        }
    }
}

impl Report {
    /// The code of the first fault, or [`Code::Delivered`].
    pub fn verdict(&self) -> Code {
        self.first_fault()
            .map_or(Code::Delivered, |finding| finding.code)
    }

    /// Whether no fault was found. Warnings are none.
    pub fn is_healthy(&self) -> bool {
        self.first_fault().is_none()
    }

    /// The report on a host by itself.
    pub(super) fn of_host(findings: Vec<Finding>, counters: Counters) -> Self {
        Self {
            subject: "this host".to_owned(),
            findings: in_order(findings),
            steps: Vec::new(),
            counters: moved(&counters),
            received: 0,
            trials: Vec::new(),
            soak: None,
            far: None,
            notes: Vec::new(),
            cancelled_after: None,
        }
    }

    /// Adds what was found by other means.
    pub(super) fn add(&mut self, findings: Vec<Finding>) {
        self.add_unmarked(findings);
        self.mark();
    }

    /// Adds what is no matter of the walk that it would be shown in.
    pub(super) fn add_unmarked(&mut self, findings: impl IntoIterator<Item = Finding>) {
        let mut all = std::mem::take(&mut self.findings);
        all.extend(findings);
        self.findings = in_order(all);
    }

    /// Takes out findings that something else has proved wrong; what they broke is unknown then.
    pub(super) fn without(&mut self, codes: &[Code]) {
        self.findings
            .retain(|finding| !codes.contains(&finding.code));
        for state in &mut self.steps {
            if state.mark == Mark::Broken {
                state.detail.clear();
            }
            if [Mark::Broken, Mark::NotReached].contains(&state.mark) {
                state.mark = Mark::Unknown;
            }
        }
        self.mark();
    }

    /// Marks the first broken step of each walk, where another one has become the first. What the
    /// sender does is the first part of the walk to the other host.
    fn mark(&mut self) {
        let faults = || {
            let fault = |finding: &&Finding| finding.severity == Severity::Fault;
            self.findings.iter().filter(fault)
        };
        let Some(far) = &mut self.far else {
            if let Some(fault) = faults().next() {
                mark(&mut self.steps, fault.code.step(), &fault.title);
            }
            return;
        };
        let sends = |finding: &Finding| {
            [Code::EgressOtherInterface, Code::HopLimit].contains(&finding.code)
        };
        let here = faults().find(|fault| fault.host.is_some() == sends(fault));
        let there = faults().find(|fault| fault.host.is_none() == sends(fault));
        for (steps, fault) in [(&mut self.steps, here), (&mut far.steps, there)] {
            if let Some(fault) = fault {
                mark(steps, fault.code.step(), &fault.title);
            }
        }
    }

    /// The most important fault.
    fn first_fault(&self) -> Option<&Finding> {
        self.findings
            .iter()
            .find(|finding| finding.severity == Severity::Fault)
    }

    /// Puts findings in order, and walks the steps.
    pub(super) fn new(subject: String, context: &Context, findings: Vec<Finding>) -> Self {
        let counters = context
            .watched
            .as_ref()
            .map(|watched| moved(&watched.counters));
        let mut report = Self {
            subject,
            findings: in_order(findings),
            steps: Vec::new(),
            counters: counters.unwrap_or_default(),
            received: context.received(),
            trials: Vec::new(),
            soak: None,
            far: None,
            notes: Vec::new(),
            cancelled_after: None,
        };
        report.steps = steps(context, report.first_fault());
        report
    }
}

/// Marks a step as broken, unless datagrams went the whole way.
pub(super) fn mark(steps: &mut [StepState], broken: Step, title: &str) {
    let whole = |state: &StepState| (state.step, state.mark) == (Step::Application, Mark::Passed);
    if steps.iter().any(whole) {
        return;
    }
    for state in steps {
        if state.step == broken {
            (state.mark, state.detail) = (Mark::Broken, title.to_owned());
        } else if state.mark == Mark::Broken || state.step > broken {
            state.mark = if state.step < broken {
                Mark::Passed
            } else {
                Mark::NotReached
            };
            state.detail.clear();
        }
    }
}

/// Marks the step at which a stream has ceased that had gone the whole way before.
pub(super) fn mark_ceased(steps: &mut [StepState], broken: Step, title: &str) {
    for state in steps.iter_mut().filter(|state| state.step == broken) {
        (state.mark, state.detail) = (Mark::Broken, title.to_owned());
    }
}

/// The order of importance. Of several of one host with the same code, the first is kept.
fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    let key = |finding: &Finding| (finding.severity, finding.confidence, finding.code.step());
    findings.sort_by_key(key);
    let mut kept: Vec<Finding> = Vec::new();
    for finding in findings {
        let same = |other: &Finding| (other.code, &other.host) == (finding.code, &finding.host);
        if !kept.iter().any(same) {
            kept.push(finding);
        }
    }
    kept
}

/// What has moved, and the interfaces that carried something.
fn moved(counters: &Counters) -> Counters {
    let mut moved = counters.clone();
    let told = ["Ip.", "Ip6", "IpExt.", "Udp.", "Udp6", "Icmp6"];
    moved.values.retain(|name, value| {
        let told = told.iter().any(|prefix| name.starts_with(prefix));
        *value > 0 && !name.ends_with("Octets") && (told || name == "TcpExt.IPReversePathFilter")
    });
    moved
        .interfaces
        .retain(|_, interface| interface.received + interface.sent > 0);
    moved
}

fn steps(context: &Context, fault: Option<&Finding>) -> Vec<StepState> {
    if context.watched.is_none() {
        return Vec::new();
    }
    let received = context.received();
    let came = received > 0
        || !context.coming().is_empty()
        || fault.is_some_and(|fault| tells_of_arrival(context, fault));
    let broken = fault
        .filter(|fault| fault.confidence <= Confidence::Likely)
        .map(|fault| fault.code.step());
    // Whether this one is broken cannot be told, and so not what is behind it.
    let doubted = fault
        .filter(|fault| fault.confidence > Confidence::Likely)
        .map(|fault| fault.code.step());
    let state = |step: Step| {
        let mark = match broken {
            None if doubted.is_some_and(|at| step >= at) => Mark::Unknown,
            Some(at) if step == at => Mark::Broken,
            // What the doctor received, another program has not.
            Some(at) if step > at && (received == 0 || context.program.is_some()) => {
                Mark::NotReached
            }
            Some(at) if step < at && came => Mark::Passed,
            _ if received > 0 => Mark::Passed,
            _ => Mark::Unknown,
        };
        let detail = if mark == Mark::Broken {
            fault.map(|fault| fault.title.clone()).unwrap_or_default()
        } else {
            detail(context, step)
        };
        StepState { step, mark, detail }
    };
    Step::ALL.iter().copied().map(state).collect()
}

/// Whether a fault is one of datagrams that came to this host: those that were captured, or that a
/// counter of the fault counted. What follows from an address, from the sockets of a program or from a
/// trial of this host with itself says nothing of what somebody else sends.
fn tells_of_arrival(context: &Context, fault: &Finding) -> bool {
    let Some(watched) = &context.watched else {
        return false;
    };
    if let Some(captured) = &watched.captured {
        return !captured.streams.is_empty();
    }
    let tally = context.tally();
    match fault.code {
        Code::ReversePathFilter => tally.reverse_path > 0,
        Code::BadChecksum => tally.checksums > 0,
        Code::WrongPort => tally.ignored > 0,
        Code::ConntrackFull => watched.conntrack_drops > 0,
        Code::IpsecDrops => tally.refused_by_ipsec > 0,
        _ => false,
    }
}

/// What the counters tell of a step that is not broken.
fn detail(context: &Context, step: Step) -> String {
    let Some(watched) = &context.watched else {
        return String::new();
    };
    let tally = Tally::of(&watched.counters, context.target.is_ipv4());
    let flows = if watched.exact.is_empty() {
        &watched.wide
    } else {
        &watched.exact
    };
    match step {
        Step::Sent => {
            let mut sources: Vec<String> = flows.iter().map(|flow| sender(flow.source)).collect();
            sources.dedup();
            sources.truncate(3);
            if sources.is_empty() {
                String::new()
            } else {
                format!("by {}", sources.join(", "))
            }
        }
        Step::Arrived => {
            let mut names: Vec<String> = flows
                .iter()
                .map(|flow| flow.interface.to_string())
                .collect();
            names.sort();
            names.dedup();
            let captured = watched.captured.iter();
            let mut captured = captured.flat_map(|captured| captured.to_port(context.target.port));
            if let (true, Some(stream)) = (names.is_empty(), captured.next()) {
                let name = context.host.name_of(stream.interface);
                format!("captured on {name}, from {}", sender(stream.source))
            } else if names.is_empty() {
                format!(
                    "{} came to this host, of whatever kind",
                    count(tally.received, "packet")
                )
            } else {
                format!("on {}", names.join(", "))
            }
        }
        Step::Membership => {
            let names: Vec<String> = watched.joined.iter().map(ToString::to_string).collect();
            if names.is_empty() {
                String::new()
            } else {
                format!("joined on {}", names.join(", "))
            }
        }
        Step::Application if context.program.is_some() => {
            format!("{} datagrams came to this host for it", context.received())
        }
        Step::Application => format!("{} datagrams received", context.received()),
        _ => String::new(),
    }
}
