//! What trials between two ends tell.

use std::time::Duration;

use super::checks::count;
use super::{Code, Confidence, Finding, Target};

/// Some datagrams that one end sent to the other, and how many came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// How many were sent.
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
pub struct Soak {
    /// How long.
    pub lasted: Duration,
    /// How many datagrams were sent to the group.
    pub sent: u32,
    /// How many of them came.
    pub came: u32,
    /// When the group fell silent, since it was joined, while the far end still answered.
    pub cut: Option<Duration>,
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

fn groups(trials: &[Trial], toward: Toward) -> impl Iterator<Item = &Trial> {
    trials
        .iter()
        .filter(move |trial| trial.to_group && trial.toward == toward)
}

/// What the trials tell of the way between the two ends.
pub(super) fn findings(target: &Target, trials: &[Trial], soak: Option<&Soak>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for toward in [Toward::Here, Toward::There] {
        findings.extend(hop_limit(target, trials, toward));
        findings.extend(egress(target, trials, toward));
        findings.extend(fragmentation(target, trials, toward));
    }
    findings.extend(one_way(target, trials));
    findings.extend(soak.and_then(|soak| soaked(target, soak)));
    findings
}

const fn sender(toward: Toward) -> &'static str {
    match toward {
        Toward::Here => "the far end",
        Toward::There => "this host",
    }
}

/// Datagrams with a low hop limit are lost, those with a higher one are not.
fn hop_limit(target: &Target, trials: &[Trial], toward: Toward) -> Option<Finding> {
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
            Confidence::proved_if(clear),
            format!(
                "what {} sends needs a hop limit of {}",
                sender(toward),
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
        )),
    )
}

/// The route leads elsewhere, and another interface leads to the other end.
fn egress(target: &Target, trials: &[Trial], toward: Toward) -> Option<Finding> {
    let by_route = groups(trials, toward).filter(|trial| trial.by_route);
    let lost = by_route.max_by_key(|trial| (trial.came, trial.hops))?;
    let other = groups(trials, toward).find(|trial| !trial.by_route && trial.passed())?;
    (!lost.passed()).then(|| {
        Finding::fault(
            Code::EgressOtherInterface,
            Confidence::proved_if(other.is_clear()),
            format!("what {} sends leaves by another interface", sender(toward)),
        )
        .because(format!(
            "by the interface that its route chooses, 0 of {} came; by the one that leads to the \
             other end, {} of {}",
            lost.sent, other.came, other.sent
        ))
        .remedy(format!(
            "let the sender name the interface (IP_MULTICAST_IF, IPV6_MULTICAST_IF), or give the \
             group a route there: ip route add {} dev INTERFACE",
            target.ip
        ))
    })
}

/// Datagrams above a size are lost, those below it are not.
fn fragmentation(target: &Target, trials: &[Trial], toward: Toward) -> Option<Finding> {
    let mut sizes: Vec<&Trial> = groups(trials, toward)
        .filter(|trial| trial.size > SHORT)
        .collect();
    sizes.sort_by_key(|trial| trial.size);
    let lost = sizes.iter().find(|trial| !trial.passed())?;
    let passed = sizes.iter().rev().find(|trial| trial.size < lost.size);
    let largest = passed.map_or(SHORT, |trial| trial.size);
    if !passes(trials, toward) {
        return None;
    }
    let clear = sizes.iter().all(|trial| trial.is_clear());
    Some(
        Finding::fault(
            Code::Fragmentation,
            Confidence::proved_if(clear),
            format!("what {} sends in pieces does not arrive", sender(toward)),
        )
        .because(format!(
            "datagrams of {largest} bytes came, and of {} that had {} bytes none did",
            lost.sent, lost.size
        ))
        .remedy(format!(
            "send at most {} bytes at once, or let fragments pass on the way",
            if target.is_ipv4() { 1472 } else { 1452 }
        )),
    )
}

/// The group passes in one direction only.
fn one_way(target: &Target, trials: &[Trial]) -> Option<Finding> {
    let [here, there] = [Toward::Here, Toward::There].map(|toward| passes(trials, toward));
    let unicast = |toward| {
        let found = trials
            .iter()
            .find(|trial| !trial.to_group && trial.toward == toward);
        found.map_or_else(String::new, |trial| {
            format!("{} of {} came by unicast", trial.came, trial.sent)
        })
    };
    if !here {
        let sent: u64 = groups(trials, Toward::Here)
            .map(|trial| u64::from(trial.sent))
            .sum();
        let finding = Finding::fault(
            Code::NotArriving,
            Confidence::Proved,
            format!("{} does not come from the far end to this host", target.ip),
        )
        .because(format!(
            "the far end sent {} to the group, with hop limits up to 64, and none came; {}",
            count(sent, "datagram"),
            unicast(Toward::Here)
        ))
        .because(if there {
            "from here to there the group passes"
        } else {
            "from here to there it does not pass either"
        })
        .remedy(
            "where both hosts are on one link, look at the switches (IGMP snooping) and at the \
             firewall of the far end; where a router is between them, it must route multicast",
        );
        return Some(finding);
    }
    (!there).then(|| {
        Finding::warning(
            Code::NotArriving,
            Confidence::Proved,
            format!("{} does not come from this host to the far end", target.ip),
        )
        .because(format!(
            "none of what this host sent to the group came; {}",
            unicast(Toward::There)
        ))
        .because("from there to here the group passes")
        .remedy("if this host is to send: run the doctor on the other one, and serve here")
    })
}

/// The group falls silent after a while, and comes again when it is joined anew.
fn soaked(target: &Target, soak: &Soak) -> Option<Finding> {
    if let Some(cut) = soak.cut {
        let age = cut.as_secs_f64();
        let finding = if soak.revived {
            Finding::fault(
                Code::NoQuerier,
                Confidence::Likely,
                format!("the network forgot the membership after {age:.1} s, since no querier asks for it"),
            )
            .because("the group came again as soon as it was joined anew")
        } else {
            Finding::fault(
                Code::NotArriving,
                Confidence::Proved,
                format!("{} ceased to come after {age:.1} s", target.ip),
            )
            .because("joining the group anew did not bring it back")
        };
        return Some(
            finding
                .because(format!(
                    "{age:.1} s after it was joined the group fell silent, while the far end sent on \
                     and its answers came"
                ))
                .remedy(
                    "switch an IGMP querier on, in one switch or router of the segment; on a Linux \
                     bridge: ip link set dev BRIDGE type bridge mcast_querier 1",
                )
                .settle("sudo tcpdump -ni any igmp or icmp6: do queries come?"),
        );
    }
    let lost = soak.sent.saturating_sub(soak.came);
    (lost > 0).then(|| {
        Finding::warning(
            Code::NotArriving,
            Confidence::Proved,
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
