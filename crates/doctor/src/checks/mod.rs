//! One check a file: each a function of what was recorded.

mod answers;
mod below_ip;
mod bound;
mod buffer;
mod checksum;
pub(super) mod conntrack;
mod cross_talk;
mod duplicate_interface;
mod firewall;
mod firewall_counters;
pub(super) mod firewall_igmp;
mod firewall_part;
pub(super) mod firewall_rule;
mod foreign_frame;
mod forwarding;
pub(super) mod fragmentation;
pub(super) mod interface;
mod interface_drops;
pub(super) mod ipsec;
mod loopback;
mod loss;
mod martian;
mod membership;
mod nat;
pub(super) mod not_arriving;
mod old_querier;
mod other_interface;
mod port_in_use;
pub(super) mod querier;
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

use super::proof::{Doubt, Proof};
use super::{
    Code, Confidence, Context, Finding, LinkState, Moved, Program, Severity, Tally, Watched,
};

/// A check: what it found, if anything.
type Check = fn(&Context) -> Option<Finding>;

const CHECKS: [Check; 52] = [
    route::run,
    loopback::run,
    loopback::of_host,
    forwarding::run,
    interface::run,
    interface::unheard,
    interface::others_down,
    interface::others_unflagged,
    interface::lost,
    fragmentation::run,
    loss::run,
    below_ip::run,
    foreign_frame::run,
    interface_drops::run,
    surroundings::contained,
    surroundings::wireless,
    firewall_igmp::run,
    querier::run,
    querier::of_member,
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
    ipsec::run,
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

/// Everything that is found, of each program on its own where several have the port. Where one of them
/// receives what it should, what the others do not is no fault of the host: they may be for another group.
pub(super) fn of_each(context: &Context) -> Vec<Finding> {
    let programs = context.program.as_ref().map(Program::each);
    let programs = programs.unwrap_or_default();
    if programs.len() < 2 {
        return all(context);
    }
    let is_fault = |finding: &Finding| finding.severity == Severity::Fault;
    let each: Vec<Vec<Finding>> = programs
        .into_iter()
        .map(|program| {
            all(&Context {
                program: Some(program),
                ..context.clone()
            })
        })
        .collect();
    let one_is_well = each.iter().any(|found| !found.iter().any(is_fault));
    let suffers = |found: &Vec<Finding>, title: &str| {
        let mut faults = found.iter().filter(|finding| is_fault(finding));
        faults.any(|fault| fault.title == title && fault.confidence <= Confidence::Likely)
    };
    // What keeps all of them from receiving, and so is of none of them, comes before what is wrong with one.
    let titles = each.iter().flatten().map(|finding| finding.title.clone());
    let of_all: Vec<String> = titles
        .filter(|title| each.iter().all(|found| suffers(found, title)))
        .collect();
    let mut findings: Vec<Finding> = Vec::new();
    for mut finding in each.into_iter().flatten() {
        let why = if one_is_well {
            "another program on the port receives what it should"
        } else {
            "it is of this program; what concerns all on the port is told before"
        };
        let of_one = !of_all.is_empty() && !of_all.contains(&finding.title);
        if (one_is_well || of_one) && is_fault(&finding) {
            finding.severity = Severity::Warning;
            finding.evidence.push(why.to_owned());
        }
        // Of several with one code, one is told, and the others with it.
        match findings.iter_mut().find(|known| known.code == finding.code) {
            Some(known) if known.title != finding.title => known.evidence.push(finding.title),
            Some(_) => {}
            None => findings.push(finding),
        }
    }
    findings
}

/// Everything that is found. That nothing arrives is what is left where nothing explains it.
pub(super) fn all(context: &Context) -> Vec<Finding> {
    let mut findings: Vec<_> = CHECKS.iter().filter_map(|check| check(context)).collect();
    of_others(context, &mut findings);
    rivals(context, &mut findings);
    of_many(context, &mut findings);
    if context.received() > 0 {
        // What is wrong with an address keeps nothing away that comes nevertheless.
        let of_address = findings.iter_mut();
        for finding in of_address.filter(|finding| OF_ADDRESS.contains(&finding.code)) {
            finding.severity = Severity::Warning;
        }
    }
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

/// What follows from the address alone, whatever comes.
pub(super) const OF_ADDRESS: [Code; 3] =
    [Code::ReservedGroup, Code::ScopeMissing, Code::SourceMissing];

/// What rests on counters of all that comes to this host, whosever it is.
const OF_ANYBODY: [Code; 9] = [
    Code::ForeignFrame,
    Code::InterfaceDrops,
    Code::XdpOrTc,
    Code::Fragmentation,
    Code::ReversePathFilter,
    Code::ConntrackFull,
    Code::IpsecDrops,
    Code::BadChecksum,
    Code::WrongPort,
];

/// What rests on that no other host sends than those that are told apart: none of them is received, or none
/// receives.
const OF_NO_OTHER_HOST: [Code; 16] = [
    Code::BadChecksum,
    Code::BoundToDevice,
    Code::BoundToPeer,
    Code::EgressOtherInterface,
    Code::FirewallDrops,
    Code::ForeignFrame,
    Code::HopLimit,
    Code::IpsecDrops,
    Code::JoinedOnOtherInterface,
    Code::MartianSource,
    Code::NatRedirect,
    Code::NothingSent,
    Code::ReversePathFilter,
    Code::WrongGroup,
    Code::WrongPort,
    Code::WrongSource,
];

/// The same of the ports of a host, by which a program's own datagrams are known.
const OF_NO_OTHER_PORT: [Code; 6] = [
    Code::BoundToPeer,
    Code::EgressOtherInterface,
    Code::HopLimit,
    Code::NothingSent,
    Code::WrongGroup,
    Code::WrongPort,
];

/// Where more hosts or ports send than are told apart, nothing is known to be missing among them.
fn of_many(context: &Context, findings: &mut [Finding]) {
    let (target, Some(watched)) = (&context.target, &context.watched) else {
        return;
    };
    let captured = watched.captured.iter();
    let overflowed = captured.clone().any(|captured| captured.overflowed);
    // Of a program that has the port for itself, and of what it sends, the wire alone tells.
    let hosts = watched.beyond > 0 || overflowed && context.program.is_some();
    let mut streams = captured.flat_map(|captured| captured.streams.iter().chain(&captured.sent));
    let mut flows = watched.exact.iter().chain(&watched.wide);
    let ports = flows.any(|flow| flow.source.port() == 0)
        || streams.any(|stream| {
            stream.source.port() == 0
                && (stream.destination, stream.port) == (target.ip, target.port)
        });
    let is_doubted = |finding: &Finding| {
        hosts && OF_NO_OTHER_HOST.contains(&finding.code)
            || ports && context.program.is_some() && OF_NO_OTHER_PORT.contains(&finding.code)
    };
    for finding in findings.iter_mut().filter(|finding| is_doubted(finding)) {
        finding.severity = Severity::Warning;
        finding.confidence = finding.confidence.max(Confidence::Possible);
        finding.evidence.push(format!(
            "more send to {}:{} than are told apart here, and one of the others may be the one",
            target.ip, target.port
        ));
    }
}

/// What was counted while the group was not joined as well is of others, and explains nothing that is
/// missing.
fn of_others(context: &Context, findings: &mut [Finding]) {
    let watched = context.watched.as_ref();
    let Some(unjoined) = watched.and_then(|watched| watched.while_unjoined.as_ref()) else {
        return;
    };
    let doubted = findings.iter_mut();
    for finding in doubted.filter(|finding| finding.confidence != Confidence::Proved) {
        let counter: fn(&Tally) -> u64 = match finding.code {
            Code::ReversePathFilter => |tally| tally.reverse_path,
            Code::WrongPort => |tally| tally.ignored,
            Code::BadChecksum => |tally| tally.checksums,
            Code::IpsecDrops => |tally| tally.refused_by_ipsec,
            _ => continue,
        };
        let (group, others) = (context.target.ip, counter(unjoined));
        let what = if context.is_of_others(counter) {
            finding.severity = Severity::Warning;
            finding.confidence = finding.confidence.max(Confidence::Possible);
            ": it is of others"
        } else {
            " alone"
        };
        finding.evidence.push(format!(
            "in a second in which {group} was not joined, the counter moved by {others}{what}"
        ));
    }
}

/// What a link throws away, of whatever kind. Every link has some of it: where it is not the most of what
/// comes, it explains nothing that is missing.
fn of_link(code: Code, count: u64, link: &LinkState, title: String) -> Finding {
    if count * 2 > link.received {
        Finding::fault(code, Doubt::Likely, title)
    } else {
        Finding::warning(code, Doubt::Possible, title)
    }
}

/// That a counter moved by what was captured and lost. It moved by `most` at most, and what it moved by at
/// least is read within the time of the capture.
fn by_captured(
    watched: &Watched,
    lost: u64,
    most: u64,
    least: impl Fn(&Moved) -> u64,
) -> Option<Proof> {
    let least = watched.while_captured.as_ref().map_or(most, least);
    Proof::counted_between(least, most, lost, slack(lost))
}

/// Without a look at the wire, a counter tells that something was lost, and not whose it was. Where
/// several moved, each explains as well as the other what is missing, and none is likely.
fn rivals(context: &Context, findings: &mut [Finding]) {
    let Some(watched) = &context.watched else {
        return;
    };
    if watched.captured.is_some() {
        return;
    }
    // What a host sends to itself is its own.
    let untested = watched.self_tests.iter().all(|test| test.received > 0);
    let is_one = |finding: &Finding| {
        // Of a program, its sockets tell the port.
        let counted = context.program.is_none() || finding.code != Code::WrongPort;
        let of_anybody = OF_ANYBODY.contains(&finding.code)
            || finding.code == Code::FirewallDrops && untested && context.target.is_group();
        counted
            && of_anybody
            && (finding.severity, finding.confidence) == (Severity::Fault, Confidence::Likely)
    };
    let tally = context.tally();
    // What is translated to an address of this host comes to ports that no socket has.
    let translated = tally.no_port > FEW;
    // What is lost within IP for no reason that is counted may be lost to a firewall.
    let counted = tally.reverse_path + tally.fragments + watched.conntrack_drops;
    let by_firewall = |finding: &Finding| finding.code == Code::FirewallDrops && is_one(finding);
    let uncounted = tally.lost().saturating_sub(counted) > FEW && !findings.iter().any(by_firewall);
    let count = findings.iter().filter(|finding| is_one(finding)).count()
        + usize::from(translated)
        + usize::from(uncounted);
    if count < 2 {
        return;
    }
    for finding in findings.iter_mut().filter(|finding| is_one(finding)) {
        finding.confidence = Confidence::Possible;
        finding.evidence.push(
            "other counters moved as well, and which of them counts the datagrams that are missing \
             cannot be seen from here"
                .to_owned(),
        );
    }
}

/// How many packets that are not wanted come to a quiet host, or through a switch that prunes: of
/// protocols that it floods, such as the search for routers.
const FEW: u64 = 5;

/// The same of what is counted of all that comes, whosever it is: one a second, as switches announce
/// themselves.
const fn few(watched: &Watched) -> u64 {
    let seconds = watched.lasted.as_secs();
    if watched.captured.is_none() && seconds > FEW {
        seconds
    } else {
        FEW
    }
}

/// Whether two counts are as good as equal: they are not read at the same moment, and on a host that
/// is busy something comes in between.
const fn alike(one: u64, other: u64) -> bool {
    one.abs_diff(other) <= slack(if one > other { one } else { other })
}

/// By how much counts may differ for that reason.
const fn slack(count: u64) -> u64 {
    3 + count / 32
}

/// How two ends find out more, which try a group alone.
fn two_ends(context: &Context) -> Option<String> {
    let target = &context.target;
    target.is_group().then(|| {
        format!(
            "at the sender's host: manycast doctor serve; and here: manycast doctor {} --with HOST",
            target.address
        )
    })
}

/// `1 datagram`, `2 datagrams`.
pub(super) fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// `once`, `twice`, `3 times`.
fn times(number: u64) -> String {
    match number {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{number} times"),
    }
}

/// Names with commas between them.
pub(super) fn list(names: impl IntoIterator<Item = impl ToString>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    names.join(", ")
}
