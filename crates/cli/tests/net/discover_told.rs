//! What becomes of a service: goodbye, crash, another address, an interface that is recreated; by each protocol.

use std::collections::BTreeSet;
use std::net::UdpSocket;

use manycast_lab::netns::Lab;

use crate::discover::{MDNS, SSDP, alive, announce, next, speaker, watch};
use crate::{code, dns, hosts_on, json, start};

/// Where WS-Discovery is said.
const WS_DISCOVERY: &str = "239.255.255.250:3702";

/// All three say goodbye at the end, and it is told.
pub(crate) fn a_goodbye_is_told() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut watching = watch(&a, &[]);
    let uuid = "9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c11";
    let all = ["dns-sd", "ssdp", "ws-discovery"]
        .map(|it| ["--protocol", it])
        .concat();
    let web = [
        "Web",
        "--type",
        "_http._tcp",
        "--port",
        "80",
        "--uuid",
        uuid,
    ];
    let mut announced = announce(&b, &[&web[..], &all].concat());
    let ids = [
        "Web._http._tcp.local.",
        "urn:schemas-upnp-org:device:Basic:1",
        "urn:uuid:",
    ];
    let mut found: Vec<&str> = Vec::new();
    while found.len() < ids.len() {
        let object = json(&watching.wait_for_line("\"event\":\"found\""));
        let id = object["id"].as_str().unwrap();
        found.extend(ids.iter().filter(|known| id.contains(**known)));
    }
    announced.interrupt();
    let mut gone: Vec<(String, String)> = Vec::new();
    while !ids
        .iter()
        .all(|known| gone.iter().any(|(id, _)| id.contains(*known)))
    {
        let object = json(&watching.wait_for_line("\"event\":\"gone\""));
        let text = |key: &str| object[key].as_str().unwrap().to_owned();
        gone.push((text("id"), text("why")));
    }
    for (id, why) in gone {
        let expected = if id.contains("_http._tcp") {
            "goodbye-or-expired"
        } else {
            "goodbye"
        };
        assert_eq!(why, expected, "{id}");
    }
    watching.interrupt();
    assert_eq!(code(&watching.finish()), 0);
}

/// A device that is heard from another address, and one that is not heard any more.
pub(crate) fn by_ssdp_a_crash_and_a_new_address_are_told() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    b.output("ip addr add 10.0.0.77/24 dev eth0");
    let first = speaker(&b, "10.0.0.2:0");
    let second = b.run(|| UdpSocket::bind("10.0.0.77:0").unwrap());
    let mut watching = watch(&a, &["ssdp:all", "-v"]);
    watching.wait_for_error_line("asked for ssdp:all by ssdp at 239.255.255.250:1900 on eth0");

    first
        .send_to(alive("moves", 2, 60).as_bytes(), SSDP)
        .unwrap();
    next(&mut watching, "found", "moves");
    second
        .send_to(alive("moves", 77, 60).as_bytes(), SSDP)
        .unwrap();
    let moved = next(&mut watching, "changed", "moves");
    assert_eq!(moved["why"], "addresses", "{moved}");
    assert_eq!(moved["added"][0]["address"], "10.0.0.77", "{moved}");

    // It is not heard any more.
    first
        .send_to(alive("crashes", 2, 1).as_bytes(), SSDP)
        .unwrap();
    next(&mut watching, "found", "crashes");
    assert_eq!(next(&mut watching, "gone", "crashes")["why"], "expired");
}

/// A host that takes another address, and one that is not heard any more.
pub(crate) fn by_dns_sd_a_crash_and_a_new_address_are_told() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let speaker = speaker(&b, "10.0.0.2:5353");
    let mut watching = watch(&a, &["_http._tcp", "-v"]);
    watching.wait_for_error_line("asked for _http._tcp by dns-sd");
    let say = |instance: &str, host: u8, seconds: u32| {
        let address = [10, 0, 0, host].into();
        let answer = dns::web(instance.as_bytes(), instance, address, seconds);
        speaker.send_to(&answer, MDNS).unwrap();
    };
    say("moves", 2, 120);
    next(&mut watching, "found", "moves");
    say("moves", 77, 120);
    let moved = next(&mut watching, "changed", "moves");
    assert_eq!(moved["why"], "addresses", "{moved}");
    assert_eq!(moved["added"][0]["address"], "10.0.0.77", "{moved}");

    say("crashes", 2, 2);
    next(&mut watching, "found", "crashes");
    let gone = next(&mut watching, "gone", "crashes");
    assert_eq!(gone["why"], "goodbye-or-expired", "{gone}");
}

/// The library for DNS-SD ends its subscription where more than 1,000 events come at once; what it would have told then is
/// told all the same.
pub(crate) fn by_dns_sd_many_that_go_at_once_are_told() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let speaker = speaker(&b, "10.0.0.2:5353");
    let mut watching = watch(&a, &["_http._tcp", "-v"]);
    watching.wait_for_error_line("asked for _http._tcp by dns-sd");
    let mut there = 0;
    for number in 0..1_500 {
        let instance = format!("web {number}");
        let answer = dns::web(instance.as_bytes(), "web", [10, 0, 0, 2].into(), 4_500);
        speaker.send_to(&answer, MDNS).unwrap();
        // Not more than the socket of the library has room for.
        while number % 20 == 19 && there <= number {
            watching.wait_for_line("\"event\":\"found\"");
            there += 1;
        }
    }
    a.link_down("eth0");
    let mut gone = BTreeSet::new();
    while gone.len() < 1_500 {
        let object = json(&watching.wait_for_line("\"event\":\"gone\""));
        gone.insert(object["id"].to_string());
    }
}

/// A Hello or a Bye in one datagram.
fn said(what: &str, uuid: &str, host: u8) -> String {
    let discovery = "http://schemas.xmlsoap.org/ws/2005/04/discovery";
    format!(
        "<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope' xmlns:d='{discovery}' \
         xmlns:a='http://schemas.xmlsoap.org/ws/2004/08/addressing' \
         xmlns:p='http://schemas.xmlsoap.org/ws/2006/02/devprof'><s:Header>\
         <a:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To><a:Action>{discovery}/{what}</a:Action>\
         <a:MessageID>urn:uuid:{what}-{uuid}-{host}</a:MessageID></s:Header><s:Body><d:{what}>\
         <a:EndpointReference><a:Address>urn:uuid:{uuid}</a:Address></a:EndpointReference>\
         <d:Types>p:Device</d:Types><d:XAddrs>http://10.0.0.{host}:5357/</d:XAddrs>\
         <d:MetadataVersion>1</d:MetadataVersion></d:{what}></s:Body></s:Envelope>"
    )
}

/// A service that is heard from another address, and leaves the first. That one which does not answer is gone takes a
/// minute, and is tried in virtual time.
pub(crate) fn by_ws_discovery_a_new_address_is_told() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    b.output("ip addr add 10.0.0.77/24 dev eth0");
    let first = speaker(&b, "10.0.0.2:0");
    let second = b.run(|| UdpSocket::bind("10.0.0.77:0").unwrap());
    let mut watching = watch(&a, &["wsdp:Device", "-v"]);
    watching.wait_for_error_line("at 239.255.255.250:3702 on eth0");
    let hello = |host: u8| said("Hello", "moves", host);
    first.send_to(hello(2).as_bytes(), WS_DISCOVERY).unwrap();
    next(&mut watching, "found", "moves");
    second.send_to(hello(77).as_bytes(), WS_DISCOVERY).unwrap();
    let moved = next(&mut watching, "changed", "moves");
    assert_eq!(moved["why"], "addresses", "{moved}");
    assert_eq!(moved["added"][0]["address"], "10.0.0.77", "{moved}");
    let bye = said("Bye", "moves", 2);
    first.send_to(bye.as_bytes(), WS_DISCOVERY).unwrap();
    let moved = next(&mut watching, "changed", "moves");
    assert_eq!(moved["removed"][0]["address"], "10.0.0.2", "{moved}");
    let bye = said("Bye", "moves", 77);
    second.send_to(bye.as_bytes(), WS_DISCOVERY).unwrap();
    let gone = next(&mut watching, "gone", "moves");
    assert_eq!(gone["why"], "goodbye", "{gone}");
}

pub(crate) fn an_interface_that_is_recreated_is_asked_on_again() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let all = ["dns-sd", "ssdp", "ws-discovery"]
        .map(|it| ["--protocol", it])
        .concat();
    let web = ["Web", "--type", "_http._tcp", "--port", "80"];
    let mut announced = announce(&b, &[&web[..], &all].concat());
    announced.wait_for_line("_http._tcp");
    let mut watching = watch(&a, &[]);
    let ids = ["urn:uuid:", "Basic:1", "Web._http._tcp"];
    // Which of them comes first is by chance.
    let mut wait_for = |events: &[&str]| {
        let mut told: Vec<(String, String)> = Vec::new();
        let all = |told: &[(String, String)]| {
            let has =
                |event: &str, id: &str| told.iter().any(|(it, of)| it == event && of.contains(id));
            events
                .iter()
                .all(|event| ids.iter().all(|id| has(event, id)))
        };
        while !all(&told) {
            let object = json(&watching.wait_for_line("\"id\":"));
            if object["event"] == "gone" {
                // The library for DNS-SD does not tell why.
                let why = match object["protocol"] == "dns-sd" {
                    true => "goodbye-or-expired",
                    false => "interface",
                };
                assert_eq!(object["why"], why, "{object}");
            }
            let text = |key: &str| object[key].as_str().unwrap().to_owned();
            told.push((text("event"), text("id")));
        }
    };
    wait_for(&["found"]);
    a.delete_device("eth0");
    a.recreate_device("eth0");
    wait_for(&["gone", "found"]);
}

/// IPv6 addresses are tentative for some seconds after an interface came up (RFC 4862 §5.4): nothing can be sent from
/// them before.
pub(crate) fn after_an_interface_came_up_all_is_announced_by_ipv6() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    b.sysctl("net.ipv6.conf.eth0.accept_dad", "1");
    // A second each: for longer than it is looked again, and than anything is repeated.
    b.sysctl("net.ipv6.conf.eth0.dad_transmits", "5");
    let web = ["Web", "--type", "wsdp:Device", "--port", "80", "--protocol"];
    let all = [&web[..], &["ssdp", "--protocol", "ws-discovery"]].concat();
    let mut announced = announce(&b, &all);
    for protocol in ["ssdp", "ws-discovery"] {
        announced.wait_for_line(&format!("\"protocol\":\"{protocol}\""));
    }
    b.link_down("eth0");
    let mut listening = start(&a, &["listen", "ssdp", "ws-discovery", "--json"]);
    listening.wait_for_line("\"event\":\"listening\"");
    b.output("ip link set eth0 up");
    let mut missing = vec!["ssdp:alive", "discovery/Hello"];
    while !missing.is_empty() {
        let line = listening.wait_for_line("\"destination\":\"[ff02::c");
        missing.retain(|text| !line.contains(text));
    }
}
