//! A sender that keeps its own host from hearing it.

use super::super::apart::sender;
use super::super::proof::{Doubt, Grade, Proof};
use super::super::{CapturedStream, Code, Context, Finding, OpenSocket, Watched};
use super::sender::receives;

pub(super) fn run(context: &Context) -> Option<Finding> {
    let (program, watched) = (context.program.as_ref()?, context.watched.as_ref()?);
    let target = &context.target;
    if !watched.wide.is_empty() || !target.is_group() {
        return None;
    }
    let sends_here = |found: &&super::super::ProgramSocket| {
        found
            .socket
            .peer
            .is_some_and(|peer| peer.ip() == target.ip && peer.port() == target.port)
    };
    let silent = |found: &&super::super::ProgramSocket| found.socket.loopback == Some(false);
    let certain = program.sockets.iter().filter(sends_here).find(silent);
    // A socket that is not connected may send anywhere; it is no receiver of this port.
    let unbound = |found: &&super::super::ProgramSocket| {
        found.socket.peer.is_none() && found.socket.local.port() != target.port
    };
    let found = certain.or_else(|| program.sockets.iter().filter(unbound).find(silent))?;
    let (counter, left) = left(context, watched);
    Some(
        Finding::fault(
            Code::LoopbackOff,
            Grade::proved_if(certain.is_some() && left > 0, Proof::Kernel),
            format!(
                "{} has loopback off, so programs of this host do not receive it",
                program.name
            ),
        )
        .because(format!(
            "IP_MULTICAST_LOOP of its socket {} is 0",
            found.socket.local
        ))
        .because(format!(
            "{counter} moved by {left}, and nothing of {} came to this host",
            target.ip
        ))
        .remedy("let it set IP_MULTICAST_LOOP (IPV6_MULTICAST_LOOP) to 1, the default"),
    )
}

fn left(context: &Context, watched: &Watched) -> (&'static str, u64) {
    let counter = if context.target.is_ipv4() {
        "IpExt.OutMcastPkts"
    } else {
        "Ip6OutMcastPkts"
    };
    (counter, watched.counters.get(counter))
}

/// Nothing comes to the group, and a program of this host sends to it, which was not asked about.
pub(super) fn of_host(context: &Context) -> Option<Finding> {
    let (watched, target) = (context.watched.as_ref()?, &context.target);
    let mut programs = context.program.iter();
    let sends = programs.any(|program| !receives(context, program));
    let captured = watched.captured.as_ref();
    let arrives = captured.is_some_and(|captured| captured.count(target.port) > 0);
    if !target.is_group() || sends || arrives || !context.coming_or_received().is_empty() {
        return None;
    }
    let (socket, evidence) = match captured {
        Some(captured) => {
            let mut sent = captured.sent.iter();
            let (socket, stream) = sent.find_map(|stream| {
                let socket = silent(context, watched, stream)?;
                Some((socket, stream))
            })?;
            let name = context.host.name_of(stream.interface);
            let sent = super::count(stream.datagrams, "datagram");
            let evidence = format!(
                "{sent} from {} left by {name}, and none came back to this host",
                sender(stream.source)
            );
            (socket, evidence)
        }
        None => {
            let mut sockets = context.host.sockets.iter();
            let socket = sockets.find(|socket| {
                let peer = socket.peer.map(|peer| (peer.ip(), peer.port()));
                peer == Some((target.ip, target.port)) && socket.loopback == Some(false)
            })?;
            let (counter, left) = left(context, watched);
            // What is lost within IP may be what another host sends.
            if left == 0 || context.tally().lost() > super::FEW {
                return None;
            }
            (socket, format!("{counter} moved by {left}"))
        }
    };
    let port = socket.local.port();
    let title = format!(
        "a program of this host sends to {} with loopback off, so this host does not receive it",
        target.ip
    );
    let finding = if port == target.port {
        // It receives there as well, and wants what others send.
        Finding::warning(Code::LoopbackOff, Doubt::Possible, title)
    } else {
        // Another host may be meant to send.
        Finding::fault(Code::LoopbackOff, Doubt::Likely, title)
    }
    .because(evidence);
    let finding = match socket.loopback {
        Some(_) => finding.because(format!(
            "IP_MULTICAST_LOOP of its socket {} is 0",
            socket.local
        )),
        None => finding,
    };
    Some(
        finding
            .because("of another host, nothing came")
            .remedy(
                "where this program is the sender that you mean, let it set IP_MULTICAST_LOOP \
                 (IPV6_MULTICAST_LOOP) to 1, the default",
            )
            .confirm(format!(
                "which program it is: sudo ss -uanp 'sport = :{port}'"
            )),
    )
}

/// The socket of a program of this host from which these left, where it has loopback off. Of IPv6 the kernel
/// does not tell that: then they would have come back, where the group was joined by that interface and as
/// many were not lost within IP.
fn silent<'a>(
    context: &'a Context,
    watched: &Watched,
    stream: &CapturedStream,
) -> Option<&'a OpenSocket> {
    let (host, target) = (&context.host, &context.target);
    let is_own = (stream.destination, stream.port) == (target.ip, target.port)
        && host.has(stream.source.ip());
    let mut joined = watched.joined.iter();
    let comes_back = joined.any(|link| link.index == stream.interface)
        && watched.obstacle.is_none()
        && stream.datagrams > super::FEW
        && context.tally().lost() < stream.datagrams / 2;
    // The doctor's own sockets are not among these, which were there before.
    let mut sockets = host.sockets.iter();
    sockets.find(|socket| {
        is_own
            && socket.local.port() == stream.source.port()
            && socket.takes(target.is_ipv4())
            && socket.loopback.map_or(comes_back, |loopback| !loopback)
    })
}
