//! Sources that are wanted, and sources that are not (RFC 4607, RFC 9776).

use manycast::{Group, Listener, Sender, SocketConfig, SourceFilter};
use manycast_lab::netns::{Host, Lab, Snooping};

use crate::{
    PORT, at, hosts, interfaces_of, listen, on, receive, receive_until, send, sender_from, text,
};

/// A group of each version of IP for one source, and the sources of hosts `a` and `b` on `eth0`.
const GROUPS: [(&str, [&str; 2]); 2] = [
    ("232.1.1.1", ["10.0.0.1", "10.0.0.2"]),
    ("ff35::1", ["fd00::1", "fd00::2"]),
];

/// Sends `from HOST` from each of the hosts by `eth0`, and `end` from the last.
fn send_from_each(hosts: [&Host; 2], group: &str, sources: [&str; 2]) {
    for (host, source) in hosts.into_iter().zip(sources) {
        let sender = sender_from(host, &on(group, "eth0"), source);
        sender.send(format!("from {source}")).unwrap();
    }
}

pub(crate) fn a_source_is_delivered_and_nothing_else() {
    let lab = Lab::new();
    let [a, b, c] = hosts(&lab, ["a", "b", "c"]);
    for (group, sources) in GROUPS {
        for (wanted, other) in [(sources[0], sources[1]), (sources[1], sources[0])] {
            let mut listener = listen(&c, &format!("{wanted}@{}", on(group, "eth0")));
            let joined = listener.memberships().next().unwrap().clone();
            assert_eq!(
                joined.sources,
                SourceFilter::Include(vec![wanted.parse().unwrap()])
            );
            send_from_each([&a, &b], group, sources);
            let from_wanted = format!("from {wanted}");
            let _ = other;
            let end = sender_from(
                if wanted == sources[0] { &a } else { &b },
                &on(group, "eth0"),
                wanted,
            );
            end.send("end").unwrap();
            assert_eq!(receive_until(&c, &mut listener, "end"), [from_wanted]);
        }
    }
}

pub(crate) fn a_source_is_delivered_from_every_interface_where_none_is_named() {
    let lab = Lab::new();
    let [a, b, c] = hosts(&lab, ["a", "b", "c"]);
    for (group, sources) in GROUPS {
        let mut listener = listen(&c, &format!("{}@{}", sources[0], at(group, PORT)));
        assert_eq!(interfaces_of(&listener), ["lo", "eth0", "eth1", "eth2"]);
        send_from_each([&b, &a], group, [sources[1], sources[0]]);
        assert_eq!(
            receive(&c, &mut listener).source.ip().to_string(),
            sources[0]
        );
    }
}

pub(crate) fn blocked_sources_stay_out() {
    let lab = Lab::new();
    let [a, b, c] = hosts(&lab, ["a", "b", "c"]);
    for (group, sources) in [("239.1.2.3", GROUPS[0].1), ("ff15::1234", GROUPS[1].1)] {
        let mut listener = listen(&c, &on(group, "eth0"));
        send_from_each([&a, &b], group, sources);
        for source in sources {
            assert_eq!(receive(&c, &mut listener).source.ip().to_string(), source);
        }

        // The same group with other sources takes the place of the former, while it runs.
        let but_a = Group::new(group.parse().unwrap())
            .on("eth0".parse().unwrap())
            .without_sources([sources[0].parse().unwrap()]);
        assert!(c.run(|| listener.join_group(but_a.clone(), PORT).unwrap()));
        assert!(
            !c.run(|| listener.join_group(but_a.clone(), PORT).unwrap()),
            "it is joined already"
        );
        assert_eq!(listener.memberships().count(), 1);
        send_from_each([&a, &b], group, sources);
        sender_from(&b, &on(group, "eth0"), sources[1])
            .send("end")
            .unwrap();
        assert_eq!(
            receive_until(&c, &mut listener, "end"),
            [format!("from {}", sources[1])]
        );
    }
}

pub(crate) fn listeners_of_different_sources_share_a_group() {
    let lab = Lab::new();
    let [a, b, c] = hosts(&lab, ["a", "b", "c"]);
    for (group, sources) in GROUPS {
        let mut listeners =
            sources.map(|source| listen(&c, &format!("{source}@{}", on(group, "eth0"))));
        for _ in 0..3 {
            send_from_each([&a, &b], group, sources);
        }
        sender_from(&a, &on(group, "eth0"), sources[0])
            .send("end")
            .unwrap();
        sender_from(&b, &on(group, "eth0"), sources[1])
            .send("end")
            .unwrap();
        for (source, listener) in sources.into_iter().zip(&mut listeners) {
            let expected = vec![format!("from {source}"); 3];
            assert_eq!(receive_until(&c, listener, "end"), expected);
        }
    }
}

pub(crate) fn one_listener_takes_different_sources_on_different_interfaces() {
    let lab = Lab::new();
    let [a, b, c] = hosts(&lab, ["a", "b", "c"]);
    for (group, sources) in [
        (
            "232.1.1.1",
            [["10.0.0.1", "10.0.0.2"], ["10.0.1.1", "10.0.1.2"]],
        ),
        ("ff35::1", [["fd00::1", "fd00::2"], ["fd01::1", "fd01::2"]]),
    ] {
        let [on_eth0, on_eth1] = sources;
        let addresses = [
            format!("{}@{}", on_eth0[0], on(group, "eth0")),
            format!("{}@{}", on_eth1[1], on(group, "eth1")),
        ];
        let mut listener = c.run(|| Listener::open(&addresses, SocketConfig::default()).unwrap());
        for (device, sources) in [("eth1", on_eth1), ("eth0", on_eth0)] {
            for (host, source) in [&b, &a].into_iter().zip([sources[1], sources[0]]) {
                sender_from(host, &on(group, device), source)
                    .send(format!("from {source}"))
                    .unwrap();
            }
        }
        // Several sockets may stand behind it, and there is no order between them.
        let mut payloads = [(); 2].map(|()| text(&receive(&c, &mut listener)));
        payloads.sort();
        assert_eq!(
            payloads,
            [
                format!("from {}", on_eth0[0]),
                format!("from {}", on_eth1[1])
            ]
        );
        assert!(c.run(|| listener.try_recv().unwrap().is_none()));
    }
}

/// Twice the same group on one interface: both sources are wanted.
pub(crate) fn the_sources_of_a_group_that_is_named_twice_add_up() {
    let lab = Lab::new();
    let [a, b, c] = hosts(&lab, ["a", "b", "c"]);
    for (group, sources) in GROUPS {
        let addresses = sources.map(|source| format!("{source}@{}", on(group, "eth0")));
        let mut listener = c.run(|| Listener::open(&addresses, SocketConfig::default()).unwrap());
        assert_eq!(listener.memberships().count(), 1);
        send_from_each([&a, &b], group, sources);
        for source in sources {
            assert_eq!(receive(&c, &mut listener).source.ip().to_string(), source);
        }
    }
}

/// The kernel allows 10 on one socket (net.ipv4.igmp_max_msf).
pub(crate) fn more_sources_than_a_socket_may_have() {
    let lab = Lab::new();
    let [a, c] = hosts(&lab, ["a", "c"]);
    for (group, net) in [("232.1.1.1", "10.0.0."), ("ff35::1", "fd00::")] {
        let sources: Vec<_> = (101..=125).map(|number| format!("{net}{number}")).collect();
        for source in &sources {
            let options = if net.contains(':') {
                "/64 dev eth0 nodad"
            } else {
                "/24 dev eth0"
            };
            a.output(&format!("ip address add {source}{options}"));
        }
        let mut listener = listen(&c, &format!("{}@{}", sources.join(","), on(group, "eth0")));
        assert_eq!(listener.memberships().count(), 1, "it is one for the user");
        let senders: Vec<Sender> = sources
            .iter()
            .map(|source| sender_from(&a, &on(group, "eth0"), source))
            .collect();
        sender_from(&a, &on(group, "eth0"), &format!("{net}1"))
            .send("from another")
            .unwrap();
        for (sender, source) in senders.iter().zip(&sources) {
            sender.send(source).unwrap();
            // Each comes once, though several sockets stand behind it.
            assert_eq!(receive(&c, &mut listener).payload, source.as_bytes());
        }
        assert!(c.run(|| listener.try_recv().unwrap().is_none()));

        // Leaving takes all of them.
        assert!(c.run(|| listener.leave(&*on(group, "eth0")).unwrap()));
        assert_eq!(listener.memberships().count(), 0);
        let groups = c.run(manycast::joined_groups).unwrap();
        assert!(
            groups
                .iter()
                .all(|joined| joined.group.to_string() != group),
            "{groups:?}"
        );
    }
}

/// A switch that prunes must hear of each of them.
pub(crate) fn a_source_passes_a_snooping_switch() {
    let lab = Lab::new();
    let switch = lab.switch("sw").snooping(Snooping::default());
    let (a, b) = (lab.host("a"), lab.host("b"));
    a.connect(&switch, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    b.connect(&switch, "eth0", &["10.0.0.2/24", "fd00::2/64"]);
    for (group, sources) in GROUPS {
        let mut listener = listen(&b, &format!("{}@{}", sources[0], on(group, "eth0")));
        switch.wait_for_member(group.parse().unwrap(), &b, "eth0");
        send(&a, &on(group, "eth0"), "from its source");
        assert_eq!(receive(&b, &mut listener).payload, "from its source");
    }
}
