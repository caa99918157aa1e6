//! What programs of others announce is found, and they find what we announce: on three links at once, by IPv4 and IPv6
//! where they have both, as an ordinary user, within two seconds.

pub(crate) mod dns_sd;
pub(crate) mod ssdp;
pub(crate) mod ws_discovery;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::Command;

use manycast_lab::netns::{self, Host, Process};
use serde_json::Value;

use crate::discover::{devices, discover};
use crate::{code, start};

/// The versions of IP that a peer has.
const IPV4: [bool; 1] = [true];
const BOTH: [bool; 2] = [true, false];

/// What is found within two seconds, as an ordinary user: services of a protocol whose identity or name holds a text. They
/// have addresses of these versions of IP on each of the three links.
#[track_caller]
fn found(host: &Host, protocol: &str, text: &str, versions: &[bool]) -> Vec<Value> {
    let found = discover(host, &["-t", "2s", "--json"]);
    assert_eq!(code(&found), 0, "{found:?}");
    let has = |key: &str, service: &Value| service[key].as_str().unwrap().contains(text);
    let services: Vec<Value> = devices(&found)
        .iter()
        .flat_map(|it| it["services"].as_array().unwrap())
        .filter(|it| it["protocol"] == protocol && (has("id", it) || has("name", it)))
        .cloned()
        .collect();
    let places: BTreeSet<(&str, bool)> = services
        .iter()
        .flat_map(|it| it["addresses"].as_array().unwrap())
        .map(|it| {
            let is_v4 = it["address"].as_str().unwrap().parse::<Ipv4Addr>().is_ok();
            (it["interface"].as_str().unwrap(), is_v4)
        })
        .collect();
    for interface in ["eth1", "eth2", "eth3"] {
        for version in versions {
            assert!(
                places.contains(&(interface, *version)),
                "{interface}, IPv4 {version}: {places:?} of {found:?}"
            );
        }
    }
    services
}

/// What we announce, on all three links.
fn announce(host: &Host, arguments: &[&str]) -> Process {
    let mut process = start(
        host,
        &[&["announce", "Ours", "--port", "8080"], arguments].concat(),
    );
    process.wait_for_error_line("announced");
    process
}

/// Ends what we announce as a user does, with its goodbyes.
fn end(mut ours: Process) {
    ours.interrupt();
    let finished = ours.finish();
    assert_eq!(code(&finished), 0, "{finished:?}");
}

/// A script for Python, which is skipped where one of its modules is missing.
fn python(host: &Host, module: &str, script: &str, arguments: &[&str]) -> Process {
    netns::require(&["python3"]);
    let there = Command::new("python3")
        .args(["-c", &format!("import {module}")])
        .output();
    if !there.is_ok_and(|output| output.status.success()) {
        // Named as a program would be, so that the reason tells what to install.
        netns::require(&[module]);
    }
    let mut command = host.command("python3");
    Process::start(command.args(["-u", "-c", script]).args(arguments))
}

/// The hosts on the three links, with a route for groups of IPv4 by their interface.
fn with_route(hosts: [Host; 3]) -> [Host; 3] {
    for host in &hosts {
        host.add_route("239.0.0.0/8 dev eth0");
    }
    hosts
}
