//! What goes wrong, exactly as asked.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use manycast_lab::netns::{Hook, Host, Lab, Pick, RateLimit, wait_until};

use crate::{hosts_on, listener, receive, receive_until, send};

pub(crate) fn losses_strike_exactly_every_nth() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = hosts_on(&lab, &switch, ["a", "b"]);
    for (any, to) in [("0.0.0.0", "10.0.0.2:5000"), ("::", "[fd00::2]:5000")] {
        let socket = listener(&b, any);
        let rule = b.lose("eth0", Pick::Every(10));
        let expected: Vec<_> = (1..=98).filter(|number| number % 10 != 0).collect();
        assert_eq!(delivered(&a, to, 98, &socket), expected);
        assert_eq!(rule.count(), 9);
        rule.remove();
        assert_eq!(delivered(&a, to, 20, &socket), (1..=20).collect::<Vec<_>>());
    }
}

pub(crate) fn losses_are_about_as_many_as_asked() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = hosts_on(&lab, &switch, ["a", "b"]);
    let socket = listener(&b, "0.0.0.0");
    let rule = b.lose("eth0", Pick::Percent(10));
    let sender = a.run(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    socket.set_nonblocking(true).unwrap();
    let mut arrived = 0;
    for hundred in 1..=20 {
        for _ in 0..100 {
            sender.send_to(b"x", "10.0.0.2:5000").unwrap();
        }
        wait_until("each datagram to arrive or be lost", || {
            while socket.recv(&mut [0]).is_ok() {
                arrived += 1;
            }
            arrived + rule.count() == 100 * hundred
        });
    }
    // The standard deviation is 13.4, and this is six of them.
    assert!(
        (1720..=1880).contains(&arrived),
        "{arrived} of 2000 arrived"
    );
}

pub(crate) fn duplicates_come_exactly_as_asked() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = hosts_on(&lab, &switch, ["a", "b"]);
    let socket = listener(&b, "0.0.0.0");
    let rule = b.duplicate("eth0", Pick::Every(5));
    let expected = [1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 10, 11];
    assert_eq!(delivered(&a, "10.0.0.2:5000", 11, &socket), expected);
    assert_eq!(rule.count(), 2);
    rule.remove();
    let rule = b.duplicate("eth0", Pick::All);
    assert_eq!(
        delivered(&a, "10.0.0.2:5000", 3, &socket),
        [1, 1, 2, 2, 3, 3]
    );
    assert_eq!(receive(&socket), "end", "the marker's own copy");
    assert_eq!(rule.count(), 4);
}

pub(crate) fn a_dropped_datagram_is_counted_at_its_hook() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = hosts_on(&lab, &switch, ["a", "b"]);
    let socket = listener(&b, "0.0.0.0");
    for hook in [Hook::Prerouting, Hook::Input] {
        let rule = b.drop_at(hook, "udp length 9");
        assert!(delivered(&a, "10.0.0.2:5000", 9, &socket).is_empty());
        assert_eq!(rule.count(), 9, "{hook:?}");
        rule.remove();
    }
    let rule = a.drop_at(Hook::Output, "udp dport 5000");
    let error = send(&a, "1", "10.0.0.2:5000").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(rule.count(), 1);
}

pub(crate) fn a_link_that_was_down_works_again_with_all_addresses() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = hosts_on(&lab, &switch, ["a", "b"]);
    a.link_down("eth0");
    for to in ["10.0.0.2:5000", "[fd00::2]:5000"] {
        assert_eq!(
            send(&a, "x", to).unwrap_err().kind(),
            ErrorKind::NetworkUnreachable
        );
    }
    a.link_up("eth0");
    both_ways(&a, &b);
}

pub(crate) fn a_pulled_cable_takes_the_carrier_only() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = hosts_on(&lab, &switch, ["a", "b"]);
    a.unplug("eth0");
    let link = a.output("ip link show eth0");
    assert!(
        link.contains("NO-CARRIER") && link.contains(",UP>"),
        "{link}"
    );
    a.plug("eth0");
    both_ways(&a, &b);
}

pub(crate) fn a_deleted_device_comes_back_with_another_index() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = hosts_on(&lab, &switch, ["a", "b"]);
    let before = (a.interface_index("eth0"), a.link_local("eth0"));
    a.delete_device("eth0");
    assert_eq!(a.output("ls /sys/class/net").trim(), "lo");
    a.recreate_device("eth0");
    let after = (a.interface_index("eth0"), a.link_local("eth0"));
    assert_ne!(before.0, after.0);
    assert_eq!(before.1, after.1);
    both_ways(&a, &b);
}

pub(crate) fn a_small_mtu_fragments() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = hosts_on(&lab, &switch, ["a", "b"]);
    a.set_mtu("eth0", 600);
    let socket = listener(&b, "0.0.0.0");
    let payload = "x".repeat(1400);
    send(&a, &payload, "10.0.0.2:5000").unwrap();
    assert_eq!(receive(&socket), payload);
    let statistics = a.output("nstat -asz IpFragCreates");
    assert!(statistics.contains(" 3 "), "{statistics}");
}

pub(crate) fn a_narrow_link_delays() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = hosts_on(&lab, &switch, ["a", "b"]);
    let socket = listener(&b, "0.0.0.0");
    b.limit_rate("eth0", RateLimit::new(8_000_000));

    let payload = "x".repeat(1000);
    let start = Instant::now();
    for _ in 0..60 {
        send(&a, &payload, "10.0.0.2:5000").unwrap();
    }
    for _ in 0..60 {
        assert_eq!(receive(&socket), payload);
    }
    // Of 60 frames of 1042 bytes, 32 KiB pass at once, and a megabyte a second after that.
    assert!(
        start.elapsed() > Duration::from_millis(29),
        "after {:?}",
        start.elapsed()
    );
}

pub(crate) fn a_limit_passes_a_burst_then_queues_then_drops() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = hosts_on(&lab, &switch, ["a", "b"]);
    let socket = listener(&b, "0.0.0.0");
    send(&a, "neighbours know each other", "10.0.0.2:5000").unwrap();
    receive(&socket);
    // A byte takes a second, so that no frame passes by rate while the test looks, however slow the
    // machine is. Frames of 1042 bytes: 9 of them are a burst, 4 are a queue. Both have room for the
    // small frames of IPv6, which hosts send when they want.
    let limit = RateLimit {
        rate: 8,
        burst: 10_300,
        queue: 5_100,
    };
    b.limit_rate("eth0", limit);

    let sender = a.run(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    for number in 1..=30 {
        sender.send_to(&[number; 1000], "10.0.0.2:5000").unwrap();
    }
    let mut buffer = [0; 1000];
    for number in 1..=9 {
        socket.recv(&mut buffer).unwrap();
        assert_eq!(buffer[0], number);
    }
    wait_until("all that finds no room to be dropped", || {
        b.dropped_by_limit("eth0") >= 17
    });
    assert_eq!(b.dropped_by_limit("eth0"), 17);
    socket.set_nonblocking(true).unwrap();
    let error = socket.recv(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "four still wait");
}

/// Sends the numbers from 1 to `count` and then "end", and gives the numbers that arrive.
fn delivered(from: &Host, to: &str, count: u32, socket: &UdpSocket) -> Vec<u32> {
    let any = if to.starts_with('[') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let sender = from.run(|| UdpSocket::bind(any).unwrap());
    for number in 1..=count {
        sender.send_to(number.to_string().as_bytes(), to).unwrap();
    }
    sender.send_to(b"end", to).unwrap();
    receive_until(socket, "end")
        .iter()
        .map(|number| number.parse().unwrap())
        .collect()
}

/// Datagrams cross in both directions, by IPv4 and by IPv6.
fn both_ways(a: &Host, b: &Host) {
    let hosts = [(a, b, 2), (b, a, 1)];
    for (from, to, number) in hosts {
        for (any, address) in [
            ("0.0.0.0", format!("10.0.0.{number}:5000")),
            ("::", format!("[fd00::{number}]:5000")),
        ] {
            let socket = listener(to, any);
            send(from, "hello", &address).unwrap();
            assert_eq!(receive(&socket), "hello");
        }
    }
}
