//! `manycast listen`: interfaces that come and go, and those that cannot be used.

use manycast_lab::netns::Lab;
use serde_json::json;

use crate::{code, datagram, host_between, hosts_on, json, listen, run, send, start};

pub(crate) fn a_device_that_comes_back_is_joined_again() {
    let lab = Lab::new();
    let (a, [b1, _b2]) = host_between::<2>(&lab);
    let mut listener = listen(&a, &["239.1.1.1:5000", "[ff15::1]:5000"]);
    let mut in_text = start(&a, &["listen", "239.1.1.1:5000"]);
    in_text.wait_for_error_line("listening");

    a.delete_device("eth1");
    let left = json(&listener.wait_for_line("\"left\""));
    let expected = json!({
        "event": "left", "group": left["group"], "port": 5000, "interface": "eth1", "sources": [],
        "time": left["time"], "why": "gone",
    });
    assert_eq!(left, expected);
    assert!(left["time"].as_str().unwrap().ends_with('Z'), "{left}");
    let line = in_text.wait_for_error_line("no longer joined to 239.1.1.1:5000 on eth1");
    assert!(line.ends_with(" on eth1: the interface is gone"), "{line}");
    // The time of the day stands in front.
    assert_eq!(
        line.find(" no longer"),
        Some("12:00:00.000000".len()),
        "{line}"
    );

    a.recreate_device("eth1");
    let groups = [(); 2].map(|()| json(&listener.wait_for_line("\"joined\""))["group"].clone());
    assert!(
        groups.contains(&json!("239.1.1.1")) && groups.contains(&json!("ff15::1")),
        "{groups:?}"
    );
    let line = in_text.wait_for_error_line("joined 239.1.1.1:5000 on eth1");
    assert!(line.ends_with(": the interface is up"), "{line}");
    for group in ["239.1.1.1:5000", "[ff15::1]:5000"] {
        send(&b1, &[group, "back", "-i", "eth0"]);
        assert_eq!(datagram(&mut listener)["interface"], "eth1");
    }
    in_text.wait_for_line("eth1 hops 1, 4 bytes: back");

    a.output("ip link set eth2 down");
    let line = in_text.wait_for_error_line("no longer joined to 239.1.1.1:5000 on eth2");
    assert!(line.ends_with(": the interface is down"), "{line}");
}

pub(crate) fn a_listener_that_hears_its_own_host_alone_says_why() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let warnings = |arguments: &[&str]| {
        let listened = run(&a, &[&["listen", "-t", "0"], arguments].concat());
        assert_eq!(code(&listened), 1, "{listened:?}");
        let mut told = listened.stderr;
        told.retain(|line| line.starts_with("warning: "));
        told
    };
    assert!(warnings(&["239.1.1.1:5000"]).is_empty());
    a.output("ip link set eth0 down");
    assert_eq!(
        warnings(&["239.1.1.1:5000"]),
        [
            "warning: this host alone is heard, since eth0 is down; bring it up with 'ip link set eth0 \
             up', and it is joined there at once"
        ]
    );
    // Who asks for it means it.
    for own in [
        &["239.1.1.1%lo:5000"][..],
        &["239.1.1.1:5000", "-i", "lo"],
        &["127.0.0.1:5000"],
    ] {
        assert!(warnings(own).is_empty(), "{own:?}");
    }
}

pub(crate) fn what_cannot_be_joined_is_explained() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    a.output("ip link add wg0 type veth peer name down0");
    a.output("ip link set wg0 multicast off up");
    let _other = listen(&a, &["10.0.0.1:5000"]);
    for (arguments, words) in [
        (
            &["239.1.1.1%eth7:5000"][..],
            "there is no such interface; there are lo, eth0",
        ),
        (
            &["239.1.1.1:5000", "-i", "10.9.9.9"],
            "no interface has this address; there are 127.0.0.1 (lo), 10.0.0.1 (eth0)",
        ),
        (
            &["239.1.1.1:5000", "-i", "wg0"],
            "the interface has no MULTICAST flag",
        ),
        (
            &["239.1.1.1:5000", "-i", "down0"],
            "bring it up with 'ip link set down0 up'",
        ),
        (
            &["239.1.1.1%eth0:5000", "-i", "lo"],
            "leave out one of %eth0 and -i",
        ),
        (
            &["239.1.1.1:0"],
            "a group needs the port that its senders use",
        ),
        (
            &["10.0.0.1:5000"],
            "another socket has the port and does not share it",
        ),
        (
            &["10.9.9.9:5000"],
            "no interface of this host has the address",
        ),
        (&["nowhere.invalid:5000"], "no name server answers"),
        (
            &["239.1.1.1:5000", "--raw", "--json"],
            "--raw and --json exclude each other",
        ),
    ] {
        let failed = run(&a, &[&["listen"], arguments].concat());
        assert_eq!(code(&failed), 2, "{arguments:?}: {failed:?}");
        let [line] = failed.stderr.as_slice() else {
            panic!("{arguments:?}: {failed:?}")
        };
        assert!(
            line.starts_with("manycast: ") && line.contains(words),
            "{arguments:?}: {line}"
        );
    }
}
