//! Fewer datagrams than were to come.

use super::super::proof::Doubt;
use super::super::{Code, Context, Finding, Step};
use super::{firewall_part, two_ends};

/// So much of what was expected is enough: clocks differ, and streams begin and end meanwhile.
const ENOUGH: f64 = 0.95;

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let Short {
        expected,
        seconds,
        came,
    } = falls_short(context)?;
    let lost_here = firewall_part::lost_here(context);
    if count(came + lost_here) >= expected * seconds * ENOUGH {
        // Nearly all came to this host, which has a finding of its own.
        return None;
    }
    let rate = count(came) / seconds;
    let finding = Finding::fault(
        Code::Loss,
        Doubt::Likely,
        format!(
            "a part of {} does not arrive: {rate:.1} of {expected:.1} a second",
            context.target.ip
        ),
    )
    .because(format!(
        "{} came in {seconds:.1} s, and {:.0} were expected",
        super::count(came, "datagram"),
        expected * seconds
    ));
    let captured = watched.captured.as_ref();
    let finding = match captured.map(|captured| captured.count(context.target.port)) {
        Some(captured) if lost_here > 0 => finding.because(format!(
            "{captured} were captured on the wire, so that {lost_here} are lost on this host, behind the \
             step '{}', and the others before it",
            Step::Arrived
        )),
        Some(captured) => finding.because(format!(
            "{captured} were captured on the wire, so that the others are lost before this host, or \
             were not sent"
        )),
        None => finding,
    };
    let finding = finding.remedy(
        "look at each step for a counter that moves: 'ip -s link', 'tc -s qdisc', the switch (storm \
         control), the radio; then measure it: manycast measure",
    );
    Some(match two_ends(context) {
        Some(two_ends) => finding.confirm(two_ends),
        None => finding,
    })
}

/// Fewer datagrams than were to come.
pub(super) struct Short {
    /// How many were to come a second.
    expected: f64,
    /// For how long they were counted.
    seconds: f64,
    /// How many came.
    came: u64,
}

/// Whether fewer came than were to come, as far as that is told.
pub(super) fn falls_short(context: &Context) -> Option<Short> {
    let watched = context.watched.as_ref()?;
    let expected = watched.expected_rate?;
    let (first, came) = (
        watched.exact.iter().map(|flow| flow.first).min()?,
        context.received(),
    );
    // From the first one on: before it, a switch may not have known of the membership yet.
    let seconds = watched.lasted.checked_sub(first)?.as_secs_f64();
    let missing = expected * seconds - count(came);
    let short =
        seconds > 0.0 && count(came) / seconds < expected * ENOUGH && missing > count(super::FEW);
    short.then_some(Short {
        expected,
        seconds,
        came,
    })
}

/// Counts here are far below the 2⁵³ up to which this is exact.
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
const fn count(number: u64) -> f64 {
    number as f64
}
