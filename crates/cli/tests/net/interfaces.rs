//! `manycast interfaces`

use manycast_lab::netns::{Host, Lab};
use serde_json::{Value, json};

use crate::{host_between, hosts_on, json, listen, run, send, start_on_terminal};

/// The object of one interface.
fn interface(host: &Host, name: &str) -> Value {
    let listed = run(host, &["interfaces", "--json"]);
    let mut objects = listed.stdout.iter().map(|line| json(line));
    objects.find(|object| object["name"] == name).unwrap()
}

pub(crate) fn row_59_all_of_an_interface_is_listed() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let members = [
        "239.1.1.1%eth0:5000",
        "239.1.1.1%eth0:5001",
        "10.0.0.9@232.1.1.1%eth0:5000",
        "[ff15::1%eth0]:5000",
    ];
    let _listeners = members.map(|group| listen(&a, &[group]));
    let object = interface(&a, "eth0");
    let link_local = a.link_local("eth0");
    let expected = json!({
        "event": "interface", "name": "eth0", "index": a.interface_index("eth0"), "state": "up",
        "multicast": true, "allmulti": false, "kind": "veth", "mtu": object["mtu"], "mac": object["mac"],
        "addresses": ["10.0.0.1/24", "fd00::1/64", format!("{link_local}/64")],
        "groups": object["groups"], "route": ["IPv6"],
    });
    assert_eq!(object, expected);
    assert_eq!(object["mac"].as_str().unwrap().len(), 17);
    assert!(object["mtu"].as_u64().unwrap() >= 1500);
    let groups = object["groups"].as_array().unwrap();
    for expected in [
        json!({"group": "239.1.1.1", "users": 2, "igmp": 3, "sources": []}),
        json!({"group": "232.1.1.1", "users": 1, "igmp": 3, "sources": ["10.0.0.9"]}),
        json!({"group": "ff15::1", "users": 1, "sources": []}),
    ] {
        assert!(groups.contains(&expected), "{expected} in {groups:?}");
    }

    let text = run(&a, &["interfaces"]).stdout;
    let index = a.interface_index("eth0");
    let line = format!(
        "eth0 (index {index}): up, multicast, veth, MTU {}",
        object["mtu"]
    );
    let at = text
        .iter()
        .position(|found| *found == line)
        .unwrap_or_else(|| panic!("{text:#?}"));
    assert_eq!(
        text[at + 1],
        format!("    addresses  10.0.0.1/24, fd00::1/64, {link_local}/64")
    );
    assert!(text[at + 2].starts_with("    groups     "), "{text:#?}");
    for group in ["239.1.1.1 (by 2)", "10.0.0.9@232.1.1.1", "ff15::1"] {
        assert!(
            text[at + 2..].iter().any(|line| line.contains(group)),
            "{group} in {text:#?}"
        );
    }

    a.output("ip link set eth0 down");
    assert_eq!(interface(&a, "eth0")["state"], "down");
}

pub(crate) fn row_50_allmulti_is_not_a_membership() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let before = interface(&a, "eth0");
    a.output("ip link set eth0 allmulticast on multicast off");
    let after = interface(&a, "eth0");
    assert_eq!(
        (&after["allmulti"], &after["multicast"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(before["groups"], after["groups"]);
    let text = run(&a, &["interfaces"]).stdout;
    assert!(
        text.iter()
            .any(|line| line.contains("eth0") && line.contains("no multicast, allmulti")),
        "{text:#?}"
    );
}

pub(crate) fn row_51_the_choice_of_the_route_is_told() {
    let lab = Lab::new();
    let (a, _others) = host_between::<2>(&lab);
    let last = |host: &Host| run(host, &["interfaces"]).stdout;
    let says = |words: &str| last(&a).iter().any(|line| line.contains(words));
    let sent_by =
        || json(&send(&a, &["239.255.255.250:1900", "x", "--json"]).stdout[0])["interface"].clone();

    assert!(says(
        "IPv4 multicast has no route; manycast sends by eth1, the first that can"
    ));
    assert_eq!(sent_by(), "eth1");
    a.add_route("224.0.0.0/4 dev eth2");
    assert!(says("IPv4 multicast leaves by eth2, as the route says"));
    assert_eq!(interface(&a, "eth2")["route"][0], "IPv4");
    assert_eq!(sent_by(), "eth2");
}

pub(crate) fn some_can_be_chosen() {
    let lab = Lab::new();
    let (a, _others) = host_between::<3>(&lab);
    let names = |words: &[&str]| -> Vec<String> {
        let listed = run(&a, &[&["interfaces", "--json"], words].concat());
        let objects = listed.stdout.iter().map(|line| json(line));
        objects
            .map(|object| object["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&["eth2"]), ["eth2"]);
    assert_eq!(names(&["10.0.3.1", "eth1", "eth3"]), ["eth3", "eth1"]);
    assert_eq!(names(&["all"]), names(&[]));
    let listed = run(&a, &["interfaces", "eth2"]);
    assert!(listed.stdout[0].starts_with("eth2 (index "), "{listed:?}");
    assert!(
        !listed
            .stdout
            .iter()
            .any(|line| line.contains("multicast leaves by")),
        "{listed:?}"
    );
}

/// On a terminal of 40 columns, as on a telephone.
pub(crate) fn it_fits_a_narrow_terminal() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    let _listener = listen(&a, &["239.192.0.100:5000", "[ff15::100]:5000"]);
    let shown = start_on_terminal(&a, 40, &["interfaces"]).finish();
    let widest = shown
        .stdout
        .iter()
        .map(|line| line.trim_end().chars().count());
    assert!(
        shown.stdout.len() > 6 && widest.max() <= Some(40),
        "{shown:#?}"
    );
}
