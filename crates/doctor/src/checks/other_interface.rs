//! The group is joined on one interface, and arrives on another.

use std::collections::BTreeSet;

use super::super::apart::sender;
use super::super::proof::{Doubt, Grade, Proof};
use super::super::{Code, Context, Finding, Flow, Program};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let target = &context.target;
    if let Some(program) = &context.program {
        return of_program(context, program);
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

/// None of the sockets of a program receives what comes, and it comes by none of the interfaces on which
/// they are members.
fn of_program(context: &Context, program: &Program) -> Option<Finding> {
    let (host, group) = (&context.host, context.target.ip);
    let joined = program.memberships().filter(|own| own.group == group);
    let here: BTreeSet<u32> = joined
        .map(|own| own.interface)
        .filter(|index| host.interface(*index).is_some())
        .collect();
    if here.is_empty() {
        return None;
    }
    let coming = context.coming();
    if coming.is_empty() && context.watched.as_ref()?.obstacle.is_some() {
        return by_loopback_alone(context, &here, &program.name);
    }
    let reaches = |flow: &Flow| here.contains(&flow.interface.index);
    if coming.iter().any(reaches) || program.gets_any(&coming, host) {
        return None;
    }
    let flow = coming.first()?;
    let there = super::list(here.iter().map(|index| host.name_of(*index)));
    let name = &program.name;
    Some(finding(
        // What comes does not reach it, whatever else may come.
        Proof::Seen.into(),
        flow,
        &there,
        format!("{name} is a member on {there} alone"),
        format!(
            "let {name} join {group} on {}, by index or by its address, and not on the unspecified one",
            flow.interface
        ),
    ))
}

/// A member on loopback and nowhere else, where it is not known what comes by which interface.
fn by_loopback_alone(context: &Context, here: &BTreeSet<u32>, program: &str) -> Option<Finding> {
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
        .because("it is a member there, and on no other interface")
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
        sender(flow.source),
        flow.interface
    ))
    .because(evidence)
    .remedy(remedy)
}
