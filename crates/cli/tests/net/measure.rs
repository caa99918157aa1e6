//! `manycast measure`: what is done to a stream is what it reports.

use std::net::UdpSocket;

use manycast_lab::netns::{self, Finished, Host, Lab, Pick, Process};
use serde_json::Value;

use crate::{code, hosts_on, json, manycast, run, send_signal, start};

const GROUP: &str = "239.1.1.1:5001";

/// A receiver that has joined.
fn receiver(host: &Host, arguments: &[&str]) -> Process {
    let mut receiver = start(
        host,
        &[&["measure", "receive", "--json"], arguments].concat(),
    );
    receiver.wait_for_line("\"event\":\"listening\"");
    receiver
}

/// Sends a stream with success, and gives the summary. Datagrams are not merged on their way, so
/// that a fault strikes them one by one.
fn sender(host: &Host, arguments: &[&str]) -> Value {
    let mut command = manycast(host, &[&["measure", "send", "--json"], arguments].concat());
    let sent = Process::start(command.env("MANYCAST_OFFLOAD", "off")).finish();
    assert_sent(&sent);
    json(sent.stdout.last().unwrap())
}

/// A stream was sent with success, be it as fast as it should be or, on a slow machine, not.
pub(crate) fn assert_sent(sent: &Finished) {
    let slow = |line: &String| line.starts_with("manycast: the rate was not held: ");
    let is_slow = code(sent) == 1 && sent.stderr.iter().any(slow);
    assert!(code(sent) == 0 || is_slow, "{sent:?}");
}

/// The only stream of a summary.
fn stream(received: &Finished) -> Value {
    let summary = json(received.stdout.last().unwrap());
    assert_eq!(summary["event"], "summary");
    let streams = summary["streams"].as_array().unwrap();
    assert_eq!(streams.len(), 1, "{summary}");
    streams[0].clone()
}

/// A thousand datagrams of 100 bytes, in half a second.
const THOUSAND: [&str; 6] = ["--count", "1000", "--size", "100", "--rate", "1600k"];

pub(crate) fn a_clean_stream_is_reported_in_full() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let receivers = [&b, &c].map(|host| receiver(host, &[GROUP, "-i", "eth0", "--expect", "1"]));
    let sent = sender(&a, &[&[GROUP, "-i", "eth0"], &THOUSAND[..]].concat());
    assert_eq!(
        (&sent["event"], &sent["datagrams"]),
        (&"summary".into(), &1000.into())
    );
    for receiver in receivers {
        let received = receiver.finish();
        assert_eq!(code(&received), 0, "{received:?}");
        let stream = stream(&received);
        let fields: Vec<_> = stream
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut wanted = [
            "source",
            "destination",
            "interface",
            "run",
            "confirmed",
            "ended",
            "datagrams",
            "bytes",
            "seconds",
            "datagrams_per_second",
            "bits_per_second",
            "lost",
            "duplicated",
            "reordered",
            "kernel_dropped",
            "jitter_us",
            "delay_us",
            "delay_variation_us",
        ];
        wanted.sort_unstable();
        assert_eq!(fields, wanted);
        assert!(
            stream["source"].as_str().unwrap().starts_with("10.0.0.1:"),
            "{stream}"
        );
        assert_eq!(stream["destination"], GROUP);
        assert_eq!(stream["interface"], "eth0");
        assert_eq!(
            (&stream["datagrams"], &stream["bytes"]),
            (&1000.into(), &100_000.into())
        );
        for clean in ["lost", "duplicated", "reordered", "kernel_dropped"] {
            assert_eq!(stream[clean], 0, "{stream}");
        }
        let seconds = stream["seconds"].as_f64().unwrap();
        assert!(seconds > 0.4, "{stream}");
        let delay = |part: &str| stream["delay_us"][part].as_f64().unwrap();
        assert!(
            0.0 <= delay("p50") && delay("p50") <= delay("p99"),
            "{stream}"
        );
        assert!(
            delay("p99") <= delay("p999") && delay("p999") < 1e6,
            "{stream}"
        );
        let most = stream["delay_variation_us"]["p999"].as_f64().unwrap();
        assert!(0.0 <= most && most <= delay("p999"), "{stream}");
    }
}

pub(crate) fn what_the_network_loses_is_reported() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let receiver = receiver(&b, &[GROUP, "--expect", "1", "--max-loss", "9%"]);
    let loss = b.lose("eth0", Pick::Every(10));
    sender(&a, &[&[GROUP, "-i", "eth0"], &THOUSAND[..]].concat());
    let received = receiver.finish();
    let stream = stream(&received);
    // The 10th, the 20th … the 1000th, which is the last. That one is announced again, and counts.
    assert!(loss.count() >= 100, "{}", loss.count());
    assert_eq!(
        (&stream["datagrams"], &stream["lost"]),
        (&901.into(), &99.into())
    );
    assert_eq!(
        (&stream["duplicated"], &stream["kernel_dropped"]),
        (&0.into(), &0.into())
    );
    assert_eq!(code(&received), 1, "{received:?}");
    let problem = received.stderr.last().unwrap();
    assert!(
        problem.ends_with("lost 99 (9.90 %) of 1,000, more than 9 %"),
        "{problem}"
    );
}

pub(crate) fn what_the_network_doubles_is_reported() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let receiver = receiver(&b, &[GROUP, "--expect", "1", "--max-loss", "0%"]);
    let doubled = b.duplicate("eth0", Pick::Every(8));
    sender(&a, &[&[GROUP, "-i", "eth0"], &THOUSAND[..]].concat());
    let received = receiver.finish();
    let stream = stream(&received);
    // Of 1,002 datagrams, since the end is announced three times, and is no duplicate of itself.
    assert_eq!(doubled.count(), 125);
    assert_eq!(
        (&stream["duplicated"], &stream["lost"]),
        (&124.into(), &0.into())
    );
    assert_eq!(stream["datagrams"], 1124);
    assert_eq!(code(&received), 0, "{received:?}");
}

pub(crate) fn a_host_tells_the_sender() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    for to in ["10.0.0.2:5001", "[fd00::2]:5001"] {
        let receiver = receiver(&b, &[":5001", "--expect", "1"]);
        let sent = start(&a, &[&["measure", "send", to], &THOUSAND[..]].concat()).finish();
        assert_sent(&sent);
        assert!(
            sent.stderr[1].contains(", 0 of 1,000 lost, 0 reordered"),
            "{sent:?}"
        );
        assert_eq!(stream(&receiver.finish())["datagrams"], 1000);
    }
    let receiver = receiver(&b, &[":5001", "--expect", "1"]);
    let mut words = vec!["measure", "send", "10.0.0.2:5001", "--json"];
    words.extend(THOUSAND);
    let sent = start(&a, &words).finish();
    assert_sent(&sent);
    let [report, summary] = [0, 1].map(|line| json(&sent.stdout[line]));
    assert_eq!(
        (&report["event"], &report["from"], &report["lost"]),
        (&"report".into(), &"10.0.0.2:5001".into(), &0.into())
    );
    assert_eq!(
        (&report["datagrams"], &report["bytes"]),
        (&1000.into(), &100_000.into())
    );
    assert_eq!(summary["event"], "summary");
    assert_eq!(code(&receiver.finish()), 0);
    let refused = start(&a, &["measure", "send", "10.0.0.2:9", "--count", "20"]).finish();
    assert_eq!(code(&refused), 1, "{refused:?}");
    assert!(
        refused.stderr[1].contains("nobody listens on 10.0.0.2:9"),
        "{refused:?}"
    );
}

pub(crate) fn fewer_senders_than_expected_are_a_failure() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let receiver = receiver(&b, &[GROUP, "--expect", "2", "--duration", "3s"]);
    sender(&a, &[GROUP, "-i", "eth0", "--count", "10"]);
    let received = receiver.finish();
    assert_eq!(stream(&received)["datagrams"], 10);
    assert_eq!(code(&received), 1, "{received:?}");
    assert_eq!(
        received.stderr.last().unwrap(),
        "manycast: 1 sender came, 2 expected"
    );
}

pub(crate) fn intervals_come_and_an_interrupt_ends_with_the_summary() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut receiver = receiver(&b, &[GROUP, "--interval", "100ms"]);
    let mut sending = start(
        &a,
        &[
            "measure",
            "send",
            GROUP,
            "-i",
            "eth0",
            "--duration",
            "1h",
            "--json",
        ],
    );
    for _ in 0..3 {
        let interval = json(&receiver.wait_for_line("\"event\":\"interval\""));
        assert_eq!(
            (&interval["destination"], &interval["lost"]),
            (&GROUP.into(), &0.into())
        );
    }
    sending.interrupt();
    let sent = sending.finish();
    assert_sent(&sent);
    // The end is announced, so an interval tells that the stream has ended, and then none is left.
    receiver.interrupt();
    let received = receiver.finish();
    assert_eq!(code(&received), 0, "{received:?}");
    let sent = json(sent.stdout.last().unwrap());
    assert_eq!(stream(&received)["datagrams"], sent["datagrams"]);
}

pub(crate) fn what_the_own_kernel_drops_is_told_apart() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut receiver = receiver(&b, &[GROUP, "--interval", "100ms"]);
    let arguments = ["--rate", "100M", "--duration", "1h", "-i", "eth0"];
    let mut sending = start(&a, &[&["measure", "send", GROUP], &arguments[..]].concat());
    receiver.wait_for_line("\"event\":\"interval\"");
    // Nobody reads until the receive buffer is full.
    send_signal(&receiver, "-STOP");
    netns::wait_until("the kernel's first drop", || buffer_errors(&b) > 0);
    send_signal(&receiver, "-CONT");
    let dropped = |line: String| json(&line)["kernel_dropped"].as_u64().unwrap();
    while dropped(receiver.wait_for_line("\"event\":\"interval\"")) == 0 {}
    sending.interrupt();
    sending.finish();
    receiver.interrupt();
    let stream = stream(&receiver.finish());
    assert_ne!(stream["lost"], 0);
    assert_eq!(stream["lost"], stream["kernel_dropped"], "{stream}");
}

/// More streams than are measured at once; the first of them has lost, and the last comes together with
/// the interrupt.
pub(crate) fn a_stream_that_makes_room_at_the_end_is_judged() {
    const STREAMS: usize = 256;
    let lab = Lab::new();
    let [b] = hosts_on(&lab, &lab.switch("sw"), ["b"]);
    let mut receiver = receiver(&b, &["127.0.0.1:5001", "--max-loss", "1%"]);
    let sockets: Vec<_> = b.run(|| {
        let bind = |_| UdpSocket::bind("127.0.0.1:0").unwrap();
        (0..=STREAMS).map(bind).collect()
    });
    let send = |socket: &UdpSocket, number: i32| {
        // The header of iperf 2: number and time. The last number is negative.
        let header = [number.to_be_bytes(), [0, 0, 0, 1], [0; 4]].concat();
        socket.send_to(&header, "127.0.0.1:5001").unwrap();
    };
    let (last, sockets) = sockets.split_last().unwrap();
    for (at, socket) in sockets.iter().enumerate() {
        send(socket, 1);
        send(socket, if at == 0 { -3 } else { -2 });
    }
    send_signal(&receiver, "-STOP");
    send(last, 1);
    receiver.interrupt();
    send_signal(&receiver, "-CONT");
    let received = receiver.finish();
    let freed: Vec<_> = received
        .stdout
        .iter()
        .map(|line| json(line))
        .filter(|object| object["event"] == "freed")
        .collect();
    assert_eq!(freed.len(), 1, "{received:?}");
    assert_eq!(freed[0]["lost"], 1);
    assert_eq!(code(&received), 1, "{received:?}");
}

/// How many datagrams a host has dropped because a receive buffer was full.
fn buffer_errors(host: &Host) -> u64 {
    let text = host.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
    let mut rows = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let names = rows.next().unwrap().split(' ');
    let values = rows.next().unwrap().split(' ');
    let mut columns = names.zip(values);
    let (_, value) = columns.find(|(name, _)| *name == "RcvbufErrors").unwrap();
    value.parse().unwrap()
}

pub(crate) fn a_rate_is_held() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let receiver = receiver(&b, &[GROUP, "--expect", "1"]);
    let sent = sender(
        &a,
        &[GROUP, "-i", "eth0", "--rate", "20M", "--duration", "2s"],
    );
    // Never faster; how much slower depends on what else the machine does. The tests of
    // `manycast_proto::pace` hold the rate within a hundredth, in virtual time.
    let rate = sent["bits_per_second"].as_f64().unwrap();
    assert!((2e6..=20.2e6).contains(&rate), "{sent}");
    let received = stream(&receiver.finish());
    assert_eq!(received["datagrams"], sent["datagrams"]);
}

pub(crate) fn iperf_sends_to_us() {
    netns::require(&["iperf"]);
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    a.add_route("224.0.0.0/4 dev eth0");
    let receiver = receiver(&b, &[GROUP, "--expect", "1"]);
    let loss = b.lose("eth0", Pick::Every(50));
    let sent = a.output("iperf -u -c 239.1.1.1 -b 4m -t 1 -l 1000");
    let stream = stream(&receiver.finish());
    // "Sent N datagrams" counts one more than there are.
    let count = sent
        .split("Sent ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let count: u64 = count.parse().unwrap();
    let (datagrams, lost) = (
        stream["datagrams"].as_u64().unwrap(),
        stream["lost"].as_u64().unwrap(),
    );
    assert_eq!(datagrams + loss.count(), count - 1, "{sent}{stream}");
    assert_eq!(lost, loss.count(), "{sent}{stream}");
    loss.remove();

    let receiver = self::receiver(&b, &[":5001", "--expect", "1"]);
    let sent = a.output("iperf -u -c 10.0.0.2 -b 4m -t 1 -l 1000 -e");
    let stream = self::stream(&receiver.finish());
    // iperf shows what we report, and does not complain that there is no report.
    assert!(
        sent.contains("Server Report") && !sent.contains("WARNING"),
        "{sent}"
    );
    let total = stream["datagrams"].as_u64().unwrap();
    assert!(sent.contains(&format!(" 0/{total} (0%)")), "{sent}{stream}");
}

pub(crate) fn we_send_to_iperf() {
    netns::require(&["iperf"]);
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    for (server, to) in [
        ("iperf -s -u -B 239.1.1.1%eth0 -f k", GROUP),
        ("iperf -s -u -f k", "10.0.0.2:5001"),
    ] {
        let mut iperf = b.start(server);
        b.wait_for_udp_port(5001);
        let loss = b.lose("eth0", Pick::Every(100));
        let arguments = [
            &["measure", "send", to],
            &["--count", "950", "--rate", "8M"][..],
        ]
        .concat();
        let mut command = manycast(&a, &arguments);
        let sent = Process::start(command.env("MANYCAST_OFFLOAD", "off")).finish();
        assert_sent(&sent);
        // iperf counts 9 of 950; the 100th, the 200th …
        let line = iperf.wait_for_line(" 9/950 (");
        assert!(line.contains("ms"), "{line}");
        assert!(loss.count() >= 9);
        loss.remove();
        if !to.starts_with("239.") {
            assert!(
                sent.stderr
                    .iter()
                    .any(|line| line.contains(" 9 (0.947 %) of 950 lost")),
                "{sent:?}"
            );
        }
    }
}

pub(crate) fn a_rate_that_is_missed_is_told() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let mut words = vec![
        "measure",
        "send",
        GROUP,
        "-i",
        "eth0",
        "--duration",
        "1500ms",
    ];
    words.extend(["--rate", "900G"]);
    let sent = start(&a, &words).finish();
    assert_eq!(code(&sent), 1, "{sent:?}");
    let [_egress, progress, problem] = sent.stderr.as_slice() else {
        panic!("{sent:?}")
    };
    assert!(progress.starts_with("1 s  "), "{progress}");
    assert!(
        problem.starts_with("manycast: the rate was not held: ")
            && problem.contains(" of 900 Gbit/s; "),
        "{problem}"
    );
}

pub(crate) fn a_receiver_that_is_interrupted_has_failed_only_if_it_expected() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    for (expect, problems, exit) in [
        (&[][..], &[][..], 0),
        (
            &["--expect", "1"],
            &["manycast: 0 senders came, 1 expected"],
            1,
        ),
    ] {
        let mut receiver = start(&a, &[&["measure", "receive", GROUP], expect].concat());
        receiver.wait_for_error_line("listening on ");
        receiver.interrupt();
        let finished = receiver.finish();
        assert_eq!(code(&finished), exit, "{finished:?}");
        assert_eq!(finished.stdout, ["no stream came"]);
        let told: Vec<_> = finished
            .stderr
            .iter()
            .filter(|line| line.starts_with("manycast:"))
            .collect();
        assert_eq!(told, problems, "{finished:?}");
    }
}

pub(crate) fn histograms_name_their_stream() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let arguments = ["measure", "receive", GROUP, "--expect", "1", "--histogram"];
    let mut receiver = start(&b, &arguments);
    receiver.wait_for_error_line("listening on ");
    sender(&a, &[&[GROUP, "-i", "eth0"], &THOUSAND[..]].concat());
    let received = receiver.finish();
    assert_eq!(code(&received), 0, "{received:?}");
    let title = received
        .stdout
        .iter()
        .position(|line| line.starts_with("  delay up to"))
        .unwrap();
    let stream = &received.stdout[title - 1];
    assert!(
        stream.starts_with("10.0.0.1:") && stream.ends_with(" > 239.1.1.1:5001 eth0"),
        "{received:?}"
    );
}

/// It goes on, as iperf does, but the rate is not held.
pub(crate) fn a_full_queue_is_counted_and_ends_nothing() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    a.output("tc qdisc add dev eth0 root tbf rate 20mbit burst 32k latency 50ms");
    let receiver = receiver(&b, &[":5001", "--expect", "1"]);
    let words = ["10.0.0.2:5001", "--rate", "25M", "--duration", "2s"];
    let mut command = manycast(&a, &[&["measure", "send", "--json"], &words[..]].concat());
    let sent = Process::start(command.env("MANYCAST_OFFLOAD", "off")).finish();
    assert_eq!(code(&sent), 1, "{sent:?}");
    let sent = json(sent.stdout.last().unwrap());
    assert!(sent["unsent"].as_u64().unwrap() > 0, "{sent}");
    // All that was taken came, and the receiver misses what was not. The last datagram is repeated,
    // so it may count on both sides.
    let received = stream(&receiver.finish());
    let [came, taken] = [&received, &sent].map(|it| it["datagrams"].as_u64().unwrap());
    assert!((0..=1).contains(&(came - taken)), "{received} {sent}");
}

/// It ends, be it that the user asks for it or that the host refuses, although its end cannot be announced
/// for minutes, and tells that something is not sent.
pub(crate) fn a_stream_ends_before_its_time_while_the_send_buffer_is_full() {
    let lab = Lab::new();
    let [a, _b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    for to in [GROUP, "10.0.0.2:5001"] {
        a.output("tc qdisc add dev eth0 root tbf rate 8kbit burst 1600 limit 100000000");
        let mut stuck = start(&a, &["measure", "send", to, "-i", "eth0", "--rate", "max"]);
        let is_group = to == GROUP;
        if is_group {
            stuck.wait_for_error_line("  0 datagrams, 0 bytes sent");
            stuck.interrupt();
        }
        let sent = stuck.finish();
        assert_eq!(code(&sent), i32::from(!is_group), "{sent:?}");
        let unsent = "not sent; the last: cannot send to";
        assert!(
            sent.stderr.iter().any(|line| line.contains(unsent)),
            "{sent:?}"
        );
        assert!(sent.stdout.last().unwrap().starts_with("sent "), "{sent:?}");
        a.output("tc qdisc del dev eth0 root");
    }
}

/// They begin with the stream, not with the receiver, follow one upon the other, and end with it.
pub(crate) fn intervals_are_labelled_by_their_stream() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let words = ["measure", "receive", GROUP, "--expect", "1"];
    let mut receiver = start(&b, &[&words[..], &["--interval", "200ms"]].concat());
    receiver.wait_for_error_line("listening on ");
    let sent = sender(&a, &[GROUP, "-i", "eth0", "--count", "50", "--rate", "1M"]);
    let received = receiver.finish();
    let labels = received.stdout.iter().filter_map(|line| {
        let (from, to) = line.split_once(" s  ")?.0.split_once('–')?;
        Some((from.parse::<f64>().unwrap(), to.parse::<f64>().unwrap()))
    });
    let labels: Vec<_> = labels.collect();
    let (begins, ends): (Vec<_>, Vec<_>) = labels.into_iter().unzip();
    assert_eq!(begins[0], 0.0);
    assert_eq!(begins[1..], ends[..ends.len() - 1]);
    // 49 × 10.5 ms at least.
    let length = ends[ends.len() - 1];
    assert!(length >= 0.5 && ends.len() >= 3, "{ends:?} {sent}");
}

/// What keeps all of it back is told, and it has failed.
pub(crate) fn a_firewall_that_drops_what_is_sent_is_named() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    a.nft(
        "table inet t {
            chain c {
                type filter hook output priority 0
                udp dport 5001 drop
            }
        }",
    );
    let words = [
        "measure",
        "send",
        GROUP,
        "-i",
        "eth0",
        "--duration",
        "200ms",
    ];
    let sent = run(&a, &words);
    assert_eq!(code(&sent), 1, "{sent:?}");
    let is_named = |line: &String| line.contains(" not sent; ") && line.contains("a firewall");
    assert!(sent.stderr.iter().any(is_named), "{sent:?}");
}
