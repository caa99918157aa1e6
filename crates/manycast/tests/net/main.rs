//! What the library promises, proved on the real kernel.
//!
//! A test whose name begins with `row_` proves that row of `docs/behaviours.md`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failure ends the test either way")]

mod asynchronous;
mod connected;
mod devices;
mod driver;
mod egress;

mod errors;
mod fair;
mod follow;
mod heal;
mod hostile;
mod isolation;
mod limits;
mod options;
mod room;
mod services;
mod sharing;
mod ssm;
mod unicast;

use std::time::{Duration, Instant};

use manycast::{Datagram, Event, Listener, Membership, Sender, SenderConfig, Sent, Socket};
use manycast_lab::netns::{self, Host, Lab};

/// How long anything may take before it counts as failed: half of what a test may, as a machine that
/// is slow is no failure.
const PATIENCE: Duration = Duration::from_secs(60);

const PORT: u16 = 5000;

/// Two groups of each version of IP.
const GROUPS: [[&str; 2]; 2] = [["239.1.2.3", "239.1.2.4"], ["ff15::1234", "ff15::1235"]];

netns::tests!(
    asynchronous::row_63_names_are_looked_up_beside_the_event_loop,
    asynchronous::a_listener_on_a_runtime_hears_its_group_alone_and_heals,
    asynchronous::row_65_a_refusal_on_a_runtime_is_not_fatal,
    asynchronous::a_driver_on_a_runtime_answers_until_it_is_dropped,
    asynchronous::a_full_send_buffer_does_not_hold_the_runtime,
    asynchronous::the_rest_of_a_transmit_does_not_hold_the_runtime,
    asynchronous::a_half_that_sends_waits_for_room_beside_one_that_receives,
    asynchronous::an_answer_waits_for_the_room_of_its_own_socket,
    asynchronous::a_host_that_refuses_does_not_hold_the_runtime,
    asynchronous::waits_on_a_runtime_and_others_may_alternate_where_a_watch_runs,
    connected::with_a_peer_nobody_is_heard_by_the_other_version,
    connected::what_came_before_another_peer_is_not_received,
    connected::another_peer_is_sent_to_from_another_address,
    connected::a_link_local_peer_is_sent_to_by_a_device_that_was_recreated,
    connected::a_connected_socket_keeps_its_address_beside_a_group,
    connected::another_peer_that_cannot_be_had_changes_nothing,
    connected::another_peer_is_had_also_where_a_group_cannot_be_joined_again,
    connected::many_other_peers_leave_no_sockets_behind,
    connected::what_a_peer_had_sent_outlasts_reconnecting,
    connected::another_peer_is_had_by_the_interface_that_the_socket_keeps_to,
    connected::a_peer_that_is_a_group_is_sent_to_by_another_interface_unless_one_was_chosen,
    connected::a_group_is_heard_beside_another_peer,
    connected::a_refusal_by_another_is_not_told_as_the_peers,
    devices::a_device_is_found_on_every_interface_and_says_goodbye,
    devices::a_device_is_found_again_on_an_interface_that_was_recreated,
    devices::a_client_finds_devices_again_on_an_interface_that_was_recreated,
    devices::ssdp_minissdpd_hears_and_searches_and_answers,
    devices::a_device_is_asked_at_its_search_port_where_another_program_has_port_1900,
    devices::ssdp_gssdp_finds_us_and_is_found,
    devices::ssdp_minidlna_is_found_and_says_goodbye,
    devices::ssdp_async_upnp_client_finds_us,
    services::a_service_is_found_on_every_interface_and_says_goodbye,
    services::ws_discovery_wsdd_is_found_and_says_goodbye,
    services::ws_discovery_wsdd_finds_us_and_hears_goodbye,
    services::ws_discovery_python_is_found_and_says_goodbye,
    services::ws_discovery_python_finds_us,
    driver::row_61_a_protocol_is_called_for_each_datagram,
    driver::row_62_hooks_run_once_each_whatever_the_end,
    driver::row_62_hooks_run_once_each_when_the_machine_fails,
    driver::what_cannot_be_sent_is_counted,
    driver::another_protocol_goes_on_with_the_sockets_of_one,
    driver::row_33_a_listener_by_interface_name_is_an_iterator,
    driver::row_38_a_socket_stands_in_another_programs_poll,
    driver::a_group_that_was_left_wakes_no_other_programs_poll,
    egress::row_22_listening_joins_on_every_interface_unless_one_is_named,
    egress::row_15_listening_needs_no_route_and_tells_where_it_joined,
    egress::row_48_sending_needs_no_route_and_tells_its_way,
    egress::row_49_a_route_decides_where_no_interface_is_named,
    egress::row_17_an_interface_is_chosen_by_name_index_or_address_alike,
    egress::a_further_name_of_an_interface_chooses_it,
    egress::row_51_the_interface_of_a_sender_and_of_a_socket_can_change,
    egress::a_sender_finds_an_interface_that_was_recreated,
    egress::hop_limit_1_stays_on_its_link_and_2_crosses_a_router,
    egress::a_connected_socket_leaves_by_the_interface_that_its_peer_names,
    egress::a_link_local_host_needs_its_link_where_there_are_several,
    egress::a_socket_with_a_chosen_interface_sends_by_no_other,
    egress::where_nothing_is_up_the_errors_say_so,
    egress::the_last_address_of_a_network_is_a_broadcast_also_where_none_was_set,
    errors::enodev,
    errors::enetdown,
    errors::enetunreach,
    errors::enobufs,
    errors::enomem,
    errors::eaddrinuse,
    errors::eaddrnotavail,
    errors::row_36_a_port_that_needs_a_privilege,
    errors::eperm,
    errors::emsgsize,
    errors::einval,
    errors::ehostunreach,
    errors::emfile,
    errors::names_that_cannot_be_resolved,
    fair::a_stop_ends_a_protocol_that_sends_at_full_speed,
    fair::a_command_is_run_while_a_protocol_sends_at_full_speed,
    fair::a_deadline_is_told_while_a_protocol_sends_at_full_speed,
    fair::a_stop_ends_a_protocol_whose_deadline_is_always_over,
    fair::a_command_ends_a_wait_for_ever,
    fair::a_time_out_ends_while_a_protocol_sends_at_full_speed,
    fair::what_comes_is_taken_in_while_a_protocol_sends_at_full_speed,
    fair::a_protocol_has_two_hundred_sockets_of_its_own,
    fair::a_protocol_answers_ten_thousand_peers_on_one_socket,
    fair::an_answer_leaves_by_the_socket_that_was_asked,
    fair::what_listens_on_loopback_sends_by_loopback,
    fair::a_group_on_two_named_interfaces_needs_one_to_send_by,
    follow::what_waited_before_the_interface_went_down_is_delivered,
    follow::a_socket_by_name_follows_its_device,
    follow::a_connected_socket_by_name_follows_its_device,
    follow::a_half_that_sends_follows_what_the_other_half_sees,
    follow::a_sender_follows_its_address,
    follow::a_sender_that_is_answered_has_one_socket,
    follow::a_connected_socket_tells_that_its_address_is_gone,
    follow::a_sender_waits_for_its_interface_and_takes_no_other,
    follow::a_sender_leaves_by_the_interface_of_its_address,
    follow::a_call_that_joins_keeps_what_was_not_read,
    follow::what_came_by_a_group_is_kept_where_its_sources_change,
    follow::a_socket_of_a_group_that_was_left_is_closed,
    follow::the_interface_of_groups_is_followed_to_another_index,
    heal::a_device_that_is_deleted_and_recreated_is_heard_again_within_2_s,
    heal::a_device_that_is_recreated_under_its_index_is_heard_again,
    heal::a_link_that_goes_down_and_up_is_heard_again,
    heal::a_cable_that_is_pulled_and_plugged_keeps_the_membership,
    heal::an_interface_that_appears_later_is_joined,
    heal::listening_begins_before_the_first_interface_is_there,
    heal::sources_are_the_same_after_healing,
    heal::a_group_that_was_left_stays_left_after_healing,
    heal::a_group_that_was_left_while_its_interface_was_down_stays_left,
    heal::an_address_that_moves_takes_the_membership_along,
    heal::a_device_under_another_name_is_told_by_it,
    heal::ipv6_that_is_switched_off_and_on_is_heard_again,
    heal::healing_outlives_lost_messages,
    heal::healing_is_tried_again_after_a_failure,
    heal::lost_messages_are_not_forgotten_after_a_failure,
    heal::a_driver_and_a_socket_heal,
    hostile::a_flood_of_refusals_fails_nothing,
    hostile::row_65_a_connected_socket_outlives_many_refusals,
    hostile::row_09_an_empty_datagram_stops_nothing,
    hostile::forged_icmp_messages_fail_nothing,
    hostile::whatever_reason_a_firewall_gives_fails_nothing,
    isolation::row_34_two_groups_on_one_port_do_not_mix,
    isolation::row_25_the_same_group_on_another_interface_does_not_leak_in,
    isolation::row_24_memberships_of_other_programs_deliver_nothing,
    isolation::row_26_a_socket_on_any_address_receives_its_groups_and_unicast_alone,
    isolation::row_23_several_groups_come_labelled_by_group,
    isolation::what_is_not_wanted_hides_nothing_that_is,
    isolation::other_ports_and_unicast_stay_out_of_a_group,
    isolation::the_kernel_itself_keeps_other_groups_out,
    limits::row_31_datagrams_of_any_size_come_whole,
    limits::row_13_one_message_is_one_datagram_or_an_error_that_names_the_limit,
    limits::sixty_four_groups_on_one_listener,
    limits::a_group_on_more_interfaces_than_a_socket_may_join,
    limits::a_limit_of_the_administrator_is_no_limit_of_the_listener,
    limits::row_12_what_a_slow_handler_loses_is_counted,
    limits::a_receive_buffer_that_was_capped_says_so,
    options::row_70_joining_and_leaving_are_idempotent_and_seen_at_once,
    options::row_19_every_end_leaves_the_group_and_frees_the_port,
    options::row_69_the_own_copy_is_a_switch_of_the_sender,
    options::row_71_options_are_read_back_and_true_on_the_wire,
    options::a_transmit_has_a_code_point_and_stays_whole,
    options::row_47_a_hop_limit_of_0_stays_on_the_host_of_a_member,
    options::row_59_interfaces_tell_what_multicast_needs,
    options::row_50_allmulti_is_not_joining,
    room::a_full_send_buffer_keeps_nobody_waiting,
    room::what_comes_while_a_send_buffer_is_full_is_answered,
    room::a_driver_does_not_wait_for_the_rest_of_a_transmit,
    room::a_call_that_never_waits_tells_what_went_of_a_transmit,
    room::a_socket_is_closed_once_all_is_sent,
    room::a_sender_waits_for_room_as_long_as_it_wants,
    sharing::row_30_four_listeners_on_one_host_each_get_each_datagram,
    sharing::row_40_port_5353_is_shared_with_programs_of_either_habit,
    sharing::unicast_sockets_do_not_share_a_port_unless_asked,
    sharing::a_disconnected_socket_does_not_share_its_port,
    ssm::a_source_is_delivered_and_nothing_else,
    ssm::a_source_is_delivered_from_every_interface_where_none_is_named,
    ssm::blocked_sources_stay_out,
    ssm::listeners_of_different_sources_share_a_group,
    ssm::one_listener_takes_different_sources_on_different_interfaces,
    ssm::the_sources_of_a_group_that_is_named_twice_add_up,
    ssm::more_sources_than_a_socket_may_have,
    ssm::a_source_passes_a_snooping_switch,
    unicast::an_address_that_is_tentative_is_waited_for,
    unicast::an_address_that_another_host_has_is_not_waited_for,
    unicast::row_01_a_datagram_is_sent_with_its_way_told,
    unicast::row_09_a_server_answers_from_the_address_that_was_asked,
    unicast::row_10_answers_of_others_than_the_asked_are_ignored,
    unicast::row_10_a_lost_answer_is_no_hang_and_retries_ask_again,
    unicast::a_question_that_is_not_sent_is_an_error,
    unicast::row_64_third_parties_are_not_received_on_a_connected_socket,
    unicast::row_64_a_socket_connected_to_a_group_does_not_hear_its_members,
    unicast::row_65_a_refusal_is_an_event_within_a_second_and_the_next_write_works,
    unicast::row_65_a_refusal_is_one_error_of_recv_and_none_of_send,
    unicast::row_09_a_client_that_went_away_is_no_error_of_the_server,
    unicast::row_66_reconnect_and_disconnect_keep_the_port,
    unicast::row_67_port_0_is_any_free_port_and_told,
    unicast::row_68_a_question_to_a_group_is_answered_by_unicast,
    unicast::row_43_ask_gathers_the_answers_of_all_members,
    unicast::row_35_broadcasts_reach_the_link,
    unicast::a_router_that_knows_no_way_is_an_event,
    unicast::a_link_local_address_answers_who_asks_from_a_global_one,
    unicast::a_sender_keeps_its_source_address,
);

/// Hosts with three interfaces each, `eth0` to `eth2`, on three switches, and with no default
/// route. On `ethI` host number H (from 1) has the addresses 10.0.I.H and fd0I::H.
fn hosts<const N: usize>(lab: &Lab, names: [&str; N]) -> [Host; N] {
    let switches = ["sw0", "sw1", "sw2"].map(|name| lab.switch(name));
    let mut number = 0;
    names.map(|name| {
        number += 1;
        let host = lab.host(name);
        for (i, switch) in switches.iter().enumerate() {
            let addresses = [
                format!("10.0.{i}.{number}/24"),
                format!("fd0{i}::{number}/64"),
            ];
            host.connect(switch, &format!("eth{i}"), &[&addresses[0], &addresses[1]]);
        }
        host
    })
}

/// `HOST:PORT`, with brackets where they are needed.
fn at(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// `GROUP%INTERFACE:PORT`, on the port that most tests use.
fn on(group: &str, interface: &str) -> String {
    at(&format!("{group}%{interface}"), PORT)
}

fn listen(host: &Host, address: &str) -> Listener {
    host.run(|| manycast::listen(address).unwrap())
}

fn send(host: &Host, address: &str, payload: &str) -> Sent {
    host.run(|| manycast::send(address, payload).unwrap())
}

fn sender(host: &Host, address: &str) -> Sender {
    host.run(|| Sender::new(address).unwrap())
}

/// A sender from a local address.
fn sender_from(host: &Host, address: &str, from: &str) -> Sender {
    let config = SenderConfig::default().from(at(from, 0)).unwrap();
    host.run(|| Sender::open(address, config).unwrap())
}

fn bind(host: &Host, address: &str) -> Socket {
    host.run(|| Socket::bind(address).unwrap())
}

/// What receives datagrams and tells of events.
trait Receiver: Send {
    fn datagram(&mut self) -> Option<Datagram>;
    fn event(&mut self, timeout: Duration) -> Option<Event<'_>>;
}

impl Receiver for Listener {
    fn datagram(&mut self) -> Option<Datagram> {
        let received = self.recv_timeout(PATIENCE).unwrap();
        received.map(|received| received.to_datagram())
    }

    fn event(&mut self, timeout: Duration) -> Option<Event<'_>> {
        self.next_event(Some(timeout)).unwrap()
    }
}

impl Receiver for Socket {
    fn datagram(&mut self) -> Option<Datagram> {
        let received = self.recv_timeout(PATIENCE).unwrap();
        received.map(|received| received.to_datagram())
    }

    fn event(&mut self, timeout: Duration) -> Option<Event<'_>> {
        self.next_event(Some(timeout)).unwrap()
    }
}

/// The next datagram. Memberships heal in the namespace of the calling thread, so it waits on the
/// host.
#[track_caller]
fn receive(host: &Host, receiver: &mut impl Receiver) -> Datagram {
    let datagram = host.run(|| receiver.datagram());
    datagram.expect("a datagram should have come")
}

/// The payloads of all datagrams before `end`, which is sent last.
#[track_caller]
fn receive_until(host: &Host, receiver: &mut impl Receiver, end: &str) -> Vec<String> {
    let payloads = std::iter::repeat_with(|| text(&receive(host, receiver)));
    payloads.take_while(|payload| payload != end).collect()
}

fn text(datagram: &Datagram) -> String {
    String::from_utf8_lossy(&datagram.payload).into_owned()
}

/// The names of the interfaces on which something is joined, in order.
fn interfaces_of(listener: &Listener) -> Vec<String> {
    let names = listener
        .memberships()
        .map(|joined| joined.interface.name.to_string());
    names.collect()
}

/// Waits for the first event that `wanted` takes.
#[track_caller]
fn wait_for<T: Send>(
    host: &Host,
    receiver: &mut impl Receiver,
    mut wanted: impl FnMut(Event<'_>) -> Option<T> + Send,
) -> T {
    let found = host.run(|| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            if let Some(found) = receiver.event(left).and_then(&mut wanted) {
                return Some(found);
            }
        }
    });
    found.expect("the event should have come")
}

/// Waits until a group is joined on an interface, because it came or came back.
#[track_caller]
fn wait_until_joined(host: &Host, receiver: &mut impl Receiver, interface: &str) -> Membership {
    wait_for(host, receiver, |event| match event {
        Event::Joined(membership) if *membership.interface.name == *interface => Some(membership),
        _ => None,
    })
}

/// Waits until a group is left on an interface, because it went away.
#[track_caller]
fn wait_until_left(host: &Host, receiver: &mut impl Receiver, interface: &str) -> Membership {
    wait_for(host, receiver, |event| match event {
        Event::Left(membership) if *membership.interface.name == *interface => Some(membership),
        _ => None,
    })
}
