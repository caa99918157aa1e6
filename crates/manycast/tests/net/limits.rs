//! Sizes and numbers: the longest datagram, the shortest, many groups, many interfaces, full buffers.

use manycast::{ErrorKind, Listener, Sender, SocketConfig, SourceFilter};
use manycast_lab::netns::{Lab, wait_until};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::{GROUPS, PORT, at, bind, hosts, listen, on, receive, send, sender};

pub(crate) fn row_31_datagrams_of_any_size_come_whole() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for ([group, _], own) in GROUPS.into_iter().zip(["10.0.0.2", "fd00::2"]) {
        let mut listener = listen(&b, &on(group, "eth0"));
        let mut server = bind(&b, &at(own, PORT + 1));
        let to_group = sender(&a, &on(group, "eth0"));
        let to_host = sender(&a, &at(own, PORT + 1));
        for size in [0, 1, 1024, 1316, 1500, 9000, 65_507] {
            let payload: Vec<u8> = (0..=250).cycle().take(size).collect();
            assert_eq!(to_group.send(&payload).unwrap().bytes, size);
            assert_eq!(to_host.send(&payload).unwrap().bytes, size);
            for datagram in [receive(&b, &mut listener), receive(&b, &mut server)] {
                assert!(datagram.payload == payload, "{size} bytes over {group}");
                assert!(!datagram.truncated);
            }
        }
    }
}

pub(crate) fn row_13_one_message_is_one_datagram_or_an_error_that_names_the_limit() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for ([group, _], limit) in GROUPS.into_iter().zip([65_507, 65_527]) {
        let mut listener = listen(&b, &on(group, "eth0"));
        let sender = sender(&a, &on(group, "eth0"));
        let error = sender.send(vec![0; limit + 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MessageTooLong);
        assert_eq!(
            error.to_string(),
            format!(
                "cannot send to {}: {} bytes are more than a UDP datagram carries (os error 90); \
                 send at most 65507 bytes at once; 1,472 pass any Ethernet",
                at(group, PORT),
                limit + 1
            )
        );
        // Those before it in a batch went, and nothing of it did.
        let payloads = [vec![1], vec![0; 70_000], vec![2]];
        assert_eq!(sender.send_batch(&payloads).unwrap(), 1);
        sender.send("end").unwrap();
        assert_eq!(receive(&b, &mut listener).payload, [1][..]);
        assert_eq!(receive(&b, &mut listener).payload, "end");
    }
}

pub(crate) fn sixty_four_groups_on_one_listener() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for prefix in ["239.1.3.", "ff15::3:"] {
        let groups: Vec<_> = (1..=64)
            .map(|number| at(&format!("{prefix}{number}"), PORT))
            .collect();
        let mut listener = b.run(|| Listener::open(&groups, SocketConfig::default()).unwrap());
        assert_eq!(listener.memberships().count(), 64 * 4);
        for group in &groups {
            send(&a, group, group);
            let datagram = receive(&b, &mut listener);
            assert_eq!(datagram.payload, *group);
            assert_eq!(datagram.destination.to_string(), *group);
        }
        // One by one they can be left, and the rest goes on.
        for group in &groups[..63] {
            assert!(b.run(|| listener.leave(&**group).unwrap()));
        }
        assert_eq!(listener.memberships().count(), 4);
        send(&a, &groups[0], "left");
        send(&a, &groups[63], "last");
        assert_eq!(receive(&b, &mut listener).payload, "last");
    }
}

/// The kernel allows 20 IPv4 memberships on one socket (net.ipv4.igmp_max_memberships).
pub(crate) fn a_group_on_more_interfaces_than_a_socket_may_join() {
    let lab = Lab::new();
    let b = lab.host("b");
    let devices: Vec<_> = (1..=25).map(|number| format!("br{number}")).collect();
    for (number, device) in (1..).zip(&devices) {
        // A bridge that leads nowhere; what is sent by it comes back by loopback.
        let lines = [
            format!("ip link add {device} type bridge mcast_snooping 0"),
            format!("ip link add stub{number} type veth peer name end{number}"),
            format!("ip link set stub{number} master {device} up"),
            format!("ip link set end{number} multicast off up"),
            format!("ip address add 10.9.{number}.1/24 dev {device}"),
            format!("ip address add fd09:{number}::1/64 dev {device} nodad"),
            format!("ip link set {device} up"),
        ];
        lines.iter().for_each(|line| drop(b.output(line)));
    }
    wait_until("routes to groups by all bridges", || {
        let routes = b.output("ip -6 route show table local type multicast");
        devices
            .iter()
            .all(|device| routes.contains(&format!("dev {device} ")))
    });
    for [group, _] in GROUPS {
        let mut listener = listen(&b, &at(group, PORT));
        let joined: Vec<_> = listener
            .memberships()
            .map(|joined| joined.interface.name.to_string())
            .collect();
        assert!(
            devices.iter().all(|device| joined.contains(device)),
            "{joined:?}"
        );
        for device in &devices {
            send(&b, &on(group, device), device);
            let datagram = receive(&b, &mut listener);
            assert_eq!(
                (datagram.payload, &*datagram.interface.name),
                (device.clone().into(), device.as_str())
            );
        }
        assert!(
            b.run(|| listener.try_recv().unwrap().is_none()),
            "each comes once"
        );
    }
}

pub(crate) fn a_limit_of_the_administrator_is_no_limit_of_the_listener() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    b.sysctl("net.ipv4.igmp_max_memberships", "2");
    b.sysctl("net.ipv4.igmp_max_msf", "1");
    let mut listener = listen(&b, "10.0.0.1,10.0.1.1,10.0.2.1@232.1.1.1:5000");
    assert_eq!(listener.memberships().count(), 4);
    for device in ["eth0", "eth1", "eth2"] {
        send(&a, &on("232.1.1.1", device), device);
        assert_eq!(receive(&b, &mut listener).payload, device);
    }
    assert!(
        b.run(|| listener.try_recv().unwrap().is_none()),
        "each comes once"
    );
    let sources = listener.memberships().map(|joined| joined.sources.clone());
    let wanted = ["10.0.0.1", "10.0.1.1", "10.0.2.1"].map(|source| source.parse().unwrap());
    assert!(
        sources
            .into_iter()
            .all(|sources| sources == SourceFilter::Include(wanted.to_vec()))
    );
}

pub(crate) fn row_12_what_a_slow_handler_loses_is_counted() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let address = on(group, "eth0");
        let config = SocketConfig::default().receive_buffer(16 << 10);
        let mut listener = b.run(|| Listener::open([address], config).unwrap());
        let size = listener.receive_buffer().unwrap();
        assert_eq!((size.requested, size.granted), (16 << 10, 16 << 10));
        assert!(!size.is_capped());

        let sender = sender(&a, &on(group, "eth0"));
        assert_eq!(
            receive_all(&b, &mut listener, &sender, 0),
            0,
            "nothing is lost yet"
        );
        // The handler is slow: it does not look until all 1000 were sent.
        let payload = [0; 1000];
        for _ in 0..1000 {
            sender.send(payload).unwrap();
        }
        receive_all(&b, &mut listener, &sender, 1000);
    }

    /// Receives what there is, then one more, which tells how many of `sent` were lost.
    fn receive_all(
        host: &manycast_lab::netns::Host,
        listener: &mut Listener,
        sender: &Sender,
        sent: u64,
    ) -> u64 {
        let mut received = 0;
        while host.run(|| listener.try_recv().unwrap().is_some()) {
            received += 1;
        }
        sender.send("end").unwrap();
        let end = receive(host, listener);
        assert_eq!(end.payload, "end");
        assert_eq!(
            received + end.dropped,
            sent,
            "{received} received, {} dropped",
            end.dropped
        );
        assert_eq!(sent == 0, end.dropped == 0);
        end.dropped
    }
}

pub(crate) fn a_receive_buffer_that_was_capped_says_so() {
    let lab = Lab::new();
    let b = lab.host("b");
    let limit: usize = b
        .output("cat /proc/sys/net/core/rmem_max")
        .trim()
        .parse()
        .unwrap();
    let asked = 1 << 30;
    assert!(limit < asked);
    let config = SocketConfig::default().receive_buffer(asked);
    let listener = b.run(|| {
        // Whoever administers the machine may go beyond its limit.
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::NET_ADMIN);
        set_capabilities(None, sets).unwrap();
        Listener::open(["239.1.2.3:5000"], config).unwrap()
    });
    let size = listener.receive_buffer().unwrap();
    assert_eq!((size.requested, size.granted), (asked, limit));
    assert!(size.is_capped());
}
