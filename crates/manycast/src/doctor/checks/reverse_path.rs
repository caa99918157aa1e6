//! The reverse-path filter.

use super::super::{Code, Confidence, Context, Finding};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.vain()?;
    let tally = context.tally();
    if tally.reverse_path == 0 || !watched.wide.is_empty() || context.is_silent() {
        return None;
    }
    let exact = tally.reverse_path == tally.lost() && tally.ignored == 0;
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
    let source = watched
        .heard
        .as_ref()
        .and_then(|heard| Some(heard.streams.first()?.source.ip().to_string()));
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
        Some(source) => finding.because(format!("heard on the wire: datagrams of {source}")),
        None => finding.settle(format!(
            "as root, the doctor hears the source: sudo manycast doctor {}",
            context.target.address
        )),
    })
}
