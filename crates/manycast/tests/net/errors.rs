//! Each errno of the real kernel, and the sentence that it becomes.

use std::net::IpAddr;

use manycast::{Error, Listener, Sender, SenderConfig, Socket, SocketConfig};
use manycast_lab::netns::{Hook, Host, Lab};
use manycast_net::Socket as Plain;
use manycast_types::{SourceFilter, Transmit};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::{at, bind, hosts, listen, on, receive, sender};

const V4: &str = "0.0.0.0:0";
const V6: &str = "[::]:0";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A socket without the library's care, to reach what the library avoids.
fn plain(host: &Host, local: &str) -> Plain {
    host.run(|| Plain::bind(local.parse().unwrap(), &SocketConfig::default()).unwrap())
}

/// Asserts that what runs on the host fails with this sentence.
#[track_caller]
fn fails<T>(host: &Host, run: impl FnOnce() -> Result<T, Error> + Send, sentence: &str) {
    let error = host.run(|| run().map(drop)).unwrap_err();
    assert_eq!(error.to_string(), sentence);
}

/// A host with two interfaces that are not of use: `down` is down, `deaf` cannot multicast.
fn host(lab: &Lab) -> Host {
    let [host] = hosts(lab, ["a"]);
    host.output("ip link set eth1 down");
    host.output("ip link set eth2 multicast off");
    host
}

pub(crate) fn enodev() {
    let lab = Lab::new();
    let host = host(&lab);
    for group in ["239.1.2.3", "ff15::1234"] {
        fails(
            &host,
            || manycast::listen(&*on(group, "eth7")),
            "cannot find interface eth7: there is no such interface; there are lo, eth0, eth1, eth2",
        );
        fails(
            &host,
            || manycast::send(&*on(group, "eth7"), "x"),
            "cannot find interface eth7: there is no such interface; there are lo, eth0, eth1, eth2",
        );
        fails(
            &host,
            || manycast::listen(&*on(group, "eth2")),
            &format!(
                "cannot join {group} on eth2: the interface has no MULTICAST flag (os error 19); \
                 choose another with %INTERFACE or see 'manycast interfaces'"
            ),
        );
        fails(
            &host,
            || manycast::send(&*on(group, "eth2"), "x"),
            &format!(
                "cannot send to {group} by eth2: the interface has no MULTICAST flag (os error 19); \
                 choose another with %INTERFACE or see 'manycast interfaces'"
            ),
        );
    }
    let gone = "the interface is gone, or no interface was named and no route leads to the group \
                (os error 19); choose an interface with %INTERFACE or see 'manycast interfaces'";
    for (local, group) in [(V4, "239.1.2.3"), (V6, "ff15::1234")] {
        let socket = plain(&host, local);
        fails(
            &host,
            || Ok(socket.join(ip(group), 4711, &SourceFilter::any())?),
            &format!("cannot join {group} on 4711: {gone}"),
        );
        fails(
            &host,
            || Ok(socket.set_multicast_interface(Some(4711))?),
            "cannot find 4711: there is no such interface (os error 19); \
             see 'manycast interfaces' for those that there are",
        );
    }
    let socket = plain(&host, V4);
    fails(
        &host,
        || Ok(socket.join(ip("239.1.2.3"), 0, &SourceFilter::any())?),
        &format!("cannot join 239.1.2.3 on 0: {gone}"),
    );
}

pub(crate) fn enetdown() {
    let lab = Lab::new();
    let host = host(&lab);
    for group in ["239.1.2.3", "ff15::1234"] {
        let down = "the interface is down (os error 100); \
                    bring it up with 'ip link set eth1 up', or choose another";
        fails(
            &host,
            || manycast::listen(&*on(group, "eth1")),
            &format!("cannot join {group} on eth1: {down}"),
        );
        fails(
            &host,
            || manycast::send(&*on(group, "eth1"), "x"),
            &format!("cannot send to {group} by eth1: {down}"),
        );
    }
    // And where none at all is left.
    host.output("ip link set eth0 down");
    host.output("ip link set lo down");
    fails(
        &host,
        || manycast::listen("239.1.2.3:5000"),
        "cannot join 239.1.2.3 anywhere: eth0 and eth1 are down; bring eth0 up with 'ip link set \
         eth0 up', or see 'manycast interfaces'",
    );
}

pub(crate) fn enetunreach() {
    let lab = Lab::new();
    let host = host(&lab);
    for (local, to) in [(V4, "192.0.2.1:5000"), (V6, "[2001:db8::1]:5000")] {
        let why =
            "no route leads there (os error 101); name the interface to send by, or add a route";
        // It may be why.
        let down = "no route leads there, and eth1 is down (os error 101); bring eth1 up with 'ip \
                    link set eth1 up', name the interface to send by, or add a route";
        fails(
            &host,
            || manycast::send(to, "x"),
            &format!("cannot connect to {to}: {down}"),
        );
        fails(
            &host,
            || Socket::connect(to),
            &format!("cannot connect to {to}: {down}"),
        );
        let socket = bind(&host, local);
        fails(
            &host,
            || socket.send_to(to, "x"),
            &format!("cannot send to {to}: {why}"),
        );
    }
    let socket = plain(&host, V4);
    fails(
        &host,
        || Ok(socket.send(&Transmit::new("239.1.2.3:5000".parse().unwrap(), "x"))?),
        "cannot send to 239.1.2.3:5000: no route leads there (os error 101); \
         name the interface to send by, or add a route",
    );
    fails(
        &host,
        || manycast::send("[ff15::1234%lo]:5000", "x"),
        "cannot connect to [ff15::1234]:5000: lo has no route to groups (os error 101); \
         add one with 'ip -6 route add local ff00::/8 dev lo table local'",
    );
}

pub(crate) fn enobufs() {
    let lab = Lab::new();
    let host = host(&lab);
    let eth0 = host.interface_index("eth0");
    let socket = plain(&host, V4);
    for number in 1..=20 {
        socket
            .join(ip(&format!("239.1.2.{number}")), eth0, &SourceFilter::any())
            .unwrap();
    }
    let full = "the socket has as many groups or sources as the kernel allows (os error 105); \
                use another socket, or raise net.ipv4.igmp_max_memberships or net.ipv4.igmp_max_msf";
    fails(
        &host,
        || Ok(socket.join(ip("239.1.2.21"), eth0, &SourceFilter::any())?),
        &format!("cannot join 239.1.2.21 on eth0: {full}"),
    );
    let socket = plain(&host, V4);
    let sources = SourceFilter::Include(
        (1..=11)
            .map(|number| ip(&format!("10.0.0.{number}")))
            .collect(),
    );
    fails(
        &host,
        || Ok(socket.join(ip("232.1.1.1"), eth0, &sources)?),
        &format!("cannot join 232.1.1.1 on eth0: {full}"),
    );
    // A socket on any address is one socket, which a listener is not.
    let mut socket = bind(&host, ":5000");
    let error = host
        .run(|| (1..=64).find_map(|number| socket.join(&*format!("239.1.3.{number}%eth0")).err()));
    assert_eq!(
        error.unwrap().to_string(),
        format!("cannot join 239.1.3.21 on eth0: {full}")
    );
    assert_eq!(socket.memberships().count(), 20, "what was joined stays");

    // A link so narrow that its queue takes one frame.
    host.output("tc qdisc add dev eth0 root tbf rate 8kbit burst 1600 limit 1600");
    let sender = sender(&host, "239.1.2.3%eth0:5000");
    let error = (0..100).find_map(|_| sender.send([0; 1400]).err());
    assert_eq!(
        error.unwrap().to_string(),
        "cannot send to 239.1.2.3:5000: the send queue of the interface is full (os error 105); \
         send more slowly, with a rate"
    );
}

pub(crate) fn enomem() {
    let lab = Lab::new();
    let host = host(&lab);
    let eth0 = host.interface_index("eth0");
    let socket = plain(&host, V6);
    let mut groups = (0..1 << 16).map(|number| ip(&format!("ff15::9:{number:x}")));
    let error =
        host.run(|| groups.find_map(|group| socket.join(group, eth0, &SourceFilter::any()).err()));
    let error = error.unwrap().to_string();
    let (target, why) = error.split_once(": ").unwrap();
    assert!(
        target.starts_with("cannot join ff15::9:") && target.ends_with(" on eth0"),
        "{error}"
    );
    assert_eq!(
        why,
        "the option memory of the socket is used up (os error 12); \
         use another socket, or raise net.core.optmem_max"
    );
}

pub(crate) fn eaddrinuse() {
    let lab = Lab::new();
    let host = host(&lab);
    let _first = bind(&host, ":5000");
    let why = "another socket has the port and does not share it (os error 98); stop that program, \
               choose another port, or let both share; 'ss -ulpn' shows who has it";
    fails(
        &host,
        || Socket::bind("0.0.0.0:5000"),
        &format!("cannot bind to 0.0.0.0:5000: {why}"),
    );
    fails(
        &host,
        || Socket::bind("[::]:5000"),
        &format!("cannot bind to [::]:5000: {why}"),
    );
    fails(
        &host,
        || manycast::listen("239.1.2.3:5000"),
        &format!("cannot bind to 239.1.2.3:5000: {why}"),
    );
    let eth0 = host.interface_index("eth0");
    for (local, group) in [(V4, "239.1.2.3"), (V6, "ff15::1234")] {
        let socket = plain(&host, local);
        socket.join(ip(group), eth0, &SourceFilter::any()).unwrap();
        fails(
            &host,
            || Ok(socket.join(ip(group), eth0, &SourceFilter::any())?),
            &format!(
                "cannot join {group} on eth0: the socket is a member already (os error 98); \
                 nothing is to be done, or leave first"
            ),
        );
    }
}

pub(crate) fn eaddrnotavail() {
    let lab = Lab::new();
    let host = host(&lab);
    let why = "no interface of this host has the address (os error 99); \
               use one that 'manycast interfaces' lists, or leave it out";
    for foreign in ["192.0.2.1:5000", "[2001:db8::1]:5000"] {
        fails(
            &host,
            || Socket::bind(foreign),
            &format!("cannot bind to {foreign}: {why}"),
        );
        fails(
            &host,
            || manycast::listen(foreign),
            &format!("cannot bind to {foreign}: {why}"),
        );
    }
    let config = SenderConfig::default().from("192.0.2.1:0").unwrap();
    fails(
        &host,
        || Sender::open("239.1.2.3%eth0:5000", config),
        &format!("cannot bind to 192.0.2.1:0: {why}"),
    );
    let eth0 = host.interface_index("eth0");
    for (local, group) in [(V4, "239.1.2.3"), (V6, "ff15::1234")] {
        let socket = plain(&host, local);
        fails(
            &host,
            || Ok(socket.leave(ip(group), eth0)?),
            &format!(
                "cannot leave {group} on eth0: the socket is no member of it on this interface \
                 (os error 99); leave what was joined, on the interface where it was joined"
            ),
        );
    }
}

pub(crate) fn row_36_a_port_that_needs_a_privilege() {
    let lab = Lab::new();
    let host = host(&lab);
    host.sysctl("net.ipv4.ip_unprivileged_port_start", "1024");
    // As an ordinary user: without the privilege that root of the namespace has.
    let unprivileged = |run: &mut (dyn FnMut() -> Option<Error> + Send)| {
        host.run(|| {
            let mut sets = capabilities(None).unwrap();
            sets.effective.remove(CapabilitySet::NET_BIND_SERVICE);
            set_capabilities(None, sets).unwrap();
            run().unwrap().to_string()
        })
    };
    let why = "ports below net.ipv4.ip_unprivileged_port_start (1024) need a privilege \
               (os error 13); choose port 1024 or higher, or grant CAP_NET_BIND_SERVICE";
    for address in ["239.192.0.100:1000", "[ff15::1234]:1000", "127.0.0.1:1000"] {
        let error = unprivileged(&mut || manycast::listen(address).err());
        assert_eq!(error, format!("cannot bind to {address}: {why}"));
    }
    // A low port of others can be sent to all the same.
    let mut listener = listen(&host, "239.192.0.100:1000");
    crate::send(&host, "239.192.0.100%eth0:1000", "Hello, world!");
    assert_eq!(receive(&host, &mut listener).payload, "Hello, world!");

    let socket = bind(&host, ":0");
    fails(
        &host,
        || socket.send_to("10.0.0.255:5000", "x"),
        "cannot send to 10.0.0.255:5000: it is a broadcast address, and broadcasting was not \
         switched on, or a route or a firewall on the way prohibits it (os error 13); switch \
         it on, send to a group, or see 'ip route get' and the firewalls",
    );
}

pub(crate) fn eperm() {
    let lab = Lab::new();
    let host = host(&lab);
    let _wall = host.drop_at(Hook::Output, "udp dport 5000");
    let why = "a firewall of this host drops it on the way out (os error 1); \
               see 'nft list ruleset' as root, chains with hook output";
    for to in ["10.0.0.9:5000", "[fd00::9]:5000"] {
        fails(
            &host,
            || manycast::send(to, "x"),
            &format!("cannot send to {to}: {why}"),
        );
    }
}

pub(crate) fn emsgsize() {
    let lab = Lab::new();
    let host = host(&lab);
    let socket = bind(&host, ":0");
    fails(
        &host,
        || socket.send_to("10.0.0.9:5000", vec![0; 65_508]),
        "cannot send to 10.0.0.9:5000: 65508 bytes are more than a UDP datagram carries \
         (os error 90); send at most 65507 bytes at once; 1,472 pass any Ethernet",
    );
}

pub(crate) fn einval() {
    let lab = Lab::new();
    let host = host(&lab);
    let eth0 = host.interface_index("eth0");
    for (local, unicast, hops) in [
        (V4, "10.0.0.9", "IP_TTL"),
        (V6, "fd00::9", "IPV6_UNICAST_HOPS"),
    ] {
        let socket = plain(&host, local);
        fails(
            &host,
            || Ok(socket.join(ip(unicast), eth0, &SourceFilter::any())?),
            &format!(
                "cannot join {unicast} on eth0: it is no multicast group, or its sources are of \
                 another kind than those joined before (os error 22); \
                 use a group of 224.0.0.0/4 or ff00::/8, with sources of the same IP version"
            ),
        );
        let bound = socket.local_addr().unwrap();
        fails(
            &host,
            || Ok(socket.set_unicast_hops(0)?),
            &format!(
                "cannot set {hops} on {bound}: the value is out of range (os error 22); \
                 use one that the manual allows"
            ),
        );
        fails(
            &host,
            || Ok(socket.send(&Transmit::new(at(unicast, 0).parse().unwrap(), "x"))?),
            &format!(
                "cannot send to {}: the address does not fit the socket: port 0, another IP \
                 version, or a link-local address without its interface (os error 22); \
                 give a port, and the interface after a % for link-local addresses",
                at(unicast, 0)
            ),
        );
    }
}

pub(crate) fn ehostunreach() {
    let lab = Lab::new();
    let host = host(&lab);
    host.add_route("unreachable 198.51.100.0/24");
    host.add_route("unreachable 2001:db8:1::/64");
    for to in ["198.51.100.1:5000", "[2001:db8:1::1]:5000"] {
        fails(
            &host,
            || manycast::send(to, "x"),
            &format!(
                "cannot connect to {to}: the host does not answer on its link, or a router or firewall says \
                 that it cannot be reached (os error 113); check that it is on and its address is \
                 right (on macOS: that this program may use the local network)"
            ),
        );
    }
}

pub(crate) fn emfile() {
    let lab = Lab::new();
    let host = host(&lab);
    let addresses: Vec<_> = (1..=64)
        .map(|number| format!("239.1.3.{number}:5000"))
        .collect();
    let sentence = host.run(|| {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(32),
                maximum: Some(64),
            },
        )
        .unwrap();
        let error = Listener::open(&addresses, SocketConfig::default()).unwrap_err();
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(64),
                maximum: Some(64),
            },
        )
        .unwrap();
        error.to_string()
    });
    let (_, why) = sentence.split_once(": ").unwrap();
    assert_eq!(
        why,
        "this process has as many open files as it may (os error 24); \
         raise the limit with 'ulimit -n', or use fewer groups and interfaces"
    );
}

pub(crate) fn names_that_cannot_be_resolved() {
    let lab = Lab::new();
    let host = host(&lab);
    fails(
        &host,
        || manycast::send("no-such-host.invalid:5000", "x"),
        "cannot resolve no-such-host.invalid: no name server answers; check the network and \
         /etc/resolv.conf, or give the address in numbers",
    );
}
