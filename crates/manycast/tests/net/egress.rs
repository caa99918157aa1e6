//! By which interface datagrams leave and come, on hosts that have several and no route.

use manycast::{Driver, InterfaceSelector, Sender, SenderConfig, SocketConfig, Transmit};
use manycast_lab::netns::{Host, Lab};

use crate::fair::Once;
use crate::{
    GROUPS, PORT, at, bind, hosts, interfaces_of, listen, on, receive, receive_until, send, sender,
    wait_until_joined,
};

pub(crate) fn row_22_listening_joins_on_every_interface_unless_one_is_named() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, other] in GROUPS {
        let mut everywhere = listen(&b, &at(group, PORT));
        assert_eq!(interfaces_of(&everywhere), ["lo", "eth0", "eth1", "eth2"]);
        let named = listen(&b, &on(other, "eth1"));
        assert_eq!(interfaces_of(&named), ["eth1"]);
        for device in ["eth0", "eth1", "eth2"] {
            let sent = send(&a, &on(group, device), device);
            let datagram = receive(&b, &mut everywhere);
            assert_eq!(datagram.payload, device);
            assert_eq!(&*datagram.interface.name, device);
            assert_eq!(datagram.source, sent.from);
        }
        if group.contains(':') {
            // Linux delivers IPv6 groups on lo only with a route that it does not make by itself.
            b.add_route("local ff00::/8 dev lo");
        }
        send(&b, &on(group, "lo"), "own");
        assert_eq!(&*receive(&b, &mut everywhere).interface.name, "lo");
    }
}

pub(crate) fn row_15_listening_needs_no_route_and_tells_where_it_joined() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    assert_eq!(b.output("ip -4 route show default"), "");
    let mut listener = listen(&b, "224.51.105.104:4242");
    let joined: Vec<_> = listener
        .memberships()
        .map(|joined| format!("{} on {}", joined.group, joined.interface))
        .collect();
    let expected =
        ["lo", "eth0", "eth1", "eth2"].map(|device| format!("224.51.105.104:4242 on {device}"));
    assert_eq!(joined, expected);
    send(&a, "224.51.105.104%eth2:4242", "robot");
    assert_eq!(receive(&b, &mut listener).payload, "robot");
}

pub(crate) fn row_48_sending_needs_no_route_and_tells_its_way() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let mut listener = listen(&b, &at(group, PORT));
        let sent = send(&a, &at(group, PORT), "no route");
        let datagram = receive(&b, &mut listener);
        assert_eq!(
            datagram.interface.name, sent.interface.name,
            "the same switch"
        );
        assert_eq!(datagram.source, sent.from);
        assert_eq!((sent.bytes, sent.hops), (8, 1));
        assert_ne!(&*sent.interface.name, "lo");
        if group.contains('.') {
            assert_eq!(
                (&*sent.interface.name, sent.from.ip()),
                ("eth0", [10, 0, 0, 1].into())
            );
            let port = sent.from.port();
            assert_eq!(
                sent.to_string(),
                format!("8 bytes to 239.1.2.3:5000 from 10.0.0.1:{port} by eth0, hop limit 1")
            );
        }

        // A socket that is not connected finds its way in the same manner.
        let socket = bind(&a, ":0");
        a.run(|| {
            socket.send_to(at(group, PORT), "by a socket").unwrap();
        });
        assert_eq!(receive(&b, &mut listener).payload, "by a socket");
    }
}

pub(crate) fn row_49_a_route_decides_where_no_interface_is_named() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    a.add_route("224.0.0.0/4 dev eth2");
    a.output("ip -6 route add ff15::/16 dev eth2 table local metric 1");
    for [group, _] in GROUPS {
        let mut listener = listen(&b, &at(group, PORT));
        assert_eq!(
            &*send(&a, &at(group, PORT), "by the route").interface.name,
            "eth2"
        );
        assert_eq!(&*receive(&b, &mut listener).interface.name, "eth2");
        // What is named comes before the route.
        assert_eq!(
            &*send(&a, &on(group, "eth1"), "by name").interface.name,
            "eth1"
        );
        assert_eq!(&*receive(&b, &mut listener).interface.name, "eth1");
    }
}

pub(crate) fn row_17_an_interface_is_chosen_by_name_index_or_address_alike() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for ([group, _], own) in GROUPS
        .into_iter()
        .zip([["10.0.1.1", "10.0.1.2"], ["fd01::1", "fd01::2"]])
    {
        let index = |host: &Host| host.interface_index("eth1").to_string();
        let by = ["eth1", &index(&a), own[0]];
        let (index, listen_by) = (index(&b), own[1]);
        for (from, to) in by.into_iter().zip(["eth1", &index, listen_by]) {
            let mut listener = listen(&b, &on(group, to));
            assert_eq!(interfaces_of(&listener), ["eth1"], "{to}");
            let sent = send(&a, &on(group, from), from);
            assert_eq!(
                (&*sent.interface.name, sent.from.ip()),
                ("eth1", own[0].parse().unwrap())
            );
            let datagram = receive(&b, &mut listener);
            assert_eq!(datagram.payload, from);
            assert_eq!(&*datagram.interface.name, "eth1");
        }
    }
    // The address alone says nothing where two interfaces have it.
    for device in ["eth0", "eth1"] {
        b.output(&format!("ip address add 10.7.7.7/32 dev {device}"));
    }
    let error = b
        .run(|| manycast::listen("239.1.2.3%10.7.7.7:5000"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot find interface 10.7.7.7: eth0, eth1 have this address; choose one by name or index"
    );
}

/// Names beside the first one, of which there may be some (`ip link property`).
pub(crate) fn a_further_name_of_an_interface_chooses_it() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    b.output("ip link property add dev eth0 altname cameras0");
    for [group, _] in GROUPS {
        let mut listener = listen(&b, &on(group, "cameras0"));
        assert_eq!(interfaces_of(&listener), ["eth0"]);
        send(&a, &on(group, "eth0"), "hello");
        assert_eq!(receive(&b, &mut listener).payload, "hello");
    }
}

pub(crate) fn row_51_the_interface_of_a_sender_and_of_a_socket_can_change() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let mut listener = listen(&b, &at(group, PORT));
        let mut sender = sender(&a, &on(group, "eth0"));
        let mut socket = bind(&a, ":0");
        assert_eq!(socket.multicast_interface().unwrap(), None);
        for device in ["eth2", "eth1"] {
            let selector: InterfaceSelector = device.parse().unwrap();
            a.run(|| sender.set_interface(selector.clone()).unwrap());
            assert_eq!(&*sender.interface().name, device);
            sender.send("by the sender").unwrap();
            assert_eq!(&*receive(&b, &mut listener).interface.name, device);

            a.run(|| {
                socket.set_multicast_interface(Some(&selector)).unwrap();
                assert_eq!(
                    &*socket.multicast_interface().unwrap().unwrap().name,
                    device
                );
                socket.send_to(at(group, PORT), "by the socket").unwrap();
            });
            assert_eq!(&*receive(&b, &mut listener).interface.name, device);
        }
        a.run(|| socket.set_multicast_interface(None).unwrap());
        assert_eq!(socket.multicast_interface().unwrap(), None);
    }
}

pub(crate) fn a_sender_finds_an_interface_that_was_recreated() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let mut listener = listen(&b, &at(group, PORT));
        let sender = sender(&a, &on(group, "eth0"));
        a.delete_device("eth0");
        let error = a.run(|| sender.send("gone").unwrap_err());
        assert!(error.is_transient(), "{error}");
        assert!(
            error
                .to_string()
                .starts_with("cannot find interface eth0: there is no such interface"),
            "{error}"
        );
        a.recreate_device("eth0");
        a.run(|| sender.send("again").unwrap());
        assert_eq!(receive(&b, &mut listener).payload, "again");
    }
}

pub(crate) fn hop_limit_1_stays_on_its_link_and_2_crosses_a_router() {
    let lab = Lab::new();
    let (left, right) = (lab.switch("left"), lab.switch("right"));
    let [a, near, router, far] = [lab.host("a"), lab.host("n"), lab.router("r"), lab.host("f")];
    a.connect(&left, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    near.connect(&left, "eth0", &["10.0.0.2/24", "fd00::2/64"]);
    router.connect(&left, "eth0", &["10.0.0.254/24", "fd00::fe/64"]);
    router.connect(&right, "eth1", &["10.0.1.254/24", "fd01::fe/64"]);
    far.connect(&right, "eth0", &["10.0.1.1/24", "fd01::1/64"]);
    for [group, _] in GROUPS {
        router.forward_group(group.parse().unwrap(), "eth0", "eth1");
        let mut near_listener = listen(&near, &on(group, "eth0"));
        let mut far_listener = listen(&far, &on(group, "eth0"));

        let mut sender = sender(&a, &on(group, "eth0"));
        assert_eq!(sender.send("default").unwrap().hops, 1);
        for hops in [1, 2, 3] {
            sender.set_hops(hops).unwrap();
            assert_eq!(sender.hops(), hops);
            assert_eq!(sender.send(format!("set {hops}")).unwrap().hops, hops);
            let socket = SocketConfig::default().multicast_hops(hops);
            let config = SenderConfig::default().socket(socket);
            let configured = a.run(|| Sender::open(&*on(group, "eth0"), config).unwrap());
            configured.send(format!("configured {hops}")).unwrap();
        }
        sender.send("end").unwrap();

        let everything = [
            "default",
            "set 1",
            "configured 1",
            "set 2",
            "configured 2",
            "set 3",
            "configured 3",
        ];
        assert_eq!(receive_until(&near, &mut near_listener, "end"), everything);
        for (payload, hops) in everything[3..].iter().zip([1, 1, 2, 2]) {
            let datagram = receive(&far, &mut far_listener);
            assert_eq!(
                (&*datagram.payload, datagram.hops),
                (payload.as_bytes(), Some(hops))
            );
        }
        assert_eq!(receive(&far, &mut far_listener).payload, "end");
    }
}

pub(crate) fn a_connected_socket_leaves_by_the_interface_that_its_peer_names() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        for device in ["eth2", "eth1"] {
            let mut listener = listen(&b, &on(group, device));
            let to = on(group, device);
            a.run(|| manycast::Socket::connect(to.as_str())?.send(device))
                .unwrap();
            let datagram = receive(&b, &mut listener);
            assert_eq!(
                (&*datagram.payload, &*datagram.interface.name),
                (device.as_bytes(), device)
            );
        }
    }
}

pub(crate) fn a_link_local_host_needs_its_link_where_there_are_several() {
    let lab = Lab::new();
    let [a] = hosts(&lab, ["a"]);
    let error = a.run(|| manycast::send("[fe80::1]:5000", "x").unwrap_err());
    assert_eq!(
        error.to_string(),
        "cannot send to [fe80::1]:5000: the address may exist on each of eth0, eth1, eth2 (os error \
         22); name the interface: [fe80::1%eth0]:5000"
    );
    a.link_down("eth1");
    a.link_down("eth2");
    assert_eq!(
        &*a.run(|| manycast::send("[fe80::1]:5000", "x"))
            .unwrap()
            .interface
            .name,
        "eth0"
    );
}

pub(crate) fn where_nothing_is_up_the_errors_say_so() {
    let lab = Lab::new();
    let host = lab.host("a");
    host.output("ip link set lo down");
    let sends = host.run(|| {
        manycast::send("127.0.0.1:5000", "x")
            .unwrap_err()
            .to_string()
    });
    assert_eq!(
        sends,
        "cannot send to 127.0.0.1 by lo: the interface is down (os error 100); bring it up with 'ip \
         link set lo up', or choose another"
    );
    host.output("ip addr flush dev lo");
    let fault = |to: &'static str| host.run(|| manycast::send(to, "x").unwrap_err().to_string());
    assert_eq!(
        fault("127.0.0.1:5000"),
        "cannot connect to 127.0.0.1:5000: the loopback interface is down (os error 101); bring it \
         up with 'ip link set lo up'"
    );
    for (to, group) in [
        ("239.1.1.1:5000", "239.1.1.1"),
        ("[ff15::1]:5000", "ff15::1"),
    ] {
        assert_eq!(
            fault(to),
            format!(
                "cannot send to {group}: lo is down (os error 101); bring lo up with 'ip link set lo \
                 up', or see 'manycast interfaces'"
            )
        );
    }
}

pub(crate) fn the_last_address_of_a_network_is_a_broadcast_also_where_none_was_set() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = ["a", "b"].map(|name| lab.host(name));
    a.connect(&switch, "eth0", &["10.7.0.1/24"]);
    b.connect(&switch, "eth0", &["10.7.0.2/24"]);
    let mut listener = listen(&b, ":5000");
    a.run(|| manycast::send("10.7.0.255:5000", "all")).unwrap();
    assert_eq!(receive(&b, &mut listener).payload, "all");
}

/// While the interface that was chosen for a socket is down or gone, what is sent to groups leaves by no
/// other.
pub(crate) fn a_socket_with_a_chosen_interface_sends_by_no_other() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let mut elsewhere = listen(&b, &on(group, "eth1"));
        let mut chosen = bind(&a, ":0");
        let by = InterfaceSelector::Name("eth0".into());
        a.run(|| chosen.set_multicast_interface(Some(&by)).unwrap());
        let bound = bind(&a, "%eth0:6000");
        let (half, _rest) = bind(&a, "%eth0:6001").split();
        let mut group_alone = listen(&a, &on(group, "eth0"));
        let to = at(group, PORT);
        let transmit = Transmit::new(to.parse().unwrap(), "leaked");
        let mut segments = transmit;
        segments.segment_size = Some(3);
        let not_sent = || {
            a.run(|| {
                bound.send_to(&*to, "leaked").unwrap_err();
                half.send_to(&*to, "leaked").unwrap_err();
                chosen.send_batch(&[segments]).unwrap_err();
                chosen.send_to(&*to, "leaked").unwrap_err().to_string()
            })
        };
        // It does not know yet that the interface is down when it sends.
        let listener = listen(&a, &on(group, "eth0"));
        let driver = Driver::new(listener, Once(Some(transmit.with("leaked".into()))));
        a.link_down("eth0");
        a.run(|| driver.run(|_, _| {}).unwrap());
        let error = not_sent();
        assert!(error.contains("eth0 has no"), "{error}");
        a.delete_device("eth0");
        not_sent();
        send(&a, &on(group, "eth1"), "end");
        assert_eq!(receive_until(&b, &mut elsewhere, "end"), [""; 0]);
        a.recreate_device("eth0");
        wait_until_joined(&a, &mut group_alone, "eth0");
    }
}
