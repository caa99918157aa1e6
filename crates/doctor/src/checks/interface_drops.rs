//! An interface that throws away what comes, before IP has it.

use super::super::between::concerns;
use super::super::proof::Doubt;
use super::super::{Code, Context, Finding};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let captured = watched.captured.as_ref();
    let arrives = captured.is_some_and(|captured| captured.count(context.target.port) > 0);
    if !watched.exact.is_empty() || !watched.wide.is_empty() || arrives {
        return None;
    }
    let mut links = watched.links.iter();
    let few = super::few(watched);
    let link = links.find(|link| concerns(context, &link.name) && link.dropped > few)?;
    let name = &link.name;
    let mut interfaces = context.host.interfaces.iter();
    let mtu = interfaces.find(|found| *found.name == **name)?.mtu;
    Some(
        finding(
            link.dropped > link.received + few,
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

/// Frames of a protocol that nobody here knows, such as those of switches, are counted as received and as
/// dropped. What is dropped beyond that never came so far: it is too long, or there was no memory.
fn finding(is_beyond: bool, title: String) -> Finding {
    if is_beyond {
        Finding::fault(Code::InterfaceDrops, Doubt::Likely, title)
    } else {
        Finding::warning(Code::InterfaceDrops, Doubt::Possible, title)
    }
}
