//! Sockets that follow the host: its interfaces and its addresses change while they run.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Instant;

use manycast::{Event, InterfaceSelector, Listener, Socket, SocketConfig};
use manycast_lab::netns::{Host, Lab};

use crate::driver::poll;
use crate::{
    GROUPS, PORT, at, bind, hosts, listen, on, receive, receive_until, send, sender, sender_from,
    text, wait_until_joined, wait_until_left,
};

/// Does something again and again, until it gives what is wanted.
#[track_caller]
pub(crate) fn again_until<T>(wanted: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(began.elapsed() < crate::PATIENCE, "{wanted} does not come");
        std::thread::yield_now();
    }
}

pub(crate) fn what_waited_before_the_interface_went_down_is_delivered() {
    const COUNT: u32 = 2000;
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let mut listener = listen(&b, &on(group, "eth0"));
        let sender = sender(&a, &on(group, "eth0"));
        for number in 0..COUNT {
            a.run(|| sender.send(number.to_be_bytes()).unwrap());
        }
        b.link_down("eth0");
        for number in 0..COUNT {
            assert_eq!(
                receive(&b, &mut listener).payload,
                &number.to_be_bytes()[..]
            );
        }
        assert_eq!(listener.dropped().count, 0);
        b.link_up("eth0");
        wait_until_joined(&b, &mut listener, "eth0");
        send(&a, &on(group, "eth0"), "back");
        assert_eq!(receive(&b, &mut listener).payload, "back");
    }
}

/// A socket that was bound to a device by name is bound to the device that has the name now.
pub(crate) fn a_socket_by_name_follows_its_device() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for ([group, _], own) in GROUPS.into_iter().zip(["10.0.0.2", "fd00::2"]) {
        let addresses = ["%eth0:5000", &on(group, "eth0")];
        let mut listener = b.run(|| Listener::open(addresses, SocketConfig::default()).unwrap());
        b.delete_device("eth0");
        wait_until_left(&b, &mut listener, "eth0");
        b.recreate_device("eth0");
        wait_until_joined(&b, &mut listener, "eth0");
        for to in [at(own, PORT), on(group, "eth0")] {
            send(&a, &to, &to);
            assert_eq!(text(&receive(&b, &mut listener)), to);
        }
    }
}

/// The other half replaces the socket when the device is made anew.
pub(crate) fn a_half_that_sends_follows_what_the_other_half_sees() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let mut listener = listen(&b, &on(group, "eth0"));
        let (sending, mut receiving) = bind(&a, "%eth0:5000").split();
        let to = on(group, "eth0");
        a.run(|| sending.send_to(&*to, "first").unwrap());
        assert_eq!(receive(&b, &mut listener).payload, "first");
        a.delete_device("eth0");
        a.recreate_device("eth0");
        again_until("the new device", || {
            let soon = std::time::Duration::from_millis(50);
            a.run(|| receiving.next_event(Some(soon)).map(drop).unwrap());
            a.run(|| sending.send_to(&*to, "again")).ok()
        });
        assert_eq!(receive(&b, &mut listener).payload, "again");
    }
}

pub(crate) fn a_sender_follows_its_address() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for (to, old, new) in [
        ("10.0.0.2:5000", "10.0.0.1/24", "10.0.0.77/24"),
        ("[fd00::2]:5000", "fd00::1/64", "fd00::77/64"),
    ] {
        let mut server = bind(&b, to);
        let sender = sender(&a, to);
        a.run(|| sender.send("first").unwrap());
        let (old_address, _) = old.split_once('/').unwrap();
        let (new_address, _) = new.split_once('/').unwrap();
        let source: IpAddr = old_address.parse().unwrap();
        assert_eq!(receive(&b, &mut server).source.ip(), source);

        let nodad = if new.contains(':') { " nodad" } else { "" };
        a.output(&format!("ip address del {old} dev eth0"));
        a.output(&format!("ip address add {new} dev eth0{nodad}"));
        let wanted: IpAddr = new_address.parse().unwrap();
        // It looks at most every 50 ms.
        again_until("the new address", || {
            // In between there may be no address at all.
            a.run(|| sender.send("again")).ok()?;
            let from = receive(&b, &mut server).source.ip();
            (from == wanted).then_some(())
        });
        assert_eq!(sender.local_addr().ip(), wanted);
    }
}

/// What is answered to a sender, which receives nothing, keeps no socket open.
pub(crate) fn a_sender_that_is_answered_has_one_socket() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut server = bind(&b, "10.0.0.2:5000");
    let sender = sender(&a, "10.0.0.2:5000");
    for number in 10..15 {
        let own: IpAddr = [10, 0, 0, number].into();
        a.output(&format!("ip address add {own}/32 dev eth0"));
        a.output(&format!("ip route replace 10.0.0.2/32 dev eth0 src {own}"));
        // It looks at most every 50 ms.
        let question = again_until("the new address", || {
            a.run(|| sender.send("hello").unwrap());
            let question = receive(&b, &mut server);
            (question.source.ip() == own).then_some(question)
        });
        server.answer(question.reply(), "welcome").unwrap();
        let waiting = sender.sending_fd().unwrap();
        assert!(poll(waiting.as_fd(), 60), "it is not read");
    }
    let sockets = a.output("ss --udp --all --no-header --numeric");
    assert_eq!(sockets.lines().count(), 1, "{sockets}");
}

/// A connected socket keeps its address, to which its peer answers, and says so when it is gone.
pub(crate) fn a_connected_socket_tells_that_its_address_is_gone() {
    let lab = Lab::new();
    let [a, _b] = hosts(&lab, ["a", "b"]);
    let socket = a.run(|| Socket::connect("10.0.0.2:5000").unwrap());
    a.run(|| socket.send("first").unwrap());
    a.output("ip address add 10.0.0.77/24 dev eth0");
    a.output("sysctl -w net.ipv4.conf.eth0.promote_secondaries=1");
    a.output("ip address del 10.0.0.1/24 dev eth0");
    let error = a.run(|| socket.send("again").unwrap_err());
    // Kernels say EINVAL or ENETUNREACH.
    let told = error.to_string().replace("(os error 101)", "(os error 22)");
    assert_eq!(
        told,
        "cannot send to 10.0.0.2:5000: 10.0.0.1, which it would leave from, is no address of this \
         host (os error 22); open the socket anew, from an address that 'manycast interfaces' lists"
    );
}

/// Loopback is never a fallback for an interface that went away.
pub(crate) fn a_sender_waits_for_its_interface_and_takes_no_other() {
    let lab = Lab::new();
    let switch = lab.switch("switch");
    let [a, b] = ["a", "b"].map(|name| lab.host(name));
    a.connect(&switch, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    b.connect(&switch, "eth0", &["10.0.0.2/24", "fd00::2/64"]);
    for [group, _] in GROUPS {
        let mut listener = listen(&b, &on(group, "eth0"));
        let sender = sender(&a, &at(group, PORT));
        assert_eq!(&*sender.interface().name, "eth0");
        a.run(|| sender.send("before").unwrap());
        assert_eq!(text(&receive(&b, &mut listener)), "before");
        a.link_down("eth0");
        let error = again_until("an error", || a.run(|| sender.send("lost")).err());
        assert!(error.is_transient(), "{error}");
        let by_lo = a.run(|| manycast::send(&*at(group, PORT), "lost"));
        let error = by_lo.unwrap_err().to_string();
        assert!(error.contains("up") && !error.contains("by lo"), "{error}");
        a.link_up("eth0");
        again_until("the interface", || a.run(|| sender.send("after")).ok());
        assert_eq!(&*sender.interface().name, "eth0");
        assert_eq!(text(&receive(&b, &mut listener)), "after");
    }
}

pub(crate) fn a_sender_leaves_by_the_interface_of_its_address() {
    let lab = Lab::new();
    let (left, right) = (lab.switch("left"), lab.switch("right"));
    let a = lab.host("a");
    a.connect(&left, "eth0", &["10.9.0.1/24"]);
    a.connect(&right, "eth1", &["10.8.0.1/24"]);
    a.add_route("default via 10.9.0.2");
    for to in ["239.1.1.1:5000", "255.255.255.255:5000"] {
        let sender = sender_from(&a, to, "10.8.0.1");
        let sent = a.run(|| sender.send("x").unwrap());
        assert_eq!(&*sent.interface.name, "eth1", "{sent}");
    }
    // A rule for the source decides where there is one.
    a.output("ip rule add from 10.8.0.1 lookup 100");
    a.output("ip route add 10.7.0.0/24 dev eth1 table 100");
    let sender = sender_from(&a, "10.7.0.7:5000", "10.8.0.1");
    assert_eq!(&*sender.interface().name, "eth1");
}

/// A call that changes the groups is no reason to forget what happened before.
pub(crate) fn a_call_that_joins_keeps_what_was_not_read() {
    let lab = Lab::new();
    let [_a, b] = hosts(&lab, ["a", "b"]);
    let mut listener = listen(&b, "239.1.2.3:5000");
    b.link_down("eth0");
    // Whoever waits for datagrams alone passes over the news; whoever joins does not.
    b.run(|| {
        let event = listener.next_event(Some(crate::PATIENCE)).unwrap();
        assert!(matches!(event, Some(Event::Left(_))), "{event:?}");
    });
    b.link_up("eth0");
    b.wait_for_group("lo", "239.1.2.3".parse().unwrap());
    b.run(|| listener.leave("239.1.2.7%lo:5000").unwrap());
    b.run(|| listener.join("239.1.2.9:5000").unwrap());
    let joined = wait_until_joined(&b, &mut listener, "eth0");
    assert!(["239.1.2.3:5000", "239.1.2.9:5000"].contains(&&*joined.group.to_string()));
}

/// Sends to a group, and waits until it has come there by another listener too.
fn send_and_see(a: &Host, b: &Host, other: &mut Listener, to: &str, payloads: [&str; 2]) {
    for payload in payloads {
        send(a, to, payload);
        // The second tells that all have the first.
        assert_eq!(text(&receive(b, other)), payload);
    }
}

/// What is in the queue came from a source that is wanted before and after.
pub(crate) fn what_came_by_a_group_is_kept_where_its_sources_change() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let to = "232.1.1.1%eth0:5000";
    let mut listener = listen(&b, &format!("10.0.0.1@{to}"));
    let mut other = listen(&b, to);
    send_and_see(&a, &b, &mut other, to, ["one", "two"]);
    let more = format!("10.0.0.1,10.0.0.9@{to}");
    assert!(b.run(|| listener.join(&*more).unwrap()));
    assert_eq!(text(&receive(&b, &mut listener)), "one");
}

/// A socket that had something unread when its group was left is closed once that is read.
pub(crate) fn a_socket_of_a_group_that_was_left_is_closed() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    // It is bound to an address, so that a group has a socket of its own.
    let mut socket = bind(&b, "10.0.0.2:5000");
    let to = "239.1.2.3%eth0:5000";
    let mut other = listen(&b, to);
    let count = || {
        b.output("ss --udp --all --no-header --numeric")
            .lines()
            .count()
    };
    let before = count();
    for _ in 0..5 {
        b.run(|| socket.join("239.1.2.3%eth0").unwrap());
        send_and_see(&a, &b, &mut other, to, ["one", "two"]);
        b.run(|| socket.leave("239.1.2.3%eth0").unwrap());
        send(&a, "10.0.0.2:5000", "end");
        receive_until(&b, &mut socket, "end");
    }
    // What it had is looked at, and then it is closed.
    for _ in 0..2 {
        assert!(b.run(|| socket.try_recv().unwrap().is_none()));
    }
    assert_eq!(count(), before);
}

/// The interface that a socket sends to groups by is the one that has the name now.
pub(crate) fn the_interface_of_groups_is_followed_to_another_index() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let mut listener = listen(&b, &on(group, "eth0"));
        let mut socket = bind(&a, ":0");
        let by = InterfaceSelector::Name("eth0".into());
        a.run(|| socket.set_multicast_interface(Some(&by)).unwrap());
        a.delete_device("eth0");
        a.recreate_device("eth0");
        let to = at(group, PORT);
        let came = again_until("a datagram", || {
            a.run(|| {
                // It follows while it waits.
                socket.try_recv().ok()?;
                socket.send_to(&*to, "hello").ok()
            })?;
            let wait = std::time::Duration::from_millis(20);
            let received = b.run(|| {
                let received = listener.recv_timeout(wait).unwrap();
                received.map(|it| it.to_datagram())
            });
            received.filter(|datagram| datagram.payload == "hello")
        });
        assert_eq!(&*came.interface.name, "eth0");
    }
}

/// A connected socket too is bound to the device that has the name now, also after it was connected
/// to another peer.
pub(crate) fn a_connected_socket_by_name_follows_its_device() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for (first, second) in [
        ("10.0.0.2%eth0:5000", "10.0.0.2:5001"),
        ("[fd00::2%eth0]:5000", "[fd00::2]:5001"),
    ] {
        let mut server = bind(&b, ":5001");
        let mut client = a.run(|| Socket::connect(first).unwrap());
        a.run(|| client.reconnect(second).unwrap());
        let port = client.local_addr().unwrap().port();
        a.delete_device("eth0");
        a.recreate_device("eth0");
        let question = again_until("a question", || {
            a.run(|| {
                // It follows while it waits.
                client.try_recv().ok()?;
                client.send("hello").ok()
            })?;
            let wait = std::time::Duration::from_millis(20);
            let received = b.run(|| {
                server
                    .recv_timeout(wait)
                    .unwrap()
                    .map(|it| it.to_datagram())
            });
            received.filter(|datagram| datagram.payload == "hello")
        });
        assert_eq!(question.source.port(), port, "it keeps its port");
        b.run(|| server.answer(question.reply(), "welcome").unwrap());
        assert_eq!(text(&receive(&a, &mut client)), "welcome");
    }
}
