//! A listener receives what it asked for and nothing else.

use manycast::{Address, Listener, SocketConfig, SourceFilter};
use manycast_lab::netns::{self, Lab};

use crate::{
    GROUPS, PORT, at, bind, hosts, listen, on, receive, receive_until, send, sender, text,
};

pub(crate) fn row_34_two_groups_on_one_port_do_not_mix() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for groups in GROUPS {
        let mut listeners = groups.map(|group| listen(&b, &at(group, PORT)));
        // From another host, and from the own one.
        for from in [&a, &b] {
            let senders = groups.map(|group| sender(from, &on(group, "eth1")));
            for number in 0..10 {
                for (group, sender) in groups.iter().zip(&senders) {
                    sender.send(format!("{group} {number}")).unwrap();
                }
            }
            for (group, listener) in groups.iter().zip(&mut listeners) {
                let end = senders.iter().map(|sender| sender.send("end").unwrap());
                assert_eq!(end.count(), 2);
                let expected: Vec<_> = (0..10).map(|number| format!("{group} {number}")).collect();
                assert_eq!(receive_until(&b, listener, "end"), expected);
            }
            // The second listener has another "end" from the first round, and the first one from
            // the second.
            for listener in &mut listeners {
                assert_eq!(text(&receive(&b, listener)), "end");
            }
        }
    }
}

pub(crate) fn row_25_the_same_group_on_another_interface_does_not_leak_in() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let mut on_eth0 = listen(&b, &on(group, "eth0"));
        let mut on_eth1 = listen(&b, &on(group, "eth1"));
        for payload in ["one", "two", "end"] {
            for device in ["eth2", "eth1", "eth0"] {
                let payload = if payload == "end" {
                    payload.to_owned()
                } else {
                    format!("{device} {payload}")
                };
                send(&a, &on(group, device), &payload);
            }
        }
        assert_eq!(
            receive_until(&b, &mut on_eth0, "end"),
            ["eth0 one", "eth0 two"]
        );
        assert_eq!(
            receive_until(&b, &mut on_eth1, "end"),
            ["eth1 one", "eth1 two"]
        );
    }
}

pub(crate) fn row_24_memberships_of_other_programs_deliver_nothing() {
    netns::require(&["socat"]);
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let stranger =
        "UDP4-RECV:6000,ip-add-membership=239.1.2.3:eth1,ip-add-membership=239.1.2.4:eth0";
    let _stranger_4 = b.start(&format!("socat -u {stranger} -"));
    let stranger =
        "UDP6-RECV:6001,ipv6-join-group=[ff15::1234]:eth1,ipv6-join-group=[ff15::1235]:eth0";
    let _stranger_6 = b.start(&format!("socat -u {stranger} -"));
    for [one, two] in GROUPS {
        b.wait_for_group("eth1", one.parse().unwrap());
        b.wait_for_group("eth0", two.parse().unwrap());
        let mut listener = listen(&b, &on(one, "eth0"));
        send(&a, &on(one, "eth1"), "from where it did not join");
        send(&a, &on(two, "eth0"), "to what it did not join");
        send(&a, &on(one, "eth0"), "end");
        assert_eq!(receive_until(&b, &mut listener, "end"), [""; 0]);
    }
}

/// A socket that is bound to a port, and not to the group, is no less particular.
pub(crate) fn row_26_a_socket_on_any_address_receives_its_groups_and_unicast_alone() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for ([one, two], own) in GROUPS.into_iter().zip(["10.0.0.2", "fd00::2"]) {
        let _other_member = listen(&b, &at(two, PORT + 1));
        let mut socket = bind(&b, ":5000");
        assert!(b.run(|| socket.join(&*format!("{one}%eth0")).unwrap()));
        send(&a, &on(two, "eth0"), "another group");
        send(&a, &on(one, "eth1"), "another interface");
        send(&a, &on(one, "eth0"), "the group");
        send(&a, &at(own, PORT), "the host");
        send(&a, &on(one, "eth0"), "end");
        assert_eq!(
            receive_until(&b, &mut socket, "end"),
            ["the group", "the host"]
        );
    }
}

pub(crate) fn row_23_several_groups_come_labelled_by_group() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let addresses = [
        "239.1.2.3:5000",
        "239.1.2.4:5000",
        "239.1.2.5:5001",
        "[ff15::1234]:5000",
        "[ff15::1235]:5001",
    ];
    // Two programs share all of the ports.
    let parsed: Vec<Address> = addresses.map(|address| address.parse().unwrap()).to_vec();
    let open = || b.run(|| Listener::open(&parsed, SocketConfig::default()).unwrap());
    let mut listeners = [open(), open()];
    for address in addresses {
        send(&a, address, address);
        for listener in &mut listeners {
            let datagram = receive(&b, listener);
            assert_eq!(datagram.destination.to_string(), address);
            assert_eq!(text(&datagram), address);
        }
    }
}

pub(crate) fn other_ports_and_unicast_stay_out_of_a_group() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for ([group, _], own) in GROUPS.into_iter().zip(["10.0.0.2", "fd00::2"]) {
        let mut listener = listen(&b, &on(group, "eth0"));
        send(&a, &at(&format!("{group}%eth0"), PORT + 1), "another port");
        send(&a, &at(own, PORT), "unicast");
        send(&a, &on(group, "eth0"), "end");
        assert_eq!(receive_until(&b, &mut listener, "end"), [""; 0]);
    }
}

/// What the library would filter by itself must not reach the socket: it would fill its buffer.
pub(crate) fn the_kernel_itself_keeps_other_groups_out() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let eth0 = b.interface_index("eth0");
    for ([one, two], any) in GROUPS.into_iter().zip(["0.0.0.0", "::"]) {
        let _other_member = listen(&b, &at(two, PORT + 1));
        let any = at(any, PORT).parse().unwrap();
        let config = SocketConfig::default();
        let socket = b.run(|| manycast_net::Socket::bind(any, &config).unwrap());
        let filter = SourceFilter::any();
        socket.join(one.parse().unwrap(), eth0, &filter).unwrap();
        send(&a, &on(two, "eth0"), "another group");
        send(&a, &on(one, "eth0"), "end");
        let mut batch = manycast_net::RecvBatch::new();
        assert_eq!(
            socket
                .recv_batch(&mut batch, Some(crate::PATIENCE))
                .unwrap(),
            1
        );
        assert_eq!(batch.get(0).unwrap().payload, b"end");
    }
}

/// What nobody asked for hides nothing from who does not wait.
pub(crate) fn what_is_not_wanted_hides_nothing_that_is() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    // Linux does not compare the interface for IPv6.
    let [wanted, unwanted] = ["eth0", "eth1"].map(|device| on("ff15::1234", device));
    let mut listener = listen(&b, &wanted);
    let mut others = [listen(&b, &unwanted), listen(&b, &wanted)];
    for to in [&unwanted, &unwanted, &unwanted, &wanted] {
        send(&a, to, to);
    }
    for (other, to) in others.iter_mut().zip([&unwanted, &wanted]) {
        assert_eq!(text(&receive(&b, other)), *to);
    }
    let received = b.run(|| {
        let received = listener.try_recv().unwrap();
        received.map(|received| received.to_datagram())
    });
    assert_eq!(text(&received.unwrap()), wanted);
}
