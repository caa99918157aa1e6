//! Each cause that keeps datagrams away, made on the real kernel and found.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

mod addresses;
mod answers;
mod arriving;
mod far_host;
mod firewall;
mod forgotten;
mod healthy;
mod ipsec;
mod joining;
mod many_senders;
mod many_sockets;
mod meanwhile;
mod mended;
mod own_kernel;
mod own_senders;
mod programs;
mod remedies;
mod reverse_path;
mod routers;
mod rules;
mod sending;
mod serving;
mod sockets;
mod stream;
mod two_ends;
mod unicast;
mod unseen;

use std::net::IpAddr;
use std::time::Duration;

use manycast::doctor::{
    self, Code, Confidence, Examination, Mark, ProgramChoice, Report, Severity,
};
use manycast::{SenderConfig, SocketConfig};
use manycast_lab::netns::python::{
    BROADCASTS, FORGED, QUERY, QUERY_6, privileged_program, program,
};
use manycast_lab::netns::{self, Host, Lab, Rule, Switch};

use self::stream::Stream;

// Nearly all of a test is waiting for what comes within two seconds. More at once, and counters are read so
// much later than the wire that less is proved.
netns::tests!(
    at_once: 3;
    addresses::a_group_in_a_reserved_range,
    addresses::a_link_local_group_without_zone,
    addresses::a_source_specific_group_without_source,
    addresses::broadcasts_to_any_address,
    addresses::groups_that_are_not_reported,
    addresses::what_is_told_to_be_sent_can_be_sent,
    answers::a_firewall_that_follows_connections_drops_them,
    answers::a_rule_that_does_not_count_drops_them,
    answers::nobody_answers,
    answers::they_come,
    arriving::a_strict_reverse_path_filter,
    arriving::a_loose_reverse_path_filter,
    arriving::a_reverse_path_filter_for_one_source_of_two,
    arriving::a_reverse_path_filter_that_strikes_others,
    arriving::a_checksum_that_is_wrong,
    arriving::a_source_that_cannot_be,
    arriving::fragments_that_are_lost,
    arriving::fragments_that_the_host_drops,
    arriving::nothing_is_sent,
    arriving::nothing_is_sent_on_loopback,
    arriving::the_report_is_blocked_and_the_switch_prunes,
    arriving::the_queries_are_blocked,
    arriving::the_switch_forgets,
    arriving::the_wrong_port,
    arriving::the_wrong_port_which_another_program_has,
    arriving::broadcasts_to_a_port_that_nobody_has,
    firewall::a_chain_that_others_jump_to,
    firewall::a_drop_at_the_ingress_hook,
    firewall::a_drop_at_the_ingress_hook_of_one_source,
    firewall::a_drop_in_the_bridge_of_the_host,
    firewall::a_drop_at_the_input_hook,
    firewall::a_drop_at_the_input_hook_of_one_source,
    firewall::a_drop_at_the_prerouting_hook,
    firewall::a_drop_at_the_prerouting_hook_of_one_source,
    firewall::a_drop_of_another_port,
    firewall::a_drop_before_another_program,
    firewall::a_drop_of_a_part,
    firewall::a_drop_of_a_small_part,
    firewall::a_drop_of_one_source_of_two,
    firewall::a_firewall_that_knows_the_sender_by_its_address,
    firewall::a_firewall_that_lets_in_what_it_knows,
    firewall::a_policy_that_drops,
    firewall::a_rule_that_does_not_count,
    far_host::a_firewall_and_a_program_that_is_not_disturbed,
    far_host::a_firewall_at_its_input_hook,
    far_host::a_firewall_that_forbids_sending,
    far_host::a_firewall_that_strikes_one_source,
    far_host::a_firewall_whose_rule_is_named,
    far_host::a_port_that_is_not_shared,
    far_host::a_rule_that_forbids_sending_is_named,
    far_host::a_reverse_path_filter,
    far_host::a_reverse_path_filter_that_others_meet_too,
    far_host::an_interface_that_is_down,
    far_host::an_interface_without_the_flag,
    far_host::another_interface_to_send_by,
    far_host::its_warnings_are_told_where_nothing_comes,
    forgotten::a_member_before_which_queries_are_dropped,
    forgotten::a_member_that_nobody_asks,
    forgotten::a_member_whose_reports_are_dropped,
    forgotten::a_querier_that_has_stopped,
    healthy::a_healthy_host,
    healthy::a_healthy_host_that_is_busy_with_other_groups,
    healthy::nothing_is_changed,
    healthy::a_host_by_itself,
    healthy::a_host_in_a_container,
    healthy::a_host_that_drops_all_groups,
    healthy::a_host_that_has_joined_many_groups,
    healthy::a_host_that_lets_in_what_is_in_use,
    healthy::a_host_under_an_old_querier,
    healthy::a_host_without_a_link,
    healthy::a_host_without_a_route,
    ipsec::between_two_ends,
    ipsec::what_comes_in_is_refused,
    ipsec::what_goes_out_is_held_back,
    ipsec::what_is_for_a_program_is_refused,
    ipsec::what_no_policy_lets_in,
    ipsec::what_one_source_sends_is_refused,
    joining::an_interface_without_the_flag,
    joining::an_interface_that_is_down,
    joining::an_interface_that_is_down_beside_another,
    joining::an_interface_without_ipv6,
    joining::an_interface_without_carrier,
    joining::an_old_querier,
    joining::an_old_version_elsewhere,
    joining::an_old_version_by_the_host_s_own_setting,
    joining::another_interface,
    joining::another_source,
    joining::the_stream_comes_by_an_interface_without_the_flag,
    joining::two_interfaces_on_one_segment,
    joining::a_port_that_is_not_shared,
    many_senders::a_new_port_for_each_datagram,
    many_senders::many_groups_of_one_sender,
    many_senders::many_ports_of_the_same_group,
    many_sockets::one_for_each_group,
    many_sockets::one_for_each_interface,
    many_sockets::one_for_each_source,
    many_sockets::one_for_further_groups,
    meanwhile::it_is_cancelled_while_it_sends_to_itself,
    meanwhile::the_interface_goes,
    meanwhile::the_sender_stops_beside_another_member,
    meanwhile::what_it_sends_to_itself_comes_to_an_end,
    mended::a_filter_is_taken_off_a_socket,
    mended::a_group_of_its_own_is_used,
    mended::a_program_is_restarted,
    mended::a_program_keeps_up,
    mended::a_querier_is_switched_on,
    mended::a_sender_has_an_address_of_its_own,
    mended::checksums_are_computed,
    mended::frames_bear_the_address_of_the_group,
    mended::nothing_limits_the_rate,
    mended::something_is_sent,
    own_kernel::a_full_table_of_connections,
    own_kernel::a_receive_buffer_may_be_larger,
    own_kernel::an_interface_by_radio,
    own_kernel::an_interface_in_a_vrf,
    own_kernel::frames_with_the_tag_of_a_vlan,
    own_kernel::the_network_of_a_container,
    own_senders::a_hop_limit_of_0,
    own_senders::loopback_off_beside_a_receiver,
    programs::bound_to_a_unicast_address,
    programs::bound_to_another_group,
    programs::bound_to_another_device,
    programs::connected_to_another_peer,
    programs::a_sender_behind_a_firewall_of_what_comes,
    programs::connected_before_it_was_bound,
    programs::of_another_network_namespace,
    programs::joined_on_one_of_two_interfaces_on_one_segment,
    programs::cross_talk_of_another_program,
    programs::joined_by_another_socket,
    programs::joined_on_an_interface_of_a_high_index,
    programs::joined_on_another_interface,
    programs::joined_on_loopback_alone,
    programs::loopback_switched_off,
    programs::lost_when_the_device_was_made_anew,
    programs::never_joined,
    programs::on_another_port,
    programs::one_group_too_many,
    programs::too_slow,
    programs::with_a_capped_buffer,
    programs::with_another_source,
    programs::that_is_well,
    programs::that_sends,
    remedies::a_program_binds_otherwise,
    remedies::a_program_joins_otherwise,
    remedies::a_program_sends_otherwise,
    remedies::a_program_takes_what_is_meant_for_it,
    remedies::an_interface_is_brought_up_and_may_multicast,
    remedies::another_address_is_listened_on,
    remedies::settings_are_set,
    remedies::the_host_is_set_up_otherwise,
    remedies::the_sender_sends_otherwise,
    reverse_path::a_filter_of_a_bridge,
    reverse_path::a_filter_of_one_interface_of_two,
    reverse_path::a_filter_of_an_interface_with_a_dot,
    reverse_path::an_own_source_by_a_bridge,
    routers::a_bridge_whose_firewall_drops,
    routers::a_hop_limit_at_the_threshold_of_the_route,
    routers::a_route_for_another_interface,
    routers::a_switch_that_knows_no_new_reports,
    routers::what_is_forwarded_comes_twice,
    rules::a_map_of_verdicts_drops,
    rules::a_rule_for_another_interface,
    rules::what_never_comes_to_ip_is_no_matter_of_the_input_hook,
    sending::a_drop_at_the_postrouting_hook,
    sending::a_firewall_that_forbids_sending_to_all_groups,
    sending::a_rule_that_forbids_sending,
    sockets::bound_to_a_mapped_address,
    sockets::fed_by_the_membership_of_the_host,
    sockets::of_another_user,
    sockets::of_the_other_version_of_ip,
    sockets::of_two_programs,
    sockets::that_may_not_send,
    sockets::that_sends_by_loopback,
    sockets::that_sends_to_another_group,
    sockets::with_a_filter,
    two_ends::a_hop_limit_of_1_across_a_router,
    two_ends::a_far_host_that_holds_back_what_it_sends,
    two_ends::a_source_of_the_far_end_or_another,
    two_ends::a_source_that_is_rewritten,
    two_ends::a_soak_outlasts_the_memory_of_the_switch,
    two_ends::another_key_finds_nobody,
    two_ends::large_datagrams_do_not_pass,
    two_ends::large_datagrams_find_no_room,
    two_ends::links_of_two_sizes,
    two_ends::nothing_is_changed_on_either_host,
    two_ends::the_far_end_sends_by_another_interface,
    two_ends::the_own_host_is_found_guilty_by_a_known_count,
    two_ends::a_firewall_that_knows_the_far_host,
    two_ends::the_way_is_open_and_nobody_sends,
    two_ends::two_hosts_ask_one_far_end_at_once,
    two_ends::what_is_lost_on_the_way_is_not_the_own_host_s,
    two_ends::what_is_sent_is_delivered,
    two_ends::what_the_trial_meets_and_the_stream_does_not,
    unicast::a_drop,
    unicast::a_drop_that_is_not_counted,
    unseen::a_filter_of_tc,
    unseen::a_reverse_path_filter_of_the_firewall,
    unseen::a_translation_of_the_port,
    unseen::another_group_is_sent_to,
    unseen::fewer_than_are_expected,
    unseen::frames_of_a_protocol_that_nobody_knows,
    unseen::frames_that_are_longer_than_the_mtu,
    unseen::frames_that_ip_does_not_take,
    unseen::pieces_that_the_host_has_no_room_for,
    unseen::what_is_sent_seldom,
);

const PORT: u16 = 5000;
const GROUPS: [&str; 2] = ["239.1.2.3", "ff15::1234"];

/// `HOST:PORT` in the text form of addresses; `%eth0` may follow the host.
fn address(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]:{PORT}")
    } else {
        format!("{host}:{PORT}")
    }
}

/// Two hosts on a switch, `a` to send and `b` to receive.
fn two_hosts(lab: &Lab, switch: &Switch) -> [Host; 2] {
    ["a", "b"].map(|name| {
        let host = lab.host(name);
        let number = if name == "a" { 1 } else { 2 };
        let addresses = [format!("10.0.0.{number}/24"), format!("fd00::{number}/64")];
        host.connect(switch, "eth0", &[&addresses[0], &addresses[1]]);
        host
    })
}

/// What the doctor finds on a host in two seconds, as an ordinary user.
fn examine(host: &Host, address: &str) -> Report {
    examine_with(host, address, None)
}

fn examine_with(host: &Host, address: &str, program: Option<ProgramChoice>) -> Report {
    examine_for(Duration::from_secs(2), host, address, program)
}

fn examine_for(
    duration: Duration,
    host: &Host,
    address: &str,
    program: Option<ProgramChoice>,
) -> Report {
    host.run_unprivileged(|| doctor::examine(address, &how(duration, program)))
        .unwrap()
}

/// The same with the privileges to listen on the wire and to read the rules of the firewall.
fn examine_privileged(host: &Host, address: &str, program: Option<ProgramChoice>) -> Report {
    examine_privileged_for(Duration::from_secs(2), host, address, program)
}

fn examine_privileged_for(
    duration: Duration,
    host: &Host,
    address: &str,
    program: Option<ProgramChoice>,
) -> Report {
    host.run(|| doctor::examine(address, &how(duration, program)))
        .unwrap()
}

fn how(duration: Duration, program: Option<ProgramChoice>) -> Examination {
    Examination::default().duration(duration).program(program)
}

/// What a program does that reads what comes to its socket `s`.
const READS: &str = "
import threading
threading.Thread(target=lambda: [s.recv(2048) for _ in iter(int, 1)], daemon=True).start()";

/// Loses all fragments but the first of what a host sends, as many a firewall on the way does.
fn drop_fragments(host: &Host) -> [Rule; 2] {
    ["ip frag-off & 0x1fff != 0", "frag frag-off != 0"].map(|later| host.lose_sent("eth0", later))
}

/// All that is said for the first finding.
fn evidence(report: &Report) -> String {
    report.findings[0].evidence.join("; ")
}

fn remedy(report: &Report) -> &str {
    report.findings[0].remedy.as_deref().unwrap_or_default()
}

/// The doctor's first finding is this fault, which is its verdict.
#[track_caller]
fn assert_fault(report: &Report, code: Code, confidence: Confidence) {
    let first = report.findings.first();
    let first = first.unwrap_or_else(|| panic!("nothing was found: {report:#?}"));
    assert_eq!(
        (first.code, first.confidence, first.severity),
        (code, confidence, Severity::Fault),
        "{report:#?}"
    );
    assert_eq!(report.verdict(), code, "{report:#?}");
    assert!(!first.evidence.is_empty() && first.remedy.is_some() || first.confirm.is_some());
    assert_shown(report);
}

/// Where a fault is told, nothing but ticks does not stand below it.
#[track_caller]
fn assert_shown(report: &Report) {
    let far = report.far.iter().flat_map(|far| &far.steps);
    let mut marks = report.steps.iter().chain(far).map(|state| state.mark);
    let walked = !report.steps.is_empty();
    assert!(
        !walked || marks.any(|mark| mark != Mark::Passed),
        "{report:#?}"
    );
}

#[track_caller]
fn assert_delivered(report: &Report) {
    assert_eq!(report.verdict(), Code::Delivered, "{report:#?}");
    assert!(report.is_healthy());
    assert!(report.received > 0, "{report:#?}");
    // No host of the lab has a route to groups of IPv4, and nobody misses it where the stream comes.
    let mut codes = report.findings.iter().map(|finding| finding.code);
    assert!(codes.all(|code| code != Code::NoRoute), "{report:#?}");
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Loopback and hop limit as given, for senders of a kind of their own.
fn sending(loopback: bool, hops: u8) -> SenderConfig {
    let socket = SocketConfig::default().loopback(loopback);
    SenderConfig::default().socket(socket.multicast_hops(hops))
}
