use std::time::Instant;

use manycast::InterfaceId;
use manycast::discovery::{Attribute, ServiceAddress, devices};

use super::*;

fn service(
    protocol: DiscoveryProtocol,
    id: &str,
    kind: &str,
    (name, port): (&str, u16),
    at: &[&str],
) -> Service {
    let mut service = Service::new(protocol, id, kind, Instant::now());
    service.name = name.to_owned();
    service.port = Some(port);
    let on = InterfaceId::new(2, "eth0");
    service.addresses = at
        .iter()
        .map(|ip| ServiceAddress {
            ip: ip.parse().unwrap(),
            interface: on.clone(),
        })
        .collect();
    service
}

/// A printer that three protocols tell of, a media server, and something hostile.
fn all() -> Vec<Device> {
    use DiscoveryProtocol::{DnsSd, Ssdp, WsDiscovery};
    let printer = ["10.0.0.5", "fd00::5", "fe80::216:3eff:fe12:3456"];
    let name = "HP LaserJet Professional P1102w (third floor, beside the kitchen)";
    let mut ipp = service(
        DnsSd,
        "p._ipp._tcp.local.",
        "_ipp._tcp",
        (name, 631),
        &printer,
    );
    ipp.host = Some("printer.local.".to_owned());
    ipp.attributes = vec![Attribute::new("note", "third floor")];
    let print = "{http://schemas.xmlsoap.org/ws/2006/02/devprof}Device \
                 {http://schemas.microsoft.com/windows/2006/08/wdp/print}PrintDeviceType";
    let dlna = "Debian DLNADOC/1.50 UPnP/1.0 MiniDLNA/1.3.0";
    let nas = |id: &str, kind: &str| {
        let mut part = service(Ssdp, id, kind, (dlna, 8200), &["10.0.0.9"]);
        part.uuid = Some("4d696e69".to_owned());
        part
    };
    let services = [
        ipp,
        service(WsDiscovery, "urn:uuid:1", print, ("", 5357), &printer[..1]),
        nas("uuid:4d696e69", "uuid:4d696e69"),
        nas("uuid:4d696e69::upnp:rootdevice", "upnp:rootdevice"),
        nas(
            "uuid:4d696e69::urn:1",
            "urn:schemas-upnp-org:device:MediaServer:1",
        ),
        nas(
            "uuid:4d696e69::urn:2",
            "urn:schemas-upnp-org:service:ContentDirectory:1",
        ),
        service(
            DnsSd,
            "x",
            "_http._tcp",
            ("\u{1b}[2J\u{202e}evil\r\n", 80),
            &["10.0.0.66"],
        ),
    ];
    devices(&services)
}

#[test]
fn it_fits_a_terminal_of_any_width() {
    for width in [40, 80, 200] {
        let text = table(&all(), false, width);
        insta::assert_snapshot!(format!("table_{width}"), text);
        for line in text.lines() {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn it_tells_more_when_asked() {
    let text = table(&all(), true, 80);
    assert!(text.contains("\n      note=third floor\n"), "{text}");
}

#[test]
fn nothing_that_a_device_says_drives_the_terminal() {
    for width in [1, 10, 80] {
        let text = table(&all(), true, width);
        let safe = |letter: char| letter == '\n' || !crate::output::is_unsafe(letter);
        assert!(text.chars().all(safe), "{text:?}");
    }
}

#[test]
fn what_is_listed_is_in_the_order_that_people_look_for() {
    let lines = ["10.0.0.10 on eth0", "10.0.0.9 on eth0"].map(|line| (line.to_owned(), 1));
    let text = section("not understood", &lines.into(), 80);
    let at = |address: &str| text.find(address).unwrap();
    assert!(at("10.0.0.9 ") < at("10.0.0.10 "), "{text}");
}

/// What has happened is folded where the terminal ends, and not cut.
#[test]
fn what_has_happened_is_shown_whole() {
    let last = "changed MediaRenderer:1 linux/1.0 UPnP/2.0 (ssdp): also at 10.77.0.1, 10.78.0.3";
    let lines = screen(&all(), &[last.to_owned()], 40, 24);
    assert!(
        lines.iter().all(|line| line.chars().count() < 40),
        "{lines:#?}"
    );
    let told: Vec<_> = lines
        .iter()
        .flat_map(|line| line.split_whitespace())
        .collect();
    assert!(told.join(" ").ends_with(last), "{lines:#?}");
}
