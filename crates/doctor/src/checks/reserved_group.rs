//! A group in a range that has another purpose.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::proof::Proof;
use super::super::{Code, Context, Finding};

pub(super) fn run(context: &Context) -> Option<Finding> {
    match context.target.ip {
        IpAddr::V4(group) if group.is_multicast() => ipv4(group),
        IpAddr::V6(group) if group.is_multicast() => ipv6(group),
        _ => None,
    }
}

fn ipv4(group: Ipv4Addr) -> Option<Finding> {
    let [a, b, c, d] = group.octets();
    // RFC 5771 §4. The groups of mDNS and LLMNR are of the range, and meant for applications.
    if [a, b, c] == [224, 0, 0] && ![251, 252].contains(&d) {
        return Some(
            Finding::fault(
                Code::ReservedGroup,
                Proof::Standard,
                format!("{group} is reserved for the protocols of routers and hosts"),
            )
            .because("no router forwards 224.0.0.0/24, and switches flood it (RFC 5771 §4)")
            .remedy(format!(
                "use a group of your own, such as 239.192.{}.{d}",
                c | 1
            )),
        );
    }
    // RFC 1112 §6.4: the Ethernet address has the last 23 bits of the group.
    ([b & 0x7f, c] == [0, 0] && (a, b) != (224, 0)).then(|| {
        Finding::warning(
            Code::ReservedGroup,
            Proof::Standard,
            format!("{group} has the Ethernet address of 224.0.0.{d}, which switches flood"),
        )
        .because(format!(
            "both map to 01:00:5e:00:00:{d:02x} (RFC 1112 §6.4)"
        ))
        .remedy(format!("use a group of your own, such as 239.192.1.{d}"))
    })
}

fn ipv6(group: Ipv6Addr) -> Option<Finding> {
    let [0xff, second, rest @ ..] = group.octets() else {
        return None;
    };
    let (flags, scope) = (second >> 4, second & 0x0f);
    let nodes = rest[..13].iter().all(|byte| *byte == 0) && rest[13] <= 2;
    // RFC 4291 §2.7 and §2.7.1.
    let why = match (flags, scope) {
        (_, 0 | 0xf) => "its scope is a reserved one (RFC 4291 §2.7)",
        (0, _) if nodes => "it is for all nodes or all routers (RFC 4291 §2.7.1)",
        _ => return None,
    };
    Some(
        Finding::fault(
            Code::ReservedGroup,
            Proof::Standard,
            format!("{group} is reserved"),
        )
        .because(why)
        .remedy("use a transient group of your own, such as ff15::4d63:1"),
    )
}
