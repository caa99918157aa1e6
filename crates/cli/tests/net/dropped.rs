//! What came and what the kernel dropped are together what was sent, as the commands tell it.

use manycast_lab::netns::{self, Finished, Host, Lab, Process};

use crate::{BINARY, code, hosts_on, json, listen, manycast, send_signal};

const GROUP: &str = "239.1.1.1:5001";

/// So many datagrams of a stream, as fast as they go: far more than a receive buffer holds. The end
/// is announced twice more.
const COUNT: u64 = 20_000;
const SENT: u64 = COUNT + 2;

/// A command on a host that receives, with or without merged datagrams.
fn receiver(host: &Host, arguments: &[&str], offload: &str) -> Process {
    let mut command = manycast(host, arguments);
    let mut receiver = Process::start(command.env("MANYCAST_OFFLOAD", offload));
    receiver.wait_for_error_line("listening on ");
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

/// Sends while the receiver does not read, and again once it reads or not; gives what it printed and how
/// much was sent.
fn pause(a: &Host, b: &Host, mut receiver: Process, until_the_end: bool) -> (Finished, u64) {
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
    (receiver.finish(), sent)
}

/// What was received and what is told to be dropped are what was sent, or at most that. Some may have
/// come and not be counted. `told` is the sentence about what was dropped.
fn check(told: &str, received: u64, uncounted: u64, sent: u64, offload: &str) {
    let seen = format!("{received} of {sent} received, offload {offload}: {told}");
    let (_, dropped) = told.split_once("the kernel dropped ").expect(&seen);
    let least = dropped.strip_prefix("at least ");
    assert_eq!(least.is_some(), offload == "on", "{seen}");
    let dropped = number(least.unwrap_or(dropped));
    assert!(dropped > 0, "{seen}");
    let of_each = if offload == "off" { 1 } else { 128 };
    let most = received + uncounted + dropped * of_each;
    assert!((received + dropped..=most).contains(&sent), "{seen}");
}

/// The number that a text begins with.
fn number(text: &str) -> u64 {
    let digits = text.split(' ').next().unwrap().replace(',', "");
    digits.parse().unwrap_or_else(|_| panic!("{text}"))
}

pub(crate) fn listen_accounts_for_all_that_was_sent() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    for offload in ["on", "off"] {
        for until_the_end in [true, false] {
            let listener = receiver(&b, &["listen", GROUP], offload);
            let (finished, sent) = pause(&a, &b, listener, until_the_end);
            let summary = finished.stderr.last().unwrap();
            check(summary, number(summary), 0, sent, offload);
            assert_eq!(finished.stdout.len() as u64, number(summary));
        }
    }
    // Stopped until the end: what waits in the buffer is still printed.
    for offload in ["on", "off"] {
        let mut listener = receiver(&b, &["listen", GROUP], offload);
        send_signal(&listener, "-STOP");
        send(&a);
        listener.interrupt();
        send_signal(&listener, "-CONT");
        let finished = listener.finish();
        let summary = finished.stderr.last().unwrap();
        check(summary, number(summary), 0, SENT, offload);
    }
    // JSON says the same.
    let mut listener = listen(&b, &[GROUP]);
    listener.interrupt();
    let summary = json(listener.finish().stdout.last().unwrap());
    assert_eq!(
        (&summary["dropped"], &summary["dropped_exact"]),
        (&0.into(), &true.into())
    );
}

pub(crate) fn measure_receive_accounts_for_all_that_was_sent() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    for offload in ["on", "off"] {
        for until_the_end in [true, false] {
            let words = [
                "measure",
                "receive",
                "--max-loss",
                "1%",
                "--interval",
                "0",
                GROUP,
            ];
            let receiver = receiver(&b, &words, offload);
            let (finished, sent) = pause(&a, &b, receiver, until_the_end);
            let counts = finished.stdout.iter().filter_map(|line| {
                let count = line.strip_prefix("  received")?.trim_start();
                Some(number(count))
            });
            let counts: Vec<_> = counts.collect();
            let told = finished.stdout.last().unwrap();
            // The end is announced three times, and counts once where it comes.
            let uncounted = 2 * counts.len() as u64;
            check(told, counts.iter().sum(), uncounted, sent, offload);
            // Whether the end came or not, and with it the numbers before it.
            let problem = finished.stderr.last().unwrap();
            let ends = ["more than 1 %", "more than 1 % are lost"];
            assert!(ends.iter().any(|end| problem.ends_with(end)), "{problem}");
        }
    }
}

/// On most systems a user gets a smaller buffer than is asked for, and it does no harm.
pub(crate) fn a_small_buffer_is_told_once_and_where_it_matters() {
    netns::require(&["setpriv"]);
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let limit = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
    // The kernel doubles it, and so does what is asked for.
    let is_capped = limit.trim().parse::<u64>().unwrap() < 8 << 20;
    for words in [
        &["listen", GROUP][..],
        &["echo", GROUP],
        &["measure", "receive", GROUP],
    ] {
        for (drops, more) in [
            (false, &[][..]),
            (false, &["-v"]),
            (true, &[]),
            (true, &["-q"]),
        ] {
            let mut command = b.command("setpriv");
            command.args(["--bounding-set=-all", "--inh-caps=-all", BINARY]);
            let mut receiver = Process::start(command.args(words).args(more));
            if more == ["-q"] {
                b.wait_for_udp_port(5001);
            } else {
                receiver.wait_for_error_line("listening on ");
            }
            if drops {
                send_signal(&receiver, "-STOP");
                send(&a);
                send_signal(&receiver, "-CONT");
                wait_until_read(&b);
            }
            receiver.interrupt();
            let finished = receiver.finish();
            let told = |line: &&String| line.contains("the receive buffer has ");
            let told = finished.stderr.iter().filter(told).count();
            let wanted = is_capped && (drops && more.is_empty() || more == ["-v"]);
            assert_eq!(
                told,
                usize::from(wanted),
                "{words:?} {more:?}: {:?}",
                finished.stderr
            );
        }
    }
}
