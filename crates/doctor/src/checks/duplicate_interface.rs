//! Two interfaces on one segment.

use super::super::proof::Proof;
use super::super::{Code, Context, Finding, Flow};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let flows: Vec<_> = match &context.program {
        None => watched.exact.clone(),
        // The program may be a member on one of them alone.
        Some(program) => {
            let coming = watched.wide.iter();
            let reaches = |flow: &&Flow| {
                let mut sockets = program.sockets.iter();
                sockets.any(|found| found.gets(flow, &context.host))
            };
            coming.filter(reaches).cloned().collect()
        }
    };
    let alike = |a: u64, b: u64| a >= 3 && b >= 3 && a.abs_diff(b) <= 1 + a.max(b) / 20;
    let (one, other) = flows.iter().enumerate().find_map(|(index, one)| {
        let twin = flows[index + 1..].iter().find(|other| {
            other.is_like(one)
                && other.interface.index != one.interface.index
                // What a router forwarded has fewer hops left, and is on another segment.
                && one.hops == other.hops
                && alike(one.datagrams, other.datagrams)
        })?;
        Some((one, twin))
    })?;
    let (first, second) = (&one.interface, &other.interface);
    Some(
        Finding::fault(
            Code::DuplicateInterface,
            Proof::Seen,
            format!("each datagram comes twice: by {first} and by {second}"),
        )
        .because(format!(
            "from {} came {} by {first} and {} by {second}",
            one.source,
            super::count(one.datagrams, "datagram"),
            other.datagrams
        ))
        .remedy(format!(
            "listen on one of them: {}; or take one from the segment",
            context
                .target
                .address
                .clone()
                .on(manycast_types::InterfaceSelector::Name(first.to_string()))
        )),
    )
}
