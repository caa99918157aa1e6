//! NATs of the four kinds, seen from two hosts outside.

use std::net::{SocketAddr, UdpSocket};

use manycast_lab::netns::{Host, Lab, Nat, Rule, Switch, wait_until};

use crate::patient;

/// A host behind a router, and two hosts outside with two sockets each.
struct Net {
    _lab: Lab,
    _switches: [Switch; 2],
    _hosts: [Host; 4],
    inside: UdpSocket,
    /// Two ports of the first host, then two of the second.
    outside: [UdpSocket; 4],
    kept_out: Rule,
}

impl Net {
    fn behind(kind: Nat) -> Self {
        let lab = Lab::new();
        let (home, internet) = (lab.switch("home"), lab.switch("internet"));
        let [inside, router, a, b] = [
            lab.host("inside"),
            lab.router("router"),
            lab.host("a"),
            lab.host("b"),
        ];
        inside.connect(&home, "eth0", &["192.168.1.2/24"]);
        inside.add_route("default via 192.168.1.1");
        router.connect(&home, "lan", &["192.168.1.1/24"]);
        router.connect(&internet, "wan", &["198.51.100.1/24"]);
        a.connect(&internet, "eth0", &["198.51.100.10/24"]);
        b.connect(&internet, "eth0", &["198.51.100.20/24"]);
        let kept_out = router.nat(kind, "wan", [192, 168, 1, 2].into());

        let bind = |host: &Host, port: u16| {
            let socket = host.run(|| UdpSocket::bind(("0.0.0.0", port)).unwrap());
            patient(socket.into())
        };
        let outside = [
            bind(&a, 1000),
            bind(&a, 2000),
            bind(&b, 1000),
            bind(&b, 2000),
        ];
        Self {
            inside: bind(&inside, 4000),
            outside,
            kept_out,
            _lab: lab,
            _switches: [home, internet],
            _hosts: [inside, router, a, b],
        }
    }

    /// Sends from inside to one of those outside, and says from where it seems to come.
    fn mapping(&self, to: usize) -> SocketAddr {
        const OUTSIDE: [&str; 4] = [
            "198.51.100.10:1000",
            "198.51.100.10:2000",
            "198.51.100.20:1000",
            "198.51.100.20:2000",
        ];
        self.inside.send_to(b"out", OUTSIDE[to]).unwrap();
        let (length, from) = self.outside[to].recv_from(&mut [0; 16]).unwrap();
        assert_eq!(length, 3);
        from
    }

    /// Whether what one of those outside sends to a mapping gets in.
    fn gets_in(&self, from: usize, mapping: SocketAddr) -> bool {
        let before = self.kept_out.count();
        self.outside[from].send_to(b"in", mapping).unwrap();
        let mut got_in = false;
        self.inside.set_nonblocking(true).unwrap();
        wait_until("the datagram to get in or to be kept out", || {
            got_in = self.inside.recv(&mut [0; 16]).is_ok();
            got_in || self.kept_out.count() > before
        });
        self.inside.set_nonblocking(false).unwrap();
        got_in
    }

    /// Who gets in through the mapping, after the first port of the first host was sent to.
    fn filter(&self) -> ([bool; 4], SocketAddr) {
        let mapping = self.mapping(0);
        assert_eq!(mapping.ip().to_string(), "198.51.100.1");
        (
            [0, 1, 2, 3].map(|from| self.gets_in(from, mapping)),
            mapping,
        )
    }
}

pub(crate) fn a_full_cone_lets_anybody_in() {
    let net = Net::behind(Nat::FullCone);
    let unused = "198.51.100.1:4000".parse().unwrap();
    assert!(!net.gets_in(0, unused), "before anything was sent out");
    let (got_in, mapping) = net.filter();
    assert_eq!(got_in, [true, true, true, true]);
    assert_eq!([1, 2, 3].map(|to| net.mapping(to)), [mapping; 3]);
}

pub(crate) fn a_restricted_cone_lets_in_the_hosts_that_were_sent_to() {
    let net = Net::behind(Nat::RestrictedCone);
    let (got_in, mapping) = net.filter();
    assert_eq!(got_in, [true, true, false, false]);
    // What was kept out before has not taken the port.
    assert_eq!(net.mapping(2), mapping);
    assert!(net.gets_in(3, mapping));
}

pub(crate) fn a_port_restricted_cone_lets_in_the_ports_that_were_sent_to() {
    let net = Net::behind(Nat::PortRestrictedCone);
    let (got_in, mapping) = net.filter();
    assert_eq!(got_in, [true, false, false, false]);
    assert_eq!(net.mapping(2), mapping);
    assert_eq!([2, 3].map(|from| net.gets_in(from, mapping)), [true, false]);
}

pub(crate) fn a_symmetric_nat_maps_for_each_that_is_sent_to() {
    let net = Net::behind(Nat::Symmetric);
    let (got_in, first) = net.filter();
    assert_eq!(got_in, [true, false, false, false]);
    let others = [1, 2, 3].map(|to| net.mapping(to));
    // Any two ports of 64,512 are equal by chance once in so many runs; three pairs at most.
    assert!(
        others.iter().all(|other| *other != first),
        "{first} and {others:?}"
    );
    for (to, mapping) in [1, 2, 3].into_iter().zip(others) {
        assert!(net.gets_in(to, mapping));
        assert!(!net.gets_in(0, mapping));
    }
    assert_eq!(net.mapping(0), first, "a mapping stays");
}
