//! Datagrams whose destination is translated to another one before UDP has them.

use crate::FirewallRule;

use super::super::proof::{Doubt, Proof};
use super::super::{Code, Context, Finding, Translation, Watched};
use super::firewall_counters;

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    if watched.obstacle.is_some() {
        return None;
    }
    by_connection(context, watched)
        .or_else(|| by_rule(context, watched))
        .or_else(|| by_counters(context, watched))
}

/// Whether a rule drops them or a translation does, counters do not tell.
fn by_counters(context: &Context, watched: &Watched) -> Option<Finding> {
    firewall_counters::lost_at_prerouting(context, watched).then(|| {
        Finding::warning(
            Code::NatRedirect,
            Doubt::Possible,
            "a translation of addresses may take away what is lost at the prerouting hook",
        )
        .because("where the kernel finds no address to translate to, it drops them")
        .confirm(format!(
            "as root, the doctor sees the rules: sudo manycast doctor {}",
            context.target.address
        ))
    })
}

/// The kernel's table of connections says so.
fn by_connection(context: &Context, watched: &Watched) -> Option<Finding> {
    let own = |translation: &&Translation| context.host.has(translation.source.ip());
    let found = watched.translations.iter().find(|found| !own(found))?;
    let received = watched.exact.iter().chain(&watched.wide);
    let mut received = received.map(|flow| flow.source.ip());
    if received.any(|source| source == found.source.ip()) {
        return None;
    }
    let finding = Finding::fault(
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
    .because("so they are no datagrams to the group any more when UDP has them");
    Some(mended(context, watched, finding))
}

/// A rule translates, and what is captured does not come: the kernel drops what it finds no address
/// for.
fn by_rule(context: &Context, watched: &Watched) -> Option<Finding> {
    let lost = context.lost_of_target();
    translating(watched).next()?;
    (lost > super::FEW).then(|| {
        let finding = Finding::fault(
            Code::NatRedirect,
            Doubt::Likely,
            format!(
                "a translation of addresses takes away what comes to {}",
                context.target.ip
            ),
        )
        .because(format!(
            "{} to that address and port came in by the wire, and none further",
            super::count(lost, "datagram")
        ))
        .because("where the kernel finds no address to translate to, it drops them");
        mended(context, watched, finding)
    })
}

fn translating(watched: &Watched) -> impl Iterator<Item = &FirewallRule> {
    let rules = watched.rules.iter().flat_map(|rules| &rules.translating);
    rules.filter(|rule| rule.is_inward())
}

/// Names the rule, and takes it away.
fn mended(context: &Context, watched: &Watched, finding: Finding) -> Finding {
    let forget = format!(
        "sudo conntrack -D -p udp --orig-port-dst {}",
        context.target.port
    );
    let finding = finding.confirm("sudo nft -a list ruleset; sudo conntrack -L -p udp");
    let mut rules = translating(watched);
    match rules.next() {
        Some(rule) => {
            let alone = rules.next().is_none();
            let pass = format!("{} accept", context.target.as_rule());
            finding
                .because(format!("{rule} may match them"))
                .remedy(format!(
                    "{}; what was translated goes on until it is forgotten: {forget}",
                    super::firewall_rule::mended(rule, &pass, alone)
                ))
        }
        None => finding.remedy(format!(
            "take the rule away that translates (type nat, at the prerouting hook), or let it leave \
             groups alone; what was translated goes on until it is forgotten: {forget}"
        )),
    }
}
