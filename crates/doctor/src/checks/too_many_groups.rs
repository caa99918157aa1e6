//! A socket that holds as many groups as it may.

use manycast_net::ErrorKind;

use super::super::proof::Proof;
use super::super::{Code, Context, Finding};

const LIMIT: &str = "net.ipv4.igmp_max_memberships";

pub(super) fn run(context: &Context) -> Option<Finding> {
    let limit = context.host.number(LIMIT);
    if let Some(obstacle) = context.watched.as_ref().and_then(|w| w.obstacle.as_ref())
        && obstacle.kind == ErrorKind::LimitReached
    {
        return Some(
            Finding::fault(
                Code::TooManyGroups,
                Proof::Kernel,
                "the kernel lets no socket join one more group",
            )
            .because(obstacle.text.clone())
            .because(format!("{LIMIT} is {}", limit.unwrap_or_default()))
            .remedy(format!("sudo sysctl -w {LIMIT}=100")),
        );
    }
    let (program, group) = (context.program.as_ref()?, context.target.ip);
    let limit = limit.filter(|_| group.is_ipv4())?;
    // A program may have further sockets for further groups.
    if program.memberships().any(|own| own.group == group) {
        return None;
    }
    program.sockets.iter().find_map(|found| {
        let memberships = found.memberships.as_ref()?;
        let held = memberships
            .iter()
            .filter(|membership| membership.group.is_ipv4())
            .count() as u64;
        (held >= limit).then(|| {
            Finding::fault(
                Code::TooManyGroups,
                Proof::Kernel,
                format!("{} has joined as many groups as one socket may", program.name),
            )
            .because(format!(
                "its socket {} is a member of {}, and {LIMIT} is {limit}; {group} is not among them",
                found.socket.local,
                super::count(held, "group")
            ))
            .remedy(format!(
                "let the program use a second socket for further groups; or: sudo sysctl -w {LIMIT}=100"
            ))
        })
    })
}
