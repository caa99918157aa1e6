//! Sources that cannot be, which the kernel drops without a count.

use std::net::IpAddr;

use super::super::context::setting;
use super::super::proof::{Grade, Proof};
use super::super::{CapturedStream, Code, Context, Finding, Tally};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let host = &context.host;
    let by_wire = |stream: &&CapturedStream| {
        let link = host.interface(stream.interface);
        link.is_none_or(|link| !link.loopback)
    };
    let (stream, why) = context.lost_streams().filter(by_wire).find_map(|stream| {
        let source = stream.source.ip();
        let why = if host.has(source) {
            "is an address of this host itself"
        } else if impossible(source) {
            "is no address that a host may send from"
        } else {
            return None;
        };
        Some((stream, why))
    })?;
    let (source, name) = (stream.source.ip(), host.name_of(stream.interface));
    // What passes this is counted as multicast, for the group is joined (by IPv4, that alone is).
    let tally = Tally::of(&watched.joining, context.target.is_ipv4());
    let exact = context.target.is_ipv4()
        && tally.reverse_path == 0
        && tally.multicast < stream.datagrams
        && (tally.lost() >= stream.datagrams || super::alike(tally.lost(), stream.datagrams))
        && watched
            .rules
            .as_ref()
            .is_some_and(|rules| rules.dropped.is_empty());
    let finding = Finding::fault(
        Code::MartianSource,
        Grade::proved_if(exact, Proof::Seen),
        format!("the datagrams come from {source}, which {why}"),
    )
    .because(format!(
        "{} from {source} were captured on {name}, and none was received",
        super::count(stream.datagrams, "datagram")
    ))
    .because("the kernel takes such a source for forged, and drops what it sends");
    Some(if host.has(source) {
        let by = host.name_of(host.at_ip(stream.interface));
        finding
            .remedy(format!(
                "give the other host another address, where both have it; where this host receives \
                 itself by a second interface: sudo sysctl -w {}=1",
                setting(true, &by, "accept_local")
            ))
            .confirm("ip neigh; sudo sysctl -w net.ipv4.conf.all.log_martians=1; sudo dmesg")
    } else {
        finding
            .remedy("give the sender an address, and let it send from that")
            .confirm("sudo sysctl -w net.ipv4.conf.all.log_martians=1; sudo dmesg")
    })
}

/// Whether it stands for no host: RFC 1122 §3.2.1.3, RFC 4291 §2.5.
fn impossible(source: IpAddr) -> bool {
    let reserved = match source {
        IpAddr::V4(source) => source.octets()[0] == 0 || source.octets()[0] >= 240,
        IpAddr::V6(_) => false,
    };
    reserved || source.is_unspecified() || source.is_loopback() || source.is_multicast()
}
