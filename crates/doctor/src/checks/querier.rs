//! Memberships that the network forgets: nobody asks for them, or this host does not answer.

use std::time::Duration;

use crate::FirewallRule;

use super::super::ceased::has_ceased;
use super::super::proof::Doubt;
use super::super::{Code, Context, Finding, Querier, Watched};
use super::firewall_igmp::{is_reported, rule_of_membership};
use super::{interface, not_arriving, sender, times};

/// Who watched for so long heard a querier, unless it is set to ask less often: RFC 9776 §8.2 and RFC 3810
/// §9.2 say 125 s.
const ASKED: Duration = Duration::from_secs(130);

/// What an answer of this host has done in the network is seen by then.
const HEEDED: Duration = Duration::from_secs(1);

/// A stream that ceases after a while, and comes again when the group is joined anew.
pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let ceased = has_ceased(watched) && interface::lost(context).is_none();
    if !ceased {
        return None;
    }
    let last = watched.exact.iter().map(|flow| flow.last).max()?;
    let age = last.as_secs_f64();
    let evidence = format!(
        "the last datagram came {age:.1} s after {} was joined",
        context.target.ip
    );
    let was_member = context.host.is_member(context.target.ip);
    let is_forgotten = watched.revived == Some(true) || was_member;
    if let (Some(querier), true) = (unheeded(context, watched), is_forgotten) {
        let title =
            format!("the network forgot the membership after {age:.1} s, although it is asked for");
        return Some(unanswered(context, watched, querier, title, evidence));
    }
    if context.program.is_some() {
        return None;
    }
    if watched.revived != Some(true) && was_member {
        return Some(
            // The sender may have stopped, as in the case below.
            Finding::warning(
                Code::NotArriving,
                Doubt::Possible,
                format!("nothing came any more after {age:.1} s, and why cannot be seen"),
            )
            .because(evidence)
            .because(
                "another program of this host is a member too, so that joining the group anew told \
                 no switch of it: the sender may have stopped, or the network has forgotten the \
                 membership",
            )
            .confirm(format!(
                "stop the other program, and: manycast doctor {}; do queries come, and reports go: \
                 sudo tcpdump -ni any igmp or icmp6",
                context.target.address
            )),
        );
    }
    if watched.revived != Some(true) {
        return Some(
            Finding::warning(
                Code::NothingSent,
                Doubt::Possible,
                format!("nothing came any more after {age:.1} s"),
            )
            .because(evidence)
            .because("joining the group anew did not bring it back: the sender may have stopped"),
        );
    }
    let came_again = "it came again as soon as the group was joined anew";
    if let Some(querier) = heard(context, watched).find(|querier| {
        let heeded = |at: Duration| at > last + HEEDED && at + HEEDED < watched.lasted;
        querier.answered.is_some_and(heeded)
    }) {
        return Some(
            Finding::fault(
                Code::NotArriving,
                Doubt::Likely,
                format!(
                    "the network forgot the membership after {age:.1} s, although this host tells of it"
                ),
            )
            .because(evidence)
            .because(came_again)
            .because(format!(
                "{}, and a report of this host left since then",
                asked(querier)
            ))
            .remedy(
                [
                    vec!["look at the switch next to this host: which groups it knows at its port".to_owned()],
                    not_arriving::snooping(context),
                ]
                .concat()
                .join("; "),
            ),
        );
    }
    let finding = no_querier(format!(
        "the network forgot the membership after {age:.1} s, since no querier asks for it"
    ))
    .because(evidence)
    .because(came_again)
    .because("the kernel's tables say that the host was a member all the time");
    if watched.captured.is_none() {
        return Some(finding.confirm(
            "whether queries come and are dropped here (firewall-drops-igmp): \
             sudo tcpdump -ni any igmp or icmp6",
        ));
    }
    let mut heard = heard(context, watched).peekable();
    if heard.peek().is_none() {
        return Some(finding.because("not one query was captured on the wire meanwhile"));
    }
    Some(heard.fold(finding, |finding, querier| {
        finding.because(format!(
            "{}, and not any more after {:.1} s",
            asked(querier),
            querier.last.as_secs_f64()
        ))
    }))
}

/// Nothing comes to a host that was a member before. That it joins once more tells no switch of it, so
/// what tells is whether somebody asks for memberships, and whether this host answers.
pub(super) fn of_member(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let program = context.program.as_ref();
    let receives = program.is_none_or(|program| sender::receives(context, program));
    if !receives || !may_be_forgotten(context) {
        return None;
    }
    if !watched.exact.is_empty() || !watched.wide.is_empty() {
        return None;
    }
    let Some(captured) = &watched.captured else {
        return discarded(context, watched);
    };
    if !captured.streams.is_empty() || !captured.foreign.is_empty() {
        return None;
    }
    let group = context.target.ip;
    let evidence = format!(
        "this host is a member of {group}, and not one datagram to it was captured on the wire"
    );
    if let Some(querier) = unheeded(context, watched) {
        let title = "this host does not answer who asks for memberships, so switches forget it";
        let finding = unanswered(context, watched, querier, title.to_owned(), evidence);
        return Some(finding);
    }
    if watched.lasted < ASKED || heard(context, watched).next().is_some() {
        return None;
    }
    let title = "no querier asks for memberships, so that switches forget that of this host";
    Some(
        no_querier(title.to_owned())
            .because(evidence)
            .because(format!(
                "not one query was captured on the wire in {:.0} s, and queriers ask every 125 s",
                watched.lasted.as_secs_f64()
            ))
            .confirm(format!(
                "{}: where it comes then, this was it",
                not_arriving::report_anew(context)
            )),
    )
}

/// What counters tell of MLD: queries came to it, and of what this host sent none was a report, and as many
/// packets were thrown away. Of IGMP there are none.
fn discarded(context: &Context, watched: &Watched) -> Option<Finding> {
    let moved = |name| watched.counters.get(name);
    let reports = moved("Icmp6OutMLDv2Reports") + moved("Icmp6OutGroupMembResponses");
    let queries = moved("Icmp6InGroupMembQueries");
    let thrown_away = moved("Ip6OutDiscards");
    // The time for the last answer may not be over.
    let are_lost = !context.target.is_ipv4() && queries > 1 && thrown_away + 1 >= queries;
    if !are_lost || reports > 0 {
        return None;
    }
    let title =
        "this host's answers to who asks for memberships do not leave, so switches forget it";
    let finding = Finding::fault(Code::FirewallDropsIgmp, Doubt::Likely, title);
    let finding = finding.because(format!(
        "{queries} queries for memberships came (Icmp6InGroupMembQueries), no report was counted as sent \
         (Icmp6OutMLDv2Reports), and {thrown_away} of what this host sends was thrown away (Ip6OutDiscards)"
    ));
    Some(rule_of_membership(
        context,
        finding,
        FirewallRule::is_outward,
        "output",
    ))
}

/// Whether this host was a member before, on a link on which switches may forget it.
pub(in super::super) fn may_be_forgotten(context: &Context) -> bool {
    let target = &context.target;
    let named = target.interface.as_ref();
    let mut joined = context.host.joined.iter();
    let on_link = joined.any(|joined| {
        let at = context.host.interface(joined.interface.index);
        joined.group == target.ip
            && at.is_some_and(|at| !at.loopback)
            && named.is_none_or(|named| named.index == joined.interface.index)
    });
    target.is_group() && on_link && is_reported(context) && not_arriving::is_pruned(target.ip)
}

/// Who was heard asking for memberships, by the interfaces where this host is a member.
pub(super) fn heard<'a>(
    context: &'a Context,
    watched: &'a Watched,
) -> impl Iterator<Item = &'a Querier> {
    let before = context.host.joined.iter();
    let before = before.filter(|joined| joined.group == context.target.ip);
    let joined: Vec<u32> = before
        .map(|joined| joined.interface.index)
        .chain(watched.joined.iter().map(|link| link.index))
        .collect();
    let queriers = watched.captured.iter();
    let queriers = queriers.flat_map(|captured| &captured.queriers);
    // A port of a bond captures what the bond captures, and answers nothing.
    let speaks = |querier: &&Querier| context.host.at_ip(querier.interface) == querier.interface;
    queriers.filter(move |querier| joined.contains(&querier.interface) && speaks(querier))
}

/// One that asked last without an answer.
fn unheeded<'a>(context: &'a Context, watched: &'a Watched) -> Option<&'a Querier> {
    heard(context, watched).find(|querier| querier.unanswered > 0)
}

/// `10.0.0.1 asked 3 times for memberships, in version 3`.
pub(super) fn asked(querier: &Querier) -> String {
    format!(
        "{} asked {} for memberships, in version {}",
        querier.source,
        times(querier.asked),
        querier.version
    )
}

/// Queries come, and the host does not answer them.
fn unanswered(
    context: &Context,
    watched: &Watched,
    querier: &Querier,
    title: String,
    evidence: String,
) -> Finding {
    let finding = Finding::fault(Code::FirewallDropsIgmp, Doubt::Likely, title).because(evidence);
    let finding = if watched.revived == Some(true) {
        finding.because("it came again as soon as the group was joined anew")
    } else {
        finding
    };
    let finding = finding.because(format!(
        "{}; {}, no report left {} in the time that it gives",
        asked(querier),
        times(querier.unanswered),
        context.host.name_of(querier.interface)
    ));
    rule_of_membership(context, finding, |_| true, "input or the output")
}

fn no_querier(title: String) -> Finding {
    Finding::fault(
        Code::NoQuerier,
        // That no query came proves nothing: it may have been kept from here as well.
        Doubt::Likely,
        title,
    )
    .remedy(
        "switch an IGMP querier on, in one switch or router of the segment; on a Linux bridge: \
             sudo ip link set dev BRIDGE type bridge mcast_querier 1",
    )
}
