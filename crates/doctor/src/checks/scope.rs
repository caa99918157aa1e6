//! A group that means another place on each link, and no link is named.

use std::net::IpAddr;

use manycast_types::needs_zone;

use super::super::proof::Proof;
use super::super::{Code, Context, Finding};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let target = &context.target;
    let IpAddr::V6(group) = target.ip else {
        return None;
    };
    let missing =
        group.is_multicast() && needs_zone(IpAddr::V6(group)) && target.interface.is_none();
    missing.then(|| {
        let links: Vec<_> = context
            .host
            .interfaces
            .iter()
            .filter(|interface| interface.can_multicast() && !interface.loopback)
            .collect();
        let first = links.first().map_or("eth0", |interface| &*interface.name);
        Finding::fault(
            Code::ScopeMissing,
            Proof::Standard,
            format!("{group} is another group on each link, and no link is named"),
        )
        .because(format!(
            "its scope is a single link (RFC 4291 §2.7); this host has {}: {}",
            super::count(links.len() as u64, "link"),
            super::list(links.iter().map(|interface| &interface.name))
        ))
        .because("without a zone, Linux chooses one and says nothing")
        .remedy(format!("write [{group}%{first}]:{}", target.port))
    })
}
