//! The reverse-path filter.

use super::super::context::setting;
use super::super::proof::{Doubt, Grade};
use super::super::{CapturedStream, Code, Context, Finding, Tally, Watched};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let tally = context.tally();
    if tally.reverse_path == 0 || watched.obstacle.is_some() || context.is_silent() {
        return None;
    }
    // The counter is of all that comes. Only who captures on the wire knows how many of those there
    // were that were to arrive.
    let since = Tally::of(&watched.joining, true).reverse_path;
    let lost = context.lost_where(|stream| may_be_filtered(context, watched, stream));
    let received = !watched.exact.is_empty() || !watched.wide.is_empty();
    if received && lost <= super::FEW {
        return others(context);
    }
    if watched.captured.is_some() && (lost == 0 || since * 2 < lost) {
        // None of it is filtered, or the most of it is lost elsewhere.
        return None;
    }
    let stream = stream(context, watched);
    let name = match stream {
        Some(stream) => at_ip(context, stream),
        None => busiest(context, watched),
    };
    let source = stream.map(|stream| stream.source.ip());
    let network = source.map_or_else(|| "NETWORK".to_owned(), |source| source.to_string());
    let mode = match context.host.rp_filter(&name) {
        1 => "1 (strict: it drops what comes from where the route leads by another interface)",
        2 => "2 (loose: it drops what comes from where no route leads)",
        _ => "not known",
    };
    let finding = Finding::fault(
        Code::ReversePathFilter,
        match super::by_captured(watched, lost, since, |moved| {
            Tally::of(&moved.counters, true).reverse_path
        }) {
            Some(proof) => proof.into(),
            // The most of what is lost is lost elsewhere.
            None if tally.reverse_path * 2 < tally.lost() => Doubt::Possible.into(),
            None => Grade::from(Doubt::Likely),
        },
        format!("the reverse-path filter of {name} drops the datagrams"),
    )
    .because(format!(
        "TcpExt.IPReversePathFilter moved by {}, of {} that came and were not delivered",
        tally.reverse_path,
        super::count(tally.lost(), "packet")
    ))
    .because(format!("rp_filter of {name} is {mode}"))
    .remedy(format!(
        "give the sender's network a route by {name}: sudo ip route add {network} dev {name}; or \
             switch the filter off: sudo sysctl -w net.ipv4.conf.all.rp_filter=0 \
             {}=0",
        setting(true, &name, "rp_filter")
    ));
    let Some(source) = source else {
        return Some(
            finding
                .because("these may be other datagrams than those that were to arrive")
                .confirm(format!(
                    "as root, the doctor sees the source: sudo manycast doctor {}",
                    context.target.address
                )),
        );
    };
    let finding = finding.because(format!("captured on the wire: datagrams of {source}"));
    let back = watched.routes_back.iter().find(|(to, _)| *to == source);
    Some(match back {
        Some((_, Some(index))) => {
            let interface = context.host.name_of(*index);
            finding.because(format!("the route back to {source} leads by {interface}"))
        }
        Some((_, None)) => finding.because(format!("no route leads back to {source}")),
        None => finding,
    })
}

/// What was to arrive and did not, and may have been filtered.
fn stream<'a>(context: &'a Context, watched: &Watched) -> Option<&'a CapturedStream> {
    context
        .lost()
        .find(|stream| may_be_filtered(context, watched, stream))
}

/// Whether the filter drops what comes from this source by this interface (RFC 3704 §2): by the
/// strict one, what would not be answered by the same interface; by the loose one, what could not be
/// answered at all.
fn may_be_filtered(context: &Context, watched: &Watched, stream: &CapturedStream) -> bool {
    let mut back = watched.routes_back.iter();
    let back = back.find(|(to, _)| *to == stream.source.ip());
    match (context.host.rp_filter(&at_ip(context, stream)), back) {
        (0, _) => false,
        // Where the route is not known, it may be.
        (_, None) => true,
        (1, Some((_, by))) => *by != Some(context.host.at_ip(stream.interface)),
        (_, Some((_, by))) => by.is_none(),
    }
}

/// The name of the interface whose IP takes a stream: a port of a bridge filters nothing.
fn at_ip(context: &Context, stream: &CapturedStream) -> String {
    let host = &context.host;
    host.name_of(host.at_ip(stream.interface))
}

/// Of the interfaces that filter, the one that most came in by.
fn busiest(context: &Context, watched: &Watched) -> String {
    let host = &context.host;
    let named = context.target.interface.as_ref();
    let filtering = host
        .interfaces
        .iter()
        .filter(|interface| !interface.loopback && host.takes(interface))
        .filter(|interface| host.rp_filter(&interface.name) > 0)
        .filter(|interface| named.is_none_or(|named| named.index == interface.index));
    let received = |name: &str| {
        let moved = watched.counters.interfaces.get(name);
        moved.map_or(0, |moved| moved.received)
    };
    filtering
        .max_by_key(|interface| received(&interface.name))
        .map_or_else(|| "an interface".to_owned(), |found| found.name.to_string())
}

/// Something else is dropped than what was received: perhaps another source of the same group.
fn others(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let dropped = context.tally().reverse_path;
    // Who captures the wire knows that it is not of this group.
    let captured = watched.captured.is_some();
    if captured || dropped <= super::FEW || !context.target.is_group() {
        return None;
    }
    let finding = Finding::warning(
        Code::ReversePathFilter,
        Doubt::Possible,
        "the reverse-path filter drops something, perhaps of further sources",
    )
    .because(format!("TcpExt.IPReversePathFilter moved by {dropped}"));
    Some(
        finding
            .remedy("give the networks of the sources routes by the interface that they come in by")
            .confirm(format!(
                "as root, the doctor sees the sources: sudo manycast doctor {}",
                context.target.address
            )),
    )
}
