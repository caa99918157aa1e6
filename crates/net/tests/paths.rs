//! What a path refuses: datagrams without a route, and merged ones that are longer than its MTU.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use manycast_lab::netns::{self, Host, Lab};
use manycast_net::{ErrorKind, OffloadState, RecvBatch, Socket, SocketConfig};
use manycast_types::Transmit;

/// A host with `eth0` on a switch, and no default route.
fn host_on_a_link(lab: &Lab) -> Host {
    let host = lab.host("a");
    host.connect(&lab.switch("sw"), "eth0", &["10.0.0.1/24"]);
    host
}

/// The number that the kernel counts for this host under a name of the line `Ip` in `/proc/net/snmp`.
fn ip_counter(host: &Host, name: &str) -> u64 {
    let text = host.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let column = names.split(' ').position(|it| it == name).unwrap();
    values.split(' ').nth(column).unwrap().parse().unwrap()
}

fn what_has_no_route_or_is_prohibited_is_not_tried_again_and_again() {
    let lab = Lab::new();
    let host = host_on_a_link(&lab);
    host.output("ip route add prohibit 10.5.0.0/16");
    host.output("ip route add unreachable 10.6.0.0/16");
    host.run(|| {
        let socket = Socket::bind("0.0.0.0:0".parse().unwrap(), &SocketConfig::default()).unwrap();
        for (to, kind) in [
            ("10.4.0.1:9", ErrorKind::NetworkUnreachable),
            ("10.5.0.1:9", ErrorKind::PermissionDenied),
            ("10.6.0.1:9", ErrorKind::HostUnreachable),
            ("10.0.0.255:9", ErrorKind::PermissionDenied),
        ] {
            let transmit = Transmit::new(to.parse().unwrap(), ());
            let before = ip_counter(&host, "OutNoRoutes");
            for count in [1, 100] {
                let payloads = vec!["x"; count];
                let error = socket
                    .send_payloads(&transmit, &payloads, true)
                    .unwrap_err();
                assert_eq!(error.kind(), kind, "{to}: {error}");
            }
            // Each is looked at once more, to tell it from the error of an earlier one.
            let attempts = ip_counter(&host, "OutNoRoutes") - before;
            let most = if kind == ErrorKind::NetworkUnreachable {
                4
            } else {
                0
            };
            assert_eq!(attempts, most, "{to}");
        }
    });
}

fn a_path_with_a_small_mtu_slows_no_other_destination() {
    let lab = Lab::new();
    let host = host_on_a_link(&lab);
    host.output("ip link set lo mtu 9000");
    host.output("ip route add local 10.5.0.0/16 dev lo mtu 600");
    host.run(|| {
        let config = SocketConfig::default();
        let bind = |to: &str| Socket::bind(to.parse().unwrap(), &config).unwrap();
        let (sender, near, narrow) = (bind("0.0.0.0:0"), bind("127.0.0.1:0"), bind("10.5.0.1:0"));
        let payloads = [[7; 1000]; 64];
        let send = |to: &Socket, segments: bool| {
            let mut transmit = Transmit::new(to.local_addr().unwrap(), ());
            let sent = if segments {
                transmit.segment_size = Some(1000);
                sender.send_segments(&transmit.with(payloads.as_flattened()), true)
            } else {
                sender.send_payloads(&transmit, &payloads, true)
            };
            assert_eq!(sent.unwrap(), 64);
        };
        // Room for one buffer: only what was merged comes 8 at a time, as lo allows.
        let mut batch = RecvBatch::with_capacity(1);
        let mut received = |socket: &Socket| {
            let (mut count, mut calls) = (0, 0);
            while count < 64 {
                count += socket
                    .recv_batch(&mut batch, Some(netns::patience()))
                    .unwrap();
                calls += 1;
                assert!(calls <= count, "only {count} came");
            }
            calls
        };
        for segments in [true, false, true] {
            send(&near, segments);
            let near_calls = received(&near);
            send(&narrow, segments);
            let narrow_calls = received(&narrow);
            assert_eq!((near_calls < 64, narrow_calls), (true, 64));
            assert_eq!(sender.offload().gso, OffloadState::UpTo(999));
        }
    });
}

fn why_an_address_is_not_available_is_told() {
    let lab = Lab::new();
    let host = lab.host("a");
    host.connect(&lab.switch("sw"), "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    let eth0 = host.interface_index("eth0");
    let bind = |to: &str| Socket::bind(to.parse().unwrap(), &SocketConfig::default());
    let text = |result: Result<(), manycast_net::Error>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddressNotAvailable, "{error}");
        error.to_string()
    };
    let told = |to: &str, from: &str| {
        host.run(|| {
            let socket = bind("[::]:0").unwrap();
            let group = Transmit::new(to.parse().unwrap(), "x");
            [
                text(bind(from).map(drop)),
                text(socket.connect(group.destination)),
                text(socket.send(&group)),
            ]
        })
    };
    let group = format!("[ff15::1%{eth0}]:9");

    // An interface that is unplugged cannot be asked whether somebody has the address.
    host.output("ip address flush dev eth0");
    host.sysctl("net.ipv6.conf.eth0.accept_dad", "1");
    host.unplug("eth0");
    host.output("ip address add fd00::9/64 dev eth0");
    for text in told(&group, "[fd00::9]:0") {
        assert!(
            text.contains("tentative (os error 99); try again"),
            "{text}"
        );
    }

    host.output("ip address flush dev eth0");
    let [bound, connected, sent] = told(&group, "[fd00::9]:0");
    let expected = "no interface of this host has the address (os error 99)";
    assert!(bound.contains(expected), "{bound}");
    for text in [connected, sent] {
        let expected = "eth0 has no IPv6 address to send from (os error 99)";
        assert!(text.contains(expected), "{text}");
    }

    host.sysctl("net.ipv6.conf.all.disable_ipv6", "1");
    for (to, from) in [(&*group, "[fd00::9]:0"), ("[::1]:9", "[::1]:0")] {
        for text in told(to, from) {
            let expected = "IPv6 is switched off on this host (os error 99); use IPv4";
            assert!(text.contains(expected), "{text}");
        }
    }
    host.sysctl("net.ipv6.conf.all.disable_ipv6", "0");
    host.output("ip link set lo down");
    for text in told("[::1]:9", "[::1]:0") {
        let expected = "the loopback interface lo is down (os error 99); bring it up";
        assert!(text.contains(expected), "{text}");
    }
}

/// The name of one interface is no text, and the other is not there.
fn a_socket_of_one_interface_never_hears_the_others() {
    let lab = Lab::new();
    let host = lab.host("a");
    let mut make = host.command("ip");
    make.args(["link", "add", "index", "77", "name"])
        .arg(OsStr::from_bytes(b"x\xff"));
    assert!(make.args(["type", "bridge"]).status().unwrap().success());
    host.run(|| {
        let bind = |to: &str, device: u32| {
            let config = SocketConfig::default().device(Some(device));
            Socket::bind(to.parse().unwrap(), &config)
        };
        for any in ["0.0.0.0:0", "[::]:0"] {
            let alone = bind(any, 77).unwrap();
            let error = bind(any, 78).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoInterface, "{error}");

            // The port is free on the other interfaces, and what comes there comes to whoever has it.
            let port = alone.local_addr().unwrap().port();
            let here = bind(&any.replace(":0", &format!(":{port}")), 1).unwrap();
            let to = here.local_addr().unwrap();
            here.send(&Transmit::new(to, "x")).unwrap();
            let mut batch = RecvBatch::new();
            let came = here.recv_batch(&mut batch, Some(netns::patience()));
            assert_eq!(came.unwrap(), 1);
            assert!(!alone.has_datagram());
        }
    });
}

netns::tests!(
    a_socket_of_one_interface_never_hears_the_others,
    what_has_no_route_or_is_prohibited_is_not_tried_again_and_again,
    a_path_with_a_small_mtu_slows_no_other_destination,
    why_an_address_is_not_available_is_told,
);
