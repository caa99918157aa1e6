//! What the judge lets pass, and what it does not.

use manycast::doctor::Code;
use manycast::doctor::Confidence::{self, CannotSee, Likely, Possible, Proved};
use manycast::doctor::Severity::{Fault, Warning};

use super::{Judgement, Outcome, Said};
use crate::conditions::{self, Condition};
use crate::draw::{Case, View};
use crate::known::AWAITED;

pub(crate) fn all() {
    what_was_made_is_right_and_all_else_is_not();
    a_healthy_host_has_no_fault();
    less_sight_is_a_weaker_statement();
    of_two_hosts_the_right_one();
    conditions_are_told_apart();
}

fn case(view: View, names: &[&str]) -> Case {
    let named = |name: &&str| {
        let mut all = conditions::all();
        all.find(|condition| condition.name == *name).unwrap()
    };
    let (faults, oddities) = names
        .iter()
        .map(named)
        .partition(|condition: &&Condition| condition.is_fault);
    Case {
        seed: 0,
        v6: false,
        view,
        faults,
        oddities,
        variations: 0,
    }
}

fn fault(code: Code, confidence: Confidence) -> Said {
    Said {
        code,
        confidence,
        severity: Fault,
        far: false,
    }
}

/// The outcome as root, and the breaches, where root and the user are told the same.
fn judged(case: &Case, said: &[Said]) -> (Outcome, usize) {
    let judgement = Judgement::of(case, Some(said), said);
    (judgement.outcomes[1], judgement.breaches().len())
}

fn what_was_made_is_right_and_all_else_is_not() {
    let case = case(View::Host, &["input-drop"]);
    let [drops, port] = [Code::FirewallDrops, Code::WrongPort];
    for (said, expected) in [
        (&[fault(drops, Proved)][..], (Outcome::Right, 0)),
        (&[fault(drops, Likely)], (Outcome::Right, 0)),
        (&[fault(drops, Possible)], (Outcome::Weak, 0)),
        (&[fault(drops, CannotSee)], (Outcome::Weak, 0)),
        (&[fault(Code::NotArriving, Likely)], (Outcome::CannotSee, 0)),
        (&[fault(port, Likely)], (Outcome::Wrong, 0)),
        (
            &[fault(port, Likely), fault(drops, Proved)],
            (Outcome::Wrong, 0),
        ),
        (&[], (Outcome::Wrong, 0)),
        // Proved by both, it is two breaches, wherever it stands.
        (&[fault(port, Proved)], (Outcome::Wrong, 2)),
        (
            &[fault(drops, Proved), fault(port, Proved)],
            (Outcome::Right, 2),
        ),
        (&[fault(Code::NotArriving, Proved)], (Outcome::Wrong, 2)),
    ] {
        assert_eq!(judged(&case, said), expected, "{said:?}");
    }
    let warning = Said {
        severity: Warning,
        ..fault(port, Proved)
    };
    assert_eq!(judged(&case, &[fault(drops, Proved), warning]).1, 2);
}

fn a_healthy_host_has_no_fault() {
    let healthy = case(View::Host, &["noise"]);
    let drops = Code::FirewallDrops;
    assert_eq!(judged(&healthy, &[]), (Outcome::Right, 0));
    assert_eq!(
        judged(&healthy, &[fault(drops, CannotSee)]),
        (Outcome::Right, 0)
    );
    assert_eq!(
        judged(&healthy, &[fault(drops, Possible)]),
        (Outcome::FalseAlarm, 2)
    );
    assert_eq!(
        judged(&healthy, &[fault(drops, Proved)]),
        (Outcome::FalseAlarm, 4)
    );
    // What it cannot know better it may think, and not prove.
    let sparse = case(View::Host, &["sparse-stream"]);
    let silent = Code::NotArriving;
    assert_eq!(
        judged(&sparse, &[fault(silent, Likely)]),
        (Outcome::Right, 0)
    );
    assert_eq!(
        judged(&sparse, &[fault(silent, Proved)]),
        (Outcome::FalseAlarm, 4)
    );
}

fn less_sight_is_a_weaker_statement() {
    let dropped = case(View::Host, &["input-drop"]);
    let contradicts = |case: &Case, user: &[Said], root: &[Said]| {
        Judgement::of(case, Some(user), root)
            .contradiction
            .is_some()
    };
    let right = [fault(Code::FirewallDrops, Proved)];
    let other = [fault(Code::WrongPort, Likely)];
    assert!(!contradicts(&dropped, &right, &right));
    assert!(!contradicts(
        &dropped,
        &[fault(Code::NotArriving, Likely)],
        &right
    ));
    assert!(!contradicts(
        &dropped,
        &[fault(Code::WrongPort, Possible)],
        &right
    ));
    assert!(contradicts(
        &dropped,
        &[fault(Code::NotArriving, Proved)],
        &right
    ));
    assert!(contradicts(&dropped, &other, &right));
    assert!(contradicts(&dropped, &[], &right));
    let warning = Said {
        severity: Warning,
        ..fault(Code::FirewallDrops, Possible)
    };
    assert!(!contradicts(&dropped, &[warning], &right));
    assert!(contradicts(&dropped, &right, &[]));
    // Whoever is refused says nothing.
    assert_eq!(Judgement::of(&dropped, None, &right).breaches(), [""; 0]);
    // What looks well to a user is told to root alone.
    let part = case(View::Host, &["drop-of-one-of-two"]);
    assert!(!contradicts(&part, &[], &right));
    assert!(contradicts(&part, &other, &right));
    // Each tells one of two.
    let two = case(View::Host, &["input-drop", "another-port"]);
    assert!(!contradicts(&two, &other, &right));
}

fn of_two_hosts_the_right_one() {
    let case = case(View::TwoEnds, &["far-input-drop"]);
    let here = fault(Code::FirewallDrops, Proved);
    let there = Said { far: true, ..here };
    assert_eq!(judged(&case, &[there]), (Outcome::Right, 0));
    assert_eq!(judged(&case, &[here]), (Outcome::Wrong, 2));
}

/// Each has its own name, and a version of IP and a view to be made in; and what is said of it are
/// codes.
fn conditions_are_told_apart() {
    let mut names: Vec<_> = conditions::all().map(|condition| condition.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for condition in conditions::all() {
        assert!(!condition.views.is_empty(), "{condition:?}");
        assert_ne!(condition.versions, [false, false], "{condition:?}");
        assert!(condition.is_fault || condition.unseen == [false, false]);
        let codes = [condition.right, condition.also, condition.allowed].concat();
        for code in codes {
            let (is_code, is_awaited) = (Code::named(code).is_some(), AWAITED.contains(&code));
            assert!(
                is_code != is_awaited,
                "{condition:?}: {code}: a code: {is_code}, awaited in known.rs: {is_awaited}"
            );
        }
    }
}
