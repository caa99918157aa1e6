//! The datagrams come from another source than was asked for.

use manycast_types::{Address, SourceFilter};

use super::super::proof::{Doubt, Grade, Proof};
use super::super::{Code, Context, Finding, Flow};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let target = &context.target;
    if let Some(program) = &context.program {
        let coming = context.coming();
        return program.sockets.iter().find_map(|found| {
            let memberships: Vec<_> = found
                .memberships
                .as_ref()?
                .iter()
                .filter(|membership| membership.group == target.ip)
                .collect();
            if memberships.is_empty() {
                return None;
            }
            let admitted = |flow: &Flow| {
                memberships.iter().any(|membership| {
                    membership.interface == flow.interface.index
                        && membership.sources.admits(flow.source.ip())
                })
            };
            if coming.iter().any(admitted) {
                return None;
            }
            let (flow, membership) = coming.iter().find_map(|flow| {
                let same =
                    |m: &&&super::super::SocketMembership| m.interface == flow.interface.index;
                memberships.iter().find(same).map(|found| (flow, found))
            })?;
            Some(finding(
                // What comes does not reach it, whatever else may come.
                Proof::Seen.into(),
                flow,
                &program.name,
                &membership.sources,
                format!("let {} join {}", program.name, better(context, flow)),
            ))
        });
    }
    context.vain()?;
    if context.lost_streams().next().is_some() {
        // They do come from it, and do not get far.
        return None;
    }
    let flow = watched
        .wide
        .iter()
        .find(|flow| !target.sources.admits(flow.source.ip()))?;
    let remedy = format!("if that is the sender you mean: {}", better(context, flow));
    // The source that was asked for may send seldom.
    Some(finding(
        Doubt::Likely.into(),
        flow,
        "you",
        &target.sources,
        remedy,
    ))
}

/// The address with the source that was seen.
fn better(context: &Context, flow: &Flow) -> String {
    let plain: Address = std::net::SocketAddr::new(context.target.ip, context.target.port).into();
    format!("{}@{plain}", flow.source.ip())
}

fn finding(grade: Grade, flow: &Flow, who: &str, asked: &SourceFilter, remedy: String) -> Finding {
    let (SourceFilter::Include(sources) | SourceFilter::Exclude(sources)) = asked;
    let what = match asked {
        SourceFilter::Include(_) => format!("asked for {}", super::list(sources)),
        SourceFilter::Exclude(_) => format!("asked for all but {}", super::list(sources)),
    };
    Finding::fault(
        Code::WrongSource,
        grade,
        format!(
            "the datagrams come from {}, and {who} {what}",
            flow.source.ip()
        ),
    )
    .because(format!(
        "{} from {} came in on {} once any source was admitted, and none of those asked for",
        super::count(flow.datagrams, "datagram"),
        flow.source,
        flow.interface
    ))
    .remedy(remedy)
}
