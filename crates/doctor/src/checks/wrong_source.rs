//! The datagrams come from another source than was asked for.

use manycast_types::{Address, SourceFilter};

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

/// None of the sockets of a program receives what comes, since they are members for other sources.
fn of_program(context: &Context, program: &Program) -> Option<Finding> {
    let coming = context.coming();
    let by = |flow: &Flow| {
        let (group, index) = (context.target.ip, flow.interface.index);
        let joined = program.memberships();
        joined.filter(move |own| (own.group, own.interface) == (group, index))
    };
    let admitted = |flow: &Flow| by(flow).any(|own| own.sources.admits(flow.source.ip()));
    if coming.iter().any(admitted) || program.gets_any(&coming, &context.host) {
        return None;
    }
    let flow = coming.iter().find(|flow| by(flow).next().is_some())?;
    let asked = by(flow).fold(SourceFilter::Include(Vec::new()), |all, own| {
        match (all, own.sources.clone()) {
            (SourceFilter::Include(mut all), SourceFilter::Include(more)) => {
                all.extend(more);
                SourceFilter::Include(all)
            }
            (all @ SourceFilter::Exclude(_), _) | (_, all) => all,
        }
    });
    Some(finding(
        // What comes does not reach it, whatever else may come.
        Proof::Seen.into(),
        flow,
        &program.name,
        &asked,
        format!("let {} join {}", program.name, better(context, flow)),
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
        sender(flow.source),
        flow.interface
    ))
    .remedy(remedy)
}
