//! What is on the link, by this command on both sides, and by devices that are made up here.

use std::net::UdpSocket;

use manycast_lab::netns::{Finished, Host, Lab, Process};
use serde_json::Value;

use crate::{
    BINARY, code, dns, host_between, hosts_on, json, receive, run, socket, start, start_on_terminal,
};

/// Where SSDP is said.
pub(crate) const SSDP: &str = "239.255.255.250:1900";

/// Where Multicast DNS is said.
pub(crate) const MDNS: &str = "224.0.0.251:5353";

/// The command as an ordinary user runs it.
pub(crate) fn discover(host: &Host, arguments: &[&str]) -> Finished {
    let mut command = host.command("setpriv");
    command.args(["--inh-caps=-all", "--bounding-set=-all", BINARY, "discover"]);
    Process::start(command.args(arguments)).finish()
}

/// The devices that it tells of.
pub(crate) fn devices(finished: &Finished) -> Vec<Value> {
    let objects = finished.stdout.iter().map(|line| json(line));
    objects.filter(|it| it["event"] == "device").collect()
}

pub(crate) fn announce(host: &Host, arguments: &[&str]) -> Process {
    let all = [&["announce", "--json"], arguments].concat();
    start(host, &all)
}

/// A command that tells what comes, changes and goes.
pub(crate) fn watch(host: &Host, arguments: &[&str]) -> Process {
    let all = [&["discover", "--watch", "--json"], arguments].concat();
    start(host, &all)
}

/// The next object of an event about a service of this identity.
pub(crate) fn next(watching: &mut Process, event: &str, id: &str) -> Value {
    loop {
        let object = json(&watching.wait_for_line(&format!("\"event\":\"{event}\"")));
        if object["id"].as_str().is_some_and(|it| it.contains(id)) {
            return object;
        }
    }
}

/// Three protocols on three links, each by IPv4 and IPv6, within two seconds.
pub(crate) fn what_is_announced_is_found_on_every_link() {
    let lab = Lab::new();
    let (a, others) = host_between::<3>(&lab);
    let protocols = ["dns-sd", "ssdp", "ws-discovery"];
    let mut announced = Vec::new();
    for (number, host) in others.iter().enumerate() {
        let port = (8_080 + number).to_string();
        let name = format!("Web. {number}");
        let mut arguments = vec!["--type", "_http._tcp", "--port", &port, "--txt", "path=/x"];
        protocols
            .iter()
            .for_each(|it| arguments.extend(["--protocol", it]));
        let mut process = announce(host, &[&[&*name], &arguments[..]].concat());
        let mut missing = protocols.to_vec();
        while !missing.is_empty() {
            let object = json(&process.wait_for_line("\"event\":\"announced\""));
            missing.retain(|it| object["protocol"] != **it);
        }
        announced.push(process);
    }
    let found = discover(&a, &["-t", "2s", "--json"]);
    assert_eq!(code(&found), 0, "{found:?}");
    let devices = devices(&found);
    for number in 1..=3 {
        let on = format!("eth{number}");
        for protocol in protocols {
            let services = devices
                .iter()
                .flat_map(|it| it["services"].as_array().unwrap());
            let here: Vec<&str> = services
                .filter(|it| it["protocol"] == protocol)
                .flat_map(|it| it["addresses"].as_array().unwrap())
                .filter(|it| it["interface"] == *on)
                .map(|it| it["address"].as_str().unwrap())
                .collect();
            let v4 = format!("10.0.{number}.2");
            assert!(here.contains(&&*v4), "{protocol} {on}: {here:?}");
            assert!(
                here.iter().any(|it| it.contains(':')),
                "{protocol} {on}: {here:?}"
            );
        }
    }
    let named = discover(&a, &["_http._tcp", "-i", "eth2", "-t", "2s"]);
    let shown = named.stdout.join("\n");
    assert!(shown.contains("8081  Web. 1"), "{shown}");
    assert!(
        !shown.contains("8080") && !shown.contains("8082"),
        "{shown}"
    );
    for mut process in announced {
        process.interrupt();
        assert_eq!(code(&process.finish()), 0);
    }
}

/// UDA 2.0 §1.2.2: whoever is not at port 1900 says at which port it can be asked by itself.
pub(crate) fn what_is_announced_by_ssdp_can_be_asked_by_itself() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut listening = start(&a, &["listen", "ssdp", "--json"]);
    listening.wait_for_line("\"event\":\"listening\"");
    let basic = "urn:schemas-upnp-org:device:Basic:1";
    let _announced = announce(&b, &["Web", "--type", basic, "--port", "80"]);
    let said = json(&listening.wait_for_line("SEARCHPORT.UPNP.ORG: "));
    let (_, port) = said["text"]
        .as_str()
        .unwrap()
        .split_once("SEARCHPORT.UPNP.ORG: ")
        .unwrap();
    let port: u16 = port.lines().next().unwrap().parse().unwrap();
    let asking = socket(&a, "10.0.0.1:0");
    let question = format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: 10.0.0.2:{port}\r\nMAN: \"ssdp:discover\"\r\nST: {basic}\r\n\r\n"
    );
    asking
        .send_to(question.as_bytes(), ("10.0.0.2", port))
        .unwrap();
    let (answer, from) = receive(&asking);
    assert_eq!(from, ([10, 0, 0, 2], port).into());
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

pub(crate) fn names_of_dns_sd_are_those_that_were_sent() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let speaker = speaker(&b, "10.0.0.2:5353");
    let mut watching = watch(&a, &["_http._tcp", "-v"]);
    watching.wait_for_error_line("asked for _http._tcp by dns-sd");
    for (instance, host) in [("CORP\\prn", "corp"), ("No. 5", "five")] {
        let answer = dns::web(instance.as_bytes(), host, [10, 0, 0, 2].into(), 120);
        speaker.send_to(&answer, MDNS).unwrap();
        let found = json(&watching.wait_for_line("\"event\":\"found\""));
        assert_eq!(found["name"], instance, "{found}");
    }
}

/// A device of SSDP in one datagram.
pub(crate) fn alive(uuid: &str, host: u8, max_age: u32) -> String {
    format!(
        "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nCACHE-CONTROL: max-age={max_age}\r\n\
         LOCATION: http://10.0.0.{host}:80/\r\nNT: upnp:rootdevice\r\nNTS: ssdp:alive\r\nSERVER: a/1 UPnP/1.1 b/1\r\n\
         USN: uuid:{uuid}::upnp:rootdevice\r\n\r\n"
    )
}

/// A socket of a host that says things to groups.
pub(crate) fn speaker(host: &Host, address: &str) -> UdpSocket {
    host.add_route("224.0.0.0/4 dev eth0");
    host.run(|| UdpSocket::bind(address).unwrap())
}

pub(crate) fn hostile_answers_hide_no_good_ones() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let speaker = speaker(&b, "10.0.0.2:0");
    let mut watching = start(&a, &["discover", "--watch", "-v"]);
    watching.wait_for_error_line("asked for ssdp:all by ssdp at 239.255.255.250:1900 on eth0");
    watching.wait_for_error_line("at 239.255.255.250:3702 on eth0");
    // Whoever asks, listens.
    watching.wait_for_error_line("asked for _services._dns-sd._udp by dns-sd");
    let dns = b.run(|| UdpSocket::bind("10.0.0.2:5353").unwrap());
    dns.send_to(&dns::kinds(), MDNS).unwrap();
    watching.wait_for_error_line("asked for _http._tcp by dns-sd");
    let laughs = "<!DOCTYPE a [<!ENTITY b 'ha'><!ENTITY c '&b;&b;&b;&b;'>]><a>&c;</a>";
    let deep = "<a>".repeat(20_000);
    let endless = alive("endless", 2, 60).repeat(100);
    for (port, text) in [
        (3702, laughs),
        (3702, &*deep),
        (1900, &*endless),
        (1900, "NOTIFY \u{1b}[2J"),
        (1900, &alive("\u{1b}[31mred", 2, 60)),
        (1900, &alive("\u{202e}der", 2, 60)),
    ] {
        let to = format!("239.255.255.250:{port}");
        speaker.send_to(text.as_bytes(), to).unwrap();
    }
    speaker
        .send_to(alive("good", 2, 60).as_bytes(), SSDP)
        .unwrap();
    watching.wait_for_line("found upnp:rootdevice a/1 UPnP/1.1 b/1 at 10.0.0.2 on eth0 (ssdp)");
    let own = [10, 0, 0, 2].into();
    for answer in dns::hostile() {
        dns.send_to(&answer, MDNS).unwrap();
    }
    for (instance, host) in [("\u{1b}[2J\u{202e}red", "red"), ("Good", "good")] {
        let answer = dns::web(instance.as_bytes(), host, own, 120);
        dns.send_to(&answer, MDNS).unwrap();
    }
    watching.wait_for_line("found _http._tcp Good at 10.0.0.2 on eth0 (dns-sd)");
    let mut missing = vec!["eth0, ws-discovery:", "eth0, ssdp:"];
    while !missing.is_empty() {
        let line = watching.wait_for_error_line("not understood: 10.0.0.2 on");
        missing.retain(|it| !line.contains(it));
    }
    watching.interrupt();
    let finished = watching.finish();
    let shown = [finished.stdout, finished.stderr].concat().join("\n");
    let drives = |letter: char| letter != '\n' && (letter.is_control() || letter == '\u{202e}');
    assert!(!shown.contains(drives), "{shown:?}");
}

/// More names than are kept, from one host: it goes on, and what comes after is still told of others.
pub(crate) fn a_flood_of_names_is_counted() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let (flood, good) = (speaker(&b, "10.0.0.2:0"), speaker(&c, "10.0.0.3:0"));
    let mut watching = watch(&a, &["ssdp:all"]);
    a.wait_for_group("eth0", "239.255.255.250".parse().unwrap());
    for number in 0..2_000 {
        flood
            .send_to(alive(&format!("f{number}"), 2, 60).as_bytes(), SSDP)
            .unwrap();
    }
    good.send_to(alive("good", 3, 60).as_bytes(), SSDP).unwrap();
    next(&mut watching, "found", "good");
    watching.interrupt();
    let finished = watching.finish();
    let summary = json(finished.stdout.last().unwrap());
    assert_eq!(summary["event"], "summary");
    let told = finished
        .stdout
        .iter()
        .filter(|it| it.contains("\"found\""))
        .count();
    assert!(told <= 257, "{told} services were told");
    assert!(summary["overflowed"].as_u64().unwrap() > 0, "{summary}");
}

pub(crate) fn a_name_that_is_taken_is_changed_and_told() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    // Two hosts of the lab have one name, so the second has to take another as well.
    let web = ["Web", "--type", "_http._tcp", "--port", "80"];
    let mut first = announce(&a, &web);
    first.wait_for_line("\"event\":\"announced\"");
    let mut second = announce(&b, &web);
    let renamed = json(&second.wait_for_line("\"to\":\"Web (2)"));
    assert_eq!(renamed["event"], "renamed");
    let text = second.wait_for_error_line("another host has the name Web");
    assert!(
        text.ends_with("is announced as Web (2)._http._tcp.local."),
        "{text}"
    );
    // It is told once, though the name of each record, by IPv4 and IPv6, was taken.
    second.wait_for_line("\"id\":\"Web (2)");
    // The goodbye of the second is for its own name.
    second.interrupt();
    let second = second.finish();
    assert_eq!(code(&second), 0);
    let told = second.stdout.iter();
    let told = told.filter(|line| line.contains("\"to\":\"Web (2)"));
    assert_eq!(told.count(), 1, "{second:?}");
    // RFC 6762 §6: the first has just defended its name, and tells it again after a second at the earliest.
    let found = discover(&b, &["_http._tcp", "-t", "3s", "--json"]);
    let found = devices(&found);
    assert_eq!(found[0]["services"][0]["name"], "Web", "{found:?}");
}

pub(crate) fn nothing_found_says_why() {
    let lab = Lab::new();
    let alone = lab.host("alone");
    let nothing = discover(&alone, &["-t", "500ms"]);
    assert_eq!(code(&nothing), 1);
    let said = nothing.stderr.join("\n");
    assert!(
        said.contains("nothing was found: this host has no interface but loopback"),
        "{said}"
    );

    let [a, _b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let nothing = discover(&a, &["-t", "500ms"]);
    let said = nothing.stderr.join("\n");
    assert!(
        said.contains("nothing was found: nobody has answered on eth0 in"),
        "{said}"
    );
    a.link_down("eth0");
    let nothing = discover(&a, &["-t", "500ms", "--json"]);
    let summary = json(nothing.stdout.last().unwrap());
    let why = summary["why"][0].as_str().unwrap();
    assert!(
        why.contains("no interface can be asked on: eth0 is down"),
        "{why}"
    );
}

/// 256 groups on interfaces are asked.
pub(crate) fn interfaces_that_are_not_asked_are_told() {
    let lab = Lab::new();
    let a = lab.host("a");
    let make = "for n in $(seq 130); do echo link add a$n type veth peer b$n; echo link set a$n up; \
                echo link set b$n up; done | ip -batch -";
    let made = a.command("sh").args(["-c", make]).status().unwrap();
    assert!(made.success());
    let arguments = ["--protocol", "ssdp", "-t", "2s", "--json"];
    let nothing = discover(&a, &arguments);
    let summary = json(nothing.stdout.last().unwrap());
    let why = summary["why"].as_array().unwrap();
    let why: Vec<_> = why.iter().map(|it| it.as_str().unwrap()).collect();
    let (begin, end) = (why[0].find(" on ").unwrap(), why[0].find(" in ").unwrap());
    let told: Vec<_> = why[0][begin + 4..end].split(", ").collect();
    assert_eq!(told.len(), 256, "{why:?}");
    let passed_over = "cannot ask or announce in 239.255.255.250 on ";
    let passed_over = why.iter().filter_map(|it| it.strip_prefix(passed_over));
    let passed_over: Vec<_> = passed_over.filter_map(|it| it.split(':').next()).collect();
    assert_eq!(passed_over.len(), 4, "{why:?}");
    assert!(!told.iter().any(|it| passed_over.contains(it)), "{why:?}");
}

/// The firewall lets in what belongs to a connection, and no answer to a question to a group does.
pub(crate) fn a_firewall_that_drops_answers_is_named() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    // One that answers at once, so that each question has an answer.
    let script = "
import socket, struct
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.bind(('', 1900))
group = struct.pack('4s4sI', socket.inet_aton('239.255.255.250'), b'', socket.if_nametoindex('eth0'))
own.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
print('joined', flush=True)
while True:
    question, who = own.recvfrom(2048)
    own.sendto(b'HTTP/1.1 200 OK\\r\\nST: upnp:rootdevice\\r\\nUSN: uuid:1::upnp:rootdevice\\r\\n\\r\\n', who)
";
    let mut member = b.command("python3");
    let mut member = Process::start(member.args(["-c", script]));
    member.wait_for_line("joined");
    let found = discover(&a, &["upnp:rootdevice", "-t", "1s"]);
    assert_eq!(code(&found), 0, "{found:?}");
    a.nft(
        "table inet f {
            chain i {
                type filter hook input priority 0
                iif lo accept
                ct state established,related accept
                meta l4proto { icmpv6, igmp } accept
                counter drop
            }
        }",
    );
    let nothing = run(&a, &["discover", "upnp:rootdevice", "-t", "1s"]);
    assert_eq!(code(&nothing), 1);
    let said = nothing.stderr.join("\n");
    assert!(
        said.contains("nothing was found: nobody has answered"),
        "{said}"
    );
    assert!(said.contains("firewall") && said.contains("nft"), "{said}");
}

pub(crate) fn what_cannot_be_looked_for_is_exit_2() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let device = [
        "announce",
        "x",
        "--port",
        "80",
        "--type",
        "urn:x:device:A:1",
    ];
    for (arguments, text) in [
        (
            &["discover", "http"][..],
            "is nothing that can be looked for; write a type such as _http._tcp",
        ),
        (
            &["discover", "_http._tcp", "--protocol", "ssdp"],
            "ssdp has no words for what is looked for",
        ),
        (&["discover", "-i", "nope0"], "nope0"),
        (
            &["announce", "x", "--type", "http", "--port", "80"],
            "is no kind of service",
        ),
        (
            &[
                "announce",
                "x",
                "--type",
                "_http._tcp",
                "--port",
                "80",
                "--txt",
                "=1",
            ],
            "no key of printable ASCII",
        ),
        (
            &[&device[..], &["--path", "no slash"]].concat(),
            "\"no slash\" is no path of a URL; write /no%20slash",
        ),
        (
            &[&device[..], &["--type", "urn:x:device:Second:1"]].concat(),
            "are two devices, and SSDP announces one; announce the second by a process of its own",
        ),
    ] {
        let finished = run(&a, arguments);
        assert_eq!(code(&finished), 2, "{arguments:?}: {finished:?}");
        let said = finished.stderr.join("\n");
        assert!(said.contains(text), "{arguments:?}: {said}");
    }
}

/// On a terminal there is one table, which fits it.
pub(crate) fn the_table_is_live_on_a_terminal() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut watching = start_on_terminal(&a, 40, &["discover", "_http._tcp", "--watch"]);
    watching.wait_for_line("nothing yet");
    let mut announced = announce(&b, &["Web", "--type", "_http._tcp", "--port", "80"]);
    watching.wait_for_line("_http._tcp  80  Web");
    announced.interrupt();
    watching.wait_for_line("nothing yet");
    watching.interrupt();
    assert_eq!(code(&watching.finish()), 0);
}

/// The groups have names for those who try by hand.
pub(crate) fn the_groups_are_known_by_name() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut listening = start(&b, &["listen", "ssdp", "ws-discovery", "mdns", "--json"]);
    let joined = listening.wait_for_line("\"event\":\"listening\"");
    for group in ["239.255.255.250", "224.0.0.251", "ff02::c", "ff02::fb"] {
        assert!(
            joined.contains(&format!("\"{group}\"")),
            "{group}: {joined}"
        );
    }
    let types = [
        "urn:schemas-upnp-org:device:Basic:1",
        "wsdp:Device",
        "_http._tcp",
    ];
    let arguments = types.map(|it| ["--type", it]).concat();
    let mut announced = announce(&b, &[&["Web", "--port", "80"][..], &arguments].concat());
    let mut missing = vec!["dns-sd", "ssdp", "ws-discovery"];
    while !missing.is_empty() {
        let object = json(&announced.wait_for_line("\"event\":\"announced\""));
        missing.retain(|it| object["protocol"] != **it);
    }
    for (name, answer) in [
        ("ssdp", "device:Basic:1"),
        ("ws-discovery", "ProbeMatches"),
        ("mdns", "_http"),
    ] {
        let asked = run(&a, &["ask", name, "-i", "eth0", "-t", "2s", "--json"]);
        assert_eq!(code(&asked), 0, "{name}: {asked:?}");
        let answers = asked.stdout.join("\n");
        let hex: String = answer.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(
            answers.contains(answer) || answers.contains(&hex),
            "{name}: {answers}"
        );
    }
}
