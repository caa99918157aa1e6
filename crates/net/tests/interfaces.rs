//! Interfaces, routes, joined groups and changes as the real kernel tells them.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

use std::ffi::OsStr;
use std::io::Write;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use manycast_lab::netns::{self, Host, Lab, Snooping, wait_until};
use manycast_net::{
    Change, ErrorKind, Interface, InterfaceAddress, JoinedGroup, JoinedSource, PacketSocket,
    PacketType, Poller, Route, Socket, SocketConfig, Watch, find_interface, interfaces,
    joined_groups, route_to,
};
use manycast_types::SourceFilter;

/// A host with `eth0` on a switch, and no default route.
fn host_on_a_switch(lab: &Lab) -> Host {
    let switch = lab.switch("sw");
    let host = lab.host("a");
    host.connect(&switch, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    host
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The interface that a text chooses on a host.
fn find(host: &Host, selector: &str) -> Interface {
    host.run(|| find_interface(&selector.parse().unwrap()))
        .unwrap()
}

fn interfaces_come_in_the_order_of_their_index_with_their_kind() {
    let lab = Lab::new();
    let host = host_on_a_switch(&lab);
    host.output("ip link add link eth0 name mac0 index 77 type macvlan");
    host.output("ip link add br0 index 66 type bridge");

    let listed = host.run(interfaces).unwrap();
    let kinds: Vec<_> = listed.iter().map(|i| (&*i.name, i.kind.as_str())).collect();
    let br0 = ("br0", "bridge");
    // The index of eth0 is the lab's to choose.
    assert_eq!(kinds[0], ("lo", "loopback"));
    assert!(kinds.contains(&("eth0", "veth")), "{kinds:?}");
    assert!(
        kinds.contains(&br0) && kinds.contains(&("mac0", "macvlan")),
        "{kinds:?}"
    );
    assert!(listed.is_sorted_by_key(|i| i.index), "{kinds:?}");
    assert_eq!(find(&host, "br0").index, 66);
    assert_eq!(find(&host, "eth0").index, host.interface_index("eth0"));
}

fn the_state_of_an_interface_is_told() {
    let lab = Lab::new();
    let host = host_on_a_switch(&lab);
    let lo = find(&host, "lo");
    assert!(
        lo.up && lo.loopback && !lo.multicast && lo.can_multicast(),
        "{lo:?}"
    );
    assert_eq!((lo.mtu, lo.mac), (65536, None));

    host.set_mtu("eth0", 1400);
    let eth0 = find(&host, "eth0");
    assert!(
        eth0.up && eth0.running && eth0.multicast && eth0.broadcast,
        "{eth0:?}"
    );
    assert!(!eth0.loopback && !eth0.point_to_point, "{eth0:?}");
    assert!(!eth0.all_multicast && !eth0.promiscuous, "{eth0:?}");
    assert_eq!(eth0.mtu, 1400);
    let mac = eth0.mac.unwrap().to_string();
    assert!(host.output("ip link show dev eth0").contains(&mac), "{mac}");

    host.unplug("eth0");
    let unplugged = find(&host, "eth0");
    assert!(unplugged.up && !unplugged.running && unplugged.can_multicast());

    host.output("ip link set eth0 multicast off");
    assert!(!find(&host, "eth0").can_multicast());
    host.output("ip link set eth0 multicast on allmulticast on");
    let eth0 = find(&host, "eth0");
    assert!(
        eth0.can_multicast() && eth0.all_multicast && !eth0.promiscuous,
        "{eth0:?}"
    );

    host.output("ip link set eth0 down");
    let down = find(&host, "eth0");
    assert!(
        !down.up && down.multicast && !down.can_multicast(),
        "{down:?}"
    );
}

fn an_interface_that_takes_in_everything_is_promiscuous_whoever_asked_for_it() {
    let lab = Lab::new();
    let host = host_on_a_switch(&lab);
    host.output("ip link add br0 type bridge");
    host.output("ip link set eth0 master br0");
    // The administrator did not switch it on, so the flag is not there.
    assert!(!host.output("ip link show dev eth0").contains("PROMISC"));
    assert!(find(&host, "eth0").promiscuous);
}

fn addresses_are_the_own_ones_with_prefix_and_broadcast() {
    let lab = Lab::new();
    let host = host_on_a_switch(&lab);
    let link_local = IpAddr::from(host.link_local("eth0"));
    host.output("ip address add 10.9.0.1 peer 10.9.0.2 dev eth0");
    host.output("ip address add 10.8.0.1/16 brd 10.8.255.254 dev eth0");
    // An interface that is unplugged cannot be asked whether somebody has the address.
    host.sysctl("net.ipv6.conf.eth0.accept_dad", "1");
    host.unplug("eth0");
    host.output("ip address add fd00::9/64 dev eth0");

    let addresses = find(&host, "eth0").addresses;
    let address = |text: &str, prefix| InterfaceAddress::new(ip(text), prefix);
    let mut with_broadcast = address("10.8.0.1", 16);
    with_broadcast.broadcast = Some([10, 8, 255, 254].into());
    let mut tentative = address("fd00::9", 64);
    tentative.tentative = true;
    let expected = [
        address("10.9.0.1", 32),
        with_broadcast,
        address("fd00::1", 64),
        address(&link_local.to_string(), 64),
        tentative,
    ];
    for wanted in expected {
        assert!(
            addresses.contains(&wanted),
            "{wanted:?} is not in {addresses:#?}"
        );
    }
    // The first is that of the lab, to which `ip` may add a broadcast address.
    assert_eq!(
        (addresses[0].address, addresses[0].prefix),
        (ip("10.0.0.1"), 24)
    );
    assert_eq!(addresses.len(), expected.len() + 1, "{addresses:#?}");
    assert!(
        addresses.is_sorted_by_key(|own| own.address.is_ipv6()),
        "{addresses:#?}"
    );
}

fn an_interface_is_found_by_any_of_its_names_and_addresses() {
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let host = lab.host("a");
    host.connect(&switch, "eth0", &["10.0.0.1/24", "fd00::1/64"]);
    host.connect(&switch, "eth1", &["10.1.0.1/24", "fd01::1/64"]);
    host.output("ip link property add dev eth1 altname enx-of-the-second-adapter");
    host.output("ip address add 10.7.7.7/32 dev eth0");
    host.output("ip address add 10.7.7.7/32 dev eth1");
    let eth1 = find(&host, "eth1");

    for selector in [
        "enx-of-the-second-adapter",
        "10.1.0.1",
        "fd01::1",
        &eth1.index.to_string(),
    ] {
        assert_eq!(find(&host, selector), eth1, "{selector}");
    }
    let error = |text: &str| {
        host.run(|| find_interface(&text.parse().unwrap()))
            .unwrap_err()
    };
    let missing = error("eth7");
    assert_eq!(missing.kind(), ErrorKind::NoInterface);
    assert_eq!(
        missing.to_string(),
        "cannot find interface eth7: there is no such interface; there are lo, eth0, eth1"
    );
    assert_eq!(error("10.9.9.9").kind(), ErrorKind::NoInterface);
    assert!(
        error("10.7.7.7")
            .to_string()
            .contains("eth0, eth1 have this address")
    );

    host.delete_device("eth1");
    assert_eq!(
        error(&eth1.index.to_string()).kind(),
        ErrorKind::NoInterface
    );
}

fn a_group_has_a_way_by_interface_and_none_without_a_route() {
    let lab = Lab::new();
    let host = host_on_a_switch(&lab);
    let eth0 = host.interface_index("eth0");
    let route = |to: &str, interface| host.run(|| route_to(ip(to), interface)).unwrap();

    assert_eq!(route("239.1.1.1", None), None);
    assert_eq!(route("192.0.2.1", None), None);
    assert_eq!(route("2001:db8::1", None), None);
    let by_eth0 = |source: &str| Some((eth0, Some(ip(source)), None));
    let parts = |to: &str, interface| route(to, interface).map(parts);
    assert_eq!(parts("239.1.1.1", Some(eth0)), by_eth0("10.0.0.1"));
    assert_eq!(parts("ff15::1", Some(eth0)), by_eth0("fd00::1"));
    assert_eq!(parts("10.0.0.2", None), by_eth0("10.0.0.1"));
    assert_eq!(parts("::ffff:10.0.0.2", None), by_eth0("10.0.0.1"));
    assert_eq!(parts("fd00::2", None), by_eth0("fd00::1"));
    assert_eq!(
        route("127.0.0.1", None).map(|route| route.interface),
        Some(1)
    );

    host.output("ip link set eth0 down");
    assert_eq!(route("239.1.1.1", Some(eth0)), None);
    assert_eq!(route("ff15::1", Some(eth0)), None);
}

fn a_way_beyond_the_link_leads_by_its_gateway() {
    let lab = Lab::new();
    let host = host_on_a_switch(&lab);
    let eth0 = host.interface_index("eth0");
    for line in [
        "default via 10.0.0.254",
        "default via fd00::fe",
        "unreachable 198.51.100.0/26",
        "prohibit 198.51.100.64/26",
        "blackhole 198.51.100.128/26",
        "throw 203.0.113.0/24 table 254",
        "unreachable 2001:db8:1::/64",
        "prohibit 2001:db8:2::/64",
        "blackhole 2001:db8:3::/64",
    ] {
        host.add_route(line);
    }
    host.output("ip route add 203.0.113.0/25 via inet6 fe80::99 dev eth0");
    let route = |to: &str| host.run(|| route_to(ip(to), None)).unwrap();
    let by = |source: &str, gateway: &str| Some((eth0, Some(ip(source)), Some(ip(gateway))));
    let parts = |to: &str| route(to).map(parts);
    assert_eq!(parts("192.0.2.1"), by("10.0.0.1", "10.0.0.254"));
    assert_eq!(parts("2001:db8::1"), by("fd00::1", "fd00::fe"));
    assert_eq!(parts("203.0.113.1"), by("10.0.0.1", "fe80::99"));
    // A default route is what makes groups reachable on most hosts. No gateway is asked for them.
    assert_eq!(route("239.1.1.1").map(|route| route.interface), Some(eth0));
    for nowhere in [
        "198.51.100.1",
        "198.51.100.65",
        "198.51.100.129",
        "203.0.113.129",
        "2001:db8:1::1",
        "2001:db8:2::1",
        "2001:db8:3::1",
    ] {
        assert_eq!(route(nowhere), None, "{nowhere}");
    }
}

fn parts(route: Route) -> (u32, Option<IpAddr>, Option<IpAddr>) {
    (route.interface, route.source, route.gateway)
}

fn an_interface_that_is_gone_is_an_error_and_not_a_missing_route() {
    let lab = Lab::new();
    let host = host_on_a_switch(&lab);
    let error = host
        .run(|| route_to(ip("239.1.1.1"), Some(4711)))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoInterface, "{error}");
    let error = error.to_string();
    assert!(
        error.starts_with("cannot find the route to 239.1.1.1 by interface 4711: there is no such"),
        "{error}"
    );
}

/// Waits for changes until all of these were told, and gives all that were.
fn drain_until(watch: &mut Watch, wanted: &[Change]) -> Vec<Change> {
    let poller = Poller::new().unwrap();
    poller.add(&*watch, 0).unwrap();
    let deadline = Instant::now() + netns::patience();
    let (mut seen, mut ready) = (Vec::new(), Vec::new());
    while !wanted.iter().all(|change| seen.contains(change)) {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(
            !left.is_zero(),
            "waited in vain for {wanted:?}, and saw {seen:?}"
        );
        poller.wait(&mut ready, Some(left)).unwrap();
        seen.extend(watch.drain().unwrap());
    }
    seen
}

fn a_watch_tells_of_each_change_and_of_nothing_else() {
    let lab = Lab::new();
    let host = lab.host("a");
    let mut watch = host.run(Watch::open).unwrap();
    assert_eq!(watch.drain().unwrap(), []);

    // A bridge with no ports never gets a link, so the kernel does nothing to it by itself.
    host.output("ip link add br0 index 50 type bridge");
    assert_eq!(
        drain_until(&mut watch, &[Change::Changed(50)]),
        [Change::Changed(50)]
    );
    for line in [
        "ip link set br0 up",
        "ip link set br0 down",
        "ip link set br0 name br1",
        "ip link set br1 mtu 1400",
        "ip address add 10.0.0.1/24 dev br1",
        "ip address del 10.0.0.1/24 dev br1",
        "ip -6 address add fd00::1/64 dev br1",
        "ip -6 address del fd00::1/64 dev br1",
    ] {
        host.output(line);
        let told = drain_until(&mut watch, &[Change::Changed(50)]);
        assert!(
            told.iter().all(|change| *change == Change::Changed(50)),
            "{line}: {told:?}"
        );
        // What follows from it, such as multicast routes, must not be told in the next round.
        watch.drain().unwrap();
    }
    host.output("ip link del br1");
    drain_until(&mut watch, &[Change::Removed(50)]);

    host.output("ip route add 10.5.0.0/16 dev lo");
    assert_eq!(watch.drain().unwrap(), []);
}

fn a_pulled_cable_is_a_change() {
    let lab = Lab::new();
    let host = host_on_a_switch(&lab);
    let eth0 = host.interface_index("eth0");
    let mut watch = host.run(Watch::open).unwrap();
    host.unplug("eth0");
    drain_until(&mut watch, &[Change::Changed(eth0)]);
    assert!(!find(&host, "eth0").running);
}

fn a_device_that_is_recreated_is_removed_first() {
    let lab = Lab::new();
    let host = host_on_a_switch(&lab);
    let old = host.interface_index("eth0");
    let mut watch = host.run(Watch::open).unwrap();
    host.delete_device("eth0");
    host.recreate_device("eth0");
    let new = host.interface_index("eth0");
    let told = drain_until(&mut watch, &[Change::Removed(old), Change::Changed(new)]);
    assert!(!told.contains(&Change::Lost), "{told:?}");
}

fn a_device_that_is_recreated_under_its_index_is_removed_first() {
    let lab = Lab::new();
    let host = lab.host("a");
    host.output("ip link add br0 index 50 type bridge");
    let mut watch = host.run(Watch::open).unwrap();
    host.output("ip link del br0");
    host.output("ip link add br0 index 50 type bridge");
    assert_eq!(
        watch.drain().unwrap(),
        [Change::Removed(50), Change::Changed(50)]
    );
}

fn a_device_that_moves_to_another_host_is_removed() {
    let lab = Lab::new();
    let (host, other) = (lab.host("a"), lab.host("b"));
    host.output("ip link add e0 index 50 type veth peer name e1 index 51");
    let mut watch = host.run(Watch::open).unwrap();
    let mut rest = other.start("sleep 60");
    host.output(&format!("ip link set e0 netns {}", rest.id()));
    let told = drain_until(&mut watch, &[Change::Removed(50)]);
    assert!(!told.contains(&Change::Removed(51)), "{told:?}");
    assert!(rest.is_running());
}

fn joining_and_leaving_a_bridge_removes_nothing() {
    let lab = Lab::new();
    let host = lab.host("a");
    host.output("ip link add br0 index 50 type bridge");
    host.output("ip link add e0 index 51 type veth peer name e1 index 52");
    let mut watch = host.run(Watch::open).unwrap();
    host.output("ip link set e0 master br0");
    host.output("ip link set e0 nomaster");
    let told = drain_until(&mut watch, &[Change::Changed(51)]);
    assert!(
        !told
            .iter()
            .any(|change| matches!(change, Change::Removed(_))),
        "{told:?}"
    );
}

fn what_the_kernel_could_not_keep_is_told_as_lost() {
    let lab = Lab::new();
    let host = lab.host("a");
    let mut watch = host.run(Watch::open).unwrap();
    let mut ip = host
        .command("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = ip.stdin.take().unwrap();
    for i in 0..5000 {
        let (third, fourth) = (i / 250, i % 250);
        writeln!(stdin, "address add 10.1.{third}.{fourth}/32 dev lo").unwrap();
    }
    drop(stdin);
    assert!(ip.wait().unwrap().success());

    let told = watch.drain().unwrap();
    assert_eq!(told, [Change::Lost, Change::Changed(1)]);
    // And it goes on as before.
    assert_eq!(watch.drain().unwrap(), []);
    host.output("ip link add br0 index 50 type bridge");
    assert_eq!(watch.drain().unwrap(), [Change::Changed(50)]);
    assert_eq!(find(&host, "lo").addresses.len(), 5002);
}

/// A socket on the host that has joined `group` on `eth0`.
fn member(host: &Host, group: &str, filter: &SourceFilter) -> Socket {
    member_on(host, find(host, "eth0").index, group, filter)
}

fn member_on(host: &Host, index: u32, group: &str, filter: &SourceFilter) -> Socket {
    let any = if ip(group).is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    host.run(|| {
        let socket = Socket::bind(any.parse().unwrap(), &SocketConfig::default()).unwrap();
        socket.join(ip(group), index, filter).unwrap();
        socket
    })
}

/// What the host says of a group on `eth0`.
fn joined(host: &Host, group: &str) -> Option<JoinedGroup> {
    let groups = host.run(joined_groups).unwrap();
    groups
        .into_iter()
        .find(|joined| &*joined.interface.name == "eth0" && joined.group == ip(group))
}

fn joined_groups_are_listed_with_their_users_and_sources() {
    let lab = Lab::new();
    let (host, other) = (host_on_a_switch(&lab), lab.host("b"));
    for (group, wanted, unwanted) in [
        ("232.1.1.1", ["10.0.0.8", "10.0.0.9"], "10.0.0.7"),
        ("ff35::1", ["fd00::8", "fd00::9"], "fd00::7"),
    ] {
        let [one, two] = wanted.map(ip);
        assert_eq!(joined(&host, group), None);

        let from_one = member(&host, group, &SourceFilter::Include(vec![one]));
        let from_both = member(&host, group, &SourceFilter::Include(vec![one, two]));
        let parts = |source: &JoinedSource| (source.address, source.included, source.excluded);
        let found = joined(&host, group).unwrap();
        assert_eq!(found.interface, find(&host, "eth0").id());
        assert_eq!(found.users, 2);
        assert_eq!(found.igmp_version, ip(group).is_ipv4().then_some(3));
        let mut sources = found.sources;
        sources.sort_by_key(|source| source.address);
        let sources: Vec<_> = sources.iter().map(parts).collect();
        assert_eq!(sources, [(one, 2, 0), (two, 1, 0)]);

        drop((from_one, from_both));
        assert_eq!(joined(&host, group), None);
        let _but_one = member(&host, group, &SourceFilter::Exclude(vec![ip(unwanted)]));
        let sources = joined(&host, group).unwrap().sources;
        let sources: Vec<_> = sources.iter().map(parts).collect();
        assert_eq!(sources, [(ip(unwanted), 0, 1)]);
        let _any = member(&host, group, &SourceFilter::any());
        assert_eq!(joined(&host, group).unwrap().users, 2);
        // Each host sees its own.
        assert!(
            other
                .run(joined_groups)
                .unwrap()
                .iter()
                .all(|joined| joined.group != ip(group))
        );
    }
}

/// Where the kernel lists sources, it cuts the first of the names within a character.
fn groups_are_listed_on_interfaces_of_any_name() {
    let lab = Lab::new();
    let host = lab.host("a");
    for name in ["lan-kü".as_bytes(), "a\u{2003}b".as_bytes(), b"x\xff"] {
        let mut make = host.command("ip");
        make.args(["link", "add", "up", "name"])
            .arg(OsStr::from_bytes(name));
        assert!(make.args(["type", "bridge"]).status().unwrap().success());
    }
    let (mut others, source) = (host.run(interfaces).unwrap(), ip("10.0.0.9"));
    others.retain(|interface| !interface.loopback);
    assert_eq!(others.len(), 3);
    for interface in others {
        let filter = SourceFilter::Include(vec![source]);
        let _member = member_on(&host, interface.index, "232.1.1.1", &filter);
        let _other = member_on(&host, interface.index, "ff15::1", &SourceFilter::any());
        let mut groups = host.run(joined_groups).unwrap();
        groups.retain(|it| [ip("232.1.1.1"), ip("ff15::1")].contains(&it.group));
        let names: Vec<_> = groups.iter().map(|it| &it.interface).collect();
        assert_eq!(names, [&interface.id(); 2]);
        assert_eq!(groups[0].sources[0].address, source);
    }
}

fn an_old_querier_shows_in_the_version_of_igmp() {
    let lab = Lab::new();
    let switch = lab.switch("sw").snooping(Snooping {
        igmp_version: 2,
        ..Snooping::default()
    });
    let host = lab.host("a");
    host.connect(&switch, "eth0", &["10.0.0.1/24"]);
    let _any = member(&host, "239.1.2.3", &SourceFilter::any());
    wait_until("a query of version 2", || {
        joined(&host, "239.1.2.3").unwrap().igmp_version == Some(2)
    });
}

fn packets_are_received_of_one_interface_until_more_are_refused() {
    let lab = Lab::new();
    let host = host_on_a_switch(&lab);
    host.run(|| {
        let second = Duration::from_secs(1);
        let index = |name: &str| find_interface(&name.parse().unwrap()).unwrap().index;
        let [on_lo, on_eth0] =
            ["lo", "eth0"].map(|name| PacketSocket::open(Some(index(name))).unwrap());
        // An open port: ICMP would send the datagram back.
        let _open = UdpSocket::bind("127.0.0.1:5000").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"first", "127.0.0.1:5000").unwrap();

        let mut buffer = [0; 256];
        let mut next = |socket: &PacketSocket, timeout| {
            while let Some(packet) = socket.receive(&mut buffer, timeout).unwrap() {
                let payload = &buffer[..packet.length];
                if packet.packet_type == PacketType::Host && payload.ends_with(b"first") {
                    return Some((packet.interface, packet.protocol));
                }
            }
            None
        };
        assert_eq!(next(&on_lo, second), Some((index("lo"), 0x0800)));
        on_lo.refuse_more().unwrap();
        sender.send_to(b"first", "127.0.0.1:5000").unwrap();
        assert_eq!(next(&on_lo, Duration::ZERO), None);
        assert_eq!(next(&on_eth0, Duration::ZERO), None);
    });
    let error = host
        .run_unprivileged(|| PacketSocket::open(None))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

netns::tests!(
    packets_are_received_of_one_interface_until_more_are_refused,
    interfaces_come_in_the_order_of_their_index_with_their_kind,
    the_state_of_an_interface_is_told,
    an_interface_that_takes_in_everything_is_promiscuous_whoever_asked_for_it,
    addresses_are_the_own_ones_with_prefix_and_broadcast,
    an_interface_is_found_by_any_of_its_names_and_addresses,
    a_group_has_a_way_by_interface_and_none_without_a_route,
    a_way_beyond_the_link_leads_by_its_gateway,
    an_interface_that_is_gone_is_an_error_and_not_a_missing_route,
    a_watch_tells_of_each_change_and_of_nothing_else,
    a_pulled_cable_is_a_change,
    a_device_that_is_recreated_is_removed_first,
    a_device_that_is_recreated_under_its_index_is_removed_first,
    a_device_that_moves_to_another_host_is_removed,
    joining_and_leaving_a_bridge_removes_nothing,
    what_the_kernel_could_not_keep_is_told_as_lost,
    joined_groups_are_listed_with_their_users_and_sources,
    groups_are_listed_on_interfaces_of_any_name,
    an_old_querier_shows_in_the_version_of_igmp,
);
