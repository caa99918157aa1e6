//! What the rules of this host's firewall did, where this process may read them (`CAP_NET_ADMIN`).

use std::net::{IpAddr, SocketAddr};

use super::Snapshot;
use super::proof::Proof;
use crate::{FirewallRule, firewall_rules, legacy_firewall_tables};

/// The rules that drop or reject and may match datagrams to an address, between two moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// Those that dropped packets meanwhile.
    pub dropped: Vec<RuleDelta>,
    /// Those that do not count, and match each such datagram that comes as far.
    pub certain: Vec<FirewallRule>,
    /// Those that do not count, and may match such datagrams or not.
    pub uncounted: Vec<FirewallRule>,
    /// Those that may translate the destination of such datagrams to another one.
    pub translating: Vec<FirewallRule>,
    /// Those that may drop what IGMP or MLD sends or receives, whether or not they did meanwhile, or
    /// count.
    pub membership: Vec<RuleDelta>,
    /// Which program keeps the rules, where that shows in their names: `ufw` or `firewalld`.
    pub keeper: Option<&'static str>,
    /// The tables of `iptables-legacy` that are in use, whose rules do not show.
    pub legacy: Vec<String>,
}

/// A rule that dropped packets meanwhile. Where something else was counted beside it, which cannot be
/// read at the same moments, it is read shortly before and after each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleDelta {
    /// The rule.
    pub rule: FirewallRule,
    /// So many packets at least.
    pub least: u64,
    /// So many at most.
    pub most: u64,
}

impl RuleDelta {
    /// That it dropped so many, give or take some.
    pub(super) fn proof(&self, packets: u64, some: u64) -> Option<Proof> {
        Proof::counted_between(self.least, self.most, packets, some)
    }

    /// Whether it may have dropped so many, give or take some.
    pub(super) const fn may_be(&self, packets: u64, some: u64) -> bool {
        self.least <= packets + some && packets <= self.most + some
    }
}

/// A way by which datagrams come.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// Who sends them, where that is known.
    pub from: Option<IpAddr>,
    /// The name of the interface, or where that is a port of a bridge, of both.
    pub by: Vec<String>,
}

/// The rules as they were before, and between two moments within.
#[derive(Clone, Debug)]
pub(super) struct RuleCounters {
    before: Vec<FirewallRule>,
    within: [Option<Vec<FirewallRule>>; 2],
    /// What they were at the end, where that was before now.
    until: Option<Vec<FirewallRule>>,
}

impl RuleCounters {
    /// Reads the rules; `None` where this process may not.
    pub(super) fn open() -> Option<Self> {
        let before = firewall_rules().ok()?;
        Some(Self {
            before,
            within: [None, None],
            until: None,
        })
    }

    /// Reads them when what is counted beside them has begun.
    pub(super) fn begin(&mut self) {
        self.within[0] = firewall_rules().ok();
    }

    /// Reads them when what is counted beside them is about to end.
    pub(super) fn end(&mut self) {
        self.within[1] = firewall_rules().ok();
    }

    /// The same between the two moments within alone.
    pub(super) fn within(self) -> Self {
        match self.within {
            [Some(begun), Some(ending)] => Self {
                before: begun,
                within: [None, None],
                until: Some(ending),
            },
            _ => self,
        }
    }

    /// The same of datagrams to `to` that this host sends by whichever interface.
    pub(super) fn close_sent(self, to: SocketAddr, host: &Snapshot) -> Option<Rules> {
        let links = host.interfaces.iter().filter(|link| !link.loopback);
        let by = links.map(|link| link.name.to_string()).collect();
        self.close(to, &[Way { from: None, by }])
    }

    /// Reads them again. They concern datagrams to `to` that come in one of these ways.
    pub(super) fn close(self, to: SocketAddr, ways: &[Way]) -> Option<Rules> {
        let concerned = |rule: &FirewallRule| {
            let may = |way: &Way| way.by.iter().any(|by| rule.may_match(way.from, to, by));
            ways.iter().any(may)
        };
        // In whichever of these ways they come.
        let matches = |rule: &FirewallRule| {
            let does = |way: &Way| way.by.iter().any(|by| rule.matches(way.from, to, by));
            !rule.may_drop && ways.iter().all(does)
        };
        let now = match self.until {
            Some(until) => until,
            None => firewall_rules().ok()?,
        };
        let since = |rule: &FirewallRule| {
            let known = self.before.iter().find(|known| known.is(rule));
            let before = known.and_then(|known| known.packets).unwrap_or_default();
            rule.packets.unwrap_or_default().saturating_sub(before)
        };
        let membership = now
            .iter()
            .filter(|rule| !rule.translates && rule.may_match_membership(to.is_ipv4()));
        let mut rules = Rules {
            membership: membership
                .map(|rule| RuleDelta {
                    rule: rule.clone(),
                    least: 0,
                    most: since(rule),
                })
                .collect(),
            legacy: legacy_firewall_tables(to.is_ipv4()),
            keeper: keeper(&now),
            ..Rules::default()
        };
        for rule in now.into_iter().filter(concerned) {
            let packets_in = |rules: &[FirewallRule]| {
                let known = rules.iter().find(|known| known.is(&rule));
                known.and_then(|known| known.packets).unwrap_or_default()
            };
            match rule.packets {
                _ if rule.translates => rules.translating.push(rule),
                None if matches(&rule) => rules.certain.push(rule),
                None => rules.uncounted.push(rule),
                Some(packets) => {
                    let most = packets.saturating_sub(packets_in(&self.before));
                    let least = match &self.within {
                        [Some(begun), Some(ending)] => {
                            packets_in(ending).saturating_sub(packets_in(begun))
                        }
                        _ => most,
                    };
                    if most > 0 {
                        rules.dropped.push(RuleDelta { rule, least, most });
                    }
                }
            }
        }
        Some(rules)
    }
}

/// Who keeps these rules, by the names that it gives.
fn keeper(rules: &[FirewallRule]) -> Option<&'static str> {
    let names = [
        ("firewalld", "firewalld"),
        ("ufw-", "ufw"),
        ("ufw6-", "ufw"),
    ];
    let named = |rule: &FirewallRule, prefix: &str| {
        rule.table.starts_with(prefix) || rule.chain.starts_with(prefix)
    };
    names
        .iter()
        .find(|(prefix, _)| rules.iter().any(|rule| named(rule, prefix)))
        .map(|(_, keeper)| *keeper)
}
