//! Datagrams whose destination is translated to another one before UDP has them.

use super::super::proof::Proof;
use super::super::{Code, Context, Finding};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let own = |translation: &&crate::Translation| context.host.has(translation.source.ip());
    let found = watched.translations.iter().find(|found| !own(found))?;
    let received = watched.exact.iter().chain(&watched.wide);
    let mut received = received.map(|flow| flow.source.ip());
    if received.any(|source| source == found.source.ip()) || watched.obstacle.is_some() {
        return None;
    }
    Some(
        Finding::fault(
            Code::NatRedirect,
            Proof::Kernel,
            format!(
                "a translation of addresses turns what comes to {} into datagrams to {}",
                found.from, found.to
            ),
        )
        .because(format!(
            "the kernel's table of connections says so of what {} sends",
            found.source
        ))
        .because("so they are no datagrams to the group any more when UDP has them")
        .remedy(format!(
            "take the rule away ('sudo nft -a list ruleset', type nat, hook prerouting), or let it \
             leave groups alone; then forget what was translated: sudo conntrack -D -p udp \
             --orig-port-dst {}",
            found.from.port()
        ))
        .confirm("sudo conntrack -L -p udp"),
    )
}
