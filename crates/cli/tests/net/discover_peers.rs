//! What programs of others announce is found, and they find what we announce.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use manycast_lab::netns::{self, Host, Lab, Process};
use serde_json::Value;

use crate::discover::{devices, discover};
use crate::tftp::Folder;
use crate::{code, hosts_on, start};

/// What is found within two seconds, as an ordinary user: a service of a protocol whose identity or name holds a text.
fn found(host: &Host, protocol: &str, text: &str) -> Value {
    let found = discover(host, &["-t", "2s", "--json"]);
    assert_eq!(code(&found), 0, "{found:?}");
    let devices = devices(&found);
    let mut services = devices
        .iter()
        .flat_map(|it| it["services"].as_array().unwrap());
    let has = |key: &str, service: &Value| service[key].as_str().unwrap().contains(text);
    let service =
        services.find(|it| it["protocol"] == protocol && (has("id", it) || has("name", it)));
    service
        .unwrap_or_else(|| panic!("{text} is not among {found:?}"))
        .clone()
}

/// Whether a service is at these addresses, by the interface.
fn is_at(service: &Value, wanted: &[&str]) {
    let all = service["addresses"].as_array().unwrap();
    for address in wanted {
        assert!(
            all.iter().any(|it| it["address"] == *address),
            "{address}: {service}"
        );
    }
}

fn announce(host: &Host, arguments: &[&str]) -> Process {
    let mut process = start(
        host,
        &[&["announce", "Ours", "--port", "8080"], arguments].concat(),
    );
    process.wait_for_error_line("announced");
    process
}

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
    let service = "<service-group><name>Web of avahi</name><service><type>_http._tcp</type><port>80</port>\
                   <txt-record>path=/a</txt-record></service></service-group>";
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

/// It runs beside our own search on port 5353 of one host, and on another.
pub(crate) fn discovery_avahi_is_found_and_finds() {
    netns::require(&["avahi-daemon", "avahi-browse", "dbus-daemon"]);
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let (there, here) = (Folder::new("avahi-there"), Folder::new("avahi-here"));
    let _there = start_avahi(&b, &there, "there");
    let _here = start_avahi(&a, &here, "here");
    let ours = announce(&a, &["--type", "_mytest._tcp", "--txt", "path=/x"]);
    let service = found(&a, "dns-sd", "Web of avahi._http");
    assert_eq!(service["port"], 80);
    is_at(&service, &["10.0.0.2", "fd00::2"]);

    let mut browse = b.command("avahi-browse");
    browse
        .args(["-p", "-r", "_mytest._tcp"])
        .env("DBUS_SYSTEM_BUS_ADDRESS", bus_of(&there));
    let mut browse = Process::start(&mut browse);
    let line = browse.wait_for_line("=;eth0;IPv4;Ours;_mytest._tcp;local;");
    assert!(line.contains(";10.0.0.1;8080;\"path=/x\""), "{line}");
    drop(end(ours));
    browse.wait_for_line("-;eth0;IPv4;Ours;_mytest._tcp;local");
}

/// Ends what we announce as a user does, with its goodbyes.
fn end(mut ours: Process) -> Vec<String> {
    ours.interrupt();
    let finished = ours.finish();
    assert_eq!(code(&finished), 0, "{finished:?}");
    finished.stderr
}

/// A script for Python, which is skipped where one of its modules is missing.
fn python(host: &Host, module: &str, script: &str) -> Process {
    netns::require(&["python3"]);
    let there = Command::new("python3")
        .args(["-c", &format!("import {module}")])
        .output();
    if !there.is_ok_and(|output| output.status.success()) {
        // Named as a program would be, so that the reason tells what to install.
        netns::require(&[module]);
    }
    let mut command = host.command("python3");
    Process::start(command.args(["-u", "-c", script]))
}

pub(crate) fn discovery_zeroconf_is_found_and_finds() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let ours = announce(&a, &["--type", "_mytest._tcp", "--txt", "path=/x"]);
    let script = r"
import socket, sys
from zeroconf import IPVersion, ServiceBrowser, ServiceInfo, Zeroconf
zeroconf = Zeroconf(ip_version=IPVersion.All)
addresses = [socket.inet_aton('10.0.0.2'), socket.inet_pton(socket.AF_INET6, 'fd00::2')]
zeroconf.register_service(ServiceInfo('_ipp._tcp.local.', 'Printer._ipp._tcp.local.', addresses=addresses, port=631,
    properties={'UUID': '9F3C6A52-7a61-4a56-b7a1-3d8b9d7a1c11'}, server='printer.local.'))
class Listener:
    def add_service(self, zeroconf, kind, name):
        info = zeroconf.get_service_info(kind, name)
        print('found', name, info.port, info.properties, flush=True)
    def update_service(self, zeroconf, kind, name): pass
    def remove_service(self, zeroconf, kind, name): print('gone', name, flush=True)
ServiceBrowser(zeroconf, '_mytest._tcp.local.', Listener())
print('registered', flush=True)
sys.stdin.read()
zeroconf.close()
";
    let mut peer = python(&b, "zeroconf", script);
    peer.wait_for_line("registered");
    let service = found(&a, "dns-sd", "Printer._ipp");
    assert_eq!(service["uuid"], "9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c11");
    is_at(&service, &["10.0.0.2", "fd00::2"]);
    peer.wait_for_line("found Ours._mytest._tcp.local. 8080 {b'path': b'/x'}");
    end(ours);
    peer.wait_for_line("gone Ours._mytest._tcp.local.");
}

pub(crate) fn discovery_wsdd_is_found_and_finds() {
    netns::require(&["wsdd"]);
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let _peer = b.start("wsdd -i eth0 -n WSDDHOST");
    b.wait_for_udp_port(3702);
    let service = found(&a, "ws-discovery", "");
    assert_eq!(service["port"], 5357);
    assert!(
        service["kind"].as_str().unwrap().contains("}Device"),
        "{service}"
    );
    is_at(&service, &["10.0.0.2"]);
    // Its own search tells of hosts whose metadata it could fetch; that it heard ours, its log tells.
    let mut client = b.start("wsdd -i eth0 -D -o -vvv");
    client.wait_for_error_line("wsdd");
    let uuid = "9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c22";
    let ours = announce(&a, &["--type", "wsdp:Device", "--uuid", uuid]);
    client.wait_for_error_line(uuid);
    end(ours);
}

pub(crate) fn discovery_wsdiscovery_is_found_and_finds() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    // Its thread that sends ends at the first question by IPv6, which it answers by a socket of IPv4.
    b.sysctl("net.ipv6.conf.all.disable_ipv6", "1");
    b.add_route("239.0.0.0/8 dev eth0");
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
    xAddrs=['http://10.0.0.2:8081/onvif'])
print('published', flush=True)
sys.stdin.readline()
search = ThreadedWSDiscovery()
search.start()
for service in search.searchServices(types=[camera], timeout=3):
    print('found', service.getEPR(), service.getXAddrs(), flush=True)
search.stop()
";
    let mut peer = python(&b, "wsdiscovery", script);
    peer.wait_for_line("published");
    let service = found(&a, "ws-discovery", "Front door");
    assert_eq!(service["port"], 8081, "{service}");
    is_at(&service, &["10.0.0.2"]);
    peer.write_line("");
    let line = peer.wait_for_line(&format!("found urn:uuid:{uuid}"));
    assert!(line.contains(":8080/"), "{line}");
    end(ours);
}

pub(crate) fn discovery_minidlna_is_found() {
    netns::require(&["minidlnad"]);
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    b.add_route("239.0.0.0/8 dev eth0");
    let folder = Folder::new("minidlna");
    let at = folder.path("");
    let uuid = "4d696e69-0000-0000-0000-000000000001";
    let config = format!(
        "port=8200\nmedia_dir={at}\ndb_dir={at}\nlog_dir={at}\nnetwork_interface=eth0\nnotify_interval=5\nuuid={uuid}\n"
    );
    fs::write(folder.path("c.conf"), config).unwrap();
    let line = format!(
        "minidlnad -S -f {} -P {}",
        folder.path("c.conf"),
        folder.path("pid")
    );
    let _peer = b.start(&line);
    b.wait_for_udp_port(1900);
    let service = found(
        &a,
        "ssdp",
        &format!("uuid:{uuid}::urn:schemas-upnp-org:device:MediaServer"),
    );
    assert_eq!(service["port"], 8200);
    is_at(&service, &["10.0.0.2"]);
}

pub(crate) fn discovery_upnp_client_finds() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    b.add_route("239.0.0.0/8 dev eth0");
    let kind = "urn:schemas-upnp-org:device:MediaRenderer:1";
    let ours = announce(&a, &["--type", kind, "--path", "/d.xml"]);
    let script = r"
import asyncio
from ipaddress import ip_address
from async_upnp_client.search import async_search
async def found(headers): print('found', headers['st'], headers['location'], flush=True)
asyncio.run(async_search(found, timeout=3, search_target='ssdp:all', source=('10.0.0.2', 0)))
";
    let mut peer = python(&b, "async_upnp_client", script);
    peer.wait_for_line(&format!("found {kind} http://10.0.0.1:8080/d.xml"));
    end(ours);
}

/// It hears what we announce, and our goodbye; and answers for a program that has told it of its device.
pub(crate) fn discovery_minissdpd_is_found_and_finds() {
    netns::require(&["minissdpd"]);
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    b.add_route("239.0.0.0/8 dev eth0");
    let folder = Folder::new("minissdpd");
    let socket = PathBuf::from(folder.path("sock"));
    let line = format!(
        "minissdpd -d -6 -i eth0 -s {} -p {}",
        socket.display(),
        folder.path("pid")
    );
    let mut peer = b.start(&line);
    netns::wait_until("the socket of minissdpd", || socket.exists());
    let script = r"
import socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect(sys.argv[1])
texts = [b'upnp:rootdevice', b'uuid:77::upnp:rootdevice', b'a/1 UPnP/1.1 b/1', b'http://10.0.0.2:99/']
link.sendall(b'\x04' + b''.join(bytes([len(text)]) + text for text in texts) + b'\x03\x00')
link.recv(10)
print('submitted', flush=True)
sys.stdin.read()
";
    let mut command = b.command("python3");
    command.args(["-u", "-c", script]).arg(&socket);
    let mut submit = Process::start(&mut command);
    submit.wait_for_line("submitted");
    let service = found(&a, "ssdp", "uuid:77::upnp:rootdevice");
    is_at(&service, &["10.0.0.2"]);
    let uuid = "9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c44";
    let ours = announce(
        &a,
        &[
            "--type",
            "urn:schemas-upnp-org:device:Basic:1",
            "--uuid",
            uuid,
        ],
    );
    peer.wait_for_error_line(&format!("new device discovered : uuid:{uuid}"));
    end(ours);
    peer.wait_for_error_line(&format!("remove device : uuid:{uuid}"));
}

/// `tshark` reads what we say, and finds nothing wrong with it.
pub(crate) fn discovery_tshark_understands_all() {
    netns::require(&["tshark"]);
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let filter = "udp port 1900 or udp port 5353";
    let mut command = b.command("tshark");
    command.args(["-i", "eth0", "-l", "-f", filter, "-T", "fields"]);
    command.args(["-e", "frame.protocols", "-e", "_ws.malformed"]);
    let mut capture = Process::start(&mut command);
    capture.wait_for_error_line("Capturing");
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
