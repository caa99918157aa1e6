//! Services of WS-Discovery and those who search for them, over real interfaces.

use std::collections::BTreeSet;

use manycast::proto::ws_discovery::{
    Client, ClientConfig, ClientEvent, Entry, Goodbye, Location, Name, Probe, TargetService,
    TargetServiceConfig, TargetServiceEvent, device_type,
};
use manycast::{Driver, Socket};
use manycast_lab::netns::{self, Host, Lab, Process};

use crate::devices::{addresses, places, run_until};
use crate::hosts;

const ENDPOINT: &str = "urn:uuid:9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c11";

/// A service that can be reached at the address of the link where it is asked for.
fn service(host: &Host) -> Driver<TargetService> {
    host.run(|| {
        let config = TargetServiceConfig {
            location: Location::Here {
                port: 5_357,
                path: "/d".to_owned(),
            },
            addresses: addresses(),
            ..TargetServiceConfig::new(ENDPOINT, device_type())
        };
        let service = TargetService::new(config, [1; 32]).unwrap();
        Driver::new(Socket::bind(":0").unwrap(), service)
    })
}

fn client(host: &Host, probes: Vec<Probe>) -> Driver<Client> {
    let config = ClientConfig {
        probes,
        ..ClientConfig::default()
    };
    host.run(|| Driver::new(Socket::bind(":0").unwrap(), Client::new(config, [2; 32])))
}

/// Where an entry was heard: the interface and the version of IP.
fn place(entry: &Entry) -> (String, bool) {
    (entry.interface.name.to_string(), entry.source.is_ipv4())
}

/// Runs a service until it was announced by both versions of IP on each interface.
#[track_caller]
fn announce(host: &Host, service: &mut Driver<TargetService>) {
    let mut announced = BTreeSet::new();
    run_until(host, service, |event| {
        if let TargetServiceEvent::Announced { interface, group } = event
            && &*interface.name != "lo"
        {
            announced.insert((interface.index, group.is_ipv4()));
        }
        announced.len() == 6
    });
}

pub(crate) fn a_service_is_found_on_every_interface_and_says_goodbye() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut service = service(&b);
    announce(&b, &mut service);
    let stopper = service.stopper().unwrap();
    let task = b.spawn(move || service.run(|_, _| {}).unwrap());
    let mut client = client(&a, vec![Probe::default()]);
    let everywhere = places(&["eth0", "eth1", "eth2"]);
    let mut found = BTreeSet::new();
    run_until(&a, &mut client, |event| {
        if let ClientEvent::Found(entry) = event {
            assert_eq!(entry.service.endpoint, ENDPOINT);
            let host = entry.source.ip().to_string();
            let [address] = &entry.service.addresses[..] else {
                panic!("{entry:?}")
            };
            assert!(address.contains(&host), "{address} of {host}");
            found.insert(place(&entry));
        }
        found == everywhere
    });
    stopper.stop();
    task.join();
    let mut gone = BTreeSet::new();
    run_until(&a, &mut client, |event| {
        if let ClientEvent::Gone { entry, why } = event {
            assert_eq!(why, Goodbye::Said);
            gone.insert(place(&entry));
        }
        gone == everywhere
    });
}

/// Searches until a service was found with an address in all these places, and then until it has said goodbye in so
/// many of them.
#[track_caller]
fn find_and_lose(
    host: &Host,
    probes: Vec<Probe>,
    wanted: &BTreeSet<(String, bool)>,
    goodbyes: usize,
    stop: impl FnOnce(),
) -> Vec<Entry> {
    let mut client = client(host, probes);
    let (mut found, mut entries) = (BTreeSet::new(), Vec::new());
    run_until(host, &mut client, |event| {
        if let ClientEvent::Found(entry) | ClientEvent::Changed { entry, .. } = event
            && !entry.service.addresses.is_empty()
        {
            found.insert(place(&entry));
            entries.push(entry);
        }
        found.is_superset(wanted)
    });
    stop();
    let mut gone = BTreeSet::new();
    run_until(host, &mut client, |event| {
        if let ClientEvent::Gone { entry, why } = event {
            assert_eq!(why, Goodbye::Said);
            gone.insert(place(&entry));
        }
        gone.intersection(wanted).count() >= goodbyes
    });
    entries
}

/// `wsdd` on all interfaces of a host.
fn wsdd(host: &Host, arguments: &[&str]) -> Process {
    netns::require(&["wsdd"]);
    let mut command = host.command("wsdd");
    // It writes no compiled files beside what was unpacked.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    for interface in ["eth0", "eth1", "eth2"] {
        command.args(["-i", interface]);
    }
    Process::start(command.args(["-v", "-v", "-v"]).args(arguments))
}

/// It answers those alone who ask for devices, and tells its addresses to those alone who resolve it.
pub(crate) fn ws_discovery_wsdd_is_found_and_says_goodbye() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut peer = wsdd(&b, &["--no-http"]);
    let wanted = places(&["eth0", "eth1", "eth2"]);
    let stop = || peer.interrupt();
    // At its end it goes through a list of places and takes each out of it, and so passes over every second one.
    let goodbyes = wanted.len() / 2;
    let probes = vec![Probe::of(device_type())];
    let entries = find_and_lose(&a, probes, &wanted, goodbyes, stop);
    assert!(
        entries
            .iter()
            .all(|it| it.service.types.contains(&device_type()))
    );
}

pub(crate) fn ws_discovery_wsdd_finds_us_and_hears_goodbye() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut service = service(&a);
    announce(&a, &mut service);
    let stopper = service.stopper().unwrap();
    let task = a.spawn(move || service.run(|_, _| {}).unwrap());
    let mut peer = wsdd(&b, &["--discovery", "--no-host"]);
    // It stands still for up to three seconds before it asks in each place.
    for _ in places(&["eth0", "eth1", "eth2"]) {
        peer.wait_for_error_line("scheduling Probe message");
    }
    // By IPv6 it asks from its link-local address, and is told ours.
    for address in ["10.0.0.1", "10.0.1.1", "10.0.2.1", "[fe80:"] {
        let found = format!("probe match for {ENDPOINT} on http://{address}");
        netns::wait_until(&found, || {
            peer.stderr().iter().any(|line| line.contains(&found))
        });
    }
    stopper.stop();
    task.join();
    peer.wait_for_error_line("Bye urn:uuid:");
    peer.wait_for_error_line(ENDPOINT);
}

/// A program with the library WSDiscovery, which says `ready` when it has begun.
fn wsdiscovery(host: &Host, script: &str) -> Process {
    netns::require(&["wsdiscover"]);
    let script = format!(
        "import sys\n\
         from wsdiscovery.discovery import ThreadedWSDiscovery\n\
         from wsdiscovery.publishing import ThreadedWSPublishing\n\
         from wsdiscovery import QName, Scope\n{script}"
    );
    let mut command = host.command("python3");
    Process::start(command.args(["-u", "-c", &script]))
}

pub(crate) fn ws_discovery_python_is_found_and_says_goodbye() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    // Its thread that sends ends at the first question by IPv6, which it answers by a socket of IPv4.
    b.sysctl("net.ipv6.conf.all.disable_ipv6", "1");
    // Its `stop` alone says no goodbye.
    let mut peer = wsdiscovery(
        &b,
        "w = ThreadedWSPublishing()\n\
         w.start()\n\
         w.publishService(types=[QName('urn:x', 'Thing', 'x')], scopes=[Scope('http://example.com/a/b')],\
         xAddrs=['http://10.0.0.2:8080/x'])\n\
         print('ready', flush=True)\n\
         input()\n\
         w.clearLocalServices()\n\
         w.stop()\n",
    );
    peer.wait_for_line("ready");
    let probe = Probe {
        scopes: vec!["http://example.com/a".to_owned()],
        ..Probe::of(Name::new("urn:x", "Thing"))
    };
    let wanted = BTreeSet::from(["eth0", "eth1", "eth2"].map(|name| (name.to_owned(), true)));
    let stop = || peer.write_line("");
    find_and_lose(&a, vec![probe], &wanted, wanted.len(), stop);
}

pub(crate) fn ws_discovery_python_finds_us() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut service = service(&a);
    announce(&a, &mut service);
    let stopper = service.stopper().unwrap();
    let task = a.spawn(move || service.run(|_, _| {}).unwrap());
    let mut peer = wsdiscovery(
        &b,
        "w = ThreadedWSDiscovery()\n\
         w.start()\n\
         t = QName('http://schemas.xmlsoap.org/ws/2006/02/devprof', 'Device', 'wsdp')\n\
         for s in w.searchServices(types=[t]): print('found', s.getEPR(), s.getXAddrs()[0], flush=True)\n\
         w.stop()\n",
    );
    peer.wait_for_line(&format!("found {ENDPOINT} http://"));
    stopper.stop();
    task.join();
}
