//! The system calls that no safe crate offers. All `unsafe` of the project stands here.

#![allow(unsafe_code)]
// Lengths and counts here are those of small fixed structures; their C types differ by system.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]
#![allow(clippy::unnecessary_cast)]

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(crate) use linux::{
    MSG_PROBE, Messages, Slots, dropped, error_queue, group_filter, int, receive_packet,
    refuse_packets, send, set_group, set_group_source, set_int, set_multicast_interface_v4,
};

#[cfg(not(target_os = "linux"))]
compile_error!(
    "manycast-net runs on Linux so far; another system needs a file beside sys/linux.rs"
);
