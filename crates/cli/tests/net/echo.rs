//! `manycast echo`

use manycast_lab::netns::{Hook, Host, Lab, Process, wait_until};

use crate::{code, hosts_on, json, receive, run, socket, start};

/// A server that is ready, and prints as people see it.
fn serve(host: &Host, arguments: &[&str]) -> Process {
    let mut server = start(host, &[&["echo"], arguments].concat());
    server.wait_for_error_line("listening on ");
    server
}

pub(crate) fn row_09_ten_clients_at_once_are_answered() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut server = serve(&b, &["--prefix", "OK..."]);
    let clients: Vec<_> = (0..10).map(|_| socket(&a, "0.0.0.0:0")).collect();
    // All ask before any looks for an answer, and what they ask is not text.
    let question = |number: u8, round: u8| vec![number, 0, 0xff, round, b'\n'];
    for round in 0..3 {
        for (number, client) in (0..).zip(&clients) {
            client
                .send_to(&question(number, round), "10.0.0.2:8888")
                .unwrap();
        }
    }
    for (number, client) in (0..).zip(&clients) {
        for round in 0..3 {
            let (answer, from) = receive(client);
            assert_eq!(answer, [&b"OK..."[..], &question(number, round)].concat());
            assert_eq!(from, "10.0.0.2:8888".parse().unwrap());
        }
    }
    clients[0].send_to(b"hello \r\n", "10.0.0.2:8888").unwrap();
    let port = clients[0].local_addr().unwrap().port();
    let line = server.wait_for_line("hello");
    // After the time of the day.
    let (clock, line) = line.split_once(' ').unwrap();
    assert_eq!(clock.len(), "12:04:05.123456".len(), "{clock}");
    assert_eq!(line, format!("Message[10.0.0.1:{port}] - hello"));
    server.interrupt();
    server.wait_for_error_line("answered 31 of 31 datagrams");
    assert_eq!(code(&server.finish()), 0);
}

pub(crate) fn row_09_an_empty_datagram_does_not_stop_it() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let _server = serve(&b, &[]);
    let client = socket(&a, "10.0.0.1:0");
    for question in [&b""[..], b"still there?", b"", b"and now?"] {
        client.send_to(question, "10.0.0.2:8888").unwrap();
        assert_eq!(receive(&client).0, question);
    }
}

pub(crate) fn row_09_the_address_that_was_asked_answers() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    b.output("ip address add 10.0.0.22/24 dev eth0");
    b.output("ip address add fd00::22/64 dev eth0 nodad");
    let _server = serve(&b, &[":5005"]);
    for (from, to) in [
        ("10.0.0.1:0", "10.0.0.2:5005"),
        ("10.0.0.1:0", "10.0.0.22:5005"),
        ("[fd00::1]:0", "[fd00::2]:5005"),
        ("[fd00::1]:0", "[fd00::22]:5005"),
    ] {
        let client = socket(&a, from);
        client.send_to(b"hello", to).unwrap();
        assert_eq!(receive(&client), (b"hello".to_vec(), to.parse().unwrap()));
    }
}

/// Two links have the same addresses, so that nothing but the socket tells which is meant.
pub(crate) fn each_asker_is_answered_by_the_interface_that_was_asked() {
    let lab = Lab::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| lab.host(name));
    let addresses = |last: u8| [format!("192.168.1.{last}/24"), format!("fd07::{last}/64")];
    for (asker, device) in [(&a, "eth0"), (&c, "eth1")] {
        let switch = lab.switch(device);
        let [own, server] = [addresses(2), addresses(1)];
        asker.connect(&switch, "eth0", &[&own[0], &own[1]]);
        b.connect(&switch, device, &[&server[0], &server[1]]);
    }
    let mut server = serve(&b, &[":8888", "-i", "eth0", "-i", "eth1"]);
    for asker in [&a, &c] {
        for (own, to) in [
            ("192.168.1.2:0", "192.168.1.1:8888"),
            ("[fd07::2]:0", "[fd07::1]:8888"),
        ] {
            let client = socket(asker, own);
            client.send_to(b"which?", to).unwrap();
            let (answer, from) = receive(&client);
            assert_eq!((&*answer, from), (&b"which?"[..], to.parse().unwrap()));
        }
    }
    server.interrupt();
    server.wait_for_error_line("answered 4 of 4 datagrams");
}

pub(crate) fn row_68_a_question_to_a_group_is_answered_by_unicast() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    for (group, host) in [
        ("239.1.1.1%eth0:8005", "10.0.0.2:8005"),
        ("[ff15::1%eth0]:8005", "[fd00::2]:8005"),
    ] {
        let mut server = serve(&b, &[group, "--prefix", "Server: "]);
        let asked = run(&a, &["ask", group, "Ping", "--answers", "1"]);
        assert_eq!(code(&asked), 0, "{asked:?}");
        let (responder, answer) = asked.stdout[0].split_once(" answered in ").unwrap();
        assert_eq!(responder, host);
        assert!(answer.ends_with(": Server: Ping"), "{answer}");
        server.wait_for_line("] - Ping");
    }
}

pub(crate) fn two_servers_do_not_play_ping_pong_for_ever() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let prefix = &["--prefix", "OK..."][..];
    for (port, options) in [
        (8888, &[][..]),
        (8888, prefix),
        (40_000, &[]),
        (40_000, prefix),
    ] {
        let at = format!(":{port}");
        let mut servers = [&a, &b].map(|host| {
            let mut server = start(host, &[&["echo", "--json", &at], options].concat());
            server.wait_for_line("listening");
            server
        });
        // A third host sends the first datagram, in the name of the one to the other.
        forge(&c, ("10.0.0.1", port), ("10.0.0.2", port), "hello");
        let dropped =
            |server: &Process| server.stdout().iter().any(|line| line.contains("\"loop\""));
        wait_until("one of them to answer no more", || {
            servers.iter().any(dropped)
        });
        for server in &mut servers {
            server.interrupt();
        }
        let lines = servers.map(|server| server.finish().stdout).concat();
        let count = |word| lines.iter().filter(|line| line.contains(word)).count();
        assert_eq!(count("\"loop\""), 1);
        let most = if port == 8888 { 2 * 201 } else { 2 * 20_000 };
        assert!((1..=most).contains(&count("\"answered\"")), "{port}");
    }
}

pub(crate) fn it_answers_no_source_that_cannot_have_asked() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut server = start(&b, &["echo", "--json"]);
    server.wait_for_line("listening");
    let answers = b.count_at(Hook::Output, "udp sport 8888");
    // Port 0, and the broadcast address of the network.
    for (source, port) in [("10.0.0.1", 0), ("10.0.0.255", 7)] {
        forge(&a, (source, port), ("10.0.0.2", 8888), "who?");
        let unanswered = json(&server.wait_for_line("unanswered"));
        assert_eq!(unanswered["why"], "unanswerable");
    }
    assert_eq!(answers.count(), 0);
    // It goes on working.
    let client = socket(&a, "10.0.0.1:0");
    client.send_to(b"me", "10.0.0.2:8888").unwrap();
    assert_eq!(receive(&client).0, b"me");
}

/// Sends a datagram in the name of another.
fn forge(host: &Host, (source, port): (&str, u16), (destination, to): (&str, u16), payload: &str) {
    let script = format!(
        "
import socket, struct
payload = {payload:?}.encode()
udp = struct.pack('!HHHH', {port}, {to}, 8 + len(payload), 0) + payload
ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0,
                 socket.inet_aton({source:?}), socket.inet_aton({destination:?}))
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.sendto(ip + udp, ({destination:?}, 0))
"
    );
    let finished = Process::start(host.command("python3").args(["-c", &script])).finish();
    assert!(finished.status.success(), "{finished:?}");
}
