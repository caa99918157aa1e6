//! The group is joined on one interface, and arrives on another.

use super::super::proof::{Doubt, Grade, Proof};
use super::super::{Code, Context, Finding, Flow, ProgramSocket};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let target = &context.target;
    let group = target.ip;
    if let Some(program) = &context.program {
        let coming = context.coming();
        return program.sockets.iter().find_map(|found| {
            let here: Vec<u32> = found
                .memberships
                .as_ref()?
                .iter()
                .filter(|membership| membership.group == group)
                .map(|membership| membership.interface)
                .filter(|index| context.host.interface(*index).is_some())
                .collect();
            if here.is_empty() {
                return None;
            }
            if coming.is_empty() && watched.obstacle.is_some() {
                return by_loopback_alone(context, found, &here, &program.name);
            }
            let reaches = |flow: &&Flow| here.contains(&flow.interface.index);
            let flow = coming.iter().find(|flow| !reaches(flow))?;
            if coming.iter().any(|flow| reaches(&flow)) {
                return None;
            }
            let there = super::list(here.iter().map(|index| context.host.name_of(*index)));
            Some(finding(
                // What comes does not reach it, whatever else may come.
                Proof::Seen.into(),
                flow,
                &there,
                format!(
                    "the socket {} of {} is a member on {there} alone",
                    found.socket.local, program.name
                ),
                format!(
                    "let {} join {group} on {}, by index or by its address, and not on the \
                     unspecified one",
                    program.name, flow.interface
                ),
            ))
        });
    }
    context.vain()?;
    let named = target.interface.as_ref()?;
    let mut received = watched.wide.iter();
    let flow = received.find(|flow| {
        flow.interface.index != named.index && target.sources.admits(flow.source.ip())
    });
    let captured = context.lost_elsewhere();
    let flow = flow.or(captured.as_ref())?;
    let better = target
        .address
        .clone()
        .on(manycast_types::InterfaceSelector::Name(
            flow.interface.to_string(),
        ));
    Some(finding(
        // By the interface that was asked for, it may come seldom.
        Doubt::Likely.into(),
        flow,
        &named.to_string(),
        format!(
            "nothing came in on {named} in {:.1} s",
            watched.lasted.as_secs_f64()
        ),
        format!("listen on {}: {better}", flow.interface),
    ))
}

/// A member on loopback and nowhere else, where it is not known what comes by which interface.
fn by_loopback_alone(
    context: &Context,
    found: &ProgramSocket,
    here: &[u32],
    program: &str,
) -> Option<Finding> {
    let loopback = |index: &u32| {
        let interface = context.host.interface(*index);
        interface.is_some_and(|interface| interface.loopback)
    };
    let group = context.target.ip;
    here.iter().all(loopback).then(|| {
        Finding::fault(
            Code::JoinedOnOtherInterface,
            Doubt::Likely,
            format!(
                "{program} has joined {group} on loopback alone, where nothing comes from outside"
            ),
        )
        .because(format!(
            "its socket {} is a member there, and on no other interface",
            found.socket.local
        ))
        .remedy(format!(
            "let it join {group} on the interface that it comes in by, by index or by its address"
        ))
    })
}

fn finding(
    grade: Grade,
    flow: &Flow,
    joined_on: &str,
    evidence: String,
    remedy: String,
) -> Finding {
    let group = flow.destination.ip();
    Finding::fault(
        Code::JoinedOnOtherInterface,
        grade,
        format!(
            "{group} is joined on {joined_on}, and comes in on {}",
            flow.interface
        ),
    )
    .because(format!(
        "{} from {} came in on {} once it was joined there",
        super::count(flow.datagrams, "datagram"),
        flow.source,
        flow.interface
    ))
    .because(evidence)
    .remedy(remedy)
}
