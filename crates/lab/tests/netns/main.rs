//! What a lab promises, proved on the real kernel.
#![allow(clippy::unwrap_used, reason = "a failure ends the test either way")]

mod faults;
mod hosts;
mod nats;
mod processes;
mod routers;
mod switches;
mod wires;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use manycast_lab::netns::{self, Host, Lab, Switch};
use socket2::{Domain, InterfaceIndexOrAddress, Socket, Type};

const PORT: u16 = 5000;
const GROUP_4: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 1, 2, 3));
const GROUP_6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x1234));

netns::tests!(
    faults::a_deleted_device_comes_back_with_another_index,
    faults::a_dropped_datagram_is_counted_at_its_hook,
    faults::a_limit_passes_a_burst_then_queues_then_drops,
    faults::a_link_that_was_down_works_again_with_all_addresses,
    faults::a_narrow_link_delays,
    faults::a_small_mtu_fragments,
    faults::a_pulled_cable_takes_the_carrier_only,
    faults::duplicates_come_exactly_as_asked,
    faults::losses_are_about_as_many_as_asked,
    faults::losses_strike_exactly_every_nth,
    hosts::a_closure_runs_in_the_namespace_of_its_host,
    hosts::a_host_has_several_interfaces_of_use_at_once,
    hosts::a_panic_on_a_host_is_a_panic_of_the_test,
    hosts::a_sysctl_is_of_one_host_alone,
    hosts::a_failed_command_tells_its_line_and_its_complaint,
    hosts::hosts_vanish_when_dropped,
    hosts::labs_side_by_side_do_not_clash,
    hosts::multicast_has_no_route_until_one_is_added,
    nats::a_full_cone_lets_anybody_in,
    nats::a_port_restricted_cone_lets_in_the_ports_that_were_sent_to,
    nats::a_restricted_cone_lets_in_the_hosts_that_were_sent_to,
    nats::a_symmetric_nat_maps_for_each_that_is_sent_to,
    processes::a_line_is_found_once,
    processes::a_missing_line_shows_what_was_printed,
    processes::a_wait_in_vain_is_told_of_before_the_test_is_killed,
    processes::a_process_ends_at_an_interrupt,
    processes::a_process_is_killed_on_drop,
    processes::what_a_test_leaves_behind_ends_with_it,
    processes::ncat_and_socat_talk_across_a_switch,
    routers::a_group_crosses_switches_that_snoop,
    routers::hop_limit_1_stays_and_2_crosses,
    routers::only_named_groups_cross,
    routers::unicast_crosses,
    switches::a_switch_without_snooping_floods,
    switches::snooping_ends_when_the_group_is_left,
    switches::snooping_with_a_querier_prunes,
    switches::snooping_without_a_querier_floods,
    switches::the_version_of_the_querier_is_that_of_its_hosts,
    switches::large_frames_cross,
    wires::a_device_on_a_wire_comes_back,
    wires::a_rate_fills_the_queue_and_drops_the_rest,
    wires::a_wire_delays_and_is_never_early,
    wires::jitter_changes_no_order_and_reordering_does,
    wires::losses_and_doubles_are_as_counted,
);

/// Hosts `a`, `b`, `c` … on a switch, with the addresses 10.0.0.N and fd00::N.
fn hosts_on<const N: usize>(lab: &Lab, switch: &Switch, names: [&str; N]) -> [Host; N] {
    let mut number = 0;
    names.map(|name| {
        number += 1;
        let host = lab.host(name);
        let addresses = [format!("10.0.0.{number}/24"), format!("fd00::{number}/64")];
        host.connect(switch, "eth0", &[&addresses[0], &addresses[1]]);
        host
    })
}

/// A socket that has joined a group on one interface.
fn member(host: &Host, group: IpAddr, device: &str) -> UdpSocket {
    let index = host.interface_index(device);
    let socket = host.run(|| match group {
        IpAddr::V4(group) => {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
            socket
                .bind(&SocketAddr::from((group, PORT)).into())
                .unwrap();
            socket
                .join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))
                .unwrap();
            socket
        }
        IpAddr::V6(group) => {
            let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).unwrap();
            socket
                .bind(&SocketAddr::from((group, PORT)).into())
                .unwrap();
            socket.join_multicast_v6(&group, index).unwrap();
            socket
        }
    });
    patient(socket)
}

/// A socket that sends to groups by one interface, with this hop limit.
fn sender(host: &Host, family: IpAddr, device: &str, hops: u32) -> UdpSocket {
    let index = host.interface_index(device);
    let socket = host.run(|| {
        if family.is_ipv4() {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
            socket
                .set_multicast_if_v4(&first_ipv4(host, device))
                .unwrap();
            socket.set_multicast_ttl_v4(hops).unwrap();
            socket
        } else {
            let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).unwrap();
            socket.set_multicast_if_v6(index).unwrap();
            socket.set_multicast_hops_v6(hops).unwrap();
            socket
        }
    });
    socket.into()
}

/// A socket on the port, on any address of the family.
fn listener(host: &Host, any: &str) -> UdpSocket {
    let address = SocketAddr::new(any.parse().unwrap(), PORT);
    let socket = host.run(|| UdpSocket::bind(address).unwrap());
    patient(socket.into())
}

/// Sends one datagram from a new socket on the host.
fn send(host: &Host, payload: &str, to: &str) -> io::Result<()> {
    let to: SocketAddr = to.parse().unwrap();
    let any: IpAddr = if to.is_ipv4() { "0.0.0.0" } else { "::" }.parse().unwrap();
    host.run(|| {
        UdpSocket::bind((any, 0))?
            .send_to(payload.as_bytes(), to)
            .map(drop)
    })
}

/// The next datagram's payload, as text.
fn receive(socket: &UdpSocket) -> String {
    let mut buffer = [0; 65536];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// All payloads before `end`, which is sent last.
fn receive_until(socket: &UdpSocket, end: &str) -> Vec<String> {
    std::iter::repeat_with(|| receive(socket))
        .take_while(|payload| payload != end)
        .collect()
}

fn first_ipv4(host: &Host, device: &str) -> Ipv4Addr {
    let line = host.output(&format!("ip -oneline -4 address show dev {device}"));
    line.split_whitespace()
        .find_map(|word| word.split_once('/')?.0.parse().ok())
        .unwrap()
}

/// A lost datagram ends a test rather than keeping it for ever.
fn patient(socket: Socket) -> UdpSocket {
    socket.set_read_timeout(Some(netns::patience())).unwrap();
    socket.into()
}
