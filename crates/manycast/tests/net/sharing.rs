//! Ports that several sockets have.

use manycast::{ErrorKind, Socket, SocketConfig};
use manycast_lab::netns::{Host, Lab, Process};

use crate::{GROUPS, PORT, at, bind, hosts, listen, receive, send, text};

pub(crate) fn row_30_four_listeners_on_one_host_each_get_each_datagram() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let mut listeners = [(); 4].map(|()| listen(&b, &at(group, PORT)));
        // From another host, and from the own one.
        for (from, device) in [(&a, "eth0"), (&a, "eth2"), (&b, "eth1")] {
            for number in 0..5 {
                let payload = format!("{number} by {device}");
                send(from, &crate::on(group, device), &payload);
                for listener in &mut listeners {
                    assert_eq!(text(&receive(&b, listener)), payload);
                }
            }
        }
        for listener in &mut listeners {
            assert!(b.run(|| listener.try_recv().unwrap().is_none()));
        }
    }
}

/// A program that has port 5353 on any address, as those before it do, and prints what comes.
fn other_program(host: &Host, ipv6: bool, option: &str) -> Process {
    let (family, any, group) = if ipv6 {
        ("AF_INET6", "::", "ff02::fb")
    } else {
        ("AF_INET", "0.0.0.0", "224.0.0.251")
    };
    let join = if ipv6 {
        "41, 20, socket.inet_pton(socket.AF_INET6, group) + struct.pack('@I', index)"
    } else {
        "0, 35, struct.pack('@4s4si', socket.inet_aton(group), bytes(4), index)"
    };
    let script = format!(
        "
import socket, struct
group, index = '{group}', socket.if_nametoindex('eth0')
s = socket.socket(socket.{family}, socket.SOCK_DGRAM)
if {ipv6}: s.setsockopt(41, socket.IPV6_V6ONLY, 1)
s.setsockopt(socket.SOL_SOCKET, socket.{option}, 1)
s.bind(('{any}', 5353))
s.setsockopt({join})
print('ready', flush=True)
while True:
    print('received', s.recv(9000).decode(), flush=True)
",
        ipv6 = if ipv6 { "True" } else { "False" },
    );
    let mut process = Process::start(host.command("python3").args(["-c", &script]));
    process.wait_for_line("ready");
    process
}

pub(crate) fn row_40_port_5353_is_shared_with_programs_of_either_habit() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for (group, ipv6) in [("224.0.0.251%eth0", false), ("ff02::fb%eth0", true)] {
        for option in ["SO_REUSEADDR", "SO_REUSEPORT"] {
            let mut other = other_program(&b, ipv6, option);
            // Two of ours, for they share it with each other as well.
            let mut listeners = [(); 2].map(|()| listen(&b, &at(group, 5353)));
            send(&a, &at(group, 5353), option);
            other.wait_for_line(&format!("received {option}"));
            for listener in &mut listeners {
                assert_eq!(text(&receive(&b, listener)), option);
            }
            // A socket on any address shares it too, if asked, to send from that port.
            let config = SocketConfig::default().share_port(true);
            let any = if ipv6 { "[::]:5353" } else { "0.0.0.0:5353" };
            let socket = b.run(|| Socket::bind_with(any, config).unwrap());
            assert_eq!(socket.local_addr().unwrap().port(), 5353);
        }
    }
}

pub(crate) fn unicast_sockets_do_not_share_a_port_unless_asked() {
    let lab = Lab::new();
    let b = lab.host("b");
    let first = bind(&b, ":5000");
    let error = b.run(|| Socket::bind("127.0.0.1:5000")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddressInUse);
    // Nor does a program that shares its port take it from one that does not.
    let config = SocketConfig::default().share_port(true);
    let error = b
        .run(|| Socket::bind_with(":5000", config.clone()))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddressInUse);
    drop(first);
    let both = [(); 2].map(|()| b.run(|| Socket::bind_with(":5000", config.clone()).unwrap()));
    assert_eq!(
        both.map(|socket| socket.local_addr().unwrap().port()),
        [5000; 2]
    );
}

/// A socket that was connected and is not any more does not share its port either.
pub(crate) fn a_disconnected_socket_does_not_share_its_port() {
    let lab = Lab::new();
    let b = lab.host("b");
    for peer in ["127.0.0.1:9", "[::1]:9"] {
        let mut socket = b.run(|| Socket::connect(peer).unwrap());
        b.run(|| socket.disconnect().unwrap());
        let own = socket.local_addr().unwrap();
        let config = SocketConfig::default().share_port(true);
        let error = b.run(|| Socket::bind_with(own, config)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddressInUse, "{own}");
    }
}
