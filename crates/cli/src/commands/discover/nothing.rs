//! Why nothing was found.

use std::collections::BTreeSet;
use std::time::Duration;

use manycast::discovery::{BrowseConfig, DiscoveryProtocol};
use manycast::doctor::blocked_answers;
use manycast::{Interface, find_interface};

use super::Counted;
use crate::output::Span;

/// On how many interfaces it is looked whether answers are kept away; each takes some seconds.
const EXAMINED: usize = 2;

/// The reasons that can be seen from here, the most certain first, and what to do; at least one.
pub(super) fn why(
    config: &BrowseConfig,
    failed: &Counted,
    asked: &BTreeSet<Option<String>>,
    examine: bool,
    elapsed: Duration,
) -> anyhow::Result<Vec<String>> {
    let mut why = Vec::new();
    let all = manycast::interfaces()?;
    let named: Vec<u32> = config
        .interfaces
        .iter()
        .filter_map(|selector| find_interface(selector).ok())
        .map(|found| found.index)
        .collect();
    let is_meant = |it: &&Interface| match config.interfaces.is_empty() {
        true => !it.loopback,
        false => named.contains(&it.index),
    };
    let meant: Vec<&Interface> = all.iter().filter(is_meant).collect();
    let (usable, not): (Vec<&Interface>, Vec<&Interface>) =
        meant.into_iter().partition(|it| state(it).is_none());
    let states: Vec<String> = not
        .iter()
        .filter_map(|it| Some(format!("{} {}", it.name, state(it)?)))
        .collect();
    if usable.is_empty() {
        let found = match states.is_empty() {
            true => "this host has no interface but loopback".to_owned(),
            false => format!("no interface can be asked on: {}", states.join(", ")),
        };
        why.push(format!(
            "nothing was found: {found}; see 'manycast interfaces'"
        ));
        return Ok(why);
    }
    let names = |all: &[&Interface]| {
        let names: Vec<&str> = all.iter().map(|it| &*it.name).collect();
        names.join(", ")
    };
    let was_asked =
        |it: &&Interface| asked.contains(&None) || asked.contains(&Some(it.name.to_string()));
    let (usable, passed_over): (Vec<&Interface>, Vec<&Interface>) =
        usable.into_iter().partition(was_asked);
    if usable.is_empty() {
        why.push(format!(
            "nothing was found: no question was sent on {}; a longer -t gives it time",
            names(&passed_over)
        ));
        return Ok(why);
    }
    let first = format!(
        "nothing was found: nobody has answered on {} in {}",
        names(&usable),
        Span(elapsed)
    );
    why.push(match states.is_empty() {
        true => first,
        false => format!("{first}; {}", states.join(", ")),
    });
    why.extend(failed.keys().cloned());
    if examine {
        why.extend(
            usable
                .iter()
                .take(EXAMINED)
                .find_map(|it| blocked(config, it)),
        );
    }
    if let Some((_, group, port)) = asked_group(config) {
        why.push(format!(
            "'manycast doctor --answers {group}:{port}' examines this host and the link"
        ));
    }
    Ok(why)
}

/// The first of the groups that were asked.
fn asked_group(config: &BrowseConfig) -> Option<(DiscoveryProtocol, &'static str, u16)> {
    let groups = [
        (DiscoveryProtocol::Ssdp, "239.255.255.250", 1900),
        (DiscoveryProtocol::WsDiscovery, "239.255.255.250", 3702),
        (DiscoveryProtocol::DnsSd, "224.0.0.251", 5353),
    ];
    groups
        .into_iter()
        .find(|(protocol, ..)| config.asks(*protocol))
}

/// What keeps answers away that come to this host alone, though a group was asked: a firewall mostly, which knows no
/// connection that they belong to. Of DNS-SD they come to the group.
fn blocked(config: &BrowseConfig, interface: &Interface) -> Option<String> {
    let (_, group, port) =
        asked_group(config).filter(|(protocol, ..)| *protocol != DiscoveryProtocol::DnsSd)?;
    let address = format!("{group}%{}:{port}", interface.name);
    let finding = blocked_answers(address.as_str(), None).ok()??;
    let remedy = finding.remedy.map(|remedy| format!("; {remedy}"));
    Some(finding.title + &remedy.unwrap_or_default())
}

/// Why an interface cannot be asked on, if it cannot.
fn state(interface: &Interface) -> Option<&'static str> {
    match interface {
        Interface { up: false, .. } => Some("is down"),
        Interface { running: false, .. } => Some("has no carrier"),
        it if !it.can_multicast() => Some("cannot multicast"),
        it if it.addresses.is_empty() => Some("has no address"),
        _ => None,
    }
}
