//! What trials between two ends tell.

use std::net::IpAddr;
use std::time::Duration;

use manycast_net::ErrorKind;

use super::checks::count;
use super::checks::firewall_rule::{Direction, suspected};
use super::proof::{Doubt, Grade, Proof};
use super::{Code, Confidence, Context, Finding, Rules, SelfTest, Severity, Target};
use manycast_types::NetworkError;

/// Some datagrams that one end sent to the other, and how many came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trial {
    /// In which direction.
    pub toward: Toward,
    /// To the group, or by unicast.
    pub to_group: bool,
    /// To the group: by the interface that the route chooses, or by the one that leads to the other
    /// end.
    pub by_route: bool,
    /// The hop limit; that of unicast is the system's.
    pub hops: u8,
    /// The length of each, in bytes of payload.
    pub size: u16,
    /// How many were sent. Where the sending host refused to send some, as many as came.
    pub sent: u8,
    /// How many came.
    pub came: u8,
}

/// In which direction something was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Toward {
    /// From the far end to this host.
    Here,
    /// From this host to the far end.
    There,
}

/// What came of sending to the group for a long time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Soak {
    /// How long.
    pub lasted: Duration,
    /// How many datagrams were sent to the group.
    pub sent: u32,
    /// How many of them came.
    pub came: u32,
    /// When the group fell silent, since it was joined, while the far end still answered.
    pub silent_after: Option<Duration>,
    /// Whether it came again once the group was joined anew.
    pub revived: bool,
}

impl Trial {
    const fn passed(&self) -> bool {
        self.came > 0
    }

    /// Whether all came, or none.
    const fn is_clear(&self) -> bool {
        self.came == self.sent || self.came == 0
    }
}

/// Whether the group passes from the far end to this host, in whatever way.
pub(super) fn passes(trials: &[Trial], toward: Toward) -> bool {
    groups(trials, toward).any(Trial::passed)
}

/// What was sent to the group in this direction.
fn groups(trials: &[Trial], toward: Toward) -> impl Iterator<Item = &Trial> {
    trials
        .iter()
        .filter(move |trial| trial.to_group && trial.toward == toward && trial.sent > 0)
}

/// Whether it is known that the group does not pass in this direction: all was tried that could.
fn is_blocked(trials: &[Trial], toward: Toward) -> bool {
    let tried = groups(trials, toward).any(|trial| trial.hops == MOST_HOPS);
    tried && !passes(trials, toward)
}

/// What the trials tell of the way between this host and the far one, of this name.
pub(super) fn findings(
    target: &Target,
    trials: &[Trial],
    soak: Option<&Soak>,
    far: &str,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for toward in [Toward::Here, Toward::There] {
        let ends = Ends { toward, far };
        findings.extend(hop_limit(target, trials, ends));
        findings.extend(egress(target, trials, ends));
        findings.extend(fragmentation(target, trials, ends));
        findings.extend(loss(target, trials, ends));
    }
    findings.extend(one_way(target, trials, far));
    findings.extend(soak.and_then(|soak| soaked(target, soak, far)));
    findings
}

/// Who sends and who receives.
#[derive(Clone, Copy)]
struct Ends<'a> {
    toward: Toward,
    far: &'a str,
}

impl Ends<'_> {
    const fn sender(&self) -> &str {
        match self.toward {
            Toward::Here => self.far,
            Toward::There => "this host",
        }
    }

    /// The far host, where it is the one that sends.
    fn sending_host(&self) -> Option<String> {
        (self.toward == Toward::Here).then(|| self.far.to_owned())
    }

    /// The far host, where it is the one that receives.
    fn receiving_host(&self) -> Option<String> {
        (self.toward == Toward::There).then(|| self.far.to_owned())
    }
}

/// Judges what the counters of a host tell by the number of datagrams that are known to have been
/// sent to it: what moved by less than half of it is no explanation, and what moved by another
/// number proves nothing.
pub(super) fn weigh(findings: Vec<Finding>, context: &Context, sent: u64) -> Vec<Finding> {
    let (Some(watched), true) = (&context.watched, sent > 0) else {
        return findings;
    };
    let tally = context.tally();
    let came_back = |test: &SelfTest| test.received == test.sent;
    let weighed = findings.into_iter().filter_map(|finding| {
        // What a host sends to itself, or captures on the wire, is a known number by itself. Its counters
        // alone make a firewall possible, and tell more by the number that was sent.
        let is_firewall = finding.code == Code::FirewallDrops
            && watched.captured.is_none()
            && watched.self_tests.iter().all(came_back);
        let is_possible =
            is_firewall && finding.confidence == Confidence::Possible && context.received() == 0;
        let is_tested = finding.code == Code::FirewallDrops
            && finding.confidence == Confidence::Likely
            && !watched.self_tests.iter().all(came_back);
        if is_tested {
            // What the other end sent was lost as what this host sent to itself was.
            let proof = Proof::counted(tally.lost(), sent);
            let confidence = Grade::or_likely(proof).confidence();
            return Some(Finding { confidence, ..finding }.because(format!(
                "{} were sent to it meanwhile by the other end, and {} that came to IP went no further",
                count(sent, "datagram"),
                count(tally.lost(), "packet")
            )));
        }
        let moved = match finding.code {
            _ if is_possible => tally.lost(),
            _ if finding.severity == Severity::Warning => return Some(finding),
            Code::ReversePathFilter => tally.reverse_path,
            Code::WrongPort => tally.ignored,
            Code::Fragmentation => tally.fragments,
            Code::BadChecksum => tally.checksums,
            Code::IpsecDrops if tally.refused_by_ipsec > 0 => tally.refused_by_ipsec,
            Code::FirewallDrops if is_firewall => tally.lost(),
            _ => return Some(finding),
        };
        if moved * 2 < sent {
            return None;
        }
        let proof = Proof::counted(moved, sent).filter(|_| moved == sent);
        let exact = Grade::or_likely(proof).confidence();
        // Some counters are of one cause, and so prove it by a number that is known; others are not.
        let causes = [
            Code::ReversePathFilter,
            Code::BadChecksum,
            Code::IpsecDrops,
            Code::FirewallDrops,
        ];
        let tested = finding.code != Code::FirewallDrops || !watched.self_tests.is_empty();
        let of_one_cause = tested && causes.contains(&finding.code);
        let confidence = if of_one_cause {
            exact
        } else if is_possible {
            Confidence::Likely
        } else {
            finding.confidence.max(exact)
        };
        let finding = Finding {
            confidence,
            severity: Severity::Fault,
            ..finding
        };
        Some(finding.because(format!(
            "{} were sent to it meanwhile by the other end",
            count(sent, "datagram")
        )))
    });
    weighed.collect()
}

/// A host that cannot send to the group at all; meanwhile, policies of IPsec have held back so many, and
/// the rules of its firewall have dropped what they tell, where this process may read them.
pub(super) fn cannot_send(
    context: &Context,
    error: &NetworkError,
    held_by_ipsec: u64,
    rules: Option<&Rules>,
) -> Option<Finding> {
    let (group, text) = (context.target.ip, &error.message);
    let finding = match error.kind {
        ErrorKind::PermissionDenied if held_by_ipsec > 0 => Finding::fault(
            Code::IpsecDrops,
            // A firewall forbids it with the same error.
            Doubt::Likely,
            format!("a policy of IPsec forbids this host to send to {group}"),
        )
        .because(format!(
            "policies of IPsec held back {} meanwhile (/proc/net/xfrm_stat)",
            count(held_by_ipsec, "packet")
        ))
        .remedy(
            "find the policy with 'sudo ip xfrm policy' (dir out), and take it away, or give the group \
             one with a lower priority, which holds before it",
        ),
        // `ip-route(8)`: a route of the type prohibit. A firewall says EPERM.
        ErrorKind::PermissionDenied
            if text.contains(&format!("(os error {})", libc::EACCES)) =>
        {
            Finding::fault(
                Code::NoRoute,
                Doubt::Likely,
                format!("a route of this host prohibits sending to {group}"),
            )
            .remedy(format!(
                "find it with 'ip route get {group}', and take it away, or: {}",
                route_command(group, "INTERFACE")
            ))
        }
        ErrorKind::PermissionDenied => Finding::fault(
            Code::FirewallDrops,
            Proof::Seen,
            format!("a firewall of this host forbids sending to {group}"),
        ),
        ErrorKind::NetworkUnreachable | ErrorKind::NoInterface | ErrorKind::HostUnreachable => {
            Finding::fault(
                Code::NoRoute,
                Proof::Seen,
                format!("this host cannot send to {group}: it has no way there"),
            )
            .remedy(format!(
                "bring an interface up that can multicast ('manycast interfaces'), or: {}",
                route_command(group, "INTERFACE")
            ))
        }
        _ => return None,
    };
    let finding = finding.because(text);
    Some(if finding.code == Code::FirewallDrops {
        // Each round is refused, and there are two at least.
        suspected(context, finding, rules, 2, Direction::Out)
    } else {
        finding
    })
}

/// The command that gives a group a route.
pub(super) fn route_command(group: IpAddr, interface: &str) -> String {
    match group {
        IpAddr::V4(group) => format!("ip route add {group} dev {interface}"),
        // The kernel's own routes to groups are there, and are looked at first.
        IpAddr::V6(group) => {
            format!("ip -6 route add multicast {group} dev {interface} table local")
        }
    }
}

/// Datagrams with a low hop limit are lost, those with a higher one are not.
fn hop_limit(target: &Target, trials: &[Trial], ends: Ends<'_>) -> Option<Finding> {
    let toward = ends.toward;
    let mut swept: Vec<&Trial> = groups(trials, toward)
        .filter(|trial| trial.size == SHORT)
        .collect();
    swept.sort_by_key(|trial| trial.hops);
    let enough = swept.iter().find(|trial| trial.passed())?;
    let alike = |trial: &&&Trial| trial.by_route == enough.by_route && trial.hops < enough.hops;
    let lost = swept.iter().rev().find(alike)?;
    let clear = swept.iter().all(|trial| trial.is_clear());
    Some(
        Finding::fault(
            Code::HopLimit,
            Grade::proved_if(clear, Proof::Compared),
            format!(
                "what {} sends needs a hop limit of {}",
                ends.sender(),
                match enough.hops - lost.hops {
                    1 => format!("{} at least", enough.hops),
                    _ => format!("more than {}; {} is enough", lost.hops, enough.hops),
                }
            ),
        )
        .because(format!(
            "with hop limit {}, {} of {} came; with {}, {} of {}",
            lost.hops, lost.came, lost.sent, enough.hops, enough.came, enough.sent
        ))
        .because("1 is what sockets have that do not ask for more (RFC 1112 §6.1)")
        .remedy(format!(
            "let the sender set IP_MULTICAST_TTL (IPV6_MULTICAST_HOPS) to {h}, as 'manycast send \
             {} --hops {h}' does",
            target.address,
            h = enough.hops
        ))
        .of(ends.sending_host()),
    )
}

/// The route leads elsewhere, and another interface leads to the other end.
fn egress(target: &Target, trials: &[Trial], ends: Ends<'_>) -> Option<Finding> {
    let toward = ends.toward;
    let by_route = groups(trials, toward).filter(|trial| trial.by_route);
    let lost = by_route.max_by_key(|trial| (trial.came, trial.hops))?;
    let other = groups(trials, toward).find(|trial| !trial.by_route && trial.passed())?;
    (!lost.passed()).then(|| {
        Finding::fault(
            Code::EgressOtherInterface,
            Grade::proved_if(other.is_clear(), Proof::Compared),
            format!("what {} sends leaves by another interface", ends.sender()),
        )
        .because(format!(
            "by the interface that its route chooses, 0 of {} came; by the one that leads to the \
             other end, {} of {}",
            lost.sent, other.came, other.sent
        ))
        .remedy(format!(
            "let the sender name the interface (IP_MULTICAST_IF, IPV6_MULTICAST_IF), or give the \
             group a route there: {}",
            route_command(target.ip, "INTERFACE")
        ))
        .of(ends.sending_host())
    })
}

/// Datagrams above a size are lost, those below it are not. Where short ones are lost as well, it is
/// loss, and says nothing of the size.
fn fragmentation(target: &Target, trials: &[Trial], ends: Ends<'_>) -> Option<Finding> {
    let toward = ends.toward;
    if !passes(trials, toward) || lossy(trials, toward).is_some() {
        return None;
    }
    let mut sizes: Vec<u16> = groups(trials, toward)
        .map(|trial| trial.size)
        .filter(|size| *size > SHORT)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    let of = |size: u16| {
        let trials = groups(trials, toward).filter(move |trial| trial.size == size);
        trials.fold((0, 0), |(sent, came), trial| {
            (sent + u64::from(trial.sent), came + u64::from(trial.came))
        })
    };
    let lost = *sizes.iter().find(|size| of(**size).1 == 0)?;
    let passed = sizes.iter().rev().find(|size| **size < lost);
    let largest = passed.map_or(SHORT, |size| *size);
    let clear = sizes
        .iter()
        .all(|size| [0, of(*size).0].contains(&of(*size).1));
    let above = sizes.iter().filter(|size| **size >= lost);
    let none_above = above.clone().all(|size| of(*size).1 == 0);
    let sent: u64 = above.map(|size| of(*size).0).sum();
    Some(
        Finding::fault(
            Code::Fragmentation,
            Grade::proved_if(clear && none_above && sent >= ENOUGH, Proof::Compared),
            format!("what {} sends in pieces does not arrive", ends.sender()),
        )
        .because(format!(
            "datagrams of {largest} bytes came, and of {sent} that had {lost} bytes or more none did"
        ))
        .because(
            "a firewall, or memory for fragments that is too small (net.ipv4.ipfrag_high_thresh), \
             on either host looks the same as a way that drops them",
        )
        .remedy(format!(
            "send at most {} bytes at once, or let fragments pass on the way",
            if target.is_ipv4() { 1472 } else { 1452 }
        ))
        .of(ends.receiving_host()),
    )
}

/// So many datagrams tell a size from chance.
const ENOUGH: u64 = 6;

/// How many of the short datagrams were sent and came, in the way that passes best, where a part of
/// them was lost.
fn lossy(trials: &[Trial], toward: Toward) -> Option<(u64, u64)> {
    let short = groups(trials, toward).filter(|trial| trial.size == SHORT && trial.passed());
    let best = short.max_by_key(|trial| trial.came)?;
    let (sent, came) = (u64::from(best.sent), u64::from(best.came));
    (came * 10 < sent * 9).then_some((sent, came))
}

/// A part of what is sent is lost, whatever its size.
fn loss(target: &Target, trials: &[Trial], ends: Ends<'_>) -> Option<Finding> {
    let (sent, came) = lossy(trials, ends.toward)?;
    Some(
        Finding::fault(
            Code::Loss,
            Proof::Seen,
            format!(
                "a part of what {} sends to {} does not arrive: {came} of {sent} did",
                ends.sender(),
                target.ip
            ),
        )
        .because(format!(
            "of {sent} datagrams of {SHORT} bytes, which were numbered, {came} came"
        ))
        .remedy(
            "look at each step for a counter that moves: 'ip -s link', 'tc -s qdisc', the switch \
             (storm control limits multicast alone), the radio; then measure it: manycast measure",
        )
        .of(ends.receiving_host()),
    )
}

/// The group passes in one direction only, or in none.
fn one_way(target: &Target, trials: &[Trial], far: &str) -> Option<Finding> {
    let [here, there] = [Toward::Here, Toward::There].map(|toward| passes(trials, toward));
    let evidence = |toward| {
        let sent = groups(trials, toward).map(|trial| u64::from(trial.sent));
        let sent = count(sent.sum(), "datagram");
        let unicast = trials
            .iter()
            .find(|trial| !trial.to_group && trial.toward == toward)
            .map_or_else(String::new, |trial| {
                format!("; {} of {} came by unicast", trial.came, trial.sent)
            });
        let sender = Ends { toward, far }.sender().to_owned();
        format!(
            "{sender} sent {sent} to the group, with hop limits up to {MOST_HOPS}, and none came\
             {unicast}"
        )
    };
    if is_blocked(trials, Toward::Here) {
        let finding = Finding::fault(
            Code::NotArriving,
            Proof::Seen,
            format!("{} does not come from {far} to this host", target.ip),
        )
        .because(evidence(Toward::Here));
        let finding = if there {
            finding.because("from here to there the group passes")
        } else if is_blocked(trials, Toward::There) {
            finding.because("from here to there it does not pass either")
        } else {
            finding
        };
        return Some(finding.remedy(format!(
            "where both hosts are on one link, look at the switches (IGMP snooping) and at the \
             firewall of {far}; where a router is between them, it must route multicast"
        )));
    }
    // Of a group with sources, what bears another one on its way is not admitted there.
    let any = target.address.sources().is_empty();
    (here && is_blocked(trials, Toward::There)).then(|| {
        Finding::warning(
            Code::NotArriving,
            Grade::proved_if(any, Proof::Seen),
            format!("{} does not come from this host to {far}", target.ip),
        )
        .because(evidence(Toward::There))
        .because("from there to here the group passes")
        .remedy("if this host is to send: run the doctor on the other one, and serve here")
        .of(Some(far.to_owned()))
    })
}

/// The group falls silent after a while, and comes again when it is joined anew.
fn soaked(target: &Target, soak: &Soak, far: &str) -> Option<Finding> {
    if let Some(silent_after) = soak.silent_after {
        let age = silent_after.as_secs_f64();
        let finding = if soak.revived {
            Finding::fault(
                Code::NoQuerier,
                Doubt::Likely,
                format!("the network forgot the membership after {age:.1} s, since no querier asks for it"),
            )
            .because("the group came again as soon as it was joined anew")
        } else {
            Finding::fault(
                Code::NotArriving,
                Proof::Seen,
                format!("{} ceased to come after {age:.1} s", target.ip),
            )
            .because("joining the group anew did not bring it back")
        };
        return Some(
            finding
                .because(format!(
                    "{age:.1} s after it was joined the group fell silent, while {far} sent on and \
                     its answers came"
                ))
                .remedy(
                    "switch an IGMP querier on, in one switch or router of the segment; on a Linux \
                     bridge: ip link set dev BRIDGE type bridge mcast_querier 1",
                )
                .confirm("sudo tcpdump -ni any igmp or icmp6: do queries come?"),
        );
    }
    let lost = soak.sent.saturating_sub(soak.came);
    (lost > 0).then(|| {
        Finding::warning(
            Code::NotArriving,
            Proof::Seen,
            format!("{lost} of {} datagrams were lost on the way", soak.sent),
        )
        .because(format!(
            "in {:.0} s, without ever ceasing: it is loss, and no membership that ends",
            soak.lasted.as_secs_f64()
        ))
        .remedy("look for loss on the way: errors of interfaces, full queues, radio")
    })
}

/// The length of datagrams where it does not matter.
pub(super) const SHORT: u16 = 200;

/// The highest hop limit that is tried.
pub(super) const MOST_HOPS: u8 = 64;

#[cfg(test)]
mod tests;
