//! `manycast listen`: what it receives, and how it shows it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use manycast_lab::netns::{self, Lab, Process};
use serde_json::json;

use crate::{
    BINARY, code, datagram, host_between, hosts_on, json, listen, manycast, receive, run, send,
    send_signal, socket, start, texts,
};

pub(crate) fn row_02_every_datagram_has_sender_size_and_time() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut listener = start(
        &b,
        &["listen", "239.192.0.100:1000", "-i", "eth0", "--json"],
    );
    let listening = json(&listener.wait_for_line("listening"));
    let buffer = &listening["receive_buffer"];
    assert!(buffer.as_u64().unwrap() > 0);
    let membership =
        json!({"group": "239.192.0.100", "port": 1000, "interface": "eth0", "sources": []});
    let expected =
        json!({"event": "listening", "memberships": [membership], "receive_buffer": buffer});
    assert_eq!(listening, expected);

    let before = SystemTime::now();
    let sender = socket(&a, "10.0.0.1:40000");
    sender.set_multicast_ttl_v4(1).unwrap();
    a.add_route("239.0.0.0/8 dev eth0");
    sender
        .send_to(b"Hello, world!", "239.192.0.100:1000")
        .unwrap();
    let object = datagram(&mut listener);
    let expected = json!({
        "event": "datagram", "bytes": 13, "source": "10.0.0.1:40000",
        "destination": "239.192.0.100:1000", "interface": "eth0", "hops": 1,
        "time": object["time"], "truncated": false, "dropped": 0, "text": "Hello, world!",
    });
    assert_eq!(object, expected);
    let time: jiff::Timestamp = object["time"].as_str().unwrap().parse().unwrap();
    assert!(object["time"].as_str().unwrap().ends_with('Z'));
    assert!((before..=SystemTime::now()).contains(&SystemTime::from(time)));

    sender.send_to(b"\xff\x00", "239.192.0.100:1000").unwrap();
    let object = datagram(&mut listener);
    assert_eq!((&object["hex"], object.get("text")), (&json!("ff00"), None));

    let mut listener = start(&b, &["listen", "239.192.0.100:1000", "[fd00::2]:1000"]);
    listener.wait_for_error_line("listening on [fd00::2]:1000");
    sender
        .send_to(b"Hello, world!", "239.192.0.100:1000")
        .unwrap();
    let line = listener.wait_for_line("Hello");
    let shown = " 10.0.0.1:40000 > 239.192.0.100:1000 eth0 hops 1, 13 bytes: Hello, world!";
    assert_eq!(&line["12:04:05.123456".len()..], shown);
    send(
        &a,
        &[
            "[fd00::2]:1000",
            "Hello, host!",
            "--from",
            "[fd00::1]:40000",
        ],
    );
    let line = listener.wait_for_line("Hello");
    assert!(
        line.ends_with(" [fd00::1]:40000 > [fd00::2]:1000 eth0 hops 64, 12 bytes: Hello, host!"),
        "{line}"
    );
}

pub(crate) fn row_02_count_time_out_and_interrupt_end_it() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let mut counting = start(
        &a,
        &[
            "listen",
            "239.1.1.1:5000",
            "-i",
            "eth0",
            "-c",
            "2",
            "-t",
            "1m",
        ],
    );
    counting.wait_for_error_line("listening");
    send(&a, &["239.1.1.1:5000", "x", "--count", "5"]);
    let finished = counting.finish();
    assert_eq!(code(&finished), 0);
    assert_eq!(finished.stdout.len(), 2);
    assert!(
        finished
            .stderr
            .iter()
            .any(|line| line.starts_with("2 datagrams, 2 bytes in ")),
        "{finished:?}"
    );

    let nothing = run(&a, &["listen", "239.1.1.1:5000", "-t", "50ms"]);
    assert_eq!(code(&nothing), 1);
    assert!(
        nothing
            .stderr
            .iter()
            .any(|line| line.starts_with("nothing came in ")),
        "{nothing:?}"
    );
    let last = nothing.stderr.last().unwrap();
    assert_eq!(last, "'manycast doctor 239.1.1.1:5000' tells why");

    let mut some = start(&a, &["listen", "239.1.1.1:5000", "-i", "eth0", "-t", "2s"]);
    let mut too_few = start(
        &a,
        &[
            "listen",
            "239.1.1.1:5000",
            "-i",
            "eth0",
            "-t",
            "2s",
            "-c",
            "2",
        ],
    );
    for listener in [&mut some, &mut too_few] {
        listener.wait_for_error_line("listening");
    }
    send(&a, &["239.1.1.1:5000", "x"]);
    assert_eq!(code(&some.finish()), 0);
    assert_eq!(code(&too_few.finish()), 1);

    for signal in ["-INT", "-TERM"] {
        let mut listener = start(&a, &["listen", "239.1.1.1:5000", "-c", "2"]);
        listener.wait_for_error_line("listening");
        send_signal(&listener, signal);
        listener.wait_for_error_line("nothing came in ");
        assert_eq!(code(&listener.finish()), 0);
    }
}

pub(crate) fn row_12_what_the_kernel_drops_is_counted() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let mut listener = listen(&a, &["127.0.0.1:5000"]);
    let sender = socket(&a, "127.0.0.1:0");
    // While it sleeps, more comes than its receive buffer has room for.
    send_signal(&listener, "-STOP");
    let buffer = json(&listener.stdout()[0])["receive_buffer"]
        .as_u64()
        .unwrap();
    let sent = buffer / 10_000 + 10;
    for _ in 0..sent {
        sender.send_to(&[b'x'; 60_000], "127.0.0.1:5000").unwrap();
    }
    send_signal(&listener, "-CONT");
    // The count comes with the first datagram for which there was room again.
    let mut received = 0;
    let dropped = loop {
        let object = datagram(&mut listener);
        received += 1;
        match object["dropped"].as_u64().unwrap() {
            0 if object["text"] == "end" => panic!("nothing was dropped of {sent}"),
            0 => {
                sender.send_to(b"end", "127.0.0.1:5000").unwrap();
            }
            dropped => break dropped,
        }
    };
    assert!(
        dropped > 0 && dropped < sent,
        "{dropped} of {sent} after {received}"
    );
    listener.interrupt();
    listener.wait_for_error_line(" dropped ");
}

pub(crate) fn row_15_it_joins_everywhere_without_a_route_and_says_so() {
    let lab = Lab::new();
    let (a, others) = host_between::<3>(&lab);
    assert_eq!(a.output("ip route show default"), "");
    for (group, shown) in [
        ("224.51.105.104:4242", "224.51.105.104"),
        ("[ff15::4242]:4242", "ff15::4242"),
    ] {
        let mut listener = start(&a, &["listen", group]);
        listener.wait_for_error_line(&format!(
            "listening on {group}, joined on lo, eth1, eth2, eth3"
        ));
        for (number, other) in (1..).zip(&others) {
            a.wait_for_group(&format!("eth{number}"), shown.parse().unwrap());
            send(other, &[group, "robot", "-i", "eth0"]);
            let line = listener.wait_for_line("robot");
            assert!(
                line.contains(&format!("> {group} eth{number} hops 1")),
                "{line}"
            );
        }
    }
}

pub(crate) fn row_17_an_interface_has_a_name_an_index_and_addresses() {
    let lab = Lab::new();
    let (a, [b1, _b2]) = host_between::<2>(&lab);
    let index = a.interface_index("eth1").to_string();
    let members = |listener: &Process| {
        let memberships = json(&listener.stdout()[0])["memberships"].clone();
        let names = memberships.as_array().unwrap().iter();
        names
            .map(|member| member["interface"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for interface in ["eth1", &index, "10.0.1.1", "fd01::1"] {
        let mut listener = listen(&a, &["239.1.1.1:5000", "-i", interface]);
        assert_eq!(members(&listener), ["eth1"]);
        send(&b1, &["239.1.1.1:5000", interface]);
        assert_eq!(datagram(&mut listener)["text"], *interface);
    }
    assert_eq!(members(&listen(&a, &["239.1.1.1%10.0.1.1:5000"])), ["eth1"]);
    assert_eq!(
        members(&listen(&a, &["239.1.1.1:5000", "-i", "eth2", "-i", "lo"])),
        ["eth2", "lo"]
    );
    assert_eq!(
        members(&listen(&a, &["239.1.1.1:5000", "-i", "all"])),
        ["lo", "eth1", "eth2"]
    );
}

pub(crate) fn row_23_each_datagram_is_labelled_with_its_group() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let addresses = [
        "239.1.1.1:19900",
        "239.1.1.2:19900",
        "239.1.1.3:19901",
        "[ff15::1]:19900",
        ":19902",
    ];
    let mut listener = listen(&b, &addresses);
    for to in &addresses[..4] {
        send(&a, &[to, to, "-i", "eth0"]);
        assert_eq!(datagram(&mut listener)["destination"], *to);
    }
    for to in ["10.0.0.2:19902", "[fd00::2]:19902"] {
        send(&a, &[to, to, "--wait", "0"]);
        assert_eq!(datagram(&mut listener)["destination"], to);
    }
}

pub(crate) fn row_27_hex_shows_all_bytes() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let mut listener = start(&a, &["listen", "127.0.0.1:5000", "--hex", "-c", "2"]);
    listener.wait_for_error_line("listening");
    let sender = socket(&a, "127.0.0.1:0");
    sender
        .send_to(b"0123456789abcdef\x00\xff hello\n", "127.0.0.1:5000")
        .unwrap();
    sender.send_to(b"", "127.0.0.1:5000").unwrap();
    let lines = listener.finish().stdout;
    assert!(lines[0].ends_with(" hops 64, 25 bytes"), "{lines:?}");
    let dump = [
        "  0000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|",
        "  0010  00 ff 20 68 65 6c 6c 6f  0a                       |.. hello.|",
    ];
    assert_eq!(lines[1..3], dump);
    assert!(lines[3].ends_with(" hops 64, 0 bytes"), "{lines:?}");
}

pub(crate) fn row_30_four_listeners_on_one_host_get_each_datagram() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    for group in ["239.1.1.1%eth0:5000", "[ff15::1%eth0]:5000"] {
        let mut listeners = [(); 4].map(|()| listen(&b, &[group]));
        for text in ["one", "two"] {
            send(&a, &[group, text]);
        }
        for listener in &mut listeners {
            listener.wait_for_line("two");
            assert_eq!(texts(&listener.stdout()), ["one", "two"]);
        }
    }
}

pub(crate) fn row_31_no_size_is_truncated() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut listener = listen(&b, &["239.1.1.1:5000", "[ff15::1]:5000"]);
    for to in ["239.1.1.1:5000", "[ff15::1%eth0]:5000"] {
        for bytes in [0, 1, 1316, 10_241, 65_507] {
            send(&a, &[to, &"x".repeat(bytes)]);
            let object = datagram(&mut listener);
            assert_eq!(
                (&object["bytes"], &object["truncated"]),
                (&json!(bytes), &json!(false))
            );
            assert_eq!(object["text"].as_str().unwrap().len(), bytes);
        }
    }
}

pub(crate) fn row_34_two_groups_on_one_port_do_not_mix() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    for [one, other] in [
        ["239.1.1.1%eth0:5000", "239.1.1.2%eth0:5000"],
        ["[ff15::1%eth0]:5000", "[ff15::2%eth0]:5000"],
    ] {
        let mut listeners = [one, other].map(|group| listen(&b, &[group]));
        for (group, text) in [(one, "1"), (other, "2"), (one, "3"), (other, "4")] {
            send(&a, &[group, text]);
        }
        for (listener, expected) in listeners.iter_mut().zip([["1", "3"], ["2", "4"]]) {
            listener.wait_for_line(&format!("\"text\":\"{}\"", expected[1]));
            assert_eq!(texts(&listener.stdout()), expected);
        }
    }
}

pub(crate) fn row_25_the_same_group_on_another_interface_stays_out() {
    let lab = Lab::new();
    let (a, [b1, b2]) = host_between::<2>(&lab);
    for group in ["239.1.1.1:5000", "[ff15::1]:5000"] {
        let mut listener = listen(&a, &[group, "-i", "eth1"]);
        // The host is a member on the other interface too, by another program.
        let mut other = listen(&a, &[group, "-i", "eth2"]);
        send(&b2, &[group, "elsewhere", "-i", "eth0"]);
        other.wait_for_line("elsewhere");
        send(&b1, &[group, "here", "-i", "eth0"]);
        listener.wait_for_line("here");
        assert_eq!(texts(&listener.stdout()), ["here"]);
        assert_eq!(texts(&other.stdout()), ["elsewhere"]);
    }
}

pub(crate) fn source_specific_groups_admit_their_source_alone() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    for (wanted, group) in [
        ("10.0.0.1", "232.1.1.1:5000"),
        ("fd00::1", "[ff35::1]:5000"),
    ] {
        let address = format!("{wanted}@{group}");
        let mut listener = listen(&b, &[&address, "-i", "eth0"]);
        assert_eq!(
            json(&listener.stdout()[0])["memberships"][0]["sources"],
            json!([wanted])
        );
        for (host, number, text) in [(&c, 3, "stranger"), (&a, 1, "wanted")] {
            let from = wanted
                .replace('1', &number.to_string())
                .replace("30.", "10.");
            send(host, &[group, text, "-i", "eth0", "--from", &from]);
        }
        listener.wait_for_line("wanted");
        assert_eq!(texts(&listener.stdout()), ["wanted"]);
    }
    let mut listener = start(&b, &["listen", "10.0.0.1@232.1.1.1:5000", "-i", "eth0"]);
    listener.wait_for_error_line("listening on 10.0.0.1@232.1.1.1:5000, joined on eth0");
}

pub(crate) fn row_42_raw_is_fit_for_a_pipe() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    // Each payload is there when it came, not when a buffer is full.
    let command = format!("{BINARY} listen 127.0.0.1:5000 --raw -c 2 | cat");
    let mut pipe = Process::start(a.command("sh").args(["-c", &command]));
    pipe.wait_for_error_line("listening");
    let sender = socket(&a, "127.0.0.1:0");
    for text in ["one\n", "two\n"] {
        sender.send_to(text.as_bytes(), "127.0.0.1:5000").unwrap();
        pipe.wait_for_line(text.trim());
    }

    let mut child = manycast(&a, &["listen", "127.0.0.1:5001", "--raw", "-c", "3"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    for payload in [&b"\x00\xff\x1b[2J"[..], b"", b"\xc3\x28\r\n"] {
        sender.send_to(payload, "127.0.0.1:5001").unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"\x00\xff\x1b[2J\xc3\x28\r\n");
}

pub(crate) fn a_closed_pipe_is_no_failure() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let sender = socket(&a, "127.0.0.1:0");
    for option in ["--json", "--raw", "--hex"] {
        let mut child = manycast(&a, &["listen", "127.0.0.1:5000", option])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        match option {
            "--json" => stdout.read_line(&mut line).unwrap(),
            _ => stderr.read_line(&mut line).unwrap(),
        };
        assert!(line.contains("listening"), "{line}");
        sender.send_to(b"one\n", "127.0.0.1:5000").unwrap();
        stdout.read_line(&mut line).unwrap();
        drop(stdout);
        sender.send_to(b"two\n", "127.0.0.1:5000").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{option}");
        let complaints: Vec<_> = stderr.lines().map(Result::unwrap).collect();
        assert!(
            !complaints.iter().any(|line| line.contains("manycast")),
            "{complaints:?}"
        );
    }
}

pub(crate) fn a_peer_cannot_drive_the_terminal() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let mut listener = start(&a, &["listen", "127.0.0.1:5000"]);
    listener.wait_for_error_line("listening");
    let payload = "\u{1b}]0;title\u{7}\r\u{9b}2J\u{202e}\nforged line";
    socket(&a, "127.0.0.1:0")
        .send_to(payload.as_bytes(), "127.0.0.1:5000")
        .unwrap();
    let line = listener.wait_for_line("forged");
    assert!(
        line.ends_with(r": \u{1b}]0;title\u{7}\r\u{9b}2J\u{202e}\nforged line"),
        "{line}"
    );
}

pub(crate) fn row_67_port_0_tells_which_it_was() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let mut listener = listen(&a, &["127.0.0.1:0"]);
    let local = json(&listener.stdout()[0])["local"][0]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(!local.ends_with(":0"), "{local}");
    send(&a, &[&local, "x"]);
    assert_eq!(datagram(&mut listener)["destination"], local);

    // Both versions of IP are on the same port.
    let both = json(&listen(&a, &[":0"]).stdout()[0])["local"].clone();
    let port = |text: &serde_json::Value| {
        text.as_str()
            .unwrap()
            .rsplit(':')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(port(&both[0]), port(&both[1]));
}

pub(crate) fn row_36_a_privileged_port_is_explained() {
    netns::require(&["setpriv"]);
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let without = "setpriv --bounding-set -net_bind_service --inh-caps -net_bind_service";
    for address in ["239.192.0.100:1000", "127.0.0.1:1000", ":1000"] {
        let failed = a
            .start(&format!("{without} {BINARY} listen {address}"))
            .finish();
        assert_eq!(code(&failed), 2);
        let words = "choose port 1024 or higher, or grant CAP_NET_BIND_SERVICE";
        assert!(failed.stderr[0].contains(words), "{failed:?}");
        assert_eq!(failed.stderr.len(), 1, "{failed:?}");
    }
}

pub(crate) fn local_addresses_can_be_those_of_one_interface() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    for (interfaces, line) in [
        (
            &["-i", "eth0"][..],
            "0.0.0.0:5000 and [::]:5000, on eth0 alone",
        ),
        (
            &["-i", "eth0", "-i", "lo"],
            "0.0.0.0:5000 and [::]:5000, on eth0 and lo alone",
        ),
        (&[], "0.0.0.0:5000 and [::]:5000"),
    ] {
        let mut listener = start(&a, &[&["listen", ":5000"], interfaces].concat());
        let told = listener.wait_for_error_line("listening");
        assert_eq!(told, format!("listening on {line}"));
        listener.interrupt();
        assert_eq!(code(&listener.finish()), 0);
    }
}

/// A name server that never answers must not keep the user.
pub(crate) fn an_interrupt_ends_the_lookup_of_a_name() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    // Each test has mounts of its own.
    let mut mount = Command::new("mount");
    assert!(
        mount
            .args(["-t", "tmpfs", "none", "/etc"])
            .status()
            .unwrap()
            .success()
    );
    fs::write("/etc/resolv.conf", "nameserver 10.0.0.2\n").unwrap();
    let server = socket(&b, "10.0.0.2:53");
    for (words, exit) in [
        (&["listen"][..], 0),
        (&["echo"], 0),
        (&["measure", "receive"], 0),
        (&["send"], 1),
        (&["ask"], 1),
        (&["measure", "send"], 1),
    ] {
        let mut waiting = start(&a, &[words, &["example.org:5000"]].concat());
        receive(&server);
        waiting.interrupt();
        let finished = waiting.finish();
        assert_eq!(code(&finished), exit, "{words:?}: {finished:?}");
        // What else of its questions came.
        server.set_nonblocking(true).unwrap();
        while server.recv(&mut [0; 1500]).is_ok() {}
        server.set_nonblocking(false).unwrap();
    }
}
