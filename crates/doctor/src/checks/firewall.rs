//! A firewall of this host that drops the datagrams.

use crate::FirewallRule;

use super::super::proof::{Doubt, Grade, Proof};
use super::super::{Code, Confidence, Context, Finding, Rules, SelfTest, Severity, Tally, Watched};
use super::firewall_rule::{Direction, named};
use super::{
    below_ip, conntrack, firewall_counters, interface, ipsec, nat, not_arriving, sender, vrf,
};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    // An interface that lacks a flag, what takes them away before IP, the tracking of connections, IPsec and a VRF have findings of
    // their own.
    let elsewhere = [
        interface::unheard,
        below_ip::run,
        conntrack::run,
        ipsec::run,
        nat::run,
        vrf::run,
    ];
    if elsewhere
        .iter()
        .any(|check| check(context).is_some_and(|finding| finding.severity == Severity::Fault))
    {
        return None;
    }
    let vain = watched.exact.is_empty() && watched.wide.is_empty();
    let lost = context
        .lost_streams()
        .any(|stream| stream.datagrams > super::FEW);
    if !vain && !lost {
        return None;
    }
    if !context.target.is_group() {
        return by_rule(context, watched).or_else(|| of_unicast(context, watched));
    }
    let tests = watched.self_tests.iter();
    let sends = context
        .program
        .as_ref()
        .map(|program| !sender::receives(context, program));
    // To a program that receives, it is all the same what this host may send; and what comes back to
    // one that sends.
    let mut forbidden = tests.clone().filter(|_| sends != Some(false));
    let mut dropped = tests.filter(|test| sends != Some(true) && may_be_met(context, test));
    let mut by_test = dropped.find_map(|test| by_group(context, test));
    let known_to_pass = by_test.take_if(|_| watched.is_open);
    forbidden
        .find_map(|test| by_refusal(context, test).or_else(|| behind_output(context, test)))
        .or(by_test)
        .or_else(|| by_rule(context, watched))
        .or_else(|| {
            let receives = sends != Some(true);
            if watched.obstacle.is_some() {
                return receives.then(|| by_certain_rule(context, watched))?;
            }
            receives.then(|| {
                firewall_counters::run(context, watched).or_else(|| by_source(context, watched))
            })?
        })
        .or_else(|| {
            let finding = known_to_pass?.because("what another host sends to it passes");
            Some(Finding {
                severity: Severity::Warning,
                confidence: Confidence::Possible,
                ..finding
            })
        })
}

/// Whether what is lost may have met what the test met: it came by the same interface, as far as it is
/// captured.
fn may_be_met(context: &Context, test: &SelfTest) -> bool {
    let mut lost = context.lost().peekable();
    lost.peek().is_none()
        || lost.any(|stream| {
            let by = [stream.interface, context.host.at_ip(stream.interface)];
            by.contains(&test.interface.index)
        })
}

/// A rule or a policy at the output hook, of which the kernel says so when something is sent.
fn by_refusal(context: &Context, test: &SelfTest) -> Option<Finding> {
    let refused = test
        .refused
        .as_ref()
        .filter(|refused| refused.is_forbidden)?;
    let to = if refused.is_of_all {
        format!("groups by {}", test.interface)
    } else {
        context.target.ip.to_string()
    };
    let finding = fault(
        Proof::Kernel.into(),
        format!("a firewall of this host forbids sending to {to}"),
    )
    .because(refused.error.clone());
    let rules = test.rules.as_ref();
    // The first one that fails is the last that is sent.
    Some(named(context, finding, rules, 1, Direction::Out))
}

/// A rule at the postrouting hook: IPv4 tells nobody of what is lost there on the way back to this
/// host.
fn behind_output(context: &Context, test: &SelfTest) -> Option<Finding> {
    if test.received > 0 || test.refused.is_some() {
        return None;
    }
    let rules = test.rules.as_ref()?;
    let dropped = rules.dropped.iter();
    let proof = dropped
        .filter(|dropped| dropped.rule.hook == Some("postrouting"))
        .find_map(|dropped| dropped.proof(test.sent, super::slack(test.sent)))?;
    let finding = fault(
        proof.into(),
        format!(
            "a firewall of this host drops what it sends to {}",
            context.target.ip
        ),
    )
    .because(format!(
        "of {} that this host sent to itself by {}, none came back",
        super::count(test.sent, "datagram"),
        test.interface
    ));
    Some(named(
        context,
        finding,
        Some(rules),
        test.sent,
        Direction::Out,
    ))
}

/// A rule that matches whatever is sent to the group, as the self-test shows.
fn by_group(context: &Context, test: &SelfTest) -> Option<Finding> {
    let (group, port) = (context.target.ip, context.target.port);
    let rules = test.rules.as_ref();
    if test.received > 0 || test.refused.is_some() {
        return None;
    }
    if test.control < test.sent {
        return nothing_returns(context, test);
    }
    // They came to IP and went no further, which neither NAT nor anything before IP does.
    let [lost, of_control] = test.lost;
    let others = lost_meanwhile(context, test);
    let at_ip = Proof::counted(lost.saturating_sub(others), test.sent)
        .filter(|_| of_control <= super::FEW + others && others <= QUIET)
        .filter(|_| test.meanwhile.refused_by_ipsec == 0);
    let proof = at_ip.or_else(|| by_a_rule(rules?, test.sent));
    let finding = fault(
        of_the_stream(context, proof),
        format!("a firewall of this host drops what comes to {group}:{port}"),
    )
    .because(format!(
        "of {} that this host sent to itself by {}, {} came back from {group}:{port}, and {} of \
         as many from a group that nobody uses",
        super::count(test.sent, "datagram"),
        test.interface,
        test.received,
        test.control
    ));
    let finding = if at_ip.is_some() {
        finding.because(format!(
            "meanwhile {} came to IP and went no further",
            super::count(lost, "packet")
        ))
    } else {
        finding
    };
    let finding = doubted(context, finding);
    let direction = direction(test, at_ip);
    Some(named(context, finding, rules, test.sent, direction))
}

/// Where to look for what drops a test: as far as it came.
fn direction(test: &SelfTest, at_ip: Option<Proof>) -> Direction {
    if at_ip.is_some() {
        Direction::InBehindIp
    } else if test.lost[0] * 2 < test.sent {
        Direction::BeforeIp
    } else {
        Direction::In
    }
}

/// What the host sends to itself is dropped: proved of the stream where that is known to have come, and
/// nothing else is known that drops it. A rule may let its sender pass by the address.
fn of_the_stream(context: &Context, proof: Option<Proof>) -> Grade {
    let tally = context.tally();
    let came = context.lost_of_target() > 0 && !is_explained(context, &tally);
    Grade::or_likely(proof.filter(|_| came))
}

/// Why it is no more than likely, where the stream is not known to have come.
fn doubted(context: &Context, finding: Finding) -> Finding {
    if context.lost_of_target() > 0 {
        return finding;
    }
    finding.because("a rule may let the sender pass by its address, which this does not show")
}

/// Where more packets than these are lost anyhow in the time that a test takes, their number is not
/// known well enough to tell the ten of the test from them.
const QUIET: u64 = 5;

/// How many others are lost in the time that a test took, at the rate at which they were before.
fn lost_meanwhile(context: &Context, test: &SelfTest) -> u64 {
    let Some(watched) = &context.watched else {
        return 0;
    };
    let lost = u128::from(Tally::of(&watched.joining, context.target.is_ipv4()).lost());
    let lasted = watched.lasted.as_micros().max(1);
    u64::try_from(lost * test.took.as_micros() / lasted).unwrap_or(u64::MAX)
}

/// One rule whose counter moved by so many.
fn by_a_rule(rules: &Rules, packets: u64) -> Option<Proof> {
    let mut inward = rules
        .dropped
        .iter()
        .filter(|dropped| dropped.rule.is_inward());
    inward.find_map(|dropped| dropped.proof(packets, super::slack(packets)))
}

/// Nothing at all comes back: a rule that matches all groups, or something else that does.
fn nothing_returns(context: &Context, test: &SelfTest) -> Option<Finding> {
    if test.control > 0 {
        return None;
    }
    // They came to IP, and went no further.
    let [lost, of_control] = test.lost;
    let filtered = test.meanwhile.reverse_path > 0;
    let others = lost_meanwhile(context, test);
    let at_ip = Proof::counted(lost.saturating_sub(others), test.sent)
        .and_then(|_| Proof::counted(of_control.saturating_sub(others), test.sent))
        .filter(|_| !filtered && others <= QUIET)
        .filter(|_| test.meanwhile.refused_by_ipsec == 0);
    let proof = at_ip.or_else(|| by_a_rule(test.rules.as_ref()?, test.sent));
    let finding = fault(
        of_the_stream(context, proof),
        format!(
            "a firewall of this host drops what comes to groups by {}",
            test.interface
        ),
    )
    .because(format!(
        "of {} that this host sent to itself by {}, none came back, neither from {} nor from a \
         group that nobody uses",
        super::count(2 * test.sent, "datagram"),
        test.interface,
        context.target.ip
    ));
    let finding = if at_ip.is_some() {
        finding.because(format!(
            "meanwhile {} came to IP and went no further",
            super::count(lost + of_control, "packet")
        ))
    } else {
        finding
    };
    let finding = doubted(context, finding);
    let tally = context.tally();
    let came = context.lost_of_target() > 0;
    let finding = if !came && tally.ignored > super::FEW {
        Finding {
            severity: Severity::Warning,
            confidence: Confidence::Possible,
            ..finding
        }
        .because(format!(
            "{} to joined groups passed it meanwhile, for ports that no socket has",
            super::count(tally.ignored, "datagram")
        ))
    } else {
        finding
    };
    let rules = test.rules.as_ref();
    let direction = direction(test, at_ip);
    Some(named(context, finding, rules, test.sent, direction))
}

/// A rule that dropped as many packets as there were of the group, where rules may be read.
fn by_rule(context: &Context, watched: &Watched) -> Option<Finding> {
    let rules = watched.rules.as_ref()?;
    let inward = || {
        let dropped = rules.dropped.iter();
        dropped.filter(|dropped| dropped.rule.is_inward())
    };
    let most = inward().map(|dropped| dropped.most).max()?;
    let captured = captured(context, watched);
    let tally = context.tally();
    let (packets, exact, evidence) = if let Some(captured) =
        captured.filter(|captured| *captured > 0)
    {
        let exact = inward().find_map(|dropped| dropped.proof(captured, 0));
        // Another program that has the port may well receive all of them.
        let is_its =
            !context.target.is_group() && context.target.asked.is_none() && context.shares_port();
        if is_its && tally.lost() < captured / 2 {
            return None;
        }
        // Where the doctor could not listen itself, the program may well receive all of them.
        let unwatched = watched.obstacle.is_some() && exact.is_none();
        if unwatched || exact.is_none() && most < captured {
            return None;
        }
        let count = super::count(captured, "datagram");
        let evidence =
            format!("{count} to that address and port came in by the wire, and none further");
        (captured, exact, evidence)
    } else if captured.is_none() && tally.lost() > super::FEW && most >= tally.lost() {
        let count = super::count(tally.lost(), "packet");
        let evidence = format!("{count} came to this host and went no further");
        (most, None, evidence)
    } else {
        return None;
    };
    let finding = fault(
        Grade::or_likely(exact),
        format!("a firewall of this host drops what {}", whose(context)),
    )
    .because(evidence);
    let finding = match context.target.asked {
        Some(_) => finding.because(super::answers::WHY),
        None => finding,
    };
    let tested = watched.self_tests.iter().any(|test| test.received > 0);
    let finding = if tested {
        finding.because(
            "what this host sends to itself is not dropped, so it goes by the source or by the way",
        )
    } else {
        finding
    };
    Some(named(context, finding, Some(rules), packets, Direction::In))
}

/// A rule that does not count and matches all that comes as far, before a program that has the port for
/// itself: what it receives cannot be seen, and as much as came by the wire is lost within IP.
fn by_certain_rule(context: &Context, watched: &Watched) -> Option<Finding> {
    let rules = watched.rules.as_ref()?;
    let captured = captured(context, watched).filter(|captured| *captured > super::FEW)?;
    let mut certain = rules.certain.iter();
    let is_there = certain.any(FirewallRule::is_inward);
    let tally = Tally::of(&watched.joining, context.target.is_ipv4());
    if !is_there || tally.lost() < captured / 2 || is_explained(context, &tally) {
        return None;
    }
    let finding = fault(
        Doubt::Likely.into(),
        format!("a firewall of this host drops what {}", whose(context)),
    )
    .because(format!(
        "{} to that address and port came in by the wire, and {} came to IP and went no further",
        super::count(captured, "datagram"),
        super::count(tally.lost(), "packet")
    ));
    Some(named(
        context,
        finding,
        Some(rules),
        captured,
        Direction::In,
    ))
}

/// What is dropped: all that comes, or what one source sends while others get through.
fn whose(context: &Context) -> String {
    let to = context.target.name();
    if let Some(asked) = context.target.asked {
        return format!("answers questions to {asked}");
    }
    match context.lost_streams().next() {
        Some(stream) if context.received() > 0 => {
            format!("{} sends to {to}", stream.source.ip())
        }
        _ => format!("comes to {to}"),
    }
}

/// How many datagrams to the group and port were captured on the wire and not received, where that may
/// be listened on.
fn captured(context: &Context, watched: &Watched) -> Option<u64> {
    let captured = watched.captured.as_ref()?;
    Some(match context.program {
        // Where the doctor could not listen itself, the program may have received all of them.
        Some(_) if watched.obstacle.is_some() => captured.count(context.target.port),
        _ => context.lost_of_target(),
    })
}

/// A rule that goes by the source, as far as the counters tell.
fn by_source(context: &Context, watched: &Watched) -> Option<Finding> {
    let tally = context.tally();
    let group = context.target.ip;
    let tested = watched.self_tests.iter().any(|test| test.received > 0);
    if context.is_silent() {
        // Nothing came in by the wire that could have been dropped.
        return None;
    }
    let captured = captured(context, watched);
    if is_explained(context, &tally) || (tally.lost() <= super::FEW && captured.is_none()) {
        return None;
    }
    // By IPv4, only what is joined is counted as multicast, and this comes before the input hook.
    let none = watched.exact.is_empty();
    let at_input =
        none && group.is_ipv4() && tally.multicast > 0 && tally.multicast == tally.lost();
    let mut joined = context.host.joined_by_programs(true);
    let alone = joined.all(|joined| joined.group == group);
    // What is dropped may be of other groups, all the more where the test was passed.
    if at_input && (alone || !tested) {
        let finding = Finding::warning(
            Code::FirewallDrops,
            Doubt::Possible,
            "a firewall of this host drops datagrams at its input hook",
        )
        .because(format!(
            "IpExt.InMcastPkts moved by {}, and as many packets were not delivered; they may have been \
             for other ports of the group",
            tally.multicast
        ));
        let finding = if tested {
            finding.because(
                "what this host sends to itself is not dropped, so the rule goes by the source, or by \
                 another port",
            )
        } else {
            finding
        };
        let rules = watched.rules.as_ref();
        return Some(named(context, finding, rules, tally.lost(), Direction::In));
    }
    by_wire(context, watched, super::FEW)
        .or_else(|| none.then(|| unseen(context, &tally, tested))?)
}

/// Of a port that several have, one alone receives what is sent by unicast, so that what does not come to the
/// doctor may be another program's. The port that asked is the doctor's alone.
fn of_unicast(context: &Context, watched: &Watched) -> Option<Finding> {
    let few = if context.target.asked.is_some() {
        1
    } else if context.shares_port() {
        return by_certain_rule(context, watched);
    } else {
        super::FEW
    };
    by_wire(context, watched, few)
}

/// More than so many came in by the wire, and none further: a rule that does not count may be it.
fn by_wire(context: &Context, watched: &Watched, few: u64) -> Option<Finding> {
    let captured = captured(context, watched).filter(|captured| *captured > few)?;
    // By another interface than the one that is asked for, nothing was joined.
    if is_explained(context, &context.tally()) || context.lost_elsewhere().is_some() {
        return None;
    }
    let to = match context.target.asked {
        Some(_) => "the port that asked",
        None if context.target.is_group() => "the group and port",
        None => "that address and port",
    };
    let finding = fault(
        Doubt::Likely.into(),
        format!("something on this host drops what {}", whose(context)),
    )
    .because(format!(
        "{} to {to} came in by the wire, and none further",
        super::count(captured, "datagram")
    ));
    let rules = watched.rules.as_ref();
    let direction = if below_ip::never_came(context) {
        Direction::BeforeIp
    } else {
        Direction::In
    };
    Some(named(context, finding, rules, captured, direction))
}

/// Whether something else is known that drops datagrams within IP.
fn is_explained(context: &Context, tally: &Tally) -> bool {
    // What no socket wanted went to groups.
    let ignored = if context.target.is_group() {
        tally.ignored
    } else {
        0
    };
    tally.reverse_path + ignored + tally.fragments + tally.checksums > 0
        || super::martian::run(context).is_some()
}

/// Packets are lost where a firewall may drop them, and nothing tells whether they are of the
/// group.
fn unseen(context: &Context, tally: &Tally, tested: bool) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let rules = watched.rules.as_ref();
    let none = rules.is_some_and(|rules| {
        let dropped = rules.dropped.iter().map(|dropped| &dropped.rule);
        let uncounted = rules.certain.iter().chain(&rules.uncounted);
        let inward = dropped.chain(uncounted).any(FirewallRule::is_inward);
        !inward && rules.legacy.is_empty()
    });
    if none || not_arriving::is_within(watched) {
        return None;
    }
    let finding = fault(
        Doubt::CannotSee.into(),
        format!(
            "whether a firewall of this host drops {} cannot be seen",
            context.target.ip
        ),
    );
    let finding = Finding {
        severity: Severity::Warning,
        ..finding
    }
    .because(format!(
        "{} came and went no further; these may have been of other groups, or for other ports",
        super::count(tally.lost(), "packet")
    ));
    Some(named(
        context,
        if tested {
            finding.because(
                "what this host sends to itself is not dropped; a rule that goes by the source, \
                 or by the interface, would not show",
            )
        } else if context.shares_port() {
            finding.because("another program has the port, so nothing was sent to it for a test")
        } else {
            finding
        },
        rules,
        tally.lost(),
        Direction::In,
    ))
}

fn fault(grade: Grade, title: String) -> Finding {
    Finding::fault(Code::FirewallDrops, grade, title)
}
