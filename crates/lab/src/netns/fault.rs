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

/// How fast an interface receives; see [`Host::limit_rate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// In bits a second.
    pub rate: u64,
    /// How many bytes pass at once after a pause. A longer frame never passes.
    pub burst: u32,
    /// How many bytes wait at most, in whole frames; what comes beyond that is dropped.
    pub queue: u32,
}

impl RateLimit {
    /// A rate in bits a second, with bursts of 32 KiB, and with a queue as long as what passes in
    /// 50 ms and a burst.
    pub fn new(rate: u64) -> Self {
        let burst = 32 * 1024;
        let queue = u32::try_from(rate / 160).unwrap_or(u32::MAX);
        Self {
            rate,
            burst,
            queue: queue.saturating_add(burst),
        }
    }
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

    /// Loses what the host sends by an interface and what matches, in the language of `nft`, at the
    /// switch's port: no host notices, as it would if it lost them itself.
    ///
    /// ```no_run
    /// # use manycast_lab::netns::Lab;
    /// # let host = Lab::new().host("a");
    /// host.lose_sent("eth0", "ip daddr 239.1.2.3");
    /// ```
    #[track_caller]
    pub fn lose_sent(&self, device: &str, matching: &str) -> Rule {
        let port = self.port(device);
        let chain = format!("type filter hook ingress device {port} priority 0");
        let rule = format!("{matching} counter drop");
        Rule::add(&self.switch_of(device), "netdev", &chain, &rule)
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

    /// Limits how fast an interface receives, by a token bucket at the switch's port
    /// (`tc-tbf(8)`), until its device is gone or another limit takes the place of this one.
    ///
    /// ```no_run
    /// # use manycast_lab::netns::{Lab, RateLimit};
    /// # let host = Lab::new().host("a");
    /// host.limit_rate("eth0", RateLimit::new(10_000_000));
    /// // …
    /// println!("{} dropped", host.dropped_by_limit("eth0"));
    /// ```
    #[track_caller]
    pub fn limit_rate(&self, device: &str, limit: RateLimit) {
        let RateLimit { rate, burst, queue } = limit;
        let line = format!(
            "qdisc replace dev {} root tbf rate {rate}bit burst {burst}b limit {queue}b",
            self.port(device)
        );
        self.switch_of(device).run("tc", &line);
    }

    /// Splits, at the switch's port, what a sender gave the kernel as one (GSO): each datagram arrives at an
    /// interface by itself, and can be lost by itself.
    ///
    /// ```no_run
    /// # let host = manycast_lab::netns::Lab::new().host("a");
    /// host.receive_singly("eth0");
    /// ```
    #[track_caller]
    pub fn receive_singly(&self, device: &str) {
        let line = format!("link set dev {} gso_max_segs 1", self.port(device));
        self.switch_of(device).run("ip", &line);
    }

    /// How many frames the [limit](Self::limit_rate) of an interface has dropped, because the queue
    /// was full.
    #[track_caller]
    pub fn dropped_by_limit(&self, device: &str) -> u64 {
        let line = format!("-statistics qdisc show dev {} root", self.port(device));
        let listing = self.switch_of(device).run("tc", &line);
        let mut words = listing
            .split_whitespace()
            .skip_while(|word| *word != "(dropped");
        let count = words.nth(1).map(|count| count.trim_end_matches(','));
        let count = count.and_then(|count| count.parse().ok());
        count.unwrap_or_else(|| panic!("no count of drops in {listing:?}"))
    }
}

impl Rule {
    /// How many packets it has struck.
    #[track_caller]
    pub fn count(&self) -> u64 {
        self.counter("packets")
    }

    /// How long all packets were that it has struck, in bytes with the headers of IP.
    #[track_caller]
    pub fn bytes(&self) -> u64 {
        self.counter("bytes")
    }

    #[track_caller]
    fn counter(&self, name: &str) -> u64 {
        let listing = self
            .namespace
            .run("nft", &format!("list table {}", self.table));
        let mut words = listing.split_whitespace().skip_while(|word| *word != name);
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
        Self::of_table(namespace, &table)
    }

    /// What counts in a table with one counter.
    pub(super) fn of_table(namespace: &Arc<Namespace>, table: &str) -> Self {
        Self {
            namespace: Arc::clone(namespace),
            table: table.to_owned(),
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
