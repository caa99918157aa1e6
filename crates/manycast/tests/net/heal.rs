//! Memberships heal: interfaces come, go and come back, and the application does nothing.

use std::time::{Duration, Instant};

use manycast::proto::ask::{Responder, ResponderConfig};
use manycast::{Driver, Group, Membership, Next, SourceFilter};
use manycast_lab::netns::{Host, Lab};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::follow::again_until;
use crate::{
    GROUPS, PORT, at, bind, hosts, interfaces_of, listen, on, receive, receive_until, send,
    wait_until_joined, wait_until_left,
};

/// How long it may take from the interface's return until the group is heard.
const HEALED: Duration = Duration::from_secs(2);

pub(crate) fn a_device_that_is_deleted_and_recreated_is_heard_again_within_2_s() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, other] in GROUPS {
        // One listener names the interface, the other takes all of them.
        let mut named = listen(&b, &on(group, "eth0"));
        let mut everywhere = listen(&b, &at(other, PORT));
        for round in ["once", "twice"] {
            let before = b.interface_index("eth0");
            b.delete_device("eth0");
            b.recreate_device("eth0");
            let back = Instant::now();
            let index = b.interface_index("eth0");
            assert_ne!(index, before);

            for (group, listener) in [(group, &mut named), (other, &mut everywhere)] {
                assert_eq!(
                    wait_until_left(&b, listener, "eth0").interface.index,
                    before
                );
                let joined = wait_until_joined(&b, listener, "eth0");
                assert_eq!(joined.interface.index, index);
                assert_eq!(joined.group.ip().to_string(), group);
                send(&a, &on(group, "eth0"), round);
                let datagram = receive(&b, listener);
                assert_eq!(datagram.payload, round);
                assert_eq!(
                    (&*datagram.interface.name, datagram.interface.index),
                    ("eth0", index)
                );
            }
            assert!(back.elapsed() < HEALED, "{:?}", back.elapsed());
        }
        assert_eq!(interfaces_of(&named), ["eth0"]);
        assert_eq!(everywhere.memberships().count(), 4);
    }
}

/// Deletes and makes a device in one go, so that nobody sees it gone.
fn recreate_under_its_index(host: &Host) {
    let make = "ip link add link eth0 name mac0 index 77 address 02:00:00:00:77:77 type macvlan mode bridge";
    let script = format!(
        "ip link del mac0 2>/dev/null; {make} && ip address add 10.0.7.2/24 dev mac0 && ip address add fd07::2/64 dev mac0 nodad && ip link set mac0 up"
    );
    let output = host.command("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

pub(crate) fn a_device_that_is_recreated_under_its_index_is_heard_again() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    recreate_under_its_index(&b);
    for [group, _] in GROUPS {
        let mut listener = listen(&b, &on(group, "mac0"));
        send(&a, &on(group, "eth0"), "before");
        assert_eq!(receive(&b, &mut listener).payload, "before");

        recreate_under_its_index(&b);
        let back = Instant::now();
        assert_eq!(
            wait_until_joined(&b, &mut listener, "mac0").interface.index,
            77
        );
        send(&a, &on(group, "eth0"), "after");
        assert_eq!(receive(&b, &mut listener).payload, "after");
        assert!(back.elapsed() < HEALED);
    }
}

pub(crate) fn a_link_that_goes_down_and_up_is_heard_again() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let mut listener = listen(&b, &on(group, "eth0"));
        // Seen while it is down, and not seen at all.
        b.link_down("eth0");
        wait_until_left(&b, &mut listener, "eth0");
        assert_eq!(listener.memberships().count(), 0);
        b.link_up("eth0");
        let back = Instant::now();
        wait_until_joined(&b, &mut listener, "eth0");
        send(&a, &on(group, "eth0"), "up");
        assert_eq!(receive(&b, &mut listener).payload, "up");
        assert!(back.elapsed() < HEALED);

        b.link_down("eth0");
        b.link_up("eth0");
        send(&a, &on(group, "eth0"), "up again");
        assert_eq!(receive(&b, &mut listener).payload, "up again");
    }
}

pub(crate) fn a_cable_that_is_pulled_and_plugged_keeps_the_membership() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let mut listener = listen(&b, &on(group, "eth0"));
        b.unplug("eth0");
        b.plug("eth0");
        send(&a, &on(group, "eth0"), "plugged");
        assert_eq!(receive(&b, &mut listener).payload, "plugged");
    }
}

pub(crate) fn an_interface_that_appears_later_is_joined() {
    let lab = Lab::new();
    let switch = lab.switch("late");
    let [a, b] = hosts(&lab, ["a", "b"]);
    a.connect(&switch, "eth3", &["10.0.3.1/24", "fd03::1/64"]);
    let mut listeners = GROUPS.map(|[group, _]| listen(&b, &at(group, PORT)));
    b.connect(&switch, "eth3", &["10.0.3.2/24", "fd03::2/64"]);
    let back = Instant::now();
    for ([group, _], listener) in GROUPS.iter().zip(&mut listeners) {
        wait_until_joined(&b, listener, "eth3");
        send(&a, &on(group, "eth3"), "late");
        let datagram = receive(&b, listener);
        assert_eq!(
            (&*datagram.payload, &*datagram.interface.name),
            (&b"late"[..], "eth3")
        );
    }
    assert!(back.elapsed() < HEALED);
}

/// With no interface but lo, listening begins there and goes on where the first one comes up.
pub(crate) fn listening_begins_before_the_first_interface_is_there() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let (a, b) = (lab.host("a"), lab.host("b"));
    a.connect(&switch, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    let mut listeners = GROUPS.map(|[group, _]| listen(&b, &at(group, PORT)));
    for listener in &listeners {
        assert_eq!(interfaces_of(listener), ["lo"]);
    }
    b.connect(&switch, "eth0", &["10.0.0.2/24", "fd00::2/64"]);
    for ([group, _], listener) in GROUPS.iter().zip(&mut listeners) {
        wait_until_joined(&b, listener, "eth0");
        send(&a, &on(group, "eth0"), "first");
        assert_eq!(receive(&b, listener).payload, "first");
    }
}

pub(crate) fn sources_are_the_same_after_healing() {
    let lab = Lab::new();
    let [a, b, c] = hosts(&lab, ["a", "b", "c"]);
    for (group, source) in [("232.1.1.1", "10.0.0.1"), ("ff35::1", "fd00::1")] {
        let mut listener = listen(&c, &format!("{source}@{}", on(group, "eth0")));
        c.delete_device("eth0");
        c.recreate_device("eth0");
        let joined = wait_until_joined(&c, &mut listener, "eth0");
        assert_eq!(
            joined.sources,
            SourceFilter::Include(vec![source.parse().unwrap()])
        );
        send(&b, &on(group, "eth0"), "from another");
        send(&a, &on(group, "eth0"), "end");
        assert_eq!(receive_until(&c, &mut listener, "end"), [""; 0]);
    }
}

pub(crate) fn a_group_that_was_left_stays_left_after_healing() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for groups in GROUPS {
        let mut listener = listen(&b, &on(groups[0], "eth0"));
        b.run(|| {
            assert!(listener.join(&*on(groups[1], "eth0")).unwrap());
            assert!(listener.leave(&*on(groups[0], "eth0")).unwrap());
        });
        b.delete_device("eth0");
        b.recreate_device("eth0");
        wait_until_joined(&b, &mut listener, "eth0");
        send(&a, &on(groups[0], "eth0"), "left");
        send(&a, &on(groups[1], "eth0"), "end");
        assert_eq!(receive_until(&b, &mut listener, "end"), [""; 0]);
    }
}

/// An interface that is chosen by its address is whichever has the address.
pub(crate) fn an_address_that_moves_takes_the_membership_along() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut listener = listen(&b, &on("239.1.2.3", "10.0.0.2"));
    assert_eq!(interfaces_of(&listener), ["eth0"]);
    b.output("ip address del 10.0.0.2/24 dev eth0");
    b.output("ip address add 10.0.0.2/24 dev eth1");
    wait_until_joined(&b, &mut listener, "eth1");
    assert_eq!(interfaces_of(&listener), ["eth1"]);
    send(&a, &on("239.1.2.3", "eth0"), "where it was");
    send(&a, &on("239.1.2.3", "eth1"), "end");
    assert_eq!(receive_until(&b, &mut listener, "end"), [""; 0]);
}

pub(crate) fn a_device_under_another_name_is_told_by_it() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for ([group, _], [from, to]) in GROUPS.into_iter().zip([["eth0", "lan0"], ["lan0", "eth0"]]) {
        let mut listener = listen(&b, &at(group, PORT));
        b.output(&format!("ip link set {from} name {to}"));
        wait_until_joined(&b, &mut listener, to);
        send(&a, &on(group, "eth0"), "renamed");
        assert_eq!(&*receive(&b, &mut listener).interface.name, to);
    }
}

/// IPv6 that is switched off and on again, before anybody looks, and after.
pub(crate) fn ipv6_that_is_switched_off_and_on_is_heard_again() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    let mut listener = listen(&b, &on("ff15::1234", "eth0"));
    let switch = |off: &str| b.sysctl("net.ipv6.conf.eth0.disable_ipv6", off);
    switch("1");
    wait_until_left(&b, &mut listener, "eth0");
    switch("0");
    wait_until_joined(&b, &mut listener, "eth0");
    send(&a, &on("ff15::1234", "eth0"), "on");
    assert_eq!(receive(&b, &mut listener).payload, "on");

    switch("1");
    switch("0");
    send(&a, &on("ff15::1234", "eth0"), "unseen");
    assert_eq!(receive(&b, &mut listener).payload, "unseen");
}

/// More changes than the kernel keeps for a listener that does not look.
fn storm(host: &Host) {
    let lines = "for i in $(seq 250); do for j in $(seq 20); do \
                 echo address add 10.1.$j.$i/32 dev lo; done; done";
    let mut sh = host.command("sh");
    let script = format!("({lines}) | ip -batch -");
    assert!(sh.args(["-c", &script]).status().unwrap().success());
}

/// After a storm of changes, what the kernel cannot keep for a listener that does not look: that a
/// device was recreated under its index.
pub(crate) fn healing_outlives_lost_messages() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    recreate_under_its_index(&b);
    let mut listeners = GROUPS.map(|[group, _]| listen(&b, &on(group, "mac0")));
    storm(&b);
    recreate_under_its_index(&b);
    for ([group, _], listener) in GROUPS.iter().zip(&mut listeners) {
        wait_until_joined(&b, listener, "mac0");
        send(&a, &on(group, "eth0"), "after the storm");
        assert_eq!(receive(&b, listener).payload, "after the storm");
    }
}

/// When the kernel cannot be asked, healing is put off until it can, and nothing is forgotten.
pub(crate) fn healing_is_tried_again_after_a_failure() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let mut listener = listen(&b, &on(group, "eth0"));
        b.delete_device("eth0");
        b.recreate_device("eth0");
        without_files(&b, || {
            for _ in 0..3 {
                assert!(listener.try_recv().unwrap().is_none());
            }
        });
        wait_until_joined(&b, &mut listener, "eth0");
        send(&a, &on(group, "eth0"), "healed");
        assert_eq!(receive(&b, &mut listener).payload, "healed");
    }
}

/// Does something on a host while the process can open no file.
fn without_files<T: Send>(host: &Host, closure: impl FnOnce() -> T + Send) -> T {
    host.run(|| {
        let before = getrlimit(Resource::Nofile);
        let none = Rlimit {
            current: Some(0),
            ..before
        };
        setrlimit(Resource::Nofile, none).unwrap();
        let result = closure();
        setrlimit(Resource::Nofile, before).unwrap();
        result
    })
}

/// Nor does it forget that messages were lost, and a driver goes on.
pub(crate) fn lost_messages_are_not_forgotten_after_a_failure() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    recreate_under_its_index(&b);
    let [mut listeners, for_drivers] =
        [(); 2].map(|()| GROUPS.map(|groups| listen(&b, &on(groups[0], "mac0"))));
    let mut drivers = for_drivers
        .map(|listener| Driver::new(listener, Responder::new(ResponderConfig::default())));
    storm(&b);
    recreate_under_its_index(&b);
    without_files(&b, || {
        for listener in &mut listeners {
            assert!(listener.try_recv().unwrap().is_none());
        }
        for driver in &mut drivers {
            let next = driver.next_event(Some(Duration::ZERO)).unwrap();
            assert_eq!(next, Next::TimedOut);
        }
    });
    for ([group, _], listener) in GROUPS.iter().zip(&mut listeners) {
        wait_until_joined(&b, listener, "mac0");
        send(&a, &on(group, "eth0"), "after the storm");
        assert_eq!(receive(&b, listener).payload, "after the storm");
    }
    for ([group, _], mut driver) in GROUPS.iter().zip(drivers) {
        let task = b.spawn(move || driver.next_event(Some(crate::PATIENCE)).unwrap());
        again_until("a question", || {
            send(&a, &on(group, "eth0"), "hello");
            task.is_finished().then_some(())
        });
        assert!(matches!(task.join(), Next::Event(_)));
    }
}

/// A protocol heals too, and so does a socket.
pub(crate) fn a_driver_and_a_socket_heal() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for [group, _] in GROUPS {
        let group: Group = format!("{group}%eth0").parse().unwrap();
        let mut socket = bind(&b, ":5000");
        b.run(|| socket.join(group.clone()).unwrap());
        b.delete_device("eth0");
        b.recreate_device("eth0");
        let Membership { group: joined, .. } = wait_until_joined(&b, &mut socket, "eth0");
        assert_eq!(joined.ip(), group.address);

        let config = ResponderConfig::default();
        let mut driver = Driver::new(socket, Responder::new(config));
        let stopper = driver.stopper().unwrap();
        let task = b.spawn(move || driver.run(|_, _| {}).unwrap());
        b.delete_device("eth0");
        b.recreate_device("eth0");
        let b = &b;
        let host_has_joined = || b.wait_for_group("eth0", group.address);
        host_has_joined();
        let question = on(&group.address.to_string(), "eth0");
        let answers = a.run(|| {
            manycast::ask(
                &*question,
                "hello",
                &manycast::AskConfig::default().answers(Some(1)),
            )
            .unwrap()
        });
        assert_eq!(answers.len(), 1);
        stopper.stop();
        task.join();
    }
}

/// A group that is left while its interface is down is not joined when that is up again.
pub(crate) fn a_group_that_was_left_while_its_interface_was_down_stays_left() {
    let lab = Lab::new();
    let [a, b] = hosts(&lab, ["a", "b"]);
    for groups in GROUPS {
        let mut listener = listen(&b, &on(groups[0], "eth0"));
        b.run(|| listener.join(&*on(groups[1], "eth0")).unwrap());
        b.link_down("eth0");
        wait_until_left(&b, &mut listener, "eth0");
        assert!(b.run(|| listener.leave(&*on(groups[0], "eth0")).unwrap()));
        b.link_up("eth0");
        wait_until_joined(&b, &mut listener, "eth0");
        send(&a, &on(groups[0], "eth0"), "left");
        send(&a, &on(groups[1], "eth0"), "end");
        assert_eq!(receive_until(&b, &mut listener, "end"), [""; 0]);
    }
}
