//! What goes wrong on a network: loss, duplicates, firewalls, narrow links.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Host;
use super::namespace::Namespace;

/// Which UDP datagrams a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Each of them.
    All,
    /// So many in a hundred, at random.
    Percent(u8),
    /// The last one of every so many, counted exactly: `Every(10)` strikes the 10th, 20th, 30th.
    Every(u32),
}

/// Where on its way through a host a packet meets a firewall rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// On arrival, before it is decided where it goes.
    Prerouting,
    /// On arrival, when it is for this host.
    Input,
    /// When it is for another host.
    Forward,
    /// On departure. A drop here is no loss: the sender is told `EPERM`.
    Output,
}

/// A rule in the way of packets, a fault or a mere counter.
///
/// It lasts until it is [removed](Self::remove), or until its host or interface is gone.
#[derive(Debug)]
pub struct Rule {
    namespace: Arc<Namespace>,
    /// Family and name.
    table: String,
}

impl Host {
    /// Loses UDP datagrams that arrive at an interface, before the host sees them.
    ///
    /// ```no_run
    /// # use manycast_lab::netns::{Lab, Pick};
    /// # let host = Lab::new().host("a");
    /// let loss = host.lose("eth0", Pick::Percent(10));
    /// // …
    /// println!("{} lost", loss.count());
    /// ```
    #[track_caller]
    pub fn lose(&self, device: &str, pick: Pick) -> Rule {
        let chain = format!("type filter hook ingress device {device} priority 0");
        Rule::add(
            &self.namespace,
            "netdev",
            &chain,
            &format!("meta l4proto udp {pick} counter drop"),
        )
    }

    /// Delivers UDP datagrams to an interface twice, one copy right after the other.
    #[track_caller]
    pub fn duplicate(&self, device: &str, pick: Pick) -> Rule {
        let port = self.port(device);
        let chain = format!("type filter hook egress device {port} priority 0");
        // The copy passes here as well, and the mark keeps it from being counted and copied again.
        // It does not leave the switch: the kernel clears marks between namespaces.
        let rule =
            format!("meta l4proto udp meta mark 0 {pick} meta mark set 1 counter dup to {port}");
        Rule::add(&self.switch_of(device), "netdev", &chain, &rule)
    }

    /// Drops what matches, in the language of `nft`, at a hook of the host's firewall.
    ///
    /// ```no_run
    /// # use manycast_lab::netns::{Hook, Lab};
    /// # let host = Lab::new().host("a");
    /// host.drop_at(Hook::Input, "udp dport 5000");
    /// ```
    #[track_caller]
    pub fn drop_at(&self, hook: Hook, matching: &str) -> Rule {
        let chain = format!("type filter hook {hook} priority 0");
        Rule::add(
            &self.namespace,
            "inet",
            &chain,
            &format!("{matching} counter drop"),
        )
    }

    /// Counts what matches, in the language of `nft`, at a hook of the host's firewall.
    ///
    /// ```no_run
    /// # use manycast_lab::netns::{Hook, Lab};
    /// # let host = Lab::new().host("a");
    /// let queries = host.count_at(Hook::Prerouting, "igmp type membership-query");
    /// // …
    /// assert!(queries.count() > 0);
    /// ```
    #[track_caller]
    pub fn count_at(&self, hook: Hook, matching: &str) -> Rule {
        let chain = format!("type filter hook {hook} priority 0");
        Rule::add(
            &self.namespace,
            "inet",
            &chain,
            &format!("{matching} counter"),
        )
    }

    /// Limits how fast an interface receives: `rate` is in the words of `tc`, such as `10mbit`.
    ///
    /// Frames wait up to 50 ms, and are lost beyond that; up to 32 KiB pass at once.
    #[track_caller]
    pub fn limit_rate(&self, device: &str, rate: &str) {
        let line = format!(
            "qdisc replace dev {} root tbf rate {rate} burst 32kb latency 50ms",
            self.port(device)
        );
        self.switch_of(device).run("tc", &line);
    }
}

impl Rule {
    /// How many packets it has struck.
    #[track_caller]
    pub fn count(&self) -> u64 {
        let listing = self
            .namespace
            .run("nft", &format!("list table {}", self.table));
        let mut words = listing
            .split_whitespace()
            .skip_while(|word| *word != "packets");
        let count = words.nth(1).and_then(|count| count.parse().ok());
        count.unwrap_or_else(|| panic!("no counter in {listing:?}"))
    }

    /// Takes the rule away.
    #[track_caller]
    pub fn remove(self) {
        self.namespace
            .run("nft", &format!("delete table {}", self.table));
    }

    #[track_caller]
    pub(super) fn add(namespace: &Arc<Namespace>, family: &str, chain: &str, rule: &str) -> Self {
        static RULES: AtomicU32 = AtomicU32::new(1);
        let table = format!("{family} lab{}", RULES.fetch_add(1, Ordering::Relaxed));
        namespace.nft(&format!(
            "table {table} {{\nchain faults {{\n{chain}\n{rule}\n}}\n}}\n"
        ));
        Self {
            namespace: Arc::clone(namespace),
            table,
        }
    }
}

impl fmt::Display for Pick {
    /// As an expression of `nft`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::Percent(percent) => write!(f, "numgen random mod 100 < {percent}"),
            Self::Every(count) => write!(f, "numgen inc mod {count} == {}", count - 1),
        }
    }
}

impl fmt::Display for Hook {
    /// As `nft` calls it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
        })
    }
}
