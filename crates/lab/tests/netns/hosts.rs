//! Hosts: what runs on them, and that nothing of them remains.

use std::fs;
use std::io::ErrorKind;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use manycast_lab::netns::Lab;

use crate::{GROUP_4, hosts_on, listener, member, receive, send};

pub(crate) fn a_closure_runs_in_the_namespace_of_its_host() {
    fn here() -> PathBuf {
        fs::read_link("/proc/thread-self/ns/net").unwrap()
    }

    let lab = Lab::new();
    let (a, b) = (lab.host("a"), lab.host("b"));
    let outside = here();
    let inside = a.run(here);
    assert_ne!(inside, outside);
    assert_ne!(inside, b.run(here));
    assert_eq!(inside, a.run(|| thread::spawn(here).join().unwrap()));
    assert_eq!(inside, a.spawn(here).join());
    assert_eq!(
        inside.to_str().unwrap(),
        a.output("readlink /proc/self/ns/net").trim()
    );
    assert_eq!(here(), outside, "the thread of the test stays where it is");

    // A command sees its host's interfaces, by netlink and by sysfs alike.
    assert_eq!(a.output("ls /sys/class/net").trim(), "lo");
    assert_eq!(a.output("ip -oneline link").lines().count(), 1);
}

pub(crate) fn a_panic_on_a_host_is_a_panic_of_the_test() {
    let host = Lab::new().host("a");
    let payload = panic::catch_unwind(AssertUnwindSafe(|| {
        host.run(|| panic!("in the foreground"))
    }));
    assert_eq!(
        payload.unwrap_err().downcast_ref(),
        Some(&"in the foreground")
    );

    let task = host.spawn(|| panic!("in the background"));
    let payload = panic::catch_unwind(AssertUnwindSafe(|| task.join()));
    assert_eq!(
        payload.unwrap_err().downcast_ref(),
        Some(&"in the background")
    );
}

pub(crate) fn a_failed_command_tells_its_line_and_its_complaint() {
    let host = Lab::new().host("a");
    let payload = panic::catch_unwind(AssertUnwindSafe(|| host.output("ip link set eth9 up")));
    let payload = payload.unwrap_err();
    let message = payload.downcast_ref::<String>().unwrap();
    assert!(message.contains("ip link set eth9 up"), "{message}");
    assert!(message.contains("Cannot find device"), "{message}");
}

pub(crate) fn a_host_has_several_interfaces_of_use_at_once() {
    let lab = Lab::new();
    let (left, right) = (lab.switch("left"), lab.switch("right"));
    let (a, b) = (lab.host("a"), lab.host("b"));
    for (host, number) in [(&a, 1), (&b, 2)] {
        for (device, switch, net) in [("eth0", &left, 0), ("eth1", &right, 1), ("eth2", &left, 2)] {
            let addresses = [
                format!("10.0.{net}.{number}/24"),
                format!("fd0{net}::{number}/64"),
            ];
            host.connect(switch, device, &[&addresses[0], &addresses[1]]);
        }
    }

    // One socket for both families.
    let socket = listener(&b, "::");
    for net in 0..3 {
        let device = format!("eth{net}");
        let scope = a.interface_index(&device);
        for address in [
            format!("10.0.{net}.2:5000"),
            format!("[fd0{net}::2]:5000"),
            format!("[{}%{scope}]:5000", b.link_local(&device)),
        ] {
            send(&a, &address, &address).unwrap();
            assert_eq!(receive(&socket), address);
        }
    }
}

pub(crate) fn multicast_has_no_route_until_one_is_added() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = hosts_on(&lab, &switch, ["a", "b"]);
    let refused = [
        send(&a, "x", "239.1.2.3:5000"),
        send(&a, "x", "192.0.2.1:5000"),
    ];
    for result in refused {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::NetworkUnreachable);
    }

    let member = member(&b, GROUP_4, "eth0");
    b.wait_for_group("eth0", GROUP_4);
    a.add_route("224.0.0.0/4 dev eth0");
    send(&a, "by the route", "239.1.2.3:5000").unwrap();
    assert_eq!(receive(&member), "by the route");
}

pub(crate) fn a_sysctl_is_of_one_host_alone() {
    let lab = Lab::new();
    let (a, b) = (lab.host("a"), lab.host("b"));
    let before = b.output("cat /proc/sys/net/ipv4/ip_default_ttl");
    a.sysctl("net.ipv4.ip_default_ttl", "7");
    assert_eq!(a.output("cat /proc/sys/net/ipv4/ip_default_ttl"), "7\n");
    assert_eq!(b.output("cat /proc/sys/net/ipv4/ip_default_ttl"), before);
}

pub(crate) fn labs_side_by_side_do_not_clash() {
    let labs = [Lab::new(), Lab::new()];
    let networks = labs.each_ref().map(|lab| {
        let switch = lab.switch("sw");
        let hosts = hosts_on(lab, &switch, ["a", "b"]);
        (switch, hosts)
    });
    let sockets = networks
        .each_ref()
        .map(|(_, [_, b])| listener(b, "0.0.0.0"));
    for (number, (_, [a, _])) in networks.iter().enumerate() {
        send(a, &number.to_string(), "10.0.0.2:5000").unwrap();
    }
    assert_eq!(sockets.each_ref().map(receive), ["0", "1"]);
}

pub(crate) fn hosts_vanish_when_dropped() {
    fn namespaces() -> String {
        let output = Command::new("ip").args(["netns", "list"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    let lab = Lab::new();
    let switch = lab.switch("vanishing-switch");
    let [host] = hosts_on(&lab, &switch, ["vanishing-host"]);
    assert_eq!(
        namespaces().matches("vanishing-").count(),
        2,
        "{}",
        namespaces()
    );
    drop(switch);
    drop(host);
    assert!(!namespaces().contains("vanishing-"), "{}", namespaces());
}
