//! What the rules of this host's firewall did, where this process may read them (`CAP_NET_ADMIN`).

use std::net::SocketAddr;

use manycast_net::{FirewallRule, firewall_rules, legacy_firewall_tables};

/// The rules that drop or reject and may strike datagrams to an address, between two moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Those that struck packets meanwhile, and how many.
    pub struck: Vec<(FirewallRule, u64)>,
    /// Those that do not count, and strike each such datagram that comes as far.
    pub certain: Vec<FirewallRule>,
    /// Those that do not count, and may strike such datagrams or not.
    pub uncounted: Vec<FirewallRule>,
    /// Which program keeps the rules, where that shows in their names: `ufw` or `firewalld`.
    pub keeper: Option<&'static str>,
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
        let strikes = |rule: &FirewallRule| {
            interfaces
                .iter()
                .any(|interface| rule.strikes(to, interface))
        };
        let now = firewall_rules().ok()?;
        let mut rules = Rules {
            legacy: legacy_firewall_tables(to.is_ipv4()),
            keeper: keeper(&now),
            ..Rules::default()
        };
        for rule in now.into_iter().filter(concerned) {
            let before = self.0.iter().find(|before| before.is(&rule));
            match rule.packets {
                None if strikes(&rule) => rules.certain.push(rule),
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
