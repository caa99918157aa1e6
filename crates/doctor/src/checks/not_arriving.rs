//! Nothing arrives, and nothing else explains it.
//!
//! That nothing was seen proves nothing: it may be sent seldom, or be taken away where it cannot be
//! seen. So this is never proved by one end alone.

use std::net::{IpAddr, SocketAddr};

use manycast_types::{Host, needs_zone};

use super::super::between::{Point, told, unseen};
use super::super::proof::Doubt;
use super::super::{CapturedStream, Code, Context, Finding, Tally, Watched};
use super::FEW;
use super::querier::{asked, heard, may_be_forgotten};

/// What joining a group tells no switch.
pub(in super::super) const MEMBER_BEFORE: &str =
    "this host was a member before, so that joining it once more told no switch of it";

/// How many other groups and ports of a sender are told of.
const MOST_TOLD: usize = 4;

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = match &context.program {
        None => context.vain()?,
        Some(_) => context.watched.as_ref()?,
    };
    let captured = watched.captured.as_ref();
    // Without a socket of its own, the doctor knows of the wire alone.
    let unwatched = watched.obstacle.is_some() && captured.is_none();
    let sends = context
        .program
        .as_ref()
        .is_some_and(|program| !super::sender::receives(context, program));
    if !watched.wide.is_empty() || unwatched || sends {
        return None;
    }
    if let Some(asked) = context.target.asked {
        return Some(super::answers::run(context, watched, asked));
    }
    if captured.is_some_and(|captured| captured.count(context.target.port) > 0) {
        // It arrives, and where it is lost is for other checks to say.
        return None;
    }
    if !context.target.is_group() {
        return unicast(context);
    }
    let (group, tally) = (context.target.ip, context.tally());
    let seconds = watched.lasted.as_secs_f64();
    // What came to IP and went no further may well be of the group, for who sees no more than that.
    let lost = if context.is_of_others(|tally| tally.reverse_path) {
        tally.lost().saturating_sub(tally.reverse_path)
    } else {
        tally.lost()
    };
    let perhaps = captured.is_none() && (lost > FEW || tally.no_port > FEW);
    let finding = if perhaps {
        Finding::fault(
            Code::NotArriving,
            Doubt::CannotSee,
            format!("nothing of {group} was received, and whether it arrives cannot be seen"),
        )
    } else {
        Finding::fault(
            Code::NotArriving,
            Doubt::Likely,
            format!("nothing of {group} arrives at this host"),
        )
    };
    let finding = finding.because(if watched.joined.is_empty() {
        format!("nothing came in {seconds:.1} s; what is sent less often does not show")
    } else {
        format!(
            "it was joined on {} for {seconds:.1} s, and nothing came; what is sent less often does \
             not show",
            super::list(&watched.joined)
        )
    });
    // The kernel tells switches of a group once, whoever joins it besides.
    let finding = if context.host.is_member(group) {
        let finding = finding.because(MEMBER_BEFORE);
        heard(context, watched).fold(finding, |finding, querier| {
            let answered = match querier.answered {
                Some(_) => ", and this host answered",
                None => "",
            };
            finding.because(format!("{}{answered}", asked(querier)))
        })
    } else {
        finding
    };
    let finding = counted(context, watched, &tally, finding);
    let finding = match told(&unseen(context, Point::Link, Point::Delivered)) {
        Some(hidden) if captured.is_none() => finding.because(hidden),
        _ => finding,
    };
    let others: Vec<_> = captured
        .into_iter()
        .flat_map(|captured| &captured.elsewhere)
        .filter(|stream| stream.datagrams > 1 && !context.host.has(stream.source.ip()))
        .take(MOST_TOLD)
        .collect();
    let finding = others.iter().fold(finding, |finding, stream| {
        let CapturedStream {
            destination, port, ..
        } = stream;
        let source = stream.source.ip();
        let came = super::count(stream.datagrams, "datagram");
        finding.because(format!(
            "{source} sends to {destination}, port {port}, and not to {group}: {came}"
        ))
    });
    let finding = finding.remedy(remedy(context, watched, perhaps, &others));
    if is_within(watched) && captured.is_some() {
        return Some(finding);
    }
    Some(finding.confirm(confirm(context, captured.is_some())))
}

/// Whether loopback alone was watched: no other host can send there, and there is no way on which
/// anything is lost.
pub(super) fn is_within(watched: &Watched) -> bool {
    let mut links = watched.joined.iter();
    !watched.joined.is_empty() && links.all(|link| *link.name == *"lo")
}

/// The program has the port for itself. Where the wire may not be listened on, or as much as came by it is
/// lost within IP, nothing tells what comes to it.
fn unwatched(context: &Context) -> Option<Finding> {
    let (program, watched) = (context.program.as_ref()?, context.watched.as_ref()?);
    let lost = Tally::of(&watched.joining, context.target.is_ipv4()).lost();
    let comes = watched.captured.as_ref().is_some_and(|captured| {
        let came = captured.count(context.target.port);
        came <= FEW || lost < came / 2
    });
    if watched.obstacle.is_none() || comes || !super::sender::receives(context, program) {
        return None;
    }
    let finding = Finding::fault(
        Code::NotArriving,
        Doubt::CannotSee,
        format!(
            "whether anything of {} comes to {} cannot be seen: it has the port for itself",
            context.target.name(),
            program.name
        ),
    );
    Some(finding.confirm(confirm(context, false)))
}

/// Nothing was received as it was asked for, and no check says why, or nothing could be seen: such a host
/// is not called healthy.
pub(super) fn unexplained(context: &Context) -> Option<Finding> {
    if let Some(finding) = unwatched(context) {
        return Some(finding);
    }
    let watched = context.vain()?;
    let target = context.target.name();
    if let Some(program) = &context.program {
        // What comes to the doctor comes to a program that is bound and joined as it has to be.
        let gets = program.gets_any(&context.unheard(), &context.host);
        if gets || !watched.wide.is_empty() || !super::sender::receives(context, program) {
            return None;
        }
    }
    let finding = Finding::fault(
        Code::NotArriving,
        Doubt::CannotSee,
        format!("nothing of {target} was received as it was asked for, and why cannot be seen"),
    );
    let lost = context.lost_of_target();
    let finding = if lost > 0 {
        finding.because(format!(
            "{} to that address and port came in by the wire, and no counter that is known here \
             tells where they went",
            super::count(lost, "datagram")
        ))
    } else {
        finding
    };
    let finding = if !context.target.is_group() && context.shares_port() {
        finding.because(SHARED)
    } else {
        finding
    };
    let finding = watched.wide.iter().fold(finding, |finding, flow| {
        let came = super::count(flow.datagrams, "datagram");
        finding.because(format!(
            "{came} to it came from {} by {}",
            flow.source, flow.interface
        ))
    });
    Some(finding.confirm(confirm(context, watched.captured.is_some())))
}

/// What the counters tell.
fn counted(context: &Context, watched: &Watched, tally: &Tally, finding: Finding) -> Finding {
    let finding = if watched.captured.is_some() {
        finding.because("not one datagram to the group was captured on the wire")
    } else if tally.received == 0 {
        finding.because("not one packet of this version of IP came to this host meanwhile")
    } else if tally.lost() > 0 {
        finding.because(format!(
            "{} came and went no further; these may be of the group, or of others",
            super::count(tally.lost(), "packet")
        ))
    } else {
        finding.because(format!(
            "all of {} that came to this host were delivered, to others",
            super::count(tally.received, "packet")
        ))
    };
    let finding = if watched.captured.is_none() && tally.no_port > FEW {
        finding.because(format!(
            "{} came for ports that no socket has: a translation of addresses (NAT) makes such of \
             datagrams to groups",
            super::count(tally.no_port, "datagram")
        ))
    } else {
        finding
    };
    let finding = if watched.captured.is_none() && below(watched) > FEW {
        finding.because(format!(
            "{} that came by interfaces never came to IP: of other protocols, or dropped before it \
             (by a bridge, at the ingress hook, by tc)",
            super::count(below(watched), "packet")
        ))
    } else {
        finding
    };
    if is_within(watched) {
        return finding;
    }
    let moved = &watched.counters.interfaces;
    moved
        .iter()
        .filter(|(name, _)| {
            context
                .host
                .interfaces
                .iter()
                .any(|link| *link.name == **name)
        })
        .filter(|(name, _)| *name != "lo")
        .fold(finding, |finding, (name, moved)| {
            finding.because(format!("{name}: {} in, {} out", moved.received, moved.sent))
        })
}

/// What to do follows from what was seen.
fn remedy(
    context: &Context,
    watched: &Watched,
    perhaps: bool,
    others: &[&CapturedStream],
) -> String {
    let group = context.target.ip;
    if let Some(stream) = others.first() {
        let other = SocketAddr::new(stream.destination, stream.port);
        return format!(
            "if {} is the sender that you mean: listen on {other}, or let it send to {group}",
            stream.source.ip()
        );
    }
    let mut ways = vec![
        if perhaps {
            "find out first where they are lost"
        } else {
            "check that somebody sends, to this group and port"
        }
        .to_owned(),
    ];
    if may_be_forgotten(context) {
        ways.push(format!(
            "{}: where it comes then, a switch had forgotten this host (no-querier)",
            report_anew(context)
        ));
        if heard(context, watched).next().is_none() {
            ways.push(
                "whether anybody asks for memberships, the doctor finds out as root and with --for 130s"
                    .to_owned(),
            );
        }
    }
    if perhaps {
        return ways.join("; ");
    }
    ways.extend(nothing_at_all(watched));
    ways.push(format!(
        "where it is sent seldom, watch longer (--for {}s)",
        (watched.lasted * 6).as_secs().max(60)
    ));
    if is_within(watched) {
        return ways.join("; ");
    }
    ways.push(format!(
        "where a datagram is larger than {} bytes, try a smaller one: the MTU of a link on the way may \
         be less",
        if group.is_ipv4() { 1472 } else { 1452 }
    ));
    if !stays_on_link(group) {
        ways.push(
            "routers on the way need a hop limit above 1 and a multicast routing protocol"
                .to_owned(),
        );
    }
    if is_pruned(group) {
        ways.extend(snooping(context));
    }
    ways.join("; ")
}

/// What tells switches of a membership anew.
pub(in super::super) fn report_anew(context: &Context) -> String {
    let program = context.program.as_ref();
    let program = program.map_or("each program that has joined it", |program| &program.name);
    format!(
        "let {program} leave {} and join it again, as it does when it is started anew, which tells \
         switches of it",
        context.target.ip
    )
}

/// Not one packet came by any interface on which the group was joined.
fn nothing_at_all(watched: &Watched) -> Option<String> {
    let moved = &watched.counters.interfaces;
    let came = |name: &str| moved.get(name).map_or(0, |moved| moved.received);
    let mut links = watched.joined.iter().filter(|link| *link.name != *"lo");
    let names: Vec<_> = links.clone().collect();
    let nothing = !names.is_empty() && links.all(|link| came(&link.name) == 0);
    nothing.then(|| {
        format!(
            "not one packet came by {}: check the cable, the port of the switch and its VLAN",
            super::list(names)
        )
    })
}

/// Whether routers forward a group nowhere: RFC 5771 §4, RFC 4291 §2.7.
const fn stays_on_link(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => matches!(group.octets(), [224, 0, 0, _]),
        IpAddr::V6(group) => group.segments()[0] & 0xf <= 2,
    }
}

/// Whether switches forward a group to members alone: RFC 4541 §2.1.2 and §3 name those that they
/// flood.
pub(super) const fn is_pruned(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(_) => !stays_on_link(group),
        IpAddr::V6(group) => !matches!(group.segments(), [0xff02, 0, 0, 0, 0, 0, 0, 1]),
    }
}

/// A switch that snoops, and one that does not know the version which this host speaks, unless it is
/// set to an old one.
pub(super) fn snooping(context: &Context) -> Vec<String> {
    let (protocol, new, old, setting) = if context.target.is_ipv4() {
        ("IGMP", "IGMPv3", 2, "net.ipv4.conf.all.force_igmp_version")
    } else {
        ("MLD", "MLDv2", 1, "net.ipv6.conf.all.force_mld_version")
    };
    let mut ways = vec![format!(
        "a switch may keep it from here ({protocol} snooping)"
    )];
    if context.host.number(setting).unwrap_or(0) == 0 {
        ways.push(format!(
            "where a switch knows no {new}, let this host speak version {old}: sudo sysctl -w \
             {setting}={old}"
        ));
    }
    ways
}

fn confirm(context: &Context, captured: bool) -> String {
    let address = &context.target.address;
    let as_root = format!(
        "as root, the doctor sees what comes in by the wire: sudo manycast doctor {address}"
    );
    let further = super::two_ends(context).unwrap_or_else(|| of_unicast(context));
    match &context.watched {
        Some(watched) if is_within(watched) => as_root,
        _ if captured => further,
        _ => format!("{as_root}; or {further}"),
    }
}

/// What tells more where no group is asked for.
fn of_unicast(context: &Context) -> String {
    let target = &context.target;
    let address = &target.address;
    if context.shares_port() && context.program.is_none() {
        return format!("what comes to that program: manycast doctor {address} --port");
    }
    let any = target.ip.is_unspecified();
    let mut links = context.host.interfaces.iter().filter(|link| link.up);
    let own = links.find_map(|link| {
        let own = link.addresses.iter().map(|own| own.address);
        let mut own = own.filter(|own| own.is_ipv4() == target.is_ipv4() && !needs_zone(*own));
        own.next().filter(|_| !link.loopback)
    });
    let to = match own.filter(|_| any) {
        Some(own) => SocketAddr::new(own, target.port).to_string(),
        None if any => format!("HOST:{}", target.port),
        None => address.to_string(),
    };
    let send = format!("from another host: manycast send {to} hello");
    // Of both versions, the doctor looks at the first.
    if *address.host() == Host::Any {
        format!("{send}; of IPv6: manycast doctor [::]:{}", target.port)
    } else {
        send
    }
}

/// How many packets more came by interfaces than came to IP, of either version.
fn below(watched: &Watched) -> u64 {
    let interfaces = watched.counters.interfaces.iter();
    let came: u64 = interfaces
        .filter(|(name, _)| *name != "lo")
        .map(|(_, moved)| moved.received)
        .sum();
    let counted = [true, false].map(|ipv4| Tally::of(&watched.counters, ipv4).received);
    came.saturating_sub(counted.iter().sum())
}

fn unicast(context: &Context) -> Option<Finding> {
    let watched = context.vain()?;
    let (target, lost) = (&context.target, context.tally().lost());
    let dropped = lost > FEW && watched.captured.is_none();
    let shared = context.shares_port();
    let finding = if dropped || shared && watched.captured.is_none() {
        Finding::fault(
            Code::NotArriving,
            Doubt::CannotSee,
            format!(
                "nothing for {} was received, and whether it arrives cannot be seen",
                target.address
            ),
        )
    } else {
        Finding::fault(
            Code::NotArriving,
            Doubt::Likely,
            format!("nothing arrives for {}", target.address),
        )
    };
    let finding = finding.because(format!(
        "nothing came in {:.1} s",
        watched.lasted.as_secs_f64()
    ));
    let finding = if dropped {
        finding.because(format!(
            "{} came and went no further; these may be of it, or of others",
            super::count(lost, "packet")
        ))
    } else {
        finding
    };
    let finding = if shared {
        finding.because(SHARED)
    } else {
        finding
    };
    Some(finding.confirm(confirm(context, watched.captured.is_some())))
}

/// Why what is sent to a port by unicast may not come to the doctor.
const SHARED: &str = "another program has the port, and may receive it instead";
