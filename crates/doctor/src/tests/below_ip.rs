//! What is taken away before IP has it.

use super::super::{Captured, Code, Confidence, Finding, InterfaceCounters, LinkState, Severity};
use super::{assert_verdict, captured, context, report, tables};

#[test]
fn what_a_program_of_xdp_does_is_never_proved() {
    let mut context = context(&tables(0, 0, 0, 0, 0));
    let watched = context.watched.as_mut().unwrap();
    watched.links = vec![LinkState {
        name: "eth0".to_owned(),
        xdp: Some("xdpgeneric"),
        ..LinkState::default()
    }];
    let carried = InterfaceCounters {
        received: 200,
        ..InterfaceCounters::default()
    };
    watched
        .counters
        .interfaces
        .insert("eth0".to_owned(), carried);
    assert_verdict(&context, Code::XdpOrTc, Confidence::Likely);
    // Root captures nothing of what it drops.
    context.watched.as_mut().unwrap().captured = Some(Captured::default());
    assert_verdict(&context, Code::XdpOrTc, Confidence::Likely);
    // Another port is then no proof that none comes for this one.
    context.watched.as_mut().unwrap().captured = Some(captured(5001, 50));
    let report = report(&context);
    let proved = |finding: &Finding| {
        finding.severity == Severity::Fault && finding.confidence == Confidence::Proved
    };
    assert!(!report.findings.iter().any(proved), "{report:#?}");
}

/// Nothing of tc is there that could be taken away.
#[test]
fn a_program_of_xdp_alone_is_taken_off_the_interface() {
    let mut context = context(&tables(0, 0, 0, 0, 0));
    let watched = context.watched.as_mut().unwrap();
    watched.captured = Some(captured(5000, 100));
    watched.links = vec![LinkState {
        name: "eth0".to_owned(),
        xdp: Some("xdpgeneric"),
        ..LinkState::default()
    }];
    let report = assert_verdict(&context, Code::XdpOrTc, Confidence::Likely);
    let remedy = report.findings[0].remedy.clone().unwrap();
    assert!(
        remedy.ends_with("sudo ip link set dev eth0 xdpgeneric off"),
        "{remedy}"
    );
}
