//! An interface that throws away what comes, before IP has it.

use super::super::between::concerns;
use super::super::{Code, Context, Finding};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let captured = watched.captured.as_ref();
    let arrives = captured.is_some_and(|captured| captured.count(context.target.port) > 0);
    if !watched.exact.is_empty() || !watched.wide.is_empty() || arrives {
        return None;
    }
    let mut links = watched.links.iter();
    let link = links.find(|link| concerns(context, &link.name) && link.dropped > super::FEW)?;
    let name = &link.name;
    let mut interfaces = context.host.interfaces.iter();
    let mtu = interfaces.find(|found| *found.name == **name)?.mtu;
    Some(
        super::of_link(
            Code::InterfaceDrops,
            link.dropped,
            link,
            format!("{name} throws away what comes, before IP has it"),
        )
        .because(format!(
            "{name} dropped {} (rx_dropped)",
            super::count(link.dropped, "packet")
        ))
        .because(format!(
            "so it does with frames that are longer than its MTU, which is {mtu}; with protocols \
             that this host does not know; and for want of memory"
        ))
        .remedy(format!(
            "where senders write longer frames, give {name} their MTU: sudo ip link set {name} mtu \
             9000; or let them write at most {} bytes at once",
            mtu.saturating_sub(if context.target.is_ipv4() { 28 } else { 48 })
        ))
        .confirm(format!(
            "ip -s -s link show dev {name}; sudo ethtool -S {name}"
        )),
    )
}
