//! A source-specific group without a source.

use std::net::IpAddr;

use manycast_types::SourceFilter;

use super::super::proof::Proof;
use super::super::{Code, Context, Finding};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let target = &context.target;
    let (group, port) = (target.ip, target.port);
    // RFC 4607 §1.
    let (range, specific) = match group {
        IpAddr::V4(group) => ("232.0.0.0/8", group.octets()[0] == 232),
        IpAddr::V6(group) => (
            "ff3x::/32",
            group.segments()[0] & 0xfff0 == 0xff30 && group.segments()[1] == 0,
        ),
    };
    let named = matches!(&target.sources, SourceFilter::Include(sources) if !sources.is_empty());
    (specific && !named).then(|| {
        let written = if group.is_ipv4() {
            format!("SOURCE@{group}:{port}")
        } else {
            format!("SOURCE@[{group}]:{port}")
        };
        Finding::fault(
            Code::SourceMissing,
            Proof::Standard,
            format!("{group} is a source-specific group, and no source is named"),
        )
        .because(format!(
            "routers forward {range} only for members that name a source (RFC 4607); the kernel \
             does not complain"
        ))
        .remedy(format!("name who sends: {written}"))
    })
}
