//! Datagrams that come in pieces and are never put together: pieces are lost before this host, or are
//! taken away on it, or it has no room for them.

use super::super::proof::{Doubt, Grade, Proof};
use super::super::{Code, Context, Finding, Moved, Pieces, Tally, Watched};
use super::firewall_rule::{described, mended};
use super::two_ends;

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.vain()?;
    let tally = context.tally();
    if context.is_silent()
        || tally.fragments == 0
        || tally.reassembled > 0
        || !watched.wide.is_empty()
    {
        return None;
    }
    let Some(captured) = &watched.captured else {
        return Some(if no_room(&tally) {
            own_memory(context, watched, &tally, None)
        } else {
            lost_before(context, &tally, None)
        });
    };
    // Only first pieces have ports: they are of this stream where there are no more of them than of it.
    let pieces = captured.most_pieces()?;
    let ours = captured.count(context.target.port);
    if ours * 2 < pieces.first || pieces.first * 2 < ours {
        return None;
    }
    if !pieces.are_whole() {
        return Some(lost_before(context, &tally, Some(pieces)));
    }
    let came = Tally::of(&watched.joining, context.target.is_ipv4());
    let all = pieces.first + pieces.later;
    if came.fragments * 10 >= all * 9 {
        return Some(own_memory(context, watched, &came, Some(pieces)));
    }
    // Where none comes to IP, it is no matter of the pieces.
    (came.fragments > super::FEW).then(|| taken_here(context, watched, &came, pieces))
}

/// All pieces were captured, and some of them do not come to IP: something between takes them.
fn taken_here(context: &Context, watched: &Watched, came: &Tally, pieces: &Pieces) -> Finding {
    let all = pieces.first + pieces.later;
    let missing = all.saturating_sub(came.fragments);
    let finding = Finding::fault(
        Code::Fragmentation,
        // It may be taken for what it is, and not for being a piece.
        Doubt::Likely,
        "datagrams come in pieces, and something on this host takes some of the pieces away",
    )
    .because(format!(
        "{} were captured whole on the wire, of {} in all, and {} of these came to IP",
        super::count(pieces.first, "datagram"),
        super::count(all, "piece"),
        came.fragments
    ));
    let rules = watched.rules.iter();
    let mut rules = rules.flat_map(|rules| {
        let counted = rules
            .dropped
            .iter()
            .filter(|dropped| dropped.most >= missing / 2);
        let counted = counted.map(|dropped| &dropped.rule);
        counted.chain(&rules.certain).chain(&rules.uncounted)
    });
    let rule = rules.find(|rule| matches!(rule.hook, Some("ingress" | "prerouting")));
    let family = if context.target.is_ipv4() {
        "ip"
    } else {
        "ip6"
    };
    let finding = match rule {
        // Pieces but the first have no port.
        Some(rule) => finding
            .because(format!("{} may be it", described(rule)))
            .remedy(mended(
                rule,
                &format!("{family} daddr {} accept", context.target.ip),
                false,
            )),
        None => finding.remedy(
            "let the pieces pass what stands before IP: rules at the ingress hook, filters of tc, a \
             bridge; or let the sender write less at once, so that a datagram is one packet",
        ),
    };
    finding.confirm("sudo nft list ruleset; sudo tc -s filter show dev INTERFACE ingress")
}

/// Whether each fragment that came failed at once. Where other fragments are missing, that takes half
/// a minute (`net.ipv4.ipfrag_time`).
pub(in super::super) fn no_room(tally: &Tally) -> bool {
    tally.unassembled > 0 && super::alike(tally.unassembled, tally.fragments)
}

/// Some pieces never come to this host.
fn lost_before(context: &Context, tally: &Tally, captured: Option<&Pieces>) -> Finding {
    let mtu = context
        .host
        .interfaces
        .iter()
        .filter(|interface| !interface.loopback)
        .map(|interface| interface.mtu)
        .min()
        .unwrap_or(1500);
    let headers = if context.target.is_ipv4() { 28 } else { 48 };
    let seen = captured.is_some_and(|pieces| pieces.first > super::FEW && pieces.none_is_whole());
    let finding = Finding::fault(
        Code::Fragmentation,
        // They may be of others, all the more where these are the most of what comes; who captures on the
        // wire knows whose they are, and what is missing. Where some of them came whole, these were lost
        // for another reason.
        match captured {
            None if tally.fragments * 2 < tally.received => Doubt::Possible.into(),
            _ => Grade::proved_if(seen, Proof::Seen),
        },
        "datagrams come in pieces, and some of the pieces are lost",
    )
    .because(format!(
        "{} came, and no datagram could be put together of them",
        super::count(tally.fragments, "fragment")
    ));
    let finding = match captured {
        Some(pieces) => finding.because(format!(
            "captured on the wire: {} and {} ({}), so that pieces are missing before this host",
            super::count(pieces.first, "first piece"),
            super::count(pieces.later, "later one"),
            super::count(pieces.last, "last one")
        )),
        None => finding,
    };
    let finding = finding.remedy(format!(
        "let the sender write at most {} bytes at once, or let fragments pass on the way",
        mtu.saturating_sub(headers)
    ));
    match two_ends(context) {
        Some(two_ends) => finding.confirm(format!("which sizes pass: {two_ends}")),
        None => finding,
    }
}

/// The pieces come to this host, and it has no room to put them together.
fn own_memory(
    context: &Context,
    watched: &Watched,
    tally: &Tally,
    captured: Option<&Pieces>,
) -> Finding {
    let ipv4 = context.target.is_ipv4();
    let limit = limit(ipv4);
    let counter = if ipv4 {
        "Ip.ReasmFails"
    } else {
        "Ip6ReasmFails"
    };
    let least = |moved: &Moved| Tally::of(&moved.counters, ipv4).unassembled;
    let proof = captured
        .map(|pieces| pieces.first + pieces.later)
        .and_then(|pieces| super::by_captured(watched, pieces, tally.unassembled, least));
    let finding = Finding::fault(
        Code::Fragmentation,
        Grade::or_likely(proof),
        "datagrams come in pieces, and this host has no room to put them together",
    )
    .because(format!(
        "of {} that came, {} failed at once ({counter})",
        super::count(tally.fragments, "fragment"),
        tally.unassembled
    ));
    let finding = match context.host.number(limit) {
        Some(bytes) => finding.because(format!(
            "for pieces of all datagrams together it has {bytes} bytes ({limit})"
        )),
        None => finding,
    };
    let finding = match captured {
        Some(_) => finding.because("on the wire, they were captured whole"),
        None => finding.because("these may be other datagrams than those that were to arrive"),
    };
    finding.remedy(more_room(context)).confirm(format!(
        "{}: does {counter} move with the stream?",
        if ipv4 {
            "nstat -az IpReasmReqds IpReasmFails IpReasmTimeout"
        } else {
            "nstat -az Ip6ReasmReqds Ip6ReasmFails Ip6ReasmTimeout"
        }
    ))
}

/// What gives a host more room to put pieces together.
pub(in super::super) fn more_room(context: &Context) -> String {
    let limit = limit(context.target.is_ipv4());
    let least = 4 << 20;
    let enough = context.host.number(limit).unwrap_or(0).saturating_mul(2);
    format!(
        "give it room: sudo sysctl -w {limit}={}; or let the sender write less at once, so that a \
         datagram is one packet",
        enough.max(least)
    )
}

const fn limit(ipv4: bool) -> &'static str {
    if ipv4 {
        "net.ipv4.ipfrag_high_thresh"
    } else {
        "net.ipv6.ip6frag_high_thresh"
    }
}
