//! `manycast measure receive` where senders are started anew, and where others forge datagrams.

use std::time::SystemTime;

use manycast_lab::netns::{Hook, Host, Lab, Pick, Process, wait_until};
use serde_json::Value;

use crate::measure::assert_sent;
use crate::{code, hosts_on, json, manycast, send_signal, socket, start};

const TO: &str = "10.0.0.2:5001";

fn receiver(host: &Host, arguments: &[&str]) -> Process {
    let words = [&["measure", "receive", "--json", ":5001"], arguments].concat();
    let mut receiver = start(host, &words);
    receiver.wait_for_line("\"event\":\"listening\"");
    receiver
}

fn streams(summary: &Value) -> &[Value] {
    assert_eq!(summary["event"], "summary");
    summary["streams"].as_array().unwrap()
}

/// Killed, started again with the same port, and half of it dropped on the way.
pub(crate) fn a_sender_that_is_started_anew_is_measured_anew() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut receiver = receiver(
        &b,
        &["--expect", "1", "--max-loss", "40%", "--interval", "100ms"],
    );
    let words = ["measure", "send", TO, "--from", ":6000", "--size", "100"];
    let send = |rest: &[&str]| {
        let mut command = manycast(&a, &[&words[..], rest].concat());
        Process::start(command.env("MANYCAST_OFFLOAD", "off"))
    };
    let sender = send(&["--rate", "160k", "--duration", "1h"]);
    let first = |line: String| json(&line)["datagrams"].as_u64().unwrap() > 0;
    while !first(receiver.wait_for_line("\"event\":\"interval\"")) {}
    receiver.wait_for_line("\"event\":\"interval\"");
    send_signal(&sender, "-KILL");
    assert_eq!(sender.finish().status.code(), None);

    let loss = b.lose("eth0", Pick::Every(2));
    let sent = send(&["--rate", "1600k", "--count", "1000"]).finish();
    assert_sent(&sent);
    assert!(loss.count() >= 500);
    let received = receiver.finish();
    assert_eq!(code(&received), 1, "{received:?}");
    let summary = json(received.stdout.last().unwrap());
    let [killed, again] = streams(&summary) else {
        panic!("{summary}")
    };
    assert_eq!((&killed["run"], &killed["lost"]), (&1.into(), &0.into()));
    // The first may be among those that were lost, which then is in no number.
    let [came, lost] = ["datagrams", "lost"].map(|it| again[it].as_u64().unwrap());
    assert!((999..=1000).contains(&(came + lost)), "{again}");
    assert!((498..=501).contains(&lost), "{again}");
    assert_eq!(
        (&again["run"], &again["duplicated"]),
        (&2.into(), &0.into())
    );
    let problem = received.stderr.last().unwrap();
    assert!(problem.contains("eth0 (run 2) lost "), "{problem}");
    // The intervals of the second run begin with it.
    let intervals = received.stdout.iter().map(|line| json(line));
    let mut again = intervals.filter(|it| it["event"] == "interval" && it["run"] == 2);
    assert_eq!(again.next().unwrap()["start"], 0.0);
}

/// The header of a datagram of iperf: its number, and when it was sent.
fn header(number: i32) -> [u8; 12] {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let mut header = [0; 12];
    header[..4].copy_from_slice(&number.to_be_bytes());
    header[4..8].copy_from_slice(&u32::try_from(now.as_secs()).unwrap().to_be_bytes());
    header[8..].copy_from_slice(&now.subsec_micros().to_be_bytes());
    header
}

pub(crate) fn one_forged_datagram_is_no_sender() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let receiver = receiver(&b, &["--expect", "1", "--duration", "500ms"]);
    socket(&a, "10.0.0.1:0").send_to(&header(-1), TO).unwrap();
    let received = receiver.finish();
    assert_eq!(code(&received), 1, "{received:?}");
    let summary = json(received.stdout.last().unwrap());
    assert_eq!(streams(&summary)[0]["confirmed"], false);
    let problem = received.stderr.last().unwrap();
    assert_eq!(problem, "manycast: 0 senders came, 1 expected");

    // A sender that sends but one announces its end again, and is believed.
    let receiver = self::receiver(&b, &["--expect", "1"]);
    let sent = start(&a, &["measure", "send", TO, "--count", "1"]).finish();
    assert_eq!(code(&sent), 0, "{sent:?}");
    assert!(sent.stderr[1].contains(", 0 of 1 lost"), "{sent:?}");
    assert_eq!(code(&receiver.finish()), 0);
}

/// 300 sources forge a stream with its end, of which the first has lost something, and then a sender
/// comes. There are 256 places.
pub(crate) fn a_sender_is_measured_after_many_that_were_forged() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut receiver = receiver(&b, &["--max-loss", "0%", "--interval", "0"]);
    for last in (0..300).map(|source| if source == 0 { -4 } else { -2 }) {
        let socket = socket(&a, "10.0.0.1:0");
        for number in [1, last] {
            socket.send_to(&header(number), TO).unwrap();
        }
    }
    let sent = start(&a, &["measure", "send", TO, "--count", "50"]).finish();
    assert!(sent.stderr[1].contains(", 0 of 50 lost"), "{sent:?}");
    receiver.interrupt();
    let received = receiver.finish();
    let summary = json(received.stdout.last().unwrap());
    let streams = streams(&summary);
    assert_eq!((streams.len(), &summary["untracked"]), (256, &0.into()));
    assert_eq!(streams[255]["datagrams"], 50);
    let freed = received.stdout.iter().map(|line| json(line));
    let freed: Vec<_> = freed.filter(|it| it["event"] == "freed").collect();
    assert_eq!((freed.len(), &freed[0]["lost"]), (45, &2.into()));
    // What made room is judged too.
    assert_eq!(code(&received), 1, "{received:?}");
    let problem = received.stderr.last().unwrap();
    assert!(
        problem.ends_with(" lost 2 (50.0 %) of 4, more than 0 %"),
        "{problem}"
    );
}

pub(crate) fn a_host_that_refuses_is_given_up_and_a_late_receiver_is_not() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let refusals = b.count_at(Hook::Output, "icmp type destination-unreachable");
    let sender = start(&a, &["measure", "send", TO, "--duration", "2s"]);
    wait_until("a refusal", || refusals.count() > 0);
    let receiver = receiver(&b, &["--expect", "1"]);
    let sent = sender.finish();
    assert_sent(&sent);
    assert_eq!(code(&receiver.finish()), 0);

    let sent = start(&a, &["measure", "send", TO, "--duration", "1h"]).finish();
    assert_eq!(code(&sent), 1, "{sent:?}");
    let why = "manycast: nobody listens on 10.0.0.2:5001: the host refused the datagrams; ";
    assert!(
        sent.stderr.iter().any(|line| line.starts_with(why)),
        "{sent:?}"
    );
}
