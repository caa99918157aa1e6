//! Options and memberships that are set and read while a socket runs.

use manycast::{Dscp, ErrorKind, Group, Sender, SenderConfig, SocketConfig, Transmit};
use manycast_lab::netns::{Hook, Host, Lab};
use std::net::SocketAddr;

use crate::{
    GROUPS, PORT, at, bind, hosts, interfaces_of, listen, on, receive, receive_until, send, sender,
    text,
};

/// How many sockets have joined a group on an interface, as the kernel tells it now.
fn users(host: &Host, group: &str, device: &str) -> u32 {
    let groups = host.run(manycast::joined_groups).unwrap();
    let joined = groups
        .iter()
        .find(|joined| joined.group.to_string() == group && *joined.interface.name == *device);
    joined.map_or(0, |joined| joined.users)
}

pub(crate) fn row_70_joining_and_leaving_are_idempotent_and_seen_at_once() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, other] in GROUPS {
        let mut socket = bind(&b, ":5000");
        let named: Group = format!("{group}%eth1").parse().unwrap();
        b.run(|| {
            assert!(socket.join(named.clone()).unwrap());
            assert!(!socket.join(named.clone()).unwrap(), "it is joined already");
        });
        assert_eq!(users(&b, group, "eth1"), 1);
        assert_eq!(users(&b, group, "eth0"), 0);
        if group == "239.1.2.3" {
            // What anybody can see, in the kernel's hexadecimal digits.
            assert!(b.output("cat /proc/net/igmp").contains("030201EF"));
        }
        send(&a, &on(group, "eth1"), "joined");
        assert_eq!(receive(&b, &mut socket).payload, "joined");
        b.run(|| {
            assert!(socket.leave(named.clone()).unwrap());
            assert!(!socket.leave(named.clone()).unwrap(), "it was left already");
        });
        assert_eq!(users(&b, group, "eth1"), 0);
        if group == "239.1.2.3" {
            assert!(!b.output("cat /proc/net/igmp").contains("030201EF"));
        }

        // On all interfaces; then again by name, which changes nothing.
        let mut listener = listen(&b, &at(other, PORT + 1));
        assert_eq!(interfaces_of(&listener), ["lo", "eth0", "eth1", "eth2"]);
        b.run(|| {
            assert!(
                listener
                    .join(&*at(&format!("{other}%eth1"), PORT + 1))
                    .unwrap()
            );
        });
        assert_eq!(users(&b, other, "eth1"), 1);
        assert_eq!(listener.memberships().count(), 4);
        b.run(|| {
            let named = at(&format!("{other}%eth1"), PORT + 1);
            assert!(listener.leave(&*named).unwrap());
            let error = listener.leave(&*named).unwrap_err().to_string();
            let why = "it was joined on every interface; leave it without one, and join it on those \
                       that are wanted";
            assert!(error.ends_with(why), "{error}");
            assert_eq!(listener.memberships().count(), 4);
            assert!(listener.leave(&*at(other, PORT + 1)).unwrap());
        });
        for device in ["lo", "eth0", "eth1", "eth2"] {
            assert_eq!(users(&b, other, device), 0, "{device}");
        }
    }
}

pub(crate) fn row_19_every_end_leaves_the_group_and_frees_the_port() {
    let lab = Lab::new();
    let b = lab.host("b");
    for [group, _] in GROUPS {
        let address = at(group, PORT);
        let mut listener = listen(&b, &address);
        assert_eq!(users(&b, group, "lo"), 1);
        let came = b.run(|| {
            listener
                .recv_timeout(std::time::Duration::from_millis(1))
                .unwrap()
                .is_some()
        });
        assert!(!came);
        drop(listener);
        assert_eq!(users(&b, group, "lo"), 0);
        // By an error half-way: the second address cannot be had.
        let wrong = [&*address, "192.0.2.1:5000"];
        b.run(|| manycast::Listener::open(wrong, SocketConfig::default()))
            .unwrap_err();
        assert_eq!(users(&b, group, "lo"), 0);
        drop(bind(&b, ":5000"));
    }
}

pub(crate) fn row_69_the_own_copy_is_a_switch_of_the_sender() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let mut own = listen(&a, &on(group, "eth0"));
        let mut neighbour = listen(&b, &on(group, "eth0"));
        let mut sender = sender(&a, &on(group, "eth0"));
        // Several clients on one host, and the sender's own membership.
        let mut client = bind(
            &a,
            &at(if group.contains(':') { "::" } else { "0.0.0.0" }, PORT + 1),
        );
        a.run(|| {
            client.join(&*format!("{group}%eth0")).unwrap();
            client
                .set_multicast_interface(Some(&"eth0".parse().unwrap()))
                .unwrap();
        });
        let to_clients: SocketAddr = at(group, PORT + 1).parse().unwrap();

        assert!(sender.loopback() && client.loopback());
        sender.send("heard").unwrap();
        client.send_to(to_clients, "Client: Ping").unwrap();
        assert_eq!(text(&receive(&a, &mut client)), "Client: Ping");
        sender.set_loopback(false).unwrap();
        client.set_loopback(false).unwrap();
        assert!(!sender.loopback() && !client.loopback());
        sender.send("not heard").unwrap();
        client.send_to(to_clients, "not heard").unwrap();
        sender.set_loopback(true).unwrap();
        client.set_loopback(true).unwrap();
        sender.send("end").unwrap();
        client.send_to(to_clients, "end").unwrap();
        assert_eq!(receive_until(&a, &mut own, "end"), ["heard"]);
        assert_eq!(receive_until(&a, &mut client, "end"), [""; 0]);
        assert_eq!(
            receive_until(&b, &mut neighbour, "end"),
            ["heard", "not heard"]
        );

        // The same from the beginning.
        let socket = SocketConfig::default().loopback(false);
        let config = SenderConfig::default().socket(socket);
        let quiet = a.run(|| Sender::open(&*on(group, "eth0"), config).unwrap());
        quiet.send("not heard").unwrap();
        sender.send("end").unwrap();
        assert_eq!(receive_until(&a, &mut own, "end"), [""; 0]);
    }
}

pub(crate) fn row_71_options_are_read_back_and_true_on_the_wire() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for ([group, _], own) in GROUPS.into_iter().zip(["10.0.0.2", "fd00::2"]) {
        let mut listener = listen(&b, &on(group, "eth0"));
        let mut server = bind(&b, &at(own, PORT + 1));
        let mut socket = bind(
            &a,
            &at(if group.contains(':') { "::" } else { "0.0.0.0" }, 0),
        );
        assert_eq!(
            (socket.multicast_hops(), socket.unicast_hops().unwrap()),
            (1, 64)
        );
        a.run(|| {
            socket
                .set_multicast_interface(Some(&"eth0".parse().unwrap()))
                .unwrap();
        });
        assert_eq!(
            &*a.run(|| socket.multicast_interface().unwrap())
                .unwrap()
                .name,
            "eth0"
        );
        for hops in [1, 2, 32, 255] {
            socket.set_multicast_hops(hops).unwrap();
            socket.set_unicast_hops(hops).unwrap();
            assert_eq!(
                (socket.multicast_hops(), socket.unicast_hops().unwrap()),
                (hops, hops)
            );
            socket.send_to(at(group, PORT), "to the group").unwrap();
            assert_eq!(receive(&b, &mut listener).hops, Some(hops));
            socket.send_to(at(own, PORT + 1), "to the host").unwrap();
            assert_eq!(receive(&b, &mut server).hops, Some(hops));
        }
        assert!(socket.set_unicast_hops(0).is_err());
        assert_eq!(socket.unicast_hops().unwrap(), 255, "it stays as it was");

        // A sender likewise, to a group and to a host.
        for (to, default, receiver) in [
            (on(group, "eth0"), 1, &mut listener as &mut dyn Hops),
            (at(own, PORT + 1), 64, &mut server),
        ] {
            let mut sender = sender(&a, &to);
            assert_eq!(sender.hops(), default);
            sender.set_hops(7).unwrap();
            assert_eq!((sender.hops(), sender.send("seven").unwrap().hops), (7, 7));
            assert_eq!(receiver.hops(&b), Some(7));
        }
    }

    trait Hops {
        fn hops(&mut self, host: &Host) -> Option<u8>;
    }
    impl<R: crate::Receiver> Hops for R {
        fn hops(&mut self, host: &Host) -> Option<u8> {
            receive(host, self).hops
        }
    }
}

/// What one datagram asks for holds for it, and for no other.
pub(crate) fn a_transmit_has_a_code_point_and_stays_whole() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for (to, family) in [("10.0.0.2:5000", "ip"), ("[fd00::2]:5000", "ip6")] {
        let mut server = bind(&b, to);
        let socket = bind(&a, ":0");
        let marked = b.count_at(Hook::Input, &format!("udp dport 5000 {family} dscp 46"));
        let plain = Transmit::new(to.parse().unwrap(), vec![b'x'; 3000]);
        let mut urgent = Transmit::new(plain.destination, b"urgent".to_vec());
        urgent.dscp = Some(Dscp::EF);
        let mut whole = plain.clone();
        whole.dont_fragment = true;
        a.run(|| {
            let all = [urgent, plain.clone()];
            assert_eq!(socket.send_batch(&all).unwrap(), 2);
            let error = socket.send_batch(&[whole.clone()]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MessageTooLong, "{error}");
            whole.payload.truncate(1000);
            assert_eq!(socket.send_batch(&[whole, plain]).unwrap(), 2);
        });
        for length in [6, 3000, 1000, 3000] {
            assert_eq!(receive(&b, &mut server).payload.len(), length);
        }
        assert_eq!(marked.count(), 1);
    }
}

/// With a hop limit of 0 a datagram stays on the host while this host is a member.
pub(crate) fn row_47_a_hop_limit_of_0_stays_on_the_host_of_a_member() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut own = listen(&a, &on("239.1.2.3", "eth0"));
    let mut neighbour = listen(&b, &on("239.1.2.3", "eth0"));
    let mut sender = sender(&a, &on("239.1.2.3", "eth0"));
    sender.set_hops(0).unwrap();
    assert_eq!(sender.send("here").unwrap().hops, 0);
    sender.set_hops(1).unwrap();
    sender.send("end").unwrap();
    assert_eq!(receive_until(&a, &mut own, "end"), ["here"]);
    assert_eq!(receive_until(&b, &mut neighbour, "end"), [""; 0]);
}

pub(crate) fn row_59_interfaces_tell_what_multicast_needs() {
    let lab = Lab::new();
    let [_a, b] = hosts(&lab, ["a", "b"]);
    b.output("ip link set eth1 allmulticast on");
    b.output("ip link set eth2 multicast off");
    let _listener = listen(&b, &on("239.1.2.3", "eth0"));
    let interfaces = b.run(manycast::interfaces).unwrap();
    let [lo, eth0, eth1, eth2] = interfaces.as_slice() else {
        panic!("{interfaces:?}")
    };
    assert!(eth0.up && eth0.multicast && !eth0.all_multicast && eth0.can_multicast());
    assert_eq!((eth0.mtu, eth0.kind.as_str()), (1500, "veth"));
    assert!(eth0.has("10.0.0.2".parse().unwrap()) && eth0.has("fd00::2".parse().unwrap()));
    assert!(eth1.all_multicast && !eth2.can_multicast());
    assert!(lo.loopback && !lo.multicast && lo.can_multicast());
    let joined = b.run(manycast::joined_groups).unwrap();
    assert!(
        joined
            .iter()
            .any(|group| group.interface == eth0.id() && group.group.to_string() == "239.1.2.3")
    );
}

/// ALLMULTI lets frames in, but it is no membership (row 50).
pub(crate) fn row_50_allmulti_is_not_joining() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    b.output("ip link set eth0 allmulticast on");
    for [group, other] in GROUPS {
        let mut listener = listen(&b, &on(group, "eth0"));
        let mut socket = bind(
            &b,
            &at(if group.contains(':') { "::" } else { "0.0.0.0" }, PORT + 1),
        );
        send(&a, &on(other, "eth0"), "not joined");
        send(
            &a,
            &at(&format!("{group}%eth0"), PORT + 1),
            "joined by another socket",
        );
        send(&a, &on(group, "eth0"), "end");
        assert_eq!(receive_until(&b, &mut listener, "end"), [""; 0]);
        assert!(b.run(|| socket.try_recv().unwrap().is_none()));
    }
}
