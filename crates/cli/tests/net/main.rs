//! The built command as users run it, on hosts of the real kernel.
//!
//! Where a test proves a row of `docs/behaviours.md`, its name begins with the row's number.
#![allow(clippy::unwrap_used, reason = "a failure ends the test either way")]

mod ask;
mod demo;
mod discover;
mod discover_peers;
mod discover_told;
mod dns;
mod doctor;
mod dropped;
mod echo;
mod files;
mod files_broken;
mod interface_names;
mod interfaces;
mod listen;
mod listen_events;
mod measure;
mod measure_runs;
mod peers;
mod send;
mod streams;
mod terminal;
mod tftp;
mod tftp_load;

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use manycast_lab::netns::{self, Finished, Host, Lab, Process, Switch};
use serde_json::Value;

netns::tests!(
    ask::fewer_answers_than_wanted_are_exit_1,
    ask::no_answer_is_exit_1,
    ask::row_10_a_lost_reply_is_told_and_never_hangs,
    ask::row_10_answers_of_others_do_not_count,
    ask::row_10_the_dialogue_is_as_it_was,
    ask::in_a_pipe_there_are_answers_and_no_prompts,
    ask::a_host_that_is_not_there_is_told,
    ask::what_is_suggested_can_be_run,
    ask::a_question_that_is_not_sent_says_why,
    ask::row_10_what_is_lost_is_asked_again,
    ask::row_43_all_answers_of_a_group_are_listed,
    ask::row_43_enough_answers_end_it,
    ask::row_65_a_refusal_is_told_at_once_and_ends_nothing,
    ask::the_objects_tell_how_it_went,
    demo::a_fault_is_seen_and_is_exit_1,
    demo::without_any_network_all_is_right,
    demo::without_loopback_it_says_what_to_do,
    discover::what_is_announced_is_found_on_every_link,
    discover::what_is_announced_by_ssdp_can_be_asked_by_itself,
    discover::names_of_dns_sd_are_those_that_were_sent,
    discover_told::a_goodbye_is_told,
    discover_told::by_dns_sd_a_crash_and_a_new_address_are_told,
    discover_told::by_dns_sd_many_that_go_at_once_are_told,
    discover_told::by_ssdp_a_crash_and_a_new_address_are_told,
    discover_told::by_ws_discovery_a_new_address_is_told,
    discover_told::an_interface_that_is_recreated_is_asked_on_again,
    discover_told::after_an_interface_came_up_all_is_announced_by_ipv6,
    discover::hostile_answers_hide_no_good_ones,
    discover::a_flood_of_names_is_counted,
    discover::a_name_that_is_taken_is_changed_and_told,
    discover::nothing_found_says_why,
    discover::interfaces_that_are_not_asked_are_told,
    discover::what_cannot_be_looked_for_is_exit_2,
    discover::the_table_is_live_on_a_terminal,
    discover::the_groups_are_known_by_name,
    discover::a_firewall_that_drops_answers_is_named,
    discover_peers::dns_sd::discovery_avahi_is_found_and_finds,
    discover_peers::dns_sd::discovery_zeroconf_is_found_and_finds,
    discover_peers::ws_discovery::discovery_wsdd_is_found_and_finds,
    discover_peers::ws_discovery::discovery_wsdiscovery_is_found_and_finds,
    discover_peers::ssdp::discovery_gssdp_is_found_and_finds,
    discover_peers::ssdp::discovery_minidlna_is_found,
    discover_peers::ssdp::discovery_async_upnp_client_is_found_and_finds,
    discover_peers::ssdp::discovery_minissdpd_is_found_and_finds,
    discover_peers::dns_sd::discovery_tshark_understands_all,
    doctor::a_busy_host_that_is_well_is_exit_0,
    doctor::a_fault_is_exit_1_and_one_object,
    doctor::a_firewall_of_the_far_host_is_named_as_its,
    doctor::a_reverse_path_filter_of_the_far_host,
    doctor::a_second_fault_that_is_proved_is_told,
    doctor::an_interrupt_tells_what_is_known,
    doctor::answers_to_a_group_come_or_are_dropped,
    doctor::any_local_address_is_watched,
    doctor::a_stream_that_comes_is_exit_0,
    doctor::two_ends_share_a_key,
    doctor::what_cannot_be_examined_is_exit_2,
    dropped::a_small_buffer_is_told_once_and_where_it_matters,
    dropped::listen_accounts_for_all_that_was_sent,
    dropped::measure_receive_accounts_for_all_that_was_sent,
    echo::it_answers_no_source_that_cannot_have_asked,
    echo::row_09_an_empty_datagram_does_not_stop_it,
    echo::row_09_ten_clients_at_once_are_answered,
    echo::row_09_the_address_that_was_asked_answers,
    echo::each_asker_is_answered_by_the_interface_that_was_asked,
    echo::row_68_a_question_to_a_group_is_answered_by_unicast,
    echo::two_servers_do_not_play_ping_pong_for_ever,
    files::a_folder_that_cannot_be_written_is_told_at_the_start,
    files::a_host_that_refuses_is_given_up_and_a_late_receiver_is_not,
    files::a_full_disk_stops_that_receiver_alone,
    files::a_receiver_needs_no_more_for_a_large_file,
    files::a_report_that_cannot_be_written_is_told_at_the_start,
    files::a_slow_receiver_gets_all,
    files::a_source_specific_group_is_repaired_by_unicast,
    files::the_rate_follows_what_the_network_carries,
    files::there_is_no_way_back,
    files::what_is_lost_is_repaired_for_each,
    files::what_is_there_is_not_counted_as_sent,
    files_broken::a_network_that_is_gone_for_seconds_does_not_end_a_delivery,
    files_broken::an_interrupt_tells_what_is_known,
    files_broken::who_falls_silent_is_told,
    files_broken::two_receivers_can_have_one_folder,
    files_broken::two_senders_do_not_mix,
    files_broken::who_is_killed_within_a_file_goes_on_there,
    files_broken::whoever_is_killed_at_any_time_leaves_no_wrong_file,
    interface_names::a_name_cannot_drive_the_terminal,
    interface_names::a_name_need_not_be_ascii,
    interface_names::a_port_that_is_listened_on_twice_is_told,
    interface_names::one_that_is_named_in_several_ways_is_one,
    interfaces::it_fits_a_narrow_terminal,
    interfaces::row_50_allmulti_is_not_a_membership,
    interfaces::row_51_the_choice_of_the_route_is_told,
    interfaces::row_59_all_of_an_interface_is_listed,
    interfaces::some_can_be_chosen,
    listen::a_closed_pipe_is_no_failure,
    listen::an_interrupt_ends_the_lookup_of_a_name,
    listen::local_addresses_can_be_those_of_one_interface,
    listen::a_peer_cannot_drive_the_terminal,
    listen::row_02_count_time_out_and_interrupt_end_it,
    listen::row_02_every_datagram_has_sender_size_and_time,
    listen::row_12_what_the_kernel_drops_is_counted,
    listen::row_15_it_joins_everywhere_without_a_route_and_says_so,
    listen::row_17_an_interface_has_a_name_an_index_and_addresses,
    listen::row_23_each_datagram_is_labelled_with_its_group,
    listen::row_25_the_same_group_on_another_interface_stays_out,
    listen::row_27_hex_shows_all_bytes,
    listen::row_30_four_listeners_on_one_host_get_each_datagram,
    listen::row_31_no_size_is_truncated,
    listen::row_34_two_groups_on_one_port_do_not_mix,
    listen::row_36_a_privileged_port_is_explained,
    listen::row_42_raw_is_fit_for_a_pipe,
    listen::row_67_port_0_tells_which_it_was,
    listen::source_specific_groups_admit_their_source_alone,
    listen_events::a_listener_that_hears_its_own_host_alone_says_why,
    listen_events::a_device_that_comes_back_is_joined_again,
    listen_events::what_cannot_be_joined_is_explained,
    measure::a_clean_stream_is_reported_in_full,
    measure::a_host_tells_the_sender,
    measure::a_rate_is_held,
    measure::a_rate_that_is_missed_is_told,
    measure::a_receiver_that_is_interrupted_has_failed_only_if_it_expected,
    measure::histograms_name_their_stream,
    measure::fewer_senders_than_expected_are_a_failure,
    measure::intervals_come_and_an_interrupt_ends_with_the_summary,
    measure::intervals_are_labelled_by_their_stream,
    measure::iperf_sends_to_us,
    measure::we_send_to_iperf,
    measure::what_the_network_doubles_is_reported,
    measure::a_full_queue_is_counted_and_ends_nothing,
    measure::a_stream_ends_before_its_time_while_the_send_buffer_is_full,
    measure::a_firewall_that_drops_what_is_sent_is_named,
    measure::what_the_network_loses_is_reported,
    measure::what_the_own_kernel_drops_is_told_apart,
    measure::a_stream_that_makes_room_at_the_end_is_judged,
    measure_runs::a_host_that_refuses_is_given_up_and_a_late_receiver_is_not,
    measure_runs::a_sender_is_measured_after_many_that_were_forged,
    measure_runs::a_sender_that_is_started_anew_is_measured_anew,
    measure_runs::one_forged_datagram_is_no_sender,
    peers::python_listens_and_sends,
    peers::row_11_ncat_asks_our_server_and_our_client_asks_ncat,
    peers::socat_listens_and_sends,
    send::a_file_goes_in_pieces,
    send::an_interrupt_ends_it_with_a_summary,
    send::an_interrupt_ends_it_while_the_send_buffer_is_full,
    send::broadcasts_reach_all_hosts,
    send::each_line_is_a_datagram,
    send::row_01_a_closed_port_is_told,
    send::row_01_the_egress_is_told,
    send::row_13_what_goes_in_fragments_is_warned_of,
    send::row_44_the_hop_limit_is_obeyed_and_shown,
    send::row_47_hop_limits_that_surprise_are_explained,
    send::row_48_no_route_is_needed,
    send::row_51_by_all_interfaces_or_some,
    send::row_69_loopback_is_a_switch,
    send::a_group_that_leaves_by_loopback_is_warned_of,
    send::a_refusal_names_the_zone,
    send::an_interface_without_carrier_is_told,
    send::link_local_sources_have_their_zone,
    send::the_rate_is_kept,
    send::a_stream_outlives_its_interface,
    send::the_source_can_be_chosen,
    streams::a_stream_waits_for_so_many,
    streams::a_stream_comes_to_a_host,
    streams::a_stream_comes_whole_and_in_order,
    terminal::no_word_is_broken_on_a_narrow_terminal,
    tftp::a_file_comes_and_goes_and_each_transfer_is_a_line,
    tftp::whoever_is_killed_leaves_no_half_file,
    tftp::an_interrupt_before_the_server_answers,
    tftp::a_host_that_is_not_there_is_told,
    tftp::a_full_disk_is_one_sentence,
    tftp::several_get_one_file_by_multicast,
    tftp::tftp_atftpd_serves_us_with_windows_and_to_a_group,
    tftp::tftp_dnsmasq_serves_us,
    tftp::tftp_hpa_is_served,
    tftp::tftp_atftp_is_served_with_windows,
    tftp::tftp_curl_is_served,
    tftp::tftp_busybox_is_served,
    tftp::tftp_atftp_clients_share_a_group,
    tftp::tftp_ipxe_boots_its_first_file,
    tftp::tftp_tshark_understands_all,
    tftp_load::a_flood_of_forged_requests_changes_neither_memory_nor_service,
    tftp_load::a_thousand_transfers_have_bounded_memory,
);

const BINARY: &str = env!("CARGO_BIN_EXE_manycast");

/// Hosts `a`, `b`, `c` … on a switch, with the addresses 10.0.0.N and fd00::N. They have no default
/// route.
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

/// A host `a` with an interface on each of so many switches: 10.0.1.1 on `eth1`, 10.0.2.1 on `eth2`
/// …; and on each switch a host with 10.0.N.2.
fn host_between<const N: usize>(lab: &Lab) -> (Host, [Host; N]) {
    let host = lab.host("a");
    let mut number = 0;
    let others = [(); N].map(|()| {
        number += 1;
        let switch = lab.switch(&format!("sw{number}"));
        host.connect(
            &switch,
            &format!("eth{number}"),
            &[
                &format!("10.0.{number}.1/24"),
                &format!("fd0{number}::1/64"),
            ],
        );
        let other = lab.host(&format!("b{number}"));
        other.connect(
            &switch,
            "eth0",
            &[
                &format!("10.0.{number}.2/24"),
                &format!("fd0{number}::2/64"),
            ],
        );
        other
    });
    (host, others)
}

fn manycast(host: &Host, arguments: &[&str]) -> Command {
    let mut command = host.command(BINARY);
    command.args(arguments);
    command
}

fn start(host: &Host, arguments: &[&str]) -> Process {
    Process::start(&mut manycast(host, arguments))
}

/// Starts the command on a terminal of so many columns, which does not echo what is typed. What is
/// written to the process is typed there, and an interrupt is Ctrl-C; what it shows, errors too, is the
/// output of the process.
fn start_on_terminal(host: &Host, columns: u16, arguments: &[&str]) -> Process {
    netns::require(&["python3"]);
    let mut command = host.command("python3");
    command.env("NO_COLOR", "1");
    command.args(["-c", TERMINAL, &columns.to_string(), BINARY]);
    Process::start(command.args(arguments))
}

const TERMINAL: &str = r"
import fcntl, os, pty, select, signal, struct, sys, termios
master, slave = pty.openpty()
mode = termios.tcgetattr(slave)
mode[3] &= ~termios.ECHO
termios.tcsetattr(slave, termios.TCSANOW, mode)
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, int(sys.argv[1]), 0, 0))
child = os.fork()
if child == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for descriptor in (0, 1, 2):
        os.dup2(slave, descriptor)
    os.execv(sys.argv[2], sys.argv[2:])
os.close(slave)
# Ctrl-C
signal.signal(signal.SIGINT, lambda *_: os.write(master, b'\x03'))
watched = [master, 0]
while True:
    ready = select.select(watched, [], [])[0]
    if master in ready:
        try:
            shown = os.read(master, 65536)
        except OSError:
            break
        os.write(1, shown.replace(b'\r\n', b'\n'))
    if 0 in ready:
        typed = os.read(0, 65536)
        os.write(master, typed or b'\x04')
        if not typed:
            watched.remove(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
";

/// Runs the command to its end; its standard input is empty.
fn run(host: &Host, arguments: &[&str]) -> Finished {
    start(host, arguments).finish()
}

/// A listener that has joined, and prints objects.
fn listen(host: &Host, arguments: &[&str]) -> Process {
    let mut listener = start(host, &[&["listen", "--json"], arguments].concat());
    listener.wait_for_line("\"event\":\"listening\"");
    listener
}

/// Sends with success.
fn send(host: &Host, arguments: &[&str]) -> Finished {
    let finished = run(host, &[&["send"], arguments].concat());
    assert_eq!(code(&finished), 0, "{finished:?}");
    finished
}

/// The next datagram that a listener tells of.
fn datagram(listener: &mut Process) -> Value {
    json(&listener.wait_for_line("\"event\":\"datagram\""))
}

/// The texts of all datagrams that are among these lines.
fn texts(lines: &[String]) -> Vec<String> {
    lines
        .iter()
        .map(|line| json(line))
        .filter(|object| object["event"] == "datagram")
        .map(|object| object["text"].as_str().unwrap().to_owned())
        .collect()
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn code(finished: &Finished) -> i32 {
    finished
        .status
        .code()
        .unwrap_or_else(|| panic!("{finished:?}"))
}

/// A plain socket on a host, for what the command is tried against. It does not wait for ever.
fn socket(host: &Host, local: &str) -> UdpSocket {
    let local: SocketAddr = local.parse().unwrap();
    let socket = host.run(|| UdpSocket::bind(local).unwrap());
    socket.set_read_timeout(Some(netns::patience())).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 1 << 16];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    buffer.truncate(length);
    (buffer, from)
}

fn send_signal(process: &Process, signal: &str) {
    let id = process.id().to_string();
    assert!(
        Command::new("kill")
            .args([signal, &id])
            .status()
            .unwrap()
            .success()
    );
}
