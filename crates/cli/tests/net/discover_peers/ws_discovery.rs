//! `wsdd` and WSDiscovery.

use manycast_lab::netns::{self, Lab, Process};

use super::{BOTH, IPV4, announce, end, found, python};
use crate::host_between;

pub(crate) fn discovery_wsdd_is_found_and_finds() {
    netns::require(&["wsdd"]);
    let lab = Lab::new();
    let (a, others) = host_between::<3>(&lab);
    let _peers: Vec<Process> = others
        .iter()
        .map(|host| {
            let peer = host.start("wsdd -i eth0 -n WSDDHOST");
            host.wait_for_udp_port(3702);
            peer
        })
        .collect();
    for service in found(&a, "ws-discovery", "", &BOTH) {
        assert_eq!(service["port"], 5357, "{service}");
        let kind = service["kind"].as_str().unwrap();
        assert!(kind.contains("}Device"), "{service}");
    }
    // Its own search tells of hosts whose metadata it could fetch; that it heard ours, its log tells. It stands still for
    // up to three seconds before it asks.
    let mut searches: Vec<Process> = others
        .iter()
        .map(|host| host.start("wsdd -i eth0 -D -o -vvv"))
        .collect();
    for search in &mut searches {
        search.wait_for_error_line("scheduling Probe message");
    }
    let uuid = "9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c22";
    let ours = announce(&a, &["--type", "wsdp:Device", "--uuid", uuid]);
    for (number, search) in (1..).zip(&searches) {
        for address in [format!("10.0.{number}.1"), "[fe80:".to_owned()] {
            let found = format!("http://{address}");
            let is_found = |line: &String| line.contains(uuid) && line.contains(&found);
            netns::wait_until(&found, || search.stderr().iter().any(is_found));
        }
    }
    end(ours);
}

/// By IPv4 alone: its thread that sends ends at the first question by IPv6, which it answers by a socket of IPv4.
pub(crate) fn discovery_wsdiscovery_is_found_and_finds() {
    let lab = Lab::new();
    let (a, others) = host_between::<3>(&lab);
    let uuid = "9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c33";
    let ours = announce(
        &a,
        &["--type", "dn:NetworkVideoTransmitter", "--uuid", uuid],
    );
    let script = r"
import sys
from wsdiscovery import QName, Scope
from wsdiscovery.discovery import ThreadedWSDiscovery
from wsdiscovery.publishing import ThreadedWSPublishing
camera = QName('http://www.onvif.org/ver10/network/wsdl', 'NetworkVideoTransmitter')
publishing = ThreadedWSPublishing()
publishing.start()
publishing.publishService(types=[camera], scopes=[Scope('onvif://www.onvif.org/name/Front%20door')],
    xAddrs=[f'http://10.0.{sys.argv[1]}.2:8081/onvif'])
print('published', flush=True)
sys.stdin.readline()
search = ThreadedWSDiscovery()
search.start()
for service in search.searchServices(types=[camera], timeout=3):
    print('found', service.getEPR(), service.getXAddrs(), flush=True)
search.stop()
";
    let mut peers = Vec::new();
    for (number, host) in (1..).zip(&others) {
        host.sysctl("net.ipv6.conf.all.disable_ipv6", "1");
        host.add_route("239.0.0.0/8 dev eth0");
        let mut peer = python(host, "wsdiscovery", script, &[&format!("{number}")]);
        peer.wait_for_line("published");
        peers.push(peer);
    }
    for service in found(&a, "ws-discovery", "Front door", &IPV4) {
        assert_eq!(service["port"], 8081, "{service}");
    }
    for (number, peer) in (1..).zip(&mut peers) {
        peer.write_line("");
        let line = peer.wait_for_line(&format!("found urn:uuid:{uuid}"));
        assert!(line.contains(&format!("//10.0.{number}.1:8080/")), "{line}");
    }
    end(ours);
}
