//! Several interfaces and several sockets a host, and what protocols request.

use std::collections::VecDeque;

use manycast_proto::{NetworkEvent, Request};
use manycast_types::{ErrorKind, InterfaceSelector, SocketId};

use super::*;

/// Interface, socket, hop limit and source of a datagram, and what it said.
type Came = (String, u64, u8, SocketAddr, String);

/// Does what it is told to do, answers what it receives, and notes all.
#[derive(Default)]
struct Puppet {
    outputs: VecDeque<Output<()>>,
    told: Vec<NetworkEvent>,
    received: Vec<Came>,
    answers: bool,
    /// The interfaces by which answers must leave.
    reply_interfaces: Vec<Option<u32>>,
}

impl Puppet {
    fn answering() -> Self {
        Self {
            answers: true,
            ..Self::default()
        }
    }
}

impl Protocol for Puppet {
    type Event = ();

    fn handle_datagram(&mut self, _now: Instant, datagram: Received<'_>) {
        let text = String::from_utf8_lossy(datagram.payload).into_owned();
        self.received.push((
            datagram.interface.to_string(),
            datagram.socket.get(),
            datagram.hops.unwrap(),
            datagram.source,
            text,
        ));
        self.reply_interfaces.push(datagram.reply().interface);
        if self.answers {
            let answer = datagram.reply().with("answer".into());
            self.outputs.push_back(Output::Transmit(answer));
        }
    }

    fn handle_network(&mut self, _now: Instant, event: NetworkEvent) {
        self.told.push(event);
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        self.outputs.pop_front().unwrap_or(Output::Wait {
            until: None,
            reason: "commands",
        })
    }
}

fn request(sim: &mut Sim, puppet: Endpoint<Puppet>, request: Request) -> Vec<NetworkEvent> {
    sim.command(puppet, |puppet, _| {
        puppet.told.clear();
        puppet.outputs.push_back(Output::Request(request));
    });
    sim.protocol(puppet).told.clone()
}

fn send(sim: &mut Sim, puppet: Endpoint<Puppet>, to: &str, how: impl FnOnce(&mut Transmit)) {
    let mut transmit = Transmit::new(to.parse().unwrap(), "hello".into());
    how(&mut transmit);
    sim.command(puppet, |puppet, _| {
        puppet.outputs.push_back(Output::Transmit(transmit));
    });
    sim.run_for(MILLISECOND * 100);
}

fn open(tag: u64, local: &str) -> Request {
    Request::Open {
        tag,
        local: local.parse().unwrap(),
    }
}

/// What the puppet has received since it was asked last.
fn received(sim: &mut Sim, puppet: Endpoint<Puppet>) -> Vec<Came> {
    sim.command(puppet, |puppet, _| std::mem::take(&mut puppet.received))
}

fn one(interface: &str, socket: u64, hops: u8, from: &str, text: &str) -> Vec<Came> {
    let from = from.parse().unwrap();
    vec![(interface.to_owned(), socket, hops, from, text.to_owned())]
}

/// A host on two networks, and a host on each of them.
fn two_networks() -> (Sim, [Endpoint<Puppet>; 3]) {
    let mut sim = Sim::new(1);
    let second = sim.add_network();
    let both = sim.add_host(["10.0.0.1"]);
    sim.connect(both, second, ["10.0.1.1"]);
    let first = sim.add_host(["10.0.0.2"]);
    let second = sim.add_host_on(second, ["10.0.1.2"]);
    let puppets = [both, first, second].map(|host| sim.bind(host, 5000, Puppet::default()));
    (sim, puppets)
}

#[test]
fn a_host_hears_and_sends_by_each_of_its_interfaces() {
    let (mut sim, [both, first, second]) = two_networks();
    send(&mut sim, first, "10.0.0.1:5000", |_| {});
    assert_eq!(
        received(&mut sim, both),
        one("eth0", 0, 64, "10.0.0.2:5000", "hello")
    );
    send(&mut sim, second, "10.0.1.1:5000", |_| {});
    assert_eq!(
        received(&mut sim, both),
        one("eth1", 0, 64, "10.0.1.2:5000", "hello")
    );
    send(&mut sim, both, "10.0.1.2:5000", |_| {});
    assert_eq!(
        received(&mut sim, second),
        one("eth0", 0, 64, "10.0.1.1:5000", "hello")
    );

    // The two networks are not connected.
    send(&mut sim, first, "10.0.1.2:5000", |_| {});
    assert!(received(&mut sim, second).is_empty());
    assert_eq!(sim.traffic().unroutable, 1);
}

#[test]
fn a_group_is_joined_and_sent_to_by_interface() {
    let (mut sim, [both, first, second]) = two_networks();
    let group = Group::new(GROUP.into());
    for puppet in [first, second] {
        sim.join(puppet, group.clone());
    }
    sim.join(both, group.on(InterfaceSelector::Name("eth1".into())));
    for (puppet, expected) in [(first, 0), (second, 1)] {
        send(&mut sim, puppet, "239.192.0.100:5000", |_| {});
        assert_eq!(received(&mut sim, both).len(), expected);
        assert_eq!(received(&mut sim, puppet).len(), 1, "the sender's own host");
    }
    // By the first interface, unless one is named, or the source is on another.
    let host = sim.endpoints[both.index].host;
    let sender = sim.bind(host, 7000, Puppet::default());
    send(&mut sim, sender, "239.192.0.100:5000", |_| {});
    assert_eq!(
        received(&mut sim, first),
        one("eth0", 1, 1, "10.0.0.1:7000", "hello")
    );
    send(&mut sim, sender, "239.192.0.100:5000", |it| {
        it.interface = Some(3);
    });
    assert_eq!(
        received(&mut sim, second),
        one("eth0", 1, 1, "10.0.1.1:7000", "hello")
    );
    let from_second = Some([10, 0, 1, 1].into());
    send(&mut sim, sender, "239.192.0.100:5000", |it| {
        it.source = from_second;
    });
    assert_eq!(received(&mut sim, second).len(), 1);
    assert!(received(&mut sim, first).is_empty());
    assert_eq!(received(&mut sim, both).len(), 2, "on eth1 alone");
}

#[test]
fn routes_connect_networks_as_far_as_the_hop_limit_goes() {
    let mut sim = Sim::new(1);
    let middle = sim.add_network();
    let far = sim.add_network();
    let link = Link::default();
    sim.add_route(Network::FIRST, middle, link, link);
    sim.add_route(middle, far, link, link);
    let near = sim.add_host(["10.0.0.1"]);
    let hosts = [
        sim.add_host_on(middle, ["10.0.1.1"]),
        sim.add_host_on(far, ["10.0.2.1"]),
    ];
    let near = sim.bind(near, 5000, Puppet::default());
    let [middle, far] = hosts.map(|host| sim.bind(host, 5000, Puppet::answering()));
    for puppet in [middle, far] {
        sim.join(puppet, Group::new(GROUP.into()));
    }
    let mut reached = |hops: u8| {
        send(&mut sim, near, "239.192.0.100:5000", |it| {
            it.hops = Some(hops);
        });
        let hops = |received: Vec<Came>| received.first().map(|it| it.2);
        let reached = [middle, far].map(|puppet| hops(received(&mut sim, puppet)));
        (reached, received(&mut sim, near).len())
    };
    assert_eq!(reached(1), ([None, None], 0));
    assert_eq!(reached(2), ([Some(1), None], 1));
    assert_eq!(reached(3), ([Some(2), Some(1)], 2));
    // The answers came by unicast, over both routes.
    send(&mut sim, near, "10.0.2.1:5000", |_| {});
    assert_eq!(
        received(&mut sim, far),
        one("eth0", 0, 62, "10.0.0.1:5000", "hello")
    );
    assert_eq!(
        received(&mut sim, near),
        one("eth0", 0, 62, "10.0.2.1:5000", "answer")
    );
    send(&mut sim, near, "10.0.2.1:5000", |it| it.hops = Some(2));
    assert!(received(&mut sim, far).is_empty());
}

#[test]
fn a_socket_is_opened_used_and_closed_by_request() {
    let (mut sim, [server, client, _]) = two_networks();
    sim.command(server, |puppet, _| puppet.answers = true);
    let told = request(&mut sim, server, open(7, ":0"));
    let opened = |tag, socket, local: &str| {
        vec![NetworkEvent::Opened {
            tag,
            socket: SocketId::new(socket),
            local: local.parse().unwrap(),
        }]
    };
    assert_eq!(told, opened(7, 1, "0.0.0.0:49152"));
    let told = request(&mut sim, server, open(8, "10.0.0.1:6000"));
    assert_eq!(told, opened(8, 2, "10.0.0.1:6000"));

    // Who is asked answers, by the socket that was asked.
    for (port, socket) in [(5000, 0), (49_152, 1), (6000, 2)] {
        let address = format!("10.0.0.1:{port}");
        send(&mut sim, client, &address, |_| {});
        assert_eq!(
            received(&mut sim, server),
            one("eth0", socket, 64, "10.0.0.2:5000", "hello")
        );
        assert_eq!(
            received(&mut sim, client),
            one("eth0", 0, 64, &address, "answer")
        );
    }
    // By number, and by port.
    send(&mut sim, server, "10.0.0.2:5000", |it| {
        it.socket = Some(SocketId::new(2));
    });
    assert_eq!(
        received(&mut sim, client)[0].3,
        "10.0.0.1:6000".parse().unwrap()
    );
    send(&mut sim, server, "10.0.0.2:5000", |it| {
        it.source_port = Some(49_152);
    });
    assert_eq!(
        received(&mut sim, client)[0].3,
        "10.0.0.1:49152".parse().unwrap()
    );

    let socket = SocketId::new(2);
    assert!(request(&mut sim, server, Request::Close { socket }).is_empty());
    send(&mut sim, client, "10.0.0.1:6000", |_| {});
    assert!(received(&mut sim, server).is_empty());
    let closed = "10.0.0.1:6000".parse().unwrap();
    let refused = NetworkEvent::refused(SocketId::new(0), closed);
    assert_eq!(sim.protocol(client).told, [refused]);
    send(&mut sim, server, "10.0.0.2:5000", |it| {
        it.socket = Some(socket);
    });
    assert!(matches!(
        &*sim.protocol(server).told,
        [NetworkEvent::NotSent { count: 1, error, .. }]
            if error.kind == ErrorKind::AddressNotAvailable
    ));
}

#[test]
fn what_cannot_be_opened_or_joined_says_why() {
    let (mut sim, [both, ..]) = two_networks();
    for (local, expected) in [
        (":5000", ErrorKind::AddressInUse),
        ("10.0.0.1:5000", ErrorKind::AddressInUse),
        ("10.0.0.2:0", ErrorKind::AddressNotAvailable),
        ("0.0.0.0%eth2:0", ErrorKind::NoInterface),
        ("239.1.1.1:0", ErrorKind::InvalidInput),
        ("server:0", ErrorKind::NameNotResolved),
    ] {
        let told = request(&mut sim, both, open(1, local));
        let [NetworkEvent::NotOpened { tag: 1, error }] = &*told else {
            panic!("{local}: {told:?}");
        };
        assert_eq!(error.kind, expected, "{error}");
    }
    let group = Group::new(GROUP.into()).on(InterfaceSelector::Index(9));
    let told = request(&mut sim, both, Request::Join { group, port: 5000 });
    assert!(matches!(
        &*told,
        [NetworkEvent::NotJoined { port: 5000, error, .. }] if error.kind == ErrorKind::NoInterface
    ));
}

#[test]
fn groups_are_joined_and_left_by_request() {
    let (mut sim, [both, first, _]) = two_networks();
    let group = Group::new(GROUP.into());
    let interfaces = |told: Vec<NetworkEvent>| -> Vec<String> {
        let text = |event| match event {
            NetworkEvent::Joined(membership) => format!("joined {membership}"),
            NetworkEvent::Left(membership) => format!("left {membership}"),
            other => panic!("{other:?}"),
        };
        told.into_iter().map(text).collect()
    };
    let join = |port| Request::Join {
        group: group.clone(),
        port,
    };
    let told = request(&mut sim, both, join(5000));
    let both_interfaces = [
        "joined 239.192.0.100:5000 on eth0",
        "joined 239.192.0.100:5000 on eth1",
    ];
    assert_eq!(interfaces(told), both_interfaces);
    // Once more is no error, and it is told of where it stands.
    let told = request(&mut sim, both, join(5000));
    assert_eq!(interfaces(told), both_interfaces);
    send(&mut sim, first, "239.192.0.100:5000", |_| {});
    assert_eq!(
        received(&mut sim, both),
        one("eth0", 1, 1, "10.0.0.2:5000", "hello")
    );

    // Each group and port has a socket of its own.
    request(&mut sim, both, join(7000));
    send(&mut sim, first, "239.192.0.100:7000", |_| {});
    assert_eq!(
        received(&mut sim, both),
        one("eth0", 2, 1, "10.0.0.2:5000", "hello")
    );
    send(&mut sim, first, "10.0.0.1:7000", |_| {});
    assert!(
        received(&mut sim, both).is_empty(),
        "which receives the group alone"
    );

    let told = request(
        &mut sim,
        both,
        Request::Leave {
            group: group.clone().on(InterfaceSelector::Name("eth0".into())),
            port: 5000,
        },
    );
    assert_eq!(interfaces(told), ["left 239.192.0.100:5000 on eth0"]);
    send(&mut sim, first, "239.192.0.100:5000", |_| {});
    assert!(received(&mut sim, both).is_empty());
    let told = request(&mut sim, both, Request::Leave { group, port: 5000 });
    assert_eq!(interfaces(told), ["left 239.192.0.100:5000 on eth1"]);
}

#[test]
fn a_protocol_has_two_hundred_sockets() {
    let (mut sim, [server, client, _]) = two_networks();
    sim.command(server, |puppet, _| puppet.answers = true);
    for tag in 1..=200 {
        request(&mut sim, server, open(tag, &format!(":{}", 20_000 + tag)));
    }
    for port in 20_001..=20_200 {
        let address = format!("10.0.0.1:{port}");
        send(&mut sim, client, &address, |_| {});
        assert_eq!(
            received(&mut sim, client),
            one("eth0", 0, 64, &address, "answer")
        );
    }
}

#[test]
fn any_address_is_a_socket_for_each_version_of_ip() {
    let mut sim = Sim::new(1);
    let host = sim.add_host(["10.0.0.1", "fd00::1"]);
    let asker = sim.add_host(["fd00::2"]);
    let server = sim.bind(host, 5000, Puppet::answering());
    let asker = sim.bind(asker, 5000, Puppet::default());
    let told = request(&mut sim, server, open(3, ":0"));
    let opened = |socket, local: &str| NetworkEvent::Opened {
        tag: 3,
        socket: SocketId::new(socket),
        local: local.parse().unwrap(),
    };
    assert_eq!(told, [opened(2, "0.0.0.0:49152"), opened(3, "[::]:49152")]);
    for (port, socket) in [(5000, 1), (49_152, 3)] {
        let address = format!("[fd00::1]:{port}");
        send(&mut sim, asker, &address, |_| {});
        let question = one("eth0", socket, 64, "[fd00::2]:5000", "hello");
        assert_eq!(received(&mut sim, server), question);
        let answer = one("eth0", 0, 64, &address, "answer");
        assert_eq!(received(&mut sim, asker), answer);
    }
    // One version is in nobody's way.
    sim.command(asker, |puppet, _| puppet.outputs.clear());
    let told = request(&mut sim, asker, open(4, "0.0.0.0:5000"));
    assert!(
        matches!(&*told, [NetworkEvent::Opened { tag: 4, .. }]),
        "{told:?}"
    );
}

#[test]
fn what_is_named_for_listening_holds_for_sending() {
    let (mut sim, [both, first, second]) = two_networks();
    let group = Group::new(GROUP.into());
    for puppet in [first, second] {
        sim.join(puppet, group.clone());
    }
    let on_eth1 = group.on(InterfaceSelector::Name("eth1".into()));
    let join = Request::Join {
        group: on_eth1,
        port: 5000,
    };
    request(&mut sim, both, join);
    send(&mut sim, both, "239.192.0.100:5000", |_| {});
    assert_eq!(received(&mut sim, second).len(), 1);
    assert!(received(&mut sim, first).is_empty());

    request(&mut sim, both, open(1, "0.0.0.0%eth1:6000"));
    for to in ["10.0.1.1:5000", "239.192.0.100:5000", "10.0.1.1:6000"] {
        send(&mut sim, second, to, |_| {});
    }
    let interfaces = sim.protocol(both).reply_interfaces.clone();
    // It received itself in the group first.
    assert_eq!(interfaces, [Some(3), None, Some(3), Some(3)]);
    // By the other interface, the socket receives nothing.
    send(&mut sim, first, "10.0.0.1:6000", |_| {});
    assert_eq!(sim.protocol(both).reply_interfaces.len(), 4);
}
