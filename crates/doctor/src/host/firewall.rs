//! The rules of this host's firewall that drop or reject packets (`nft(8)`), and what they counted.

pub(crate) mod linux;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use self::linux::Condition;
use manycast_net::{Error, Operation};

/// A rule of nftables that drops or may drop, rejects or translates the destination, or the policy of a
/// chain that drops.
///
/// Those that `iptables` and `ip6tables` make are among them, where they are those of nftables
/// (`iptables -V` says `nf_tables`); those of `iptables-legacy` are not to be seen here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirewallRule {
    /// The family of its table, as `nft` names it: `ip`, `ip6`, `inet`, `netdev`, `bridge`, `arp`.
    pub family: &'static str,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The hook of the chain, as `nft` names it, such as `input`; `None` where it has none and
    /// other chains jump to it.
    pub hook: Option<&'static str>,
    /// The number of the rule; `None` for the policy of the chain.
    pub handle: Option<u64>,
    /// Whether the sender is told (`reject`).
    pub rejects: bool,
    /// Whether it does not drop, but translates the destination to another one (`dnat`, `redirect`).
    pub translates: bool,
    /// Whether it may drop or let pass, by what is not to be seen here: a map of verdicts (`vmap`), or a
    /// program to which it hands them (`queue`).
    pub may_drop: bool,
    /// How many packets it has dropped; `None` where it does not count them.
    pub packets: Option<u64>,
    /// What it asks of a packet, as far as it is understood.
    conditions: Vec<Condition>,
    /// Whether it asks for more than that.
    asks_more: bool,
}

impl FirewallRule {
    /// Whether it may match a UDP datagram to this address that comes in by the interface of this
    /// name, and from this source, where that is known; where it asks for more than is understood here,
    /// it may.
    pub fn may_match(&self, from: Option<IpAddr>, to: SocketAddr, interface: &str) -> bool {
        let may = |condition: &Condition| condition.holds(from, to, interface) != Some(false);
        self.is_of_family(to) && self.conditions.iter().all(may)
    }

    /// Whether it matches each such datagram that comes as far.
    pub fn matches(&self, from: Option<IpAddr>, to: SocketAddr, interface: &str) -> bool {
        let does = |condition: &Condition| condition.holds(from, to, interface) == Some(true);
        !self.asks_more && self.is_of_family(to) && self.conditions.iter().all(does)
    }

    /// Whether it may match what IGMP (for IPv4) or MLD (for IPv6) sends and receives.
    pub fn may_match_membership(&self, ipv4: bool) -> bool {
        let family = match self.family {
            "ip" => ipv4,
            "ip6" => !ipv4,
            family => family == "inet",
        };
        let may = |condition: &Condition| condition.holds_for_membership(ipv4) != Some(false);
        family && self.conditions.iter().all(may)
    }

    /// Whether it matches all that comes as far, as the last rule of a chain often does.
    pub(crate) fn matches_all(&self) -> bool {
        !self.asks_more && self.conditions.is_empty()
    }

    fn is_of_family(&self, to: SocketAddr) -> bool {
        match self.family {
            "ip" => to.is_ipv4(),
            "ip6" => to.is_ipv6(),
            "inet" | "netdev" | "bridge" => true,
            _ => false,
        }
    }

    /// Whether it stands where packets come in, or where only other chains lead to.
    pub(crate) fn is_inward(&self) -> bool {
        matches!(self.hook, None | Some("ingress" | "prerouting" | "input"))
    }

    /// Whether it stands where packets go out, or where only other chains lead to.
    pub(crate) fn is_outward(&self) -> bool {
        matches!(self.hook, None | Some("output" | "postrouting" | "egress"))
    }

    /// Whether it is the same rule, whatever it counted.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.family, self.handle) == (other.family, other.handle)
            && (&self.table, &self.chain) == (&other.table, &other.chain)
    }

    /// The chain as `nft` takes it: `inet filter input`.
    pub fn place(&self) -> String {
        format!("{} {} {}", self.family, self.table, self.chain)
    }
}

impl fmt::Display for FirewallRule {
    /// Writes `rule 7 of inet filter input (drop)`, or `the policy of inet filter input (drop)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.handle {
            Some(handle) => write!(f, "rule {handle} of {}", self.place())?,
            None => write!(f, "the policy of {}", self.place())?,
        }
        f.write_str(match self {
            Self { may_drop: true, .. } => " (by a map or a program)",
            Self {
                translates: true, ..
            } => " (translation)",
            Self { rejects: true, .. } => " (reject)",
            _ => " (drop)",
        })
    }
}

/// Lists the rules that drop, reject or translate the destination, of the network namespace of the calling thread.
///
/// Not understood are verdicts that come from maps (`vmap`) or from programs (`queue`), and counters that
/// have a name: a rule with the former [may drop](FirewallRule::may_drop), one that counts by the latter
/// does not count here.
///
/// # Errors
///
/// [`PermissionDenied`](manycast_net::ErrorKind::PermissionDenied) without `CAP_NET_ADMIN`, and when the
/// kernel has no nftables.
///
/// ```
/// match manycast_doctor::firewall_rules() {
///     Ok(rules) => rules.iter().for_each(|rule| println!("{rule}: {:?}", rule.packets)),
///     Err(error) => println!("{error}"),
/// }
/// ```
pub fn firewall_rules() -> Result<Vec<FirewallRule>, Error> {
    linux::rules().map_err(|error| Error::new(Operation::List, "the rules of the firewall", error))
}

/// The tables of `iptables-legacy` (or `ip6tables-legacy`) that are in use, whose rules are not
/// among [`firewall_rules`]; none where this user may not know of them.
pub fn legacy_firewall_tables(ipv4: bool) -> Vec<String> {
    let name = if ipv4 {
        "ip_tables_names"
    } else {
        "ip6_tables_names"
    };
    let path = Path::new("/proc/thread-self/net").join(name);
    let names = fs::read_to_string(path).unwrap_or_default();
    names.lines().map(str::to_owned).collect()
}
