//! Avahi, python-zeroconf, and what Wireshark reads.

use std::fs;

use manycast_lab::netns::{self, Host, Lab, Process};

use super::{BOTH, announce, end, found, python};
use crate::tftp::{Folder, capturing};
use crate::{host_between, hosts_on};

/// Avahi wants a user of its own, and folders under `/run` and `/etc`: it gets them in a mount namespace.
fn start_avahi(host: &Host, folder: &Folder, name: &str) -> Process {
    let at = |file: &str| folder.path(file);
    fs::write(
        at("passwd"),
        "root:x:0:0::/:/bin/sh\navahi:x:0:0::/:/bin/sh\n",
    )
    .unwrap();
    fs::write(at("group"), "root:x:0:\navahi:x:0:\n").unwrap();
    fs::create_dir_all(at("services")).unwrap();
    let service = format!(
        "<service-group><name>Web of {name}</name><service><type>_http._tcp</type><port>80</port>\
                   <txt-record>path=/a</txt-record></service></service-group>"
    );
    fs::write(at("services/web.service"), service).unwrap();
    let config = format!("[server]\nhost-name={name}\n[publish]\npublish-workstation=no\n");
    fs::write(at("avahi.conf"), config).unwrap();
    let bus = format!(
        "<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context='default'>\
         <allow user='*'/><allow own='*'/><allow send_type='method_call'/><allow send_destination='*' \
         eavesdrop='true'/><allow eavesdrop='true'/></policy></busconfig>",
        at("bus")
    );
    fs::write(at("bus.conf"), bus).unwrap();
    let script = format!(
        "mkdir -p /run/avahi-daemon /etc/avahi/services 2>/dev/null; mount -t tmpfs none /run/avahi-daemon; \
         mount --bind {0}/passwd /etc/passwd && mount --bind {0}/group /etc/group && \
         if [ -d /etc/avahi/services ]; then mount --bind {0}/services /etc/avahi/services; fi; \
         dbus-daemon --config-file={0}/bus.conf --nofork --nopidfile & \
         while [ ! -S {0}/bus ]; do :; done; \
         exec avahi-daemon --no-drop-root --no-chroot --no-rlimits -f {0}/avahi.conf",
        folder.path("").trim_end_matches('/')
    );
    let mut command = host.command("unshare");
    command
        .args(["-m", "sh", "-c", &script])
        .env("DBUS_SYSTEM_BUS_ADDRESS", bus_of(folder));
    let mut process = Process::start(&mut command);
    process.wait_for_error_line("Server startup complete");
    process
}

fn bus_of(folder: &Folder) -> String {
    format!("unix:path={}", folder.path("bus"))
}

/// It runs beside our own search on port 5353 of one host, and on each of three others.
pub(crate) fn discovery_avahi_is_found_and_finds() {
    netns::require(&["avahi-daemon", "avahi-browse", "dbus-daemon"]);
    let lab = Lab::new();
    let (a, others) = host_between::<3>(&lab);
    let folders = [1, 2, 3].map(|number| Folder::new(&format!("avahi-{number}")));
    let here = Folder::new("avahi-here");
    let peers: Vec<Process> = (others.iter().zip(&folders).enumerate())
        .map(|(number, (host, folder))| start_avahi(host, folder, &format!("avahi{number}")))
        .collect();
    let _here = start_avahi(&a, &here, "here");
    let ours = announce(&a, &["--type", "_mytest._tcp", "--txt", "path=/x"]);
    let services = found(&a, "dns-sd", "Web of avahi", &BOTH);
    assert_eq!(services.len(), 3, "{services:?}");
    assert!(services.iter().all(|it| it["port"] == 80), "{services:?}");

    let mut browsers = Vec::new();
    for (number, (host, folder)) in (1..).zip(others.iter().zip(&folders)) {
        let mut browse = host.command("avahi-browse");
        browse
            .args(["-p", "-r", "_mytest._tcp"])
            .env("DBUS_SYSTEM_BUS_ADDRESS", bus_of(folder));
        let mut browse = Process::start(&mut browse);
        // Which of the two comes first is by chance.
        let mut missing = vec!["IPv4", "IPv6"];
        while !missing.is_empty() {
            let line = browse.wait_for_line("=;eth0;IPv");
            let fields: Vec<&str> = line.split(';').collect();
            assert_eq!(fields[3..6], ["Ours", "_mytest._tcp", "local"], "{line}");
            assert!(line.contains(";8080;\"path=/x\""), "{line}");
            if fields[2] == "IPv4" {
                assert!(line.contains(&format!(";10.0.{number}.1;")), "{line}");
            }
            missing.retain(|it| *it != fields[2]);
        }
        browsers.push(browse);
    }
    end(ours);
    for browse in &mut browsers {
        browse.wait_for_line("-;eth0;IPv4;Ours;_mytest._tcp;local");
    }
    drop(peers);
}

pub(crate) fn discovery_zeroconf_is_found_and_finds() {
    let lab = Lab::new();
    let (a, others) = host_between::<3>(&lab);
    let ours = announce(&a, &["--type", "_mytest._tcp", "--txt", "path=/x"]);
    let script = r"
import socket, sys
from zeroconf import IPVersion, ServiceBrowser, ServiceInfo, Zeroconf
number = sys.argv[1]
zeroconf = Zeroconf(ip_version=IPVersion.All)
addresses = [socket.inet_aton(f'10.0.{number}.2'), socket.inet_pton(socket.AF_INET6, f'fd0{number}::2')]
zeroconf.register_service(ServiceInfo('_ipp._tcp.local.', f'Printer {number}._ipp._tcp.local.', addresses=addresses,
    port=631, properties={'UUID': f'9F3C6A52-7a61-4a56-b7a1-3d8b9d7a1c1{number}'}, server=f'printer{number}.local.'))
class Listener:
    def tell(self, zeroconf, kind, name):
        info = zeroconf.get_service_info(kind, name)
        print('found', name, info.port, info.properties, info.parsed_addresses(), flush=True)
    add_service = update_service = tell
    def remove_service(self, zeroconf, kind, name): print('gone', name, flush=True)
ServiceBrowser(zeroconf, '_mytest._tcp.local.', Listener())
print('registered', flush=True)
sys.stdin.read()
zeroconf.close()
";
    let mut peers: Vec<Process> = (1..)
        .zip(&others)
        .map(|(number, host): (u32, _)| python(host, "zeroconf", script, &[&number.to_string()]))
        .collect();
    for peer in &mut peers {
        peer.wait_for_line("registered");
    }
    let services = found(&a, "dns-sd", "Printer", &BOTH);
    assert_eq!(services.len(), 3, "{services:?}");
    let uuid = "9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c1";
    assert!(
        services
            .iter()
            .all(|it| it["uuid"].as_str().unwrap().starts_with(uuid)),
        "{services:?}"
    );
    for (number, peer) in (1..).zip(&mut peers) {
        // Which of its addresses it hears of first is by chance.
        let mut missing = vec![format!("'10.0.{number}.1'"), format!("'fd0{number}::1'")];
        while !missing.is_empty() {
            let line = peer.wait_for_line("found Ours._mytest._tcp.local. 8080 {b'path': b'/x'}");
            missing.retain(|address| !line.contains(address));
        }
    }
    end(ours);
    for peer in &mut peers {
        peer.wait_for_line("gone Ours._mytest._tcp.local.");
    }
}

/// `tshark` reads what we say, and finds nothing wrong with it.
pub(crate) fn discovery_tshark_understands_all() {
    netns::require(&["tshark"]);
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let filter = "udp port 1900 or udp port 5353";
    let folder = Folder::new("discovery-shark");
    let fields = ["-e", "frame.protocols", "-e", "_ws.malformed"];
    let shown = [&["-P", "-l", "-T", "fields"], &fields[..]].concat();
    let mut capture = capturing(&b, &folder.path("capture.pcap"), filter, &shown);
    let both = ["--protocol", "dns-sd", "--protocol", "ssdp"];
    let ours = announce(&a, &[&["--type", "_mytest._tcp"][..], &both].concat());
    let mut missing = vec![":mdns", ":ssdp"];
    while !missing.is_empty() {
        let line = capture.wait_for_line(":udp:");
        missing.retain(|it| !line.contains(it));
    }
    end(ours);
    capture.interrupt();
    let finished = capture.finish();
    let wrong = finished
        .stdout
        .iter()
        .filter(|line| line.contains("alformed"));
    assert_eq!(wrong.count(), 0, "{:?}", finished.stdout);
}
