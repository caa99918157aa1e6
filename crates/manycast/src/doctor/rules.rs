//! What the rules of this host's firewall did, where this process may read them (`CAP_NET_ADMIN`).

use std::net::SocketAddr;

use manycast_net::{FirewallRule, firewall_rules, legacy_firewall_tables};

/// The rules that drop or reject and may strike datagrams to an address, between two moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Those that struck packets meanwhile, and how many.
    pub struck: Vec<(FirewallRule, u64)>,
    /// Those that do not count what they strike.
    pub uncounted: Vec<FirewallRule>,
    /// The tables of `iptables-legacy` that are in use, whose rules do not show.
    pub legacy: Vec<String>,
}

/// The rules as they were before.
#[derive(Debug)]
pub(super) struct Ledger(Vec<FirewallRule>);

impl Ledger {
    /// Reads the rules; `None` where this process may not.
    pub(super) fn open() -> Option<Self> {
        firewall_rules().ok().map(Self)
    }

    /// Reads them again. They concern datagrams to `to` that come in by one of these interfaces.
    pub(super) fn close(self, to: SocketAddr, interfaces: &[&str]) -> Option<Rules> {
        let concerned = |rule: &FirewallRule| {
            interfaces
                .iter()
                .any(|interface| rule.may_strike(to, interface))
        };
        let mut rules = Rules {
            legacy: legacy_firewall_tables(to.is_ipv4()),
            ..Rules::default()
        };
        for rule in firewall_rules().ok()?.into_iter().filter(concerned) {
            let before = self.0.iter().find(|before| before.is(&rule));
            match rule.packets {
                None => rules.uncounted.push(rule),
                Some(packets) => {
                    let before = before.and_then(|before| before.packets).unwrap_or_default();
                    let moved = packets.saturating_sub(before);
                    if moved > 0 {
                        rules.struck.push((rule, moved));
                    }
                }
            }
        }
        Some(rules)
    }
}
