//! A querier of an old version, which makes the host forget sources towards the network.

use manycast_types::{InterfaceId, SourceFilter};

use super::super::proof::Proof;
use super::super::{Code, Context, Finding};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let target = &context.target;
    let asked = match &context.program {
        None => matches!(&target.sources, SourceFilter::Include(_)),
        Some(program) => program
            .sockets
            .iter()
            .flat_map(|found| found.memberships.iter().flatten())
            .any(|membership| {
                membership.group == target.ip
                    && matches!(membership.sources, SourceFilter::Include(_))
            }),
    };
    if !asked {
        return None;
    }
    let concerned = |interface: &InterfaceId| {
        target
            .interface
            .as_ref()
            .is_none_or(|named| named.index == interface.index)
    };
    if target.is_ipv4() {
        let old = context.host.joined.iter().find(|joined| {
            concerned(&joined.interface) && joined.igmp_version.is_some_and(|v| v < 3)
        })?;
        let (name, version) = (&old.interface.name, old.igmp_version?);
        let forced = forced(context, name);
        let finding = Finding::fault(
            Code::OldQuerier,
            Proof::Kernel,
            format!("sources are not told to the network on {name}: it speaks IGMPv{version}"),
        )
        .because(format!(
            "/proc/net/igmp has V{version} in the column Querier of {name}"
        ));
        return Some(match forced {
            Some((setting, value)) => finding
                .because(format!("{setting} is {value}"))
                .remedy(format!("sudo sysctl -w {setting}=0")),
            None => queriers(context, finding)
                .because(
                    "a querier of that version was seen, and hosts follow it (RFC 9776 §7.2.1)",
                )
                .remedy(
                    "set the querier, a router or switch of that link, to IGMPv3; until then the \
                     network forwards all sources of the group",
                ),
        });
    }
    let moved = &context.watched.as_ref()?.joining;
    // RFC 3810 §8.2.1: hosts send them only where a querier of MLDv1 was seen.
    let old = moved.get("Icmp6OutGroupMembResponses");
    (old > 0).then(|| {
        let finding = Finding::fault(
            Code::OldQuerier,
            Proof::Kernel,
            "sources are not told to the network: this host speaks MLDv1",
        )
        .because(format!(
            "{} of MLDv1 left while the group was joined",
            super::count(old, "report")
        ));
        let mut links = context.host.interfaces.iter();
        match links.find_map(|link| forced(context, &link.name)) {
            Some((setting, value)) => finding
                .because(format!("{setting} is {value}"))
                .remedy(format!("sudo sysctl -w {setting}=0")),
            None => queriers(context, finding)
                .remedy("set the querier, a router or switch of that link, to MLDv2"),
        }
    })
}

/// The setting by which this host itself speaks an old version on an interface, if so.
fn forced(context: &Context, interface: &str) -> Option<(String, u64)> {
    let (version, name) = if context.target.is_ipv4() {
        ("ipv4", "force_igmp_version")
    } else {
        ("ipv6", "force_mld_version")
    };
    ["all", interface].iter().find_map(|place| {
        let setting = format!("net.{version}.conf.{place}.{name}");
        let value = context.host.number(&setting).filter(|value| *value > 0)?;
        Some((setting, value))
    })
}

/// Adds who asks in which version, where that was captured.
fn queriers(context: &Context, finding: Finding) -> Finding {
    let captured = context.watched.iter().flat_map(|watched| &watched.captured);
    captured.flat_map(|captured| &captured.queriers).fold(
        finding,
        |finding, (querier, version, _)| {
            finding.because(format!(
                "captured on the wire: {querier} asks in version {version}"
            ))
        },
    )
}
