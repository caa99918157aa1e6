//! What the two reports on a case are worth.

pub(crate) mod tests;

use std::fmt::{self, Write};

use manycast::doctor::{Code, Confidence, Report, Severity};

use crate::conditions::{Condition, Of};
use crate::draw::{Case, View};

/// What holds on every host of a case: no IPv4 route leads to groups, unless one is added, and
/// machines of which the limit is low grant the doctor a smaller buffer than it asks for.
const ALWAYS: [&str; 2] = ["no-route", "receive-buffer-capped"];

/// What says that nothing comes, and not why. As long as it is not proved, it contradicts no cause.
const GENERAL: &str = "not-arriving";

/// How well one report names what was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The fault that was made is the first that is told, as proved or likely. Of a healthy host: no
    /// fault is told.
    Right,
    /// It is told as possible, or after something else that is true.
    Weak,
    /// It is told that something is wrong and cannot be seen from here, or nothing of a fault that
    /// nobody could see.
    CannotSee,
    /// Another cause is told, or none.
    Wrong,
    /// A fault of a healthy host.
    FalseAlarm,
}

/// What is judged of a finding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) code: Code,
    pub(crate) confidence: Confidence,
    pub(crate) severity: Severity,
    /// It is about the far host.
    pub(crate) far: bool,
}

/// What a report says, in its order.
pub(crate) fn said(report: &Report) -> Vec<Said> {
    let findings = report.findings.iter();
    let said = findings.map(|finding| Said {
        code: finding.code,
        confidence: finding.confidence,
        severity: finding.severity,
        far: finding.host.is_some(),
    });
    said.collect()
}

/// What is thought of a case.
pub(crate) struct Judgement {
    /// For an ordinary user, and for root.
    pub(crate) outcomes: [Outcome; 2],
    /// The codes that were proved and are not true.
    pub(crate) false_proofs: [Vec<String>; 2],
    /// What the user and root say, where one of it cannot be.
    pub(crate) contradiction: Option<String>,
}

impl Judgement {
    /// Of what an ordinary user is told, who may have been refused, and of what root is told.
    pub(crate) fn of(case: &Case, user: Option<&[Said]>, root: &[Said]) -> Self {
        let user_outcome = user.map_or(Outcome::CannotSee, |user| outcome(case, user, 0));
        let user_proofs = user.map(|user| false_proofs(case, user));
        Self {
            outcomes: [user_outcome, outcome(case, root, 1)],
            false_proofs: [user_proofs.unwrap_or_default(), false_proofs(case, root)],
            contradiction: user.and_then(|user| contradiction(case, user, root)),
        }
    }

    /// What must never be, a line each.
    pub(crate) fn breaches(&self) -> Vec<String> {
        let mut breaches = Vec::new();
        for (who, index) in [("user", 0), ("root", 1)] {
            for code in &self.false_proofs[index] {
                breaches.push(format!("false proof as {who}: {code}"));
            }
            if self.outcomes[index] == Outcome::FalseAlarm {
                breaches.push(format!("false alarm as {who}"));
            }
        }
        if let Some(contradiction) = &self.contradiction {
            breaches.push(format!("contradiction: {contradiction}"));
        }
        breaches
    }
}

fn outcome(case: &Case, report: &[Said], who: usize) -> Outcome {
    if case.faults.is_empty() {
        return of_healthy(case, report);
    }
    let Some(first) = first_fault(report) else {
        let warned = report
            .iter()
            .any(|finding| is_right(case, finding) && finding.confidence != Confidence::CannotSee);
        return if warned {
            Outcome::Weak
        } else if case.faults.iter().all(|fault| fault.unseen[who]) {
            Outcome::CannotSee
        } else {
            Outcome::Wrong
        };
    };
    let sure = is_sure(first);
    if is_right(case, first) {
        return if sure { Outcome::Right } else { Outcome::Weak };
    }
    let told = report
        .iter()
        .any(|finding| is_right(case, finding) && finding.confidence <= Confidence::Possible);
    let harmless = is_general(first) || !sure || is_allowed(case, first) || is_true(case, first);
    match (harmless, told) {
        (false, _) => Outcome::Wrong,
        (true, true) => Outcome::Weak,
        (true, false) => Outcome::CannotSee,
    }
}

fn of_healthy(case: &Case, report: &[Said]) -> Outcome {
    let alarm = report
        .iter()
        .filter(|finding| finding.severity == Severity::Fault)
        .any(|finding| {
            let excused = is_allowed(case, finding) && finding.confidence != Confidence::Proved;
            finding.confidence != Confidence::CannotSee && !excused
        });
    if alarm {
        Outcome::FalseAlarm
    } else {
        Outcome::Right
    }
}

fn false_proofs(case: &Case, report: &[Said]) -> Vec<String> {
    report
        .iter()
        .filter(|finding| finding.confidence == Confidence::Proved && !is_true(case, finding))
        .map(|finding| finding.code.to_string())
        .collect()
}

/// Root sees more: what the user says is the same, or less of it.
fn contradiction(case: &Case, user: &[Said], root: &[Said]) -> Option<String> {
    let claims = [user, root].map(|report| {
        let first = first_fault(report);
        (first.is_none(), first.filter(|first| is_sure(first)))
    });
    let said = |report: &[Said]| match first_fault(report) {
        Some(first) => format!("{} ({})", first.code, first.confidence),
        None => "healthy".to_owned(),
    };
    let contradicts = match claims {
        [(_, Some(user_claim)), (_, Some(root_claim))] => {
            let both_right = is_right(case, user_claim) && is_right(case, root_claim);
            let same = user_claim.code == root_claim.code;
            let general = is_general(user_claim) || is_general(root_claim);
            let known = mentions(root, user_claim) || mentions(user, root_claim);
            let known = known || is_allowed(case, user_claim);
            !(both_right || same || general || known)
        }
        [(true, _), (_, Some(claim))] => {
            let unseen = case.faults.iter().all(|fault| fault.unseen[0]);
            let excused = unseen && !case.faults.is_empty();
            // A warning of the same is a weaker statement.
            !(excused || is_allowed(case, claim) || mentions(user, claim))
        }
        [(_, Some(claim)), (true, _)] => !is_allowed(case, claim),
        _ => false,
    };
    contradicts.then(|| format!("user: {}; root: {}", said(user), said(root)))
}

/// Whether a report tells of the same, wherever and however surely.
fn mentions(report: &[Said], claim: &Said) -> bool {
    report
        .iter()
        .any(|finding| finding.code == claim.code && finding.confidence != Confidence::CannotSee)
}

fn first_fault(report: &[Said]) -> Option<&Said> {
    let mut findings = report.iter();
    findings.find(|finding| finding.severity == Severity::Fault)
}

fn is_sure(finding: &Said) -> bool {
    finding.confidence <= Confidence::Likely
}

fn is_general(finding: &Said) -> bool {
    finding.code.as_str() == GENERAL && finding.confidence != Confidence::Proved
}

/// Whether a fault that was made is named, of the host where it was made.
fn is_right(case: &Case, finding: &Said) -> bool {
    let of = |fault: &Condition| match fault.of {
        _ if case.view != View::TwoEnds => true,
        Of::ThisHost => !finding.far,
        Of::FarHost => finding.far,
        Of::Either => true,
    };
    let mut faults = case.faults.iter();
    faults.any(|fault| fault.right.contains(&finding.code.as_str()) && of(fault))
}

/// Whether it may be proved.
fn is_true(case: &Case, finding: &Said) -> bool {
    let code = finding.code.as_str();
    let also = case
        .conditions()
        .iter()
        .any(|made| made.also.contains(&code));
    is_right(case, finding) || also || ALWAYS.contains(&code)
}

/// Whether it may be said, as long as it is not proved.
fn is_allowed(case: &Case, finding: &Said) -> bool {
    let code = finding.code.as_str();
    let allowed = |made: &&Condition| made.allowed.contains(&code);
    finding.confidence != Confidence::Proved && case.conditions().iter().any(allowed)
}

impl fmt::Display for Outcome {
    /// As the page of the figures calls it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Right => "right",
            Self::Weak => "weak",
            Self::CannotSee => "cannot-see",
            Self::Wrong => "wrong",
            Self::FalseAlarm => "false-alarm",
        })
    }
}

/// A report as text, with all that is said.
pub(crate) fn text(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |line: fmt::Arguments<'_>| {
        // A string takes whatever is written to it.
        let _ = writeln!(text, "  {line}");
    };
    line(format_args!(
        "verdict {}, {} received",
        report.verdict(),
        report.received
    ));
    for finding in &report.findings {
        let severity = match finding.severity {
            Severity::Fault => "FAULT",
            other => other.as_str(),
        };
        let host = finding.host.as_deref().map(|host| format!(" of {host}"));
        line(format_args!(
            "{severity} {} ({}){}: {}",
            finding.code,
            finding.confidence,
            host.unwrap_or_default(),
            finding.title
        ));
        for evidence in &finding.evidence {
            line(format_args!("    because {evidence}"));
        }
        if let Some(remedy) = &finding.remedy {
            line(format_args!("    remedy  {remedy}"));
        }
    }
    for note in &report.notes {
        line(format_args!("note {note}"));
    }
    for state in &report.steps {
        let detail = format!("{} {} {}", state.step, state.mark.as_str(), state.detail);
        line(format_args!("step {}", detail.trim_end()));
    }
    text
}
