//! Our NORM beside that of its authors, the Naval Research Laboratory: each on a host of its own, by
//! multicast and by unicast, with losses that neither knows of.
#![allow(clippy::unwrap_used, reason = "a failure ends the test either way")]

mod capture;
mod deliver;
mod ends;
mod receive;
mod zeromq;

use manycast_lab::netns;

netns::tests!(
    capture::norm_is_what_a_dissector_takes_it_for,
    deliver::norm_a_file_is_a_file,
    deliver::norm_a_stream_is_in_order,
    deliver::norm_all_schemes_are_understood,
    deliver::norm_congestion_control_raises_the_rate,
    deliver::norm_lossless,
    deliver::norm_losses_are_repaired_by_parity,
    deliver::norm_losses_are_repaired_without_parity,
    deliver::norm_silent_receivers_need_parity_ahead,
    deliver::norm_unicast,
    deliver::norm_unicast_nacks,
    receive::norm_a_file_is_a_file,
    receive::norm_a_stream_is_in_order,
    receive::norm_all_schemes_are_understood,
    receive::norm_congestion_control_is_understood,
    receive::norm_congestion_control_raises_the_rate,
    receive::norm_lossless,
    receive::norm_losses_are_repaired_by_parity,
    receive::norm_losses_are_repaired_without_parity,
    receive::norm_silent_receivers_need_parity_ahead,
    receive::norm_unicast,
    receive::norm_unicast_nacks,
    zeromq::norm_ours_understands_zeromq,
    zeromq::norm_zeromq_understands_ours,
);
