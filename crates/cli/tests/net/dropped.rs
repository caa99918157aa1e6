//! What came and what the kernel dropped are together what was sent, as the commands tell it.

use manycast_lab::netns::{self, Host, Lab, Process};
use serde_json::Value;

use crate::{code, hosts_on, json, manycast, send_signal};

const GROUP: &str = "239.1.1.1:5001";

/// So many datagrams of a stream, as fast as they go: far more than a receive buffer holds. The end
/// is announced twice more.
const COUNT: u64 = 20_000;
const SENT: u64 = COUNT + 2;

/// A command on a host that receives, with or without merged datagrams.
fn receiver(host: &Host, arguments: &[&str], offload: &str) -> Process {
    let mut command = manycast(host, arguments);
    let mut receiver = Process::start(command.env("MANYCAST_OFFLOAD", offload));
    receiver.wait_for_line("\"event\":\"listening\"");
    receiver
}

fn send(host: &Host) {
    let count = COUNT.to_string();
    let mut words = vec!["measure", "send", GROUP, "-i", "eth0", "--json"];
    words.extend(["--rate", "max", "--count", &count]);
    let sent = Process::start(&mut manycast(host, &words)).finish();
    assert_eq!(code(&sent), 0, "{sent:?}");
    let summary = json(sent.stdout.last().unwrap());
    assert_eq!(
        (&summary["datagrams"], &summary["unsent"]),
        (&COUNT.into(), &0.into())
    );
}

/// Waits until nothing is left in a receive buffer of the host.
fn wait_until_read(host: &Host) {
    let waiting = || {
        let table = host.run(|| std::fs::read_to_string("/proc/thread-self/net/udp").unwrap());
        // `tx_queue:rx_queue`, in hexadecimal digits.
        let mut queues = table.lines().skip(1).filter_map(|line| {
            let (_, received) = line.split_whitespace().nth(4)?.split_once(':')?;
            u64::from_str_radix(received, 16).ok()
        });
        queues.any(|bytes| bytes > 0)
    };
    netns::wait_until("the receive buffers to be read", || !waiting());
}

/// Sends while the receiver does not read, and again once it reads or not, and gives its last object
/// and how much was sent.
fn pause(
    a: &Host,
    b: &Host,
    mut receiver: Process,
    until_the_end: bool,
) -> (Value, Vec<String>, u64) {
    send_signal(&receiver, "-STOP");
    send(a);
    send_signal(&receiver, "-CONT");
    wait_until_read(b);
    let mut sent = SENT;
    if !until_the_end {
        send(a);
        sent += SENT;
        wait_until_read(b);
    }
    receiver.interrupt();
    let received = receiver.finish();
    (json(received.stdout.last().unwrap()), received.stderr, sent)
}

/// What was received and what is told to be dropped are what was sent, or at most that. Some may have
/// come and not be counted.
fn check(summary: &Value, received: u64, uncounted: u64, sent: u64, offload: &str) {
    let seen = format!("{received} of {sent} received, offload {offload}: {summary}");
    let dropped = summary["dropped"].as_u64().unwrap();
    assert!(dropped > 0, "{seen}");
    assert_eq!(summary["dropped_exact"], offload == "off", "{seen}");
    let of_each = if offload == "off" { 1 } else { 128 };
    let most = received + uncounted + dropped * of_each;
    assert!((received + dropped..=most).contains(&sent), "{seen}");
}

pub(crate) fn listen_accounts_for_all_that_was_sent() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    for offload in ["on", "off"] {
        for until_the_end in [true, false] {
            let listener = receiver(&b, &["listen", "--json", GROUP], offload);
            let (summary, notes, sent) = pause(&a, &b, listener, until_the_end);
            let received = summary["datagrams"].as_u64().unwrap();
            check(&summary, received, 0, sent, offload);
            let told = "; the kernel dropped at least ";
            assert_eq!(
                notes.last().unwrap().contains(told),
                offload == "on",
                "{notes:?}"
            );
        }
    }
}

pub(crate) fn measure_receive_accounts_for_all_that_was_sent() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    for offload in ["on", "off"] {
        for until_the_end in [true, false] {
            let words = ["measure", "receive", "--json", "--max-loss", "1%", GROUP];
            let receiver = receiver(&b, &words, offload);
            let (summary, problems, sent) = pause(&a, &b, receiver, until_the_end);
            let streams = summary["streams"].as_array().unwrap();
            let counts = streams.iter().map(|it| it["datagrams"].as_u64().unwrap());
            let received: u64 = counts.sum();
            // The end is announced three times, and counts once where it comes.
            let ends = streams.iter().filter(|it| it["ended"] == true).count() as u64;
            check(&summary, received, 2 * ends, sent, offload);
            // Whether the end came or not, and with it the numbers before it.
            let problem = problems.last().unwrap();
            assert!(
                problem.ends_with("more than 1 %") || problem.ends_with("more than 1 % are lost"),
                "{problem}"
            );
        }
    }
}
