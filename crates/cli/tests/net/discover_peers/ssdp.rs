//! minidlna, GSSDP, minissdpd and async-upnp-client.

use std::fs;
use std::path::PathBuf;

use manycast_lab::netns::python::gssdp;
use manycast_lab::netns::{self, Host, Lab, Process};

use super::{BOTH, IPV4, announce, end, found, python, with_route};
use crate::host_between;
use crate::tftp::Folder;

const KIND: &str = "urn:schemas-upnp-org:device:MediaRenderer:1";

/// It has IPv4 alone, and no search, so it finds nothing.
pub(crate) fn discovery_minidlna_is_found() {
    netns::require(&["minidlnad"]);
    let lab = Lab::new();
    let (a, others) = host_between::<3>(&lab);
    let others = with_route(others);
    let mut peers = Vec::new();
    for (number, host) in (1..).zip(&others) {
        let folder = Folder::new(&format!("minidlna-{number}"));
        let (at, config) = (folder.path(""), folder.path("c.conf"));
        let text = format!(
            "port=8200\nmedia_dir={at}\ndb_dir={at}\nlog_dir={at}\nnetwork_interface=eth0\nnotify_interval=5\n\
             uuid=4d696e69-0000-0000-0000-00000000000{number}\n"
        );
        fs::write(&config, text).unwrap();
        let line = format!("minidlnad -S -f {config} -P {}", folder.path("pid"));
        let peer = host.start(&line);
        host.wait_for_udp_port(1900);
        peers.push((peer, folder));
    }
    let kind = "::urn:schemas-upnp-org:device:MediaServer";
    let services = found(&a, "ssdp", kind, &IPV4);
    assert_eq!(services.len(), 3, "{services:?}");
    assert!(services.iter().all(|it| it["port"] == 8200), "{services:?}");
}

/// By IPv6 it is given its link-local address, so that it asks in ff02::c: by a global one it asks in ff0e::c alone.
pub(crate) fn discovery_gssdp_is_found_and_finds() {
    let lab = Lab::new();
    let (a, others) = host_between::<3>(&lab);
    let others = with_route(others);
    let addresses = |number: usize, host: &Host| {
        [
            format!("10.0.{number}.2"),
            host.link_local("eth0").to_string(),
        ]
    };
    let mut groups = Vec::new();
    for (number, host) in (1..).zip(&others) {
        for address in addresses(number, host) {
            let group = format!(
                "g = GSSDP.ResourceGroup.new(c)\n\
                 g.add_resource_simple('upnp:rootdevice', 'uuid:7-{number}::upnp:rootdevice', 'http://host/')\n\
                 g.set_available(True)\n"
            );
            groups.push(gssdp(host, &address, "1_1", &group));
        }
    }
    let services = found(&a, "ssdp", "uuid:7-", &BOTH);
    assert_eq!(services.len(), 3, "{services:?}");
    drop(groups);

    let uuid = "9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c45";
    let ours = announce(&a, &["--type", KIND, "--uuid", uuid]);
    let usn = format!("uuid:{uuid}::upnp:rootdevice");
    let mut browsers = Vec::new();
    for (number, host) in (1..).zip(&others) {
        for address in addresses(number, host) {
            let browser = "\
                b = GSSDP.ResourceBrowser.new(c, 'upnp:rootdevice')\n\
                b.connect('resource-available', lambda b, usn, at: print('found', usn, at[0], flush=True))\n\
                b.connect('resource-unavailable', lambda b, usn: print('gone', usn, flush=True))\n\
                b.set_active(True)\n";
            let mut browser = gssdp(host, &address, "1_1", browser);
            let is_v6 = address.contains(':');
            let at = if is_v6 {
                "http://[fe80:".to_owned()
            } else {
                format!("http://10.0.{number}.1:8080/")
            };
            browser.wait_for_line(&format!("found {usn} {at}"));
            browsers.push(browser);
        }
    }
    end(ours);
    for browser in &mut browsers {
        browser.wait_for_line(&format!("gone {usn}"));
    }
}

pub(crate) fn discovery_async_upnp_client_is_found_and_finds() {
    let lab = Lab::new();
    let (a, others) = host_between::<3>(&lab);
    let others = with_route(others);
    let ours = announce(&a, &["--type", KIND, "--path", "/d.xml"]);
    // A device by each version of IP, and then a search by each.
    let script = r"
import asyncio, sys
from xml.etree import ElementTree
from async_upnp_client.const import DeviceInfo
from async_upnp_client.search import async_search
from async_upnp_client.server import UpnpServer, UpnpServerDevice
number, index = sys.argv[1], int(sys.argv[2])
sources = [(f'10.0.{number}.2', 0), (f'fd0{number}::2', 0, 0, index)]
class Device(UpnpServerDevice):
    DEVICE_DEFINITION = DeviceInfo('urn:schemas-upnp-org:device:Basic:1', 'Basic', 'x', None, None, 'x', None, None, None,
        f'uuid:9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c5{number}', None, None, '/device.xml', [],
        ElementTree.Element('server_device'))
    EMBEDDED_DEVICES = []
    SERVICES = []
async def found(headers): print('found', headers['st'], headers['location'], flush=True)
async def main():
    for port, source in enumerate(sources, 8001):
        await UpnpServer(Device, source=source, http_port=port).async_start()
    print('serving', flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for source in sources:
        await async_search(found, timeout=2, search_target='ssdp:all', source=source)
    print('searched', flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
asyncio.run(main())
";
    let mut peers: Vec<Process> = (1..)
        .zip(&others)
        .map(|(number, host): (u32, _)| {
            let index = host.interface_index("eth0").to_string();
            let arguments = [&*number.to_string(), &*index];
            python(host, "async_upnp_client", script, &arguments)
        })
        .collect();
    for peer in &mut peers {
        peer.wait_for_line("serving");
    }
    let services = found(&a, "ssdp", "3d8b9d7a1c5", &BOTH);
    let ports: Vec<&serde_json::Value> = services.iter().map(|it| &it["port"]).collect();
    assert!(
        ports.iter().all(|it| *it == 8001 || *it == 8002),
        "{services:?}"
    );
    for (number, peer) in (1..).zip(&mut peers) {
        peer.write_line("");
        for address in [format!("10.0.{number}.1"), "[".to_owned()] {
            peer.wait_for_line(&format!("found {KIND} http://{address}"));
        }
    }
    end(ours);
}

/// It hears what we announce, and our goodbye; and answers for a program that has told it of its device.
pub(crate) fn discovery_minissdpd_is_found_and_finds() {
    netns::require(&["minissdpd"]);
    let lab = Lab::new();
    let (a, others) = host_between::<3>(&lab);
    let others = with_route(others);
    let mut peers = Vec::new();
    for (number, host) in (1..).zip(&others) {
        let folder = Folder::new(&format!("minissdpd-{number}"));
        let socket = PathBuf::from(folder.path("sock"));
        let line = format!(
            "minissdpd -d -6 -i eth0 -s {} -p {}",
            socket.display(),
            folder.path("pid")
        );
        let peer = host.start(&line);
        netns::wait_until("the socket of minissdpd", || socket.exists());
        let script = r"
import socket, sys
link = socket.socket(socket.AF_UNIX)
link.connect(sys.argv[1])
usn = f'uuid:77-{sys.argv[2]}::upnp:rootdevice'.encode()
texts = [b'upnp:rootdevice', usn, b'a/1 UPnP/1.1 b/1', b'http://host/']
link.sendall(b'\x04' + b''.join(bytes([len(text)]) + text for text in texts) + b'\x03\x00')
link.recv(10)
print('submitted', flush=True)
sys.stdin.read()
";
        let socket = socket.to_string_lossy();
        let mut submit = python(host, "socket", script, &[&socket, &format!("{number}")]);
        submit.wait_for_line("submitted");
        peers.push((peer, submit, folder));
    }
    let services = found(&a, "ssdp", "uuid:77-", &BOTH);
    assert_eq!(services.len(), 3, "{services:?}");
    let uuid = "9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c44";
    let ours = announce(&a, &["--type", KIND, "--uuid", uuid]);
    for (peer, ..) in &mut peers {
        peer.wait_for_error_line(&format!("new device discovered : uuid:{uuid}"));
    }
    end(ours);
    for (peer, ..) in &mut peers {
        peer.wait_for_error_line(&format!("remove device : uuid:{uuid}"));
    }
}
