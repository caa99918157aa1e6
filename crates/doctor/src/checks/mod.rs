//! One check a file: each a function of what was recorded.

mod below_ip;
mod bound;
mod buffer;
mod checksum;
mod conntrack;
mod cross_talk;
mod duplicate_interface;
mod firewall;
mod firewall_igmp;
mod firewall_part;
mod firewall_rule;
mod foreign_frame;
mod forwarding;
mod fragmentation;
mod interface;
mod interface_drops;
mod loopback;
mod loss;
mod martian;
mod membership;
mod nat;
mod not_arriving;
mod old_querier;
mod other_interface;
mod port_in_use;
mod querier;
mod reserved_group;
mod reverse_path;
mod route;
mod scope;
mod sender;
mod source_missing;
pub(super) mod surroundings;
mod too_many_groups;
pub(super) mod vrf;
mod wrong_port;
mod wrong_source;

use super::{Confidence, Context, Finding, Severity};

/// A check: what it found, if anything.
type Check = fn(&Context) -> Option<Finding>;

const CHECKS: [Check; 45] = [
    route::run,
    loopback::run,
    forwarding::run,
    interface::run,
    fragmentation::run,
    loss::run,
    below_ip::run,
    foreign_frame::run,
    interface_drops::run,
    surroundings::contained,
    surroundings::wireless,
    firewall_igmp::run,
    querier::run,
    reverse_path::run,
    martian::run,
    reserved_group::run,
    scope::run,
    source_missing::run,
    too_many_groups::run,
    membership::run,
    membership::unknown,
    other_interface::run,
    wrong_source::run,
    old_querier::run,
    duplicate_interface::run,
    vrf::run,
    conntrack::run,
    nat::run,
    firewall::run,
    firewall_part::run,
    port_in_use::run,
    checksum::run,
    wrong_port::run,
    wrong_port::of_program,
    sender::run,
    bound::to_unicast,
    bound::to_other_group,
    bound::to_other_version,
    bound::to_device,
    bound::to_peer,
    cross_talk::run,
    buffer::overflow,
    buffer::filter,
    buffer::overflow_elsewhere,
    buffer::capped,
];

/// What keeps an address from being listened on, as far as the host's state tells.
pub(super) fn obstacles(context: &Context) -> Vec<Finding> {
    interface::run(context).into_iter().collect()
}

/// Everything that is found. That nothing arrives is what is left where nothing explains it.
pub(super) fn all(context: &Context) -> Vec<Finding> {
    let mut findings: Vec<_> = CHECKS.iter().filter_map(|check| check(context)).collect();
    let explains = |finding: &Finding| {
        finding.severity == Severity::Fault && finding.confidence <= Confidence::Likely
    };
    let explained = findings.iter().any(explains);
    if !explained {
        findings.extend(not_arriving::run(context));
    }
    if !findings
        .iter()
        .any(|finding| finding.severity == Severity::Fault)
    {
        findings.extend(not_arriving::unexplained(context));
    }
    findings
}

/// How many packets that are not wanted come to a quiet host, or through a switch that prunes: of
/// protocols that it floods, such as the search for routers.
const FEW: u64 = 5;

/// Whether two counts are as good as equal: they are not read at the same moment, and on a host that
/// is busy something comes in between.
const fn alike(one: u64, other: u64) -> bool {
    one.abs_diff(other) <= slack(if one > other { one } else { other })
}

/// By how much counts may differ for that reason.
const fn slack(count: u64) -> u64 {
    3 + count / 32
}

/// `1 datagram`, `2 datagrams`.
pub(super) fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// Names with commas between them.
pub(super) fn list(names: impl IntoIterator<Item = impl ToString>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    names.join(", ")
}
