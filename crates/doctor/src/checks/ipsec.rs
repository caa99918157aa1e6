//! Policies of IPsec, which block datagrams or let them pass encrypted alone. The kernel asks them for
//! each socket, behind the firewall and IP.

use super::super::proof::{Doubt, Grade, Proof};
use super::super::{Code, Context, Finding, Moved, SelfTest, Tally, Watched};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    if !watched.exact.is_empty() || !watched.wide.is_empty() {
        return None;
    }
    let tests = || watched.self_tests.iter();
    tests()
        .find_map(|test| held(context, watched, test))
        .or_else(|| sends(context, watched))
        .or_else(|| tests().find_map(|test| refused(context, watched, test)))
        .or_else(|| counted(context, watched))
}

/// What this host sent to itself for a test did not leave its sockets.
fn held(context: &Context, watched: &Watched, test: &SelfTest) -> Option<Finding> {
    let (held, proof, evidence) = match &test.refused {
        // The first one that fails is the last that is sent.
        Some(refused) => {
            let held = test.meanwhile.held_by_ipsec;
            (held, Proof::counted(held, 1)?, refused.error.clone())
        }
        None => {
            let [_, held] = test.ipsec;
            let evidence = format!(
                "of {} that this host sent to itself by {}, {} came back",
                super::count(test.sent, "datagram"),
                test.interface,
                test.received
            );
            (
                held,
                Proof::counted(held, test.sent - test.received)?,
                evidence,
            )
        }
    };
    let finding = Finding::fault(Code::IpsecDrops, proof, outward(context.target.ip))
        .because(evidence)
        .because(format!(
            "policies of IPsec held back {} meanwhile (/proc/net/xfrm_stat)",
            super::count(held, "packet")
        ));
    Some(mended(context, watched, finding, false))
}

/// A program sends, and nothing of it leaves.
fn sends(context: &Context, watched: &Watched) -> Option<Finding> {
    let program = context.program.as_ref()?;
    let held = Tally::of(&watched.joining, context.target.is_ipv4()).held_by_ipsec;
    if held <= super::FEW || super::sender::receives(context, program) {
        return None;
    }
    let finding = Finding::fault(
        Code::IpsecDrops,
        Doubt::Likely,
        outward(context.target.ip),
    )
    .because(format!(
        "policies of IPsec held back {} of this host meanwhile (/proc/net/xfrm_stat); these may be of \
         other programs",
        super::count(held, "packet")
    ));
    Some(mended(context, watched, finding, false))
}

fn outward(group: std::net::IpAddr) -> String {
    format!("a policy of IPsec holds back what this host sends to {group}")
}

/// What this host sent to itself for a test was refused.
fn refused(context: &Context, watched: &Watched, test: &SelfTest) -> Option<Finding> {
    let [refused, _] = test.ipsec;
    let proof = Proof::counted(refused, test.sent).filter(|_| test.received == 0)?;
    let finding = Finding::fault(Code::IpsecDrops, proof, inward(context)).because(format!(
        "of {} that this host sent to itself by {}, none came back, while policies of IPsec refused \
         {refused} (/proc/net/xfrm_stat)",
        super::count(test.sent, "datagram"),
        test.interface
    ));
    Some(mended(context, watched, finding, true))
}

/// Packets were refused meanwhile, of this group or of others.
fn counted(context: &Context, watched: &Watched) -> Option<Finding> {
    let refused = Tally::of(&watched.joining, context.target.is_ipv4()).refused_by_ipsec;
    let lost = context.lost_of_target();
    if refused <= super::FEW || context.is_silent() || refused * 2 < lost {
        return None;
    }
    // Each socket that a datagram is for is asked, that of the doctor among them.
    let takes = |local: std::net::SocketAddr| local.port() == context.target.port;
    let sockets = context.host.sockets.iter();
    let others = sockets.filter(|socket| takes(socket.local)).count() as u64;
    let all = lost * (others + u64::from(watched.obstacle.is_none()));
    let tested = watched.self_tests.iter().any(|test| test.received > 0);
    let least =
        |moved: &Moved| Tally::of(&moved.counters, context.target.is_ipv4()).refused_by_ipsec;
    let grade = match super::by_captured(watched, all, refused, least) {
        Some(proof) => proof.into(),
        None if lost > 0 || !tested => Doubt::Likely.into(),
        None => Grade::from(Doubt::Possible),
    };
    let finding = Finding::fault(Code::IpsecDrops, grade, inward(context)).because(format!(
        "policies of IPsec refused {} meanwhile (/proc/net/xfrm_stat)",
        super::count(refused, "packet")
    ));
    let finding = if lost > 0 {
        finding.because(format!(
            "{} to that address and port came in by the wire, and none was received",
            super::count(lost, "datagram")
        ))
    } else {
        finding.because("these may be other packets than those that were to arrive")
    };
    Some(mended(context, watched, finding, true))
}

fn inward(context: &Context) -> String {
    format!(
        "a policy of IPsec refuses what comes to {}",
        context.target.ip
    )
}

/// Names the policy, and lets the group pass it.
fn mended(context: &Context, watched: &Watched, finding: Finding, is_inward: bool) -> Finding {
    let group = context.target.ip;
    let (any, bits) = if group.is_ipv4() {
        ("0.0.0.0/0", 32)
    } else {
        ("::/0", 128)
    };
    let way = if is_inward { "in" } else { "out" };
    let pass = |priority: u32| {
        format!(
            "sudo ip xfrm policy update src {any} dst {group}/{bits} proto udp dir {way} priority \
             {priority} action allow"
        )
    };
    let Some(policies) = &watched.ipsec else {
        return finding
            .remedy(
                "find the policy with 'sudo ip xfrm policy', and take it away, or give the group one \
                 with a lower priority, which holds before it",
            )
            .confirm(format!(
                "as root, the doctor names the policy: sudo manycast doctor {}",
                context.target.address
            ));
    };
    let mut policies = policies.iter();
    let Some(policy) = policies.find(|policy| policy.is_inward == is_inward) else {
        // What no policy matches is blocked by default.
        return finding.remedy(format!("give the group a policy: {}", pass(0)));
    };
    let now = match policy.priority.checked_sub(1) {
        Some(before) => format!("let the group pass before it: {}", pass(before)),
        None => format!(
            "take the policy away: sudo ip xfrm policy delete index {} dir {way}",
            policy.index
        ),
    };
    let finding = finding.because(policy.to_string());
    if policy.blocks {
        finding.remedy(now)
    } else {
        let other_end = if is_inward { "sender" } else { "receivers" };
        finding.remedy(format!(
            "{now}; or set IPsec up for it at the {other_end} too"
        ))
    }
}
