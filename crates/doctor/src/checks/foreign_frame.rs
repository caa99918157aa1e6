//! Frames that IP does not take: those to the MAC address of another host, and those with the tag of
//! a VLAN that is none of this host.

use super::super::apart::sender;
use super::super::between::concerns;
use super::super::proof::Doubt;
use super::super::{CapturedStream, Code, Context, Finding, Frame};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let port = context.target.port;
    if !watched.exact.is_empty() || !watched.wide.is_empty() || watched.obstacle.is_some() {
        return None;
    }
    let Some(captured) = &watched.captured else {
        return by_counter(context);
    };
    if captured.count(port) > 0 {
        return None;
    }
    let stream = captured.foreign.iter().find(|stream| stream.port == port)?;
    (stream.datagrams > super::FEW).then(|| named(context, stream))
}

/// Each frame that was captured bears the tag or the address.
fn named(context: &Context, stream: &CapturedStream) -> Finding {
    let name = context.host.name_of(stream.interface);
    let came = format!(
        "{} from {} came in by {name}",
        super::count(stream.datagrams, "datagram"),
        sender(stream.source)
    );
    // What is sent seldom, in frames that IP takes, does not show.
    let finding = |title| Finding::fault(Code::ForeignFrame, Doubt::Likely, title);
    match stream.frame {
        Frame::Vlan(vlan) => finding(format!(
            "the datagrams come by {name} with the tag of VLAN {vlan}, which is none of this host"
        ))
        .because(format!("{came}, in frames with that tag (IEEE 802.1Q)"))
        .because("IP takes such frames by an interface of that VLAN alone")
        .remedy(format!(
            "let the switch send them without a tag; or make the interface, and listen on it: sudo \
             ip link add link {name} name {name}.{vlan} type vlan id {vlan}; sudo ip link set \
             {name}.{vlan} up"
        )),
        _ => finding(format!(
            "the datagrams come by {name} in frames to the MAC address of another host"
        ))
        .because(format!("{came}, in frames to another host"))
        .because("IP takes frames to the host, to all hosts, and to groups")
        .remedy(
            "let the sender, or the device that makes one host's copy of a group (multicast to \
             unicast), write the address of the group or of this host",
        ),
    }
}

/// Without a capture, the kernel's counter alone tells of them.
fn by_counter(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let mut links = watched.links.iter();
    let link = links
        .find(|link| concerns(context, &link.name) && link.other_host > super::few(watched))?;
    let name = &link.name;
    Some(
        super::of_link(
            Code::ForeignFrame,
            link.other_host,
            link,
            format!(
                "IP does not take what comes by {name}: frames with the tag of a VLAN, or to \
                 another host"
            ),
        )
        .because(format!(
            "{} came by {name} that were not for this host (rx_otherhost_dropped)",
            super::count(link.other_host, "frame")
        ))
        .because("these may be other datagrams than those that were to arrive")
        .confirm(format!(
            "as root, the doctor sees tag and address: sudo manycast doctor {}; or sudo tcpdump \
             -nei {name} udp",
            context.target.address
        )),
    )
}
