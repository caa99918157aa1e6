//! What stands before IP on each link: programs of XDP, filters of tc, and what the link itself took
//! away. Anybody may ask for all of it (`rtnetlink(7)`).

use std::collections::BTreeMap;
use std::io;

use manycast_net::netlink::{Connection, Request, attributes, text, u32_at};

/// What stands on a link before IP, and what was taken away there since the counters began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkState {
    /// The name of the interface.
    pub name: String,
    /// How a program of XDP is attached, where one is, as `ip link` names it: `xdpdrv`, `xdpgeneric`,
    /// `xdpoffload`, or `xdp` where there are several.
    pub xdp: Option<&'static str>,
    /// Where filters of tc may stand at the ingress: how many packets they have dropped.
    pub ingress: Option<u64>,
    /// Frames that came in.
    pub received: u64,
    /// How many bytes these have, without their headers where the link is a bridge.
    pub bytes: u64,
    /// Packets that the driver dropped: too long for the MTU, of no protocol that is known here, for
    /// want of memory.
    pub dropped: u64,
    /// Packets that IP did not take, since they were sent to the MAC address of another host, or bear
    /// the tag of a VLAN that is none of this host.
    pub other_host: u64,
}

/// `<linux/rtnetlink.h>`, `<linux/if_link.h>`, `<linux/pkt_sched.h>`, `<linux/gen_stats.h>`.
const RTM_GETLINK: u16 = 18;
const RTM_GETQDISC: u16 = 38;
const IFLA_IFNAME: u16 = 3;
const IFLA_STATS64: u16 = 23;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_ATTACHED: u16 = 2;
const TCA_KIND: u16 = 1;
const TCA_STATS2: u16 = 7;
const TCA_STATS_QUEUE: u16 = 3;

/// `struct ifinfomsg`: family, padding, type (2), index (4), flags (4), change (4).
const LINK_HEADER: usize = 16;
/// `struct tcmsg`: family, padding (3), index (4), handle (4), parent (4), information (4).
const QDISC_HEADER: usize = 20;
const INDEX: usize = 4;

/// Numbers of `struct rtnl_link_stats64`, eight bytes each. Older kernels have fewer.
const RX_PACKETS: usize = 0;
const RX_BYTES: usize = 2;
const RX_DROPPED: usize = 6;
const RX_OTHER_HOST: usize = 24;

/// The state of all links of the network namespace of this thread.
pub(crate) fn links() -> io::Result<Vec<LinkState>> {
    let mut route = Connection::open(libc::NETLINK_ROUTE)?;
    let qdiscs = route.list(&Request::new(RTM_GETQDISC, &[0; QDISC_HEADER]), |message| {
        let index = u32_at(message.payload, INDEX)?;
        Some((index, ingress_drops(message.payload)?))
    })?;
    let drops: BTreeMap<u32, u64> = qdiscs.into_iter().collect();
    route.list(&Request::new(RTM_GETLINK, &[0; LINK_HEADER]), |message| {
        let index = u32_at(message.payload, INDEX)?;
        let link = link(message.payload)?;
        Some(LinkState {
            ingress: drops.get(&index).copied(),
            ..link
        })
    })
}

/// How many packets the filters at the ingress have dropped, where this qdisc is there for them.
pub(crate) fn ingress_drops(payload: &[u8]) -> Option<u64> {
    let (mut ingress, mut drops) = (false, 0);
    for (kind, value) in attributes(payload, QDISC_HEADER) {
        match kind {
            TCA_KIND => ingress = ["ingress", "clsact"].contains(&text(value).as_str()),
            TCA_STATS2 => {
                let queue = attributes(value, 0).find(|(kind, _)| *kind == TCA_STATS_QUEUE);
                // Length, backlog, drops.
                drops = queue.and_then(|(_, queue)| u32_at(queue, 8)).unwrap_or(0);
            }
            _ => {}
        }
    }
    ingress.then_some(drops.into())
}

/// One link, without what qdiscs tell.
pub(crate) fn link(payload: &[u8]) -> Option<LinkState> {
    let mut link = LinkState::default();
    for (kind, value) in attributes(payload, LINK_HEADER) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_XDP => {
                let mut attached = attributes(value, 0);
                let attached = attached.find(|(kind, _)| *kind == IFLA_XDP_ATTACHED);
                // `XDP_ATTACHED_NONE`, `_DRV`, `_SKB`, `_HW`, `_MULTI`.
                link.xdp = attached.and_then(|(_, mode)| match mode.first()? {
                    0 => None,
                    1 => Some("xdpdrv"),
                    2 => Some("xdpgeneric"),
                    3 => Some("xdpoffload"),
                    _ => Some("xdp"),
                });
            }
            IFLA_STATS64 => {
                let count = |number: usize| {
                    let eight = value.get(number * 8..)?.first_chunk()?;
                    Some(u64::from_ne_bytes(*eight))
                };
                link.received = count(RX_PACKETS).unwrap_or(0);
                link.bytes = count(RX_BYTES).unwrap_or(0);
                link.dropped = count(RX_DROPPED).unwrap_or(0);
                link.other_host = count(RX_OTHER_HOST).unwrap_or(0);
            }
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

/// What was taken away since `earlier`.
pub(crate) fn since(now: Vec<LinkState>, earlier: &[LinkState]) -> Vec<LinkState> {
    let grown = |now: LinkState| {
        let before = earlier.iter().find(|before| before.name == now.name);
        let before = before.cloned().unwrap_or_default();
        LinkState {
            ingress: now
                .ingress
                .map(|drops| drops.saturating_sub(before.ingress.unwrap_or(0))),
            received: now.received.saturating_sub(before.received),
            bytes: now.bytes.saturating_sub(before.bytes),
            dropped: now.dropped.saturating_sub(before.dropped),
            other_host: now.other_host.saturating_sub(before.other_host),
            ..now
        }
    };
    now.into_iter().map(grown).collect()
}
