//! `manycast send`

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use manycast_lab::netns::Lab;
use serde_json::json;

use crate::{
    code, datagram, host_between, hosts_on, json, listen, receive, run, send, socket, start, texts,
};

pub(crate) fn row_01_the_egress_is_told() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let receiver = socket(&b, "10.0.0.2:5005");

    let sent = send(&a, &["10.0.0.2:5005", "Hello, World!", "--json"]);
    let (payload, from) = receive(&receiver);
    assert_eq!(payload, b"Hello, World!");
    let expected = json!({
        "event": "sent", "bytes": 13, "to": "10.0.0.2:5005", "from": from.to_string(),
        "interface": "eth0", "hops": 64,
    });
    assert_eq!(json(&sent.stdout[0]), expected);
    assert_eq!(sent.stdout.len(), 1);
    assert_eq!(sent.stderr, [""; 0]);

    let sent = send(&a, &["10.0.0.2:5005", "x"]);
    let (_, from) = receive(&receiver);
    let line = format!("1 byte to 10.0.0.2:5005 from {from} by eth0, hop limit 64");
    assert_eq!(sent.stdout, [line]);
    assert_eq!(send(&a, &["10.0.0.2:5005", "x", "--quiet"]).stdout, [""; 0]);

    let receiver = socket(&b, "[fd00::2]:5005");
    let sent = send(&a, &["[fd00::2]:5005", "x", "--json"]);
    let (_, from) = receive(&receiver);
    assert_eq!(json(&sent.stdout[0])["from"], from.to_string());
}

pub(crate) fn row_01_a_closed_port_is_told() {
    let lab = Lab::new();
    let [a, _b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    for (to, other) in [("10.0.0.2:9", "10.0.0.9:9"), ("[fd00::2]:9", "[fd00::9]:9")] {
        let refused = run(&a, &["send", to, "x", "--wait", "5s"]);
        assert_eq!(code(&refused), 1, "{refused:?}");
        let problem =
            format!("manycast: nobody listens on {to}; start the receiver, or check host and port");
        assert_eq!(refused.stderr, [problem]);

        let refused = run(&a, &["send", to, "x", "--json"]);
        assert_eq!(code(&refused), 1, "{refused:?}");
        let expected = json!({"event": "refused", "to": to, "errno": 111});
        assert_eq!(json(&refused.stdout[1]), expected);

        // A host that is not there answers no question for its hardware address.
        let unreachable = run(&a, &["send", other, "x", "--wait", "10s"]);
        assert_eq!(code(&unreachable), 1, "{unreachable:?}");
        assert!(
            unreachable.stderr[0].contains("the host does not answer"),
            "{unreachable:?}"
        );
    }
    // Nobody is told of it in no time, which is no failure.
    assert_eq!(
        code(&run(&a, &["send", "10.0.0.9:9", "x", "--wait", "0"])),
        0
    );
}

pub(crate) fn row_13_what_goes_in_fragments_is_warned_of() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut listener = listen(&b, &["239.1.1.1:5000", "[ff15::1]:5000"]);
    for (to, most) in [("239.1.1.1:5000", 1472), ("[ff15::1%eth0]:5000", 1452)] {
        let whole = send(&a, &[to, &"x".repeat(most)]);
        assert_eq!(whole.stderr, [""; 0]);
        assert_eq!(datagram(&mut listener)["bytes"], most);

        let fragmented = send(&a, &[to, &"x".repeat(most + 1), "--count", "2"]);
        let warnings: Vec<_> = fragmented
            .stderr
            .iter()
            .filter(|line| line.contains("fragments"))
            .collect();
        assert_eq!(warnings.len(), 1, "{fragmented:?}");
        let most = format!("1,{}", most - 1000);
        assert!(
            warnings[0].starts_with("warning: 1,4") && warnings[0].contains(&most),
            "{warnings:?}"
        );
        datagram(&mut listener);
        datagram(&mut listener);
    }
    let file = "/run/long";
    fs::write(file, "x".repeat(65_508)).unwrap();
    let too_long = run(
        &a,
        &["send", "239.1.1.1:5000", "--file", file, "--size", "65508"],
    );
    assert_eq!(code(&too_long), 2);
    assert!(
        too_long.stderr[0].contains("is not from 1 to 65507"),
        "{too_long:?}"
    );
    let too_long = run(&a, &["send", "239.1.1.1:5000", &"x".repeat(65_508)]);
    assert_eq!(code(&too_long), 2);
    assert!(
        too_long.stderr[0].contains("65508 bytes are more than a UDP datagram carries"),
        "{too_long:?}"
    );
}

pub(crate) fn row_51_by_all_interfaces_or_some() {
    let lab = Lab::new();
    let (a, others) = host_between::<3>(&lab);
    let mut listeners: Vec<_> = others
        .iter()
        .map(|other| listen(other, &["239.1.1.1:5000", "-i", "eth0"]))
        .collect();

    let by_all = send(&a, &["239.1.1.1:5000", "to all", "-i", "all", "--json"]);
    let mut interfaces: Vec<_> = by_all
        .stdout
        .iter()
        .map(|line| json(line)["interface"].as_str().unwrap().to_owned())
        .collect();
    interfaces.sort();
    assert_eq!(interfaces, ["eth1", "eth2", "eth3", "lo"]);
    let index = a.interface_index("eth3").to_string();
    let by_some = send(
        &a,
        &[
            "239.1.1.1:5000",
            "to some",
            "-i",
            "10.0.1.1",
            "-i",
            &index,
            "--json",
        ],
    );
    let froms: Vec<_> = by_some
        .stdout
        .iter()
        .map(|line| {
            json(line)["from"]
                .as_str()
                .unwrap()
                .split(':')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(froms, ["10.0.1.1", "10.0.3.1"]);
    send(&a, &["239.1.1.1:5000", "end", "-i", "all"]);

    let expected: [&[&str]; 3] = [
        &["to all", "to some", "end"],
        &["to all", "end"],
        &["to all", "to some", "end"],
    ];
    for (listener, expected) in listeners.iter_mut().zip(expected) {
        listener.wait_for_line("\"end\"");
        assert_eq!(texts(&listener.stdout()), expected);
    }
}

pub(crate) fn row_44_the_hop_limit_is_obeyed_and_shown() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut listener = listen(&b, &["239.192.0.100:1000", "[ff15::1]:1000"]);
    for to in ["239.192.0.100:1000", "[ff15::1%eth0]:1000"] {
        for (option, hops) in [(&[][..], 1), (&["--hops", "20"][..], 20)] {
            let sent = send(&a, &[&[to, "robot", "--json"], option].concat());
            assert_eq!(json(&sent.stdout[0])["hops"], hops);
            let received = datagram(&mut listener);
            assert_eq!(received["hops"], hops);
            assert_eq!(received["text"], "robot");
        }
    }
    let receiver = socket(&b, "10.0.0.2:1001");
    let sent = send(&a, &["10.0.0.2:1001", "robot", "--hops", "2"]);
    assert!(sent.stdout[0].ends_with("by eth0, hop limit 2"), "{sent:?}");
    receive(&receiver);
}

pub(crate) fn row_47_hop_limits_that_surprise_are_explained() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let with = |options: &[&str]| send(&a, &[&["239.1.1.1:5000", "x"], options].concat()).stderr;
    let zero = with(&["--hops", "0"]);
    assert!(
        zero[0].starts_with("warning: a hop limit of 0 means this host alone"),
        "{zero:?}"
    );
    let one = with(&["--verbose"]);
    assert!(
        one.iter()
            .any(|line| line.contains("stay on the link of eth0")),
        "{one:?}"
    );
    assert_eq!(with(&["--hops", "2"]), [""; 0]);
    let host = run(&a, &["send", "10.0.0.2:5000", "x", "--hops", "0"]);
    assert_eq!(code(&host), 2);
    assert!(
        host.stderr[0].contains("a hop limit of 1 at least"),
        "{host:?}"
    );
}

pub(crate) fn row_48_no_route_is_needed() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    assert_eq!(a.output("ip route show default"), "");
    let mut listener = listen(&b, &["224.51.105.104:4242", "-i", "eth0"]);
    for options in [&[][..], &["-i", "eth0"], &["-i", "10.0.0.1"]] {
        let sent = send(
            &a,
            &[&["224.51.105.104:4242", "robot", "--json"], options].concat(),
        );
        assert_eq!(json(&sent.stdout[0])["interface"], "eth0");
        assert!(
            datagram(&mut listener)["source"]
                .as_str()
                .unwrap()
                .starts_with("10.0.0.1:")
        );
    }
    send(&a, &["224.51.105.104%eth0:4242", "robot"]);
    datagram(&mut listener);

    let host = run(&a, &["send", "192.0.2.1:4242", "robot"]);
    assert_eq!(code(&host), 2);
    assert!(host.stderr[0].contains("no route leads there"), "{host:?}");
}

pub(crate) fn row_69_loopback_is_a_switch() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    for group in ["239.1.1.1%eth0:5000", "[ff15::1%eth0]:5000"] {
        let mut here = listen(&a, &[group]);
        let mut there = listen(&b, &[group]);
        send(&a, &[group, "not here", "--no-loopback"]);
        send(&a, &[group, "everywhere"]);
        here.wait_for_line("everywhere");
        there.wait_for_line("everywhere");
        assert_eq!(texts(&here.stdout()), ["everywhere"]);
        assert_eq!(texts(&there.stdout()), ["not here", "everywhere"]);
    }
}

pub(crate) fn the_source_can_be_chosen() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    a.output("ip address add 10.0.0.11/24 dev eth0");
    let mut listener = listen(&b, &["239.1.1.1:5000"]);
    send(&a, &["239.1.1.1:5000", "x", "--from", "10.0.0.11:40000"]);
    assert_eq!(datagram(&mut listener)["source"], "10.0.0.11:40000");
    send(&a, &["239.1.1.1:5000", "x", "--from", "10.0.0.11"]);
    assert!(
        datagram(&mut listener)["source"]
            .as_str()
            .unwrap()
            .starts_with("10.0.0.11:")
    );
    // A port alone is one of the version of IP that the name turns out to be of.
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "none", "/etc"]);
    assert!(mount.status().unwrap().success());
    fs::write("/etc/hosts", "fd00::2 six\n").unwrap();
    let _receiver = socket(&b, "[fd00::2]:5000");
    let sent = send(
        &a,
        &["six:5000", "x", "--from", ":5001", "--json", "--wait", "0"],
    );
    assert_eq!(json(&sent.stdout[0])["from"], "[fd00::1]:5001");

    let foreign = run(&a, &["send", "239.1.1.1:5000", "x", "--from", "10.0.0.77"]);
    assert_eq!(code(&foreign), 2);
    assert!(
        foreign.stderr[0].contains("no interface of this host has the address"),
        "{foreign:?}"
    );
}

pub(crate) fn each_line_is_a_datagram() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let mut listener = listen(&a, &["239.1.1.1:5000", "-i", "eth0"]);
    let mut sender = start(&a, &["send", "239.1.1.1:5000", "--json"]);
    // Each goes at once, not at the end.
    for line in ["one", "", "two words"] {
        sender.write_line(line);
        assert_eq!(datagram(&mut listener)["text"], line);
    }
    let finished = sender.finish();
    assert_eq!(code(&finished), 0);
    assert_eq!(finished.stdout.len(), 3);
    assert!(
        finished.stderr[0].starts_with("sent 3 datagrams, 12 bytes in "),
        "{finished:?}"
    );

    let mut sender = start(&a, &["send", "239.1.1.1:5000", "--count", "2"]);
    for line in ["one", "two"] {
        sender.write_line(line);
    }
    // It ends at the count, although its standard input does not.
    sender.wait_for_error_line("sent 2 datagrams, 6 bytes");
    assert_eq!(code(&sender.finish()), 0);
}

pub(crate) fn a_file_goes_in_pieces() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let mut content: Vec<u8> = (0..=255).cycle().take(3000).collect();
    content[1316] = b'\n';
    let (original, copy) = ("/run/original", "/run/copy");
    fs::write(original, &content).unwrap();
    let mut listener = listen(&a, &["239.1.1.1:5000", "-i", "eth0"]);
    let command = format!(
        "{} listen 239.1.1.1:5000 -i eth0 --raw --count 3 > {copy}",
        crate::BINARY
    );
    let mut shell = manycast_lab::netns::Process::start(a.command("sh").args(["-c", &command]));
    shell.wait_for_error_line("listening on 239.1.1.1:5000");

    let sent = send(&a, &["239.1.1.1:5000", "--file", original]);
    assert_eq!(sent.stdout.len(), 3);
    for bytes in [1316, 1316, 368] {
        assert_eq!(datagram(&mut listener)["bytes"], bytes);
    }
    assert_eq!(code(&shell.finish()), 0);
    assert!(fs::read(copy).unwrap() == content);

    send(
        &a,
        &[
            "239.1.1.1:5000",
            "--file",
            original,
            "--size",
            "1k",
            "--count",
            "2",
        ],
    );
    for _ in 0..2 {
        assert_eq!(datagram(&mut listener)["bytes"], 1000);
    }
    let missing = run(&a, &["send", "239.1.1.1:5000", "--file", "/run/missing"]);
    assert_eq!(code(&missing), 2);
    assert!(
        missing.stderr[0].starts_with("manycast: cannot open /run/missing: No such file"),
        "{missing:?}"
    );
}

pub(crate) fn the_rate_is_kept() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let payload = "x".repeat(1250);
    for option in [["--rate", "500k"], ["--interval", "20ms"]] {
        let begin = Instant::now();
        send(
            &a,
            &[&["239.1.1.1:5000", &payload, "--count", "11"], &option[..]].concat(),
        );
        // Ten intervals of 20 ms, of which 10 ms may be made up for.
        assert!(
            begin.elapsed() >= Duration::from_millis(190),
            "{:?}",
            begin.elapsed()
        );
    }
}

pub(crate) fn an_interrupt_ends_it_with_a_summary() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    // The second is longer than the clock can tell.
    for interval in ["1h", "18446744073709549568"] {
        let words = ["send", "239.1.1.1:5000", "x", "--count", "2", "--interval"];
        let mut paced = start(&a, &[&words[..], &[interval]].concat());
        paced.wait_for_line("1 byte to 239.1.1.1:5000");
        paced.interrupt();
        paced.wait_for_error_line("sent 1 datagram, 1 byte in ");
        assert_eq!(code(&paced.finish()), 0);
    }

    let mut reading = start(&a, &["send", "239.1.1.1:5000"]);
    reading.write_line("x");
    reading.wait_for_line("1 byte to 239.1.1.1:5000");
    reading.interrupt();
    reading.wait_for_error_line("sent 1 datagram, 1 byte in ");
    assert_eq!(code(&reading.finish()), 0);

    // A long wait for what a host says ends too.
    let _receiver = socket(&a, "10.0.0.1:5000");
    let mut waiting = start(&a, &["send", "10.0.0.1:5000", "x", "--wait", "1h"]);
    waiting.wait_for_line("1 byte to 10.0.0.1:5000");
    waiting.interrupt();
    assert_eq!(code(&waiting.finish()), 0);
}

pub(crate) fn an_interrupt_ends_it_while_the_send_buffer_is_full() {
    let lab = Lab::new();
    let [a, _b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    a.output("tc qdisc add dev eth0 root tbf rate 8kbit burst 1600 limit 100000000");
    // So many datagrams fill a send buffer of that size.
    let other = a.run(|| manycast::Sender::new("10.0.0.2:5000").unwrap());
    let mut room = 0;
    while other.try_send_batch(&[[0; 1316]]).unwrap() > 0 {
        room += 1;
    }
    let mut stuck = start(&a, &["send", "10.0.0.2:5000", "--file", "/dev/zero"]);
    for _ in 10..room {
        stuck.wait_for_line("1316 bytes to 10.0.0.2:5000");
    }
    stuck.interrupt();
    stuck.wait_for_error_line("sent ");
    stuck.finish();
}

pub(crate) fn broadcasts_reach_all_hosts() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let mut listeners = [&b, &c].map(|host| listen(host, &[":5000"]));
    for (to, options) in [
        ("10.0.0.255", &[][..]),
        ("255.255.255.255", &[]),
        ("255.255.255.255", &["-i", "eth0"]),
        ("255.255.255.255", &["-i", "all"]),
    ] {
        let to = format!("{to}:5000");
        send(&a, &[&[&to, "all of you", "--json"], options].concat());
        for listener in &mut listeners {
            assert_eq!(datagram(listener)["destination"], to);
        }
    }
}

pub(crate) fn link_local_sources_have_their_zone() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let (own, other) = (a.link_local("eth0"), b.link_local("eth0"));
    let _listener = listen(&b, &[":5000"]);
    for to in ["[ff02::4242%eth0]:5000", &format!("[{other}%eth0]:5000")] {
        let sent = send(&a, &[to, "x", "--json", "--wait", "0"]);
        let from = json(&sent.stdout[0])["from"].as_str().unwrap().to_owned();
        assert!(from.starts_with(&format!("[{own}%eth0]:")), "{from}");
    }
    let sent = send(&a, &["239.1.1.1:5000", "x", "--from", ":4711", "--json"]);
    assert_eq!(json(&sent.stdout[0])["from"], "10.0.0.1:4711");
}

pub(crate) fn an_interface_without_carrier_is_told() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    a.unplug("eth0");
    let sent = send(&a, &["239.1.1.1:5000", "x", "-i", "eth0"]);
    assert_eq!(
        sent.stderr,
        ["warning: eth0 has no carrier: nobody beyond this host can receive this"]
    );
}

/// A failure of the machine that passes does not end a stream: what was not taken is counted, or
/// waits.
pub(crate) fn a_stream_outlives_its_interface() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let receiver = socket(&b, "10.0.0.2:5005");
    let to_host = "10.0.0.2:5005";

    // Each datagram has its time.
    let arguments = [
        "send",
        to_host,
        "hi",
        "--count",
        "1000",
        "--interval",
        "5ms",
        "--json",
    ];
    let mut sender = start(&a, &arguments);
    receive(&receiver);
    a.link_down("eth0");
    let warning = sender.wait_for_error_line("warning: cannot ");
    assert!(warning.contains("10.0.0.2"), "{warning}");
    a.link_up("eth0");
    sender.wait_for_line("\"event\":\"sent\"");
    let finished = sender.finish();
    assert_eq!(code(&finished), 1, "{:?}", finished.stderr);
    let unsent: usize = finished
        .stderr
        .iter()
        .find(|line| line.contains(" not sent: "))
        .and_then(|line| line.split(' ').next()?.parse().ok())
        .expect("it says how many were not sent");
    let is_sent = |line: &&String| line.contains("\"event\":\"sent\"");
    let sent = finished.stdout.iter().filter(is_sent).count();
    assert_eq!(sent + unsent, 1000);

    // What is read has no holes.
    let lines = socket(&b, "10.0.0.2:5006");
    let mut sender = start(&a, &["send", "10.0.0.2:5006"]);
    sender.write_line("one");
    assert_eq!(receive(&lines).0, b"one");
    a.link_down("eth0");
    sender.write_line("two");
    sender.wait_for_error_line("warning: cannot ");
    a.link_up("eth0");
    assert_eq!(receive(&lines).0, b"two");
    sender.close_stdin();
    assert_eq!(code(&sender.finish()), 0);
}

pub(crate) fn a_group_that_leaves_by_loopback_is_warned_of() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    // With an interface that is down and no route, it would be an error.
    a.add_route("239.1.1.1 dev lo");
    a.link_down("eth0");
    let warning = "warning: it leaves by lo, which nobody beyond this host can receive from; ";
    for words in [
        &["send", "239.1.1.1:5000", "x"][..],
        &["measure", "send", "239.1.1.1:5000", "--count", "1"],
    ] {
        let sent = run(&a, words);
        assert_eq!(code(&sent), 0, "{sent:?}");
        assert!(sent.stderr[0].starts_with(warning), "{sent:?}");
    }
    // Whoever names it means it.
    for words in [
        &["239.1.1.1%lo:5000", "x"][..],
        &["239.1.1.1:5000", "x", "-i", "lo"],
    ] {
        assert!(send(&a, words).stderr.is_empty());
    }
}

/// In the name of the interface, as reports do, and not in its number.
pub(crate) fn a_refusal_names_the_zone() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let to = format!("[{}%eth0]:9", b.link_local("eth0"));
    let sent = run(&a, &["send", &to, "x", "--wait", "10s"]);
    assert_eq!(code(&sent), 1, "{sent:?}");
    let problem = format!("manycast: nobody listens on {to}; ");
    assert!(sent.stderr[0].starts_with(&problem), "{sent:?}");
    // No port is left: the own address is in use by another socket.
    let own = format!("[{}%eth0]:5000", a.link_local("eth0"));
    let _listener = listen(&a, &[&own]);
    let sent = run(&a, &["send", &to, "x", "--from", &own]);
    assert_eq!(code(&sent), 2, "{sent:?}");
    let problem = format!("manycast: cannot bind to {own}: ");
    assert!(sent.stderr[0].starts_with(&problem), "{sent:?}");
}
