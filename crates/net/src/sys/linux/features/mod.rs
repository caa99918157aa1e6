//! What the kernel tells with each datagram and can be told with one: a kernel feature a file.
//!
//! A feature that receives has `enable`, which asks the kernel to attach a control message to each
//! datagram, and `decode`, which reads one. A feature that sends has `encode`.

mod control;
mod drops;
mod ecn;
pub(crate) mod fragment;
pub(crate) mod gro;
pub(crate) mod gso;
mod hops;
pub(crate) mod pktinfo;
mod timestamp;
pub(crate) mod unreachable;

use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::SystemTime;

use manycast_types::{Ecn, Transmit};

pub(crate) use control::{CONTROL_LEN, ControlMessage, ControlWriter, control_messages};

/// What came with one datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Metadata {
    pub(crate) destination: Option<IpAddr>,
    pub(crate) local: Option<IpAddr>,
    pub(crate) interface: u32,
    pub(crate) hops: Option<u8>,
    pub(crate) time: Option<SystemTime>,
    pub(crate) ecn: Ecn,
    /// The kernel's own counter, which wraps; absent until something was dropped.
    pub(crate) dropped: Option<u32>,
    /// Where the kernel gathered several datagrams: the size of each but the last.
    pub(crate) segment: Option<usize>,
}

/// Asks the kernel to attach everything to each datagram.
///
/// Only the packet information is needed for correctness; a kernel that lacks one of the others
/// leaves the field empty.
pub(crate) fn enable(fd: BorrowedFd<'_>, ipv4: bool) -> io::Result<()> {
    pktinfo::enable(fd, ipv4)?;
    type Enable = fn(BorrowedFd<'_>, bool) -> io::Result<()>;
    let optional: [(&str, Enable); 4] = [
        ("hop limit", hops::enable),
        ("congestion mark", ecn::enable),
        ("receive time", timestamp::enable),
        ("drop counter", drops::enable),
    ];
    for (feature, enable) in optional {
        if let Err(error) = enable(fd, ipv4) {
            tracing::debug!(feature, %error, "the kernel does not offer a feature");
        }
    }
    Ok(())
}

/// Writes what a datagram to send asks for, by this interface and from this address; nothing where
/// it asks for nothing.
#[inline]
pub(crate) fn encode<P>(
    ipv4: bool,
    transmit: &Transmit<P>,
    interface: Option<u32>,
    source: Option<IpAddr>,
    writer: &mut ControlWriter,
) {
    if source.is_some() || interface.is_some() {
        pktinfo::encode(ipv4, source, interface, writer);
    }
    if let Some(hops) = transmit.hops {
        hops::encode(ipv4, hops, writer);
    }
    if let Some(octet) = transmit.traffic_class() {
        ecn::encode(ipv4, octet, writer);
    }
}

/// Reads all control messages of one datagram.
pub(crate) fn decode(control: &[u8]) -> Metadata {
    let mut metadata = Metadata::default();
    for message in control_messages(control) {
        let _ = pktinfo::decode(&message, &mut metadata)
            || hops::decode(&message, &mut metadata)
            || ecn::decode(&message, &mut metadata)
            || timestamp::decode(&message, &mut metadata)
            || drops::decode(&message, &mut metadata)
            || gro::decode(&message, &mut metadata);
    }
    metadata
}
