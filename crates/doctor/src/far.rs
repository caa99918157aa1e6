//! What the far host finds on itself, in the words of the wire and in ours.

use manycast_proto::probe;

use super::{Code, Confidence, Finding, Mark, Report, Severity, Step, StepState};

/// A report on this host, for the other end.
pub(super) fn to_wire(report: &Report) -> probe::Report {
    let steps = report.steps.iter().map(|state| probe::Step {
        name: state.step.to_string(),
        mark: state.mark.as_str().to_owned(),
        detail: state.detail.clone(),
    });
    let findings = report.findings.iter().map(|finding| probe::Finding {
        code: finding.code.to_string(),
        severity: finding.severity.as_str().to_owned(),
        confidence: finding.confidence.to_string(),
        title: finding.title.clone(),
        evidence: finding.evidence.clone(),
        remedy: finding.remedy.clone(),
        verify: finding.confirm.clone(),
    });
    probe::Report {
        steps: steps.collect(),
        findings: findings.collect(),
    }
}

/// What the far host has told, with its name where it speaks of itself. What this version has no
/// name for stays a finding, as [`Code::Other`]; a step that it does not know is left out.
pub(super) fn from_wire(report: &probe::Report, host: &str) -> (Vec<StepState>, Vec<Finding>) {
    let steps = report.steps.iter().filter_map(|told| {
        Some(StepState {
            step: by_name(Step::ALL, Step::as_str, &told.name)?,
            mark: by_name(&Mark::ALL, Mark::as_str, &told.mark).unwrap_or(Mark::Unknown),
            detail: of_host(&told.detail, host),
        })
    });
    let findings = report.findings.iter().map(|told| Finding {
        code: Code::named(&told.code).unwrap_or(Code::Other),
        host: Some(host.to_owned()),
        severity: if told.severity == Severity::Warning.as_str() {
            Severity::Warning
        } else {
            Severity::Fault
        },
        // What cannot be understood proves nothing.
        confidence: by_name(&Confidence::ALL, Confidence::as_str, &told.confidence)
            .unwrap_or(Confidence::Possible),
        title: titled(&told.title, host),
        evidence: told
            .evidence
            .iter()
            .map(|text| of_host(text, host))
            .collect(),
        remedy: told.remedy.as_ref().map(|text| of_host(text, host)),
        confirm: told.verify.as_ref().map(|text| of_host(text, host)),
    });
    (steps.collect(), findings.collect())
}

fn by_name<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, text: &str) -> Option<T> {
    all.iter().copied().find(|found| name(*found) == text)
}

/// A text in which a host speaks of itself, as one on another host would say it.
fn of_host(text: &str, host: &str) -> String {
    text.replace("this host", host)
}

/// A sentence that says of which host it is.
fn titled(title: &str, host: &str) -> String {
    if title.contains("this host") {
        of_host(title, host)
    } else {
        format!("on {host}, {title}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood_and_bears_the_name_of_the_host() {
        let finding = Finding::fault(
            Code::FirewallDrops,
            crate::proof::Proof::Kernel,
            "a firewall of this host drops it",
        )
        .because("this host counts")
        .remedy("mend this host");
        let mut report = Report::of_host(vec![finding], crate::Counters::default());
        let not_reached = Step::ALL.iter().map(|step| StepState {
            step: *step,
            mark: Mark::NotReached,
            detail: "of this host".to_owned(),
        });
        report.steps = not_reached.collect();
        let (steps, findings) = from_wire(&to_wire(&report), "10.0.0.1");
        assert_eq!(steps.len(), report.steps.len());
        assert_eq!(
            (steps[3].step, steps[3].mark),
            (Step::ALL[3], Mark::NotReached)
        );
        assert_eq!(steps[3].detail, "of 10.0.0.1");
        let finding = &findings[0];
        assert_eq!(finding.host.as_deref(), Some("10.0.0.1"));
        assert_eq!(finding.code, Code::FirewallDrops);
        assert_eq!(finding.title, "a firewall of 10.0.0.1 drops it");
        assert_eq!(finding.evidence, ["10.0.0.1 counts"]);
        assert_eq!(finding.remedy.as_deref(), Some("mend 10.0.0.1"));
    }

    #[test]
    fn what_this_version_has_no_name_for_stays_a_fault() {
        let told = probe::Report {
            steps: vec![probe::Step {
                name: "teleported".to_owned(),
                ..probe::Step::default()
            }],
            findings: vec![probe::Finding {
                code: "gremlins".to_owned(),
                severity: "catastrophe".to_owned(),
                confidence: "sworn".to_owned(),
                title: "eth0 has gremlins".to_owned(),
                ..probe::Finding::default()
            }],
        };
        let (steps, findings) = from_wire(&told, "10.0.0.1");
        assert!(steps.is_empty());
        let finding = &findings[0];
        assert_eq!(
            (finding.code, finding.severity, finding.confidence),
            (Code::Other, Severity::Fault, Confidence::Possible)
        );
        assert_eq!(finding.title, "on 10.0.0.1, eth0 has gremlins");
    }
}
