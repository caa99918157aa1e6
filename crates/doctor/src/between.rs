//! What lies between two points of this host at which datagrams are seen, and whether it can be seen
//! itself.
//!
//! ```text
//! link → XDP → capture → tc, ingress hook, bridge → IP → prerouting hook, conntrack, NAT
//!      → routing → input hook → UDP → filter of the control group, of the socket → socket
//! ```

use super::checks::list;
use super::{Context, Watched};

/// Where datagrams are seen, in the order in which they come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Point {
    /// The interface counts them (`/proc/net/dev`).
    Link,
    /// A packet socket is given them, with the privilege for it.
    Capture,
    /// IP counts them (`Ip.InReceives`, `Ip6InReceives`).
    Ip,
    /// IP counts those to groups (`IpExt.InMcastPkts`, `Ip6InMcastPkts`).
    Multicast,
    /// IP hands them on (`Ip.InDelivers`, `Ip6InDelivers`).
    Delivered,
    /// The socket has them.
    Socket,
}

/// Something between two points that may take datagrams away, or change them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unseen {
    /// What it is, in a few words.
    pub what: String,
    /// The command that shows what it does.
    pub command: String,
}

/// What lies between two points and cannot be seen from here: what is known not to be there, or is
/// counted, is left out.
pub(crate) fn unseen(context: &Context, from: Point, to: Point) -> Vec<Unseen> {
    let mut found = Vec::new();
    let Some(watched) = &context.watched else {
        return found;
    };
    let mut lies = |before: Point, behind: Point, what: String, command: String| {
        if from <= before && behind <= to {
            found.push(Unseen { what, command });
        }
    };
    let links = &watched.links;
    for link in links.iter().filter(|link| concerns(context, &link.name)) {
        let name = &link.name;
        if link.xdp.is_some() {
            lies(
                Point::Link,
                Point::Capture,
                format!("an XDP program of {name}"),
                format!("sudo bpftool net list dev {name}"),
            );
        }
        if link.ingress.is_some() {
            lies(
                Point::Capture,
                Point::Ip,
                format!("filters of tc at the ingress of {name}"),
                format!("sudo tc -s filter show dev {name} ingress"),
            );
        }
    }
    let rules = watched.rules.as_ref();
    if rules.is_none() {
        // Ingress hooks of nftables are among the rules, and programs of tcx show to nobody else.
        lies(
            Point::Capture,
            Point::Ip,
            "rules at the ingress hook".to_owned(),
            "sudo nft list ruleset; sudo bpftool net".to_owned(),
        );
        lies(
            Point::Ip,
            Point::Multicast,
            "rules at the prerouting hook, and the translation of addresses".to_owned(),
            "sudo nft list ruleset; sudo conntrack -L -p udp".to_owned(),
        );
        lies(
            Point::Multicast,
            Point::Delivered,
            "rules at the input hook".to_owned(),
            "sudo nft list ruleset".to_owned(),
        );
    }
    if let Some(rules) = rules
        && !rules.legacy.is_empty()
    {
        lies(
            Point::Ip,
            Point::Delivered,
            format!("iptables-legacy (tables {})", list(&rules.legacy)),
            "sudo iptables-legacy-save --counters".to_owned(),
        );
    }
    if filters_sockets(watched) {
        lies(
            Point::Delivered,
            Point::Socket,
            "filters of sockets and of control groups".to_owned(),
            "sudo bpftool cgroup tree; ss -uanm".to_owned(),
        );
    }
    found
}

/// Sockets of others may have filters, and the kernel tells of them to nobody.
const fn filters_sockets(watched: &Watched) -> bool {
    watched.obstacle.is_some()
}

/// Whether datagrams for the target may come by the interface of this name.
pub(crate) fn concerns(context: &Context, name: &str) -> bool {
    let named = context.target.interface.as_ref();
    name != "lo" && named.is_none_or(|named| &*named.name == name)
}

/// What cannot be seen, as one sentence; `None` where all can.
pub(crate) fn told(unseen: &[Unseen]) -> Option<String> {
    (!unseen.is_empty()).then(|| {
        let what = unseen.iter().map(|unseen| &unseen.what);
        format!("not to be seen from here: {}", list(what))
    })
}
