//! Groups that were asked, with no host at hand.

use super::{
    Code, Confidence, Context, CounterTables, Tally, assert_verdict, context, tables, target,
};

/// A host that asked a group and heard no answer, whose counters moved like this; and before, like that.
fn asked(moved: &CounterTables, quiet: Tally) -> Context {
    let mut context = context(moved);
    context.target = target(&"10.0.0.2:40000".parse().unwrap()).unwrap();
    context.target.asked = Some("239.1.2.3:1900".parse().unwrap());
    let watched = context.watched.as_mut().unwrap();
    watched.self_tests.clear();
    watched.quiet = quiet;
    context
}

/// Whether a firewall is found, where so many packets came, so many of them to groups, and none went
/// further; and so many in the time before.
#[track_caller]
fn assert_blocked(came: (u32, u32), before: (u64, u64), blocked: bool) {
    let quiet = Tally {
        received: before.0,
        multicast: before.1,
        ..Tally::default()
    };
    let context = asked(&tables(came.0, came.1, 0, 0, 0), quiet);
    let (code, confidence) = match blocked {
        true => (Code::FirewallDrops, Confidence::Likely),
        false => (Code::NotArriving, Confidence::CannotSee),
    };
    assert_verdict(&context, code, confidence);
}

#[test]
fn what_comes_to_groups_is_no_answer() {
    assert_blocked((10, 0), (0, 0), true);
    // Members of groups that come and go, and hosts that look for routers.
    assert_blocked((8, 8), (0, 0), false);
    assert_blocked((11, 1), (4, 4), true);
    assert_blocked((4, 0), (0, 0), false);
    // What others lose anyhow, and what is flooded to groups that are not joined.
    assert_blocked((100, 0), (96, 0), false);
    assert_blocked((110, 110), (100, 100), false);
    assert_blocked((110, 100), (100, 100), true);
}

/// A stream to a group that is joined, of which nothing is lost, and ten answers that are.
#[test]
fn what_is_received_meanwhile_hides_nothing() {
    let watched = |delivered| Tally {
        received: 200,
        multicast: 200,
        delivered,
        ..Tally::default()
    };
    let mut context = asked(&tables(210, 200, 200, 0, 0), watched(200));
    assert_verdict(&context, Code::FirewallDrops, Confidence::Likely);
    context.watched.as_mut().unwrap().quiet = watched(190);
    assert_verdict(&context, Code::NotArriving, Confidence::CannotSee);
}
