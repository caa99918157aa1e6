//! The reverse-path filter.

use super::super::{Code, Confidence, Context, Finding, Tally};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let tally = context.tally();
    let lost = context
        .lost_streams()
        .find(|stream| stream.datagrams > super::FEW);
    if tally.reverse_path == 0 || watched.obstacle.is_some() || context.is_silent() {
        return None;
    }
    if lost.is_none() && !(watched.exact.is_empty() && watched.wide.is_empty()) {
        return others(context);
    }
    // All that was lost; or as many as were captured of the source, though others were lost as well.
    let since = Tally::of(&watched.joining, true).reverse_path;
    let all = tally.reverse_path == tally.lost() && tally.ignored == 0;
    let exact = all || lost.is_some_and(|lost| super::alike(since, lost.datagrams));
    let host = &context.host;
    let filtering: Vec<_> = host
        .interfaces
        .iter()
        .filter(|interface| !interface.loopback && host.rp_filter(&interface.name) > 0)
        .filter(|interface| {
            context
                .target
                .interface
                .as_ref()
                .is_none_or(|named| named.index == interface.index)
        })
        .collect();
    // Where several filter, it is the one that something came in on.
    let name = filtering
        .iter()
        .max_by_key(|interface| {
            let moved = watched.counters.interfaces.get(&*interface.name);
            moved.map_or(0, |moved| moved.received)
        })
        .map_or_else(
            || "the interface".to_owned(),
            |found| found.name.to_string(),
        );
    // On the wire the source is seen; otherwise only that it is filtered.
    let source = lost.map(|stream| stream.source.ip().to_string());
    let network = source.clone().unwrap_or_else(|| "NETWORK".to_owned());
    let mode = match host.rp_filter(&name) {
        2 => "2 (loose: no route leads back to the source at all)",
        _ => "1 (strict: the route to the source leads by another interface)",
    };
    let finding = Finding::fault(
        Code::ReversePathFilter,
        Confidence::proved_if(exact),
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
             net.ipv4.conf.{name}.rp_filter=0"
    ));
    Some(match source {
        Some(source) => finding.because(format!("captured on the wire: datagrams of {source}")),
        None => finding.confirm(format!(
            "as root, the doctor sees the source: sudo manycast doctor {}",
            context.target.address
        )),
    })
}

/// Something else is dropped than what was received: perhaps another source of the same group.
fn others(context: &Context) -> Option<Finding> {
    let dropped = context.tally().reverse_path;
    // Who captures the wire knows that it is not of this group.
    let captured = context.watched.as_ref()?.captured.is_some();
    (!captured && dropped > super::FEW && context.target.is_group()).then(|| {
        Finding::warning(
            Code::ReversePathFilter,
            Confidence::Possible,
            "the reverse-path filter drops something, perhaps of further sources",
        )
        .because(format!("TcpExt.IPReversePathFilter moved by {dropped}"))
        .remedy("give the networks of the sources routes by the interface that they come in by")
        .confirm(format!(
            "as root, the doctor sees the sources: sudo manycast doctor {}",
            context.target.address
        ))
    })
}
