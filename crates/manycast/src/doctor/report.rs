//! What an examination comes to.

use manycast_net::Counters;

use super::{Code, Confidence, Context, Finding, Severity, Step, Tally, Trial};

/// The outcome of an examination.
#[derive(Clone, Debug)]
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
}

/// How it stands with one step of the walk.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        }
    }

    /// Adds what was found by other means.
    pub(super) fn add(&mut self, findings: Vec<Finding>) {
        let mut all = std::mem::take(&mut self.findings);
        all.extend(findings);
        self.findings = in_order(all);
        self.mark();
    }

    /// Marks the first broken step, where another one has become the first.
    fn mark(&mut self) {
        let Some(fault) = self.first_fault().cloned() else {
            return;
        };
        for state in &mut self.steps {
            let here = state.step == fault.code.step();
            if here {
                (state.mark, state.detail) = (Mark::Broken, fault.title.clone());
            } else if state.mark == Mark::Broken {
                state.mark = if state.step < fault.code.step() {
                    Mark::Passed
                } else {
                    Mark::NotReached
                };
                state.detail.clear();
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
        };
        report.steps = steps(context, report.first_fault());
        report
    }
}

/// The order of importance. Of several with the same code, the first is kept.
fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    let key = |finding: &Finding| (finding.severity, finding.confidence, finding.code.step());
    findings.sort_by_key(key);
    let mut kept: Vec<Finding> = Vec::new();
    for finding in findings {
        if !kept.iter().any(|other| other.code == finding.code) {
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
    let tally = context.tally();
    // Where nothing arrives, what came is of others.
    let arrives = fault.is_none_or(|fault| fault.code.step() > Step::Arrived);
    let lost = arrives && tally.lost() + tally.ignored + tally.checksums > 0;
    let came = received > 0 || lost || !context.coming().is_empty();
    let broken = fault
        .filter(|fault| fault.confidence <= Confidence::Likely)
        .map(|fault| fault.code.step());
    let state = |step: Step| {
        let mark = match broken {
            Some(at) if step == at => Mark::Broken,
            Some(at) if step > at && received == 0 => Mark::NotReached,
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
    Step::ALL.map(state).to_vec()
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
            let mut sources: Vec<String> =
                flows.iter().map(|flow| flow.source.to_string()).collect();
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
            if names.is_empty() {
                format!(
                    "{} packets came to this host, of whatever kind",
                    tally.received
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
                format!("joined here on {}", names.join(", "))
            }
        }
        Step::Application => format!("{} datagrams received", context.received()),
        _ => String::new(),
    }
}
