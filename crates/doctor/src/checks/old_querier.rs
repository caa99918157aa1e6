//! A querier of an old version, which makes the host forget sources towards the network.

use manycast_net::{Interface, JoinedGroup};
use manycast_types::SourceFilter;

use super::super::context::setting;
use super::super::proof::{Doubt, Grade, Proof};
use super::super::{Code, Context, Finding, Flow, Severity};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let target = &context.target;
    let is_wanted = |sources: &SourceFilter| matches!(sources, SourceFilter::Include(_));
    let asked = match &context.program {
        None => is_wanted(&target.sources),
        Some(program) => program
            .memberships()
            .any(|own| own.group == target.ip && is_wanted(&own.sources)),
    };
    if !asked {
        return None;
    }
    // Where it comes, it is of no matter what is spoken elsewhere.
    let flows = context.coming_or_received();
    let concerned = |index: u32| {
        let by = |flow: &Flow| flow.interface.index == index;
        let named = target.interface.as_ref();
        (flows.is_empty() || flows.iter().any(by)) && named.is_none_or(|named| named.index == index)
    };
    let finding = if target.is_ipv4() {
        of_igmp(context, concerned)
    } else {
        of_mld(context, concerned)
    }?;
    Some(if context.received() > 0 {
        Finding {
            severity: Severity::Warning,
            ..finding
        }
    } else {
        finding
    })
}

/// The kernel tells which version it speaks on each interface.
fn of_igmp(context: &Context, concerned: impl Fn(u32) -> bool) -> Option<Finding> {
    let joined = || {
        let joined = context.host.joined.iter();
        joined.filter(|joined| concerned(joined.interface.index))
    };
    let is_old = |joined: &JoinedGroup| joined.igmp_version.is_some_and(|version| version < 3);
    let old = joined().find(|joined| is_old(joined))?;
    let by_another = joined().any(|joined| {
        let link = context.host.interface(joined.interface.index);
        joined.igmp_version.is_some() && !is_old(joined) && link.is_some_and(|link| !link.loopback)
    });
    let (name, version) = (&old.interface.name, old.igmp_version?);
    let finding = finding(
        by_another,
        format!("sources are not told to the network on {name}: it speaks IGMPv{version}"),
    )
    .because(format!(
        "/proc/net/igmp has V{version} in the column Querier of {name}"
    ));
    Some(match forced(context, name) {
        Some((setting, value)) => of_setting(finding, &setting, value),
        None => queriers(context, finding)
            .because("a querier of that version was seen, and hosts follow it (RFC 9776 §7.2.1)")
            .remedy(
                "set the querier, a router or switch of that link, to IGMPv3; until then the \
                 network forwards all sources of the group",
            ),
    })
}

/// The kernel counts reports of the old version, of all interfaces together.
fn of_mld(context: &Context, concerned: impl Fn(u32) -> bool) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    // RFC 3810 §8.2.1: hosts send them only where a querier of MLDv1 was seen.
    let old = watched.joining.get("Icmp6OutGroupMembResponses");
    let joined = watched.joined.iter();
    let links = joined.filter_map(|id| context.host.interface(id.index));
    let links = links.filter(|link| !link.loopback);
    let (here, elsewhere): (Vec<_>, Vec<_>) = links.partition(|link| concerned(link.index));
    let first = |links: &[&Interface]| links.iter().find_map(|link| forced(context, &link.name));
    let set = first(&here);
    if old == 0 || set.is_none() && first(&elsewhere).is_some() {
        return None;
    }
    let by_another = match &set {
        Some(_) => here
            .iter()
            .any(|link| forced(context, &link.name).is_none()),
        None => here.len() + elsewhere.len() > 1,
    };
    let finding = finding(
        by_another,
        "sources are not told to the network: this host speaks MLDv1".to_owned(),
    )
    .because(format!(
        "{} of MLDv1 left while the group was joined",
        super::count(old, "report")
    ));
    Some(match set {
        Some((setting, value)) => of_setting(finding, &setting, value),
        None => queriers(context, finding)
            .remedy("set the querier, a router or switch of that link, to MLDv2"),
    })
}

/// Where the datagrams may come by an interface of the new version as well, it explains nothing.
fn finding(by_another: bool, title: String) -> Finding {
    let grade = if by_another {
        Grade::from(Doubt::Possible)
    } else {
        Proof::Kernel.into()
    };
    Finding::fault(Code::OldQuerier, grade, title)
}

fn of_setting(finding: Finding, setting: &str, value: u64) -> Finding {
    finding
        .because(format!("{setting} is {value}"))
        .remedy(format!("sudo sysctl -w {setting}=0"))
}

/// The setting by which this host itself speaks an old version on an interface, if so.
fn forced(context: &Context, interface: &str) -> Option<(String, u64)> {
    let ipv4 = context.target.is_ipv4();
    let name = if ipv4 {
        "force_igmp_version"
    } else {
        "force_mld_version"
    };
    ["all", interface].iter().find_map(|place| {
        let setting = setting(ipv4, place, name);
        let value = context.host.number(&setting).filter(|value| *value > 0)?;
        Some((setting, value))
    })
}

/// Adds who asks in which version, where that was captured.
fn queriers(context: &Context, finding: Finding) -> Finding {
    let captured = context.watched.iter().flat_map(|watched| &watched.captured);
    let queriers = captured.flat_map(|captured| &captured.queriers);
    queriers.fold(finding, |finding, querier| {
        finding.because(format!(
            "captured on the wire: {} asks in version {}",
            querier.source, querier.version
        ))
    })
}
