//! The system calls themselves: what the kernel allows.

use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, SockaddrLike,
    recvfrom, recvmmsg, recvmsg, send, sendmmsg, sendmsg, sendto, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;

use crate::round_trip::{take_turns, time};
use crate::worker::{Counter, Job, Schedule, ready, written};

/// Room for all that one receiving call can bring.
const LARGEST: usize = 1 << 16;

const PAGE: usize = 4096;

/// What begins where a page does, since the kernel copies from and to there the fastest.
fn from_page_on(memory: &mut [u8]) -> &mut [u8] {
    let start = memory.as_ptr().align_offset(PAGE);
    &mut memory[start..]
}

pub(crate) fn send_offload(job: &Job, schedule: &mut Schedule) -> anyhow::Result<()> {
    let socket = job.sender()?;
    let mut memory = written(job.size * job.batch() + PAGE);
    let buffer = from_page_on(&mut memory);
    let size = u16::try_from(job.size)?;
    let merge = [ControlMessage::UdpGsoSegments(&size)];
    while let Some(count) = schedule.next(job.batch()) {
        let payload = [IoSlice::new(&buffer[..count * job.size])];
        let merge = if count > 1 { &merge[..] } else { &[] };
        sendmsg::<()>(socket.as_raw_fd(), &payload, merge, MsgFlags::empty(), None)?;
        schedule.sent_now(count);
    }
    Ok(())
}

pub(crate) fn receive_offload(job: &Job, counter: &Counter) -> anyhow::Result<()> {
    let socket = job.receiver()?;
    setsockopt(&socket, sockopt::UdpGroSegment, &true)?;
    receive_gathered::<()>(&socket, cmsg_space!(i32), counter)
}

pub(crate) fn receive_with_metadata(job: &Job, counter: &Counter) -> anyhow::Result<()> {
    let socket = with_metadata(job.receiver()?)?;
    receive_gathered::<SockaddrIn>(&socket, metadata(), counter)
}

/// Receives with room for an address of this kind, if it is one, and for control messages.
fn receive_gathered<S: SockaddrLike>(
    socket: &UdpSocket,
    mut control: Vec<u8>,
    counter: &Counter,
) -> anyhow::Result<()> {
    ready();
    let mut memory = vec![0; LARGEST + PAGE];
    let buffer = &mut from_page_on(&mut memory)[..LARGEST];
    loop {
        let mut room = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::empty();
        let got = recvmsg::<S>(socket.as_raw_fd(), &mut room, Some(&mut control), flags)?;
        let segment = got.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::UdpGroSegments(size) => usize::try_from(size).ok(),
            _ => None,
        });
        counter.add(segment.map_or(1, |segment| got.bytes.div_ceil(segment.max(1))));
    }
}

pub(crate) fn send_batch(job: &Job, schedule: &mut Schedule) -> anyhow::Result<()> {
    let socket = job.sender()?;
    let buffer = written(job.size);
    let payloads = vec![[IoSlice::new(&buffer)]; job.batch()];
    let addresses = vec![None::<SockaddrIn>; job.batch()];
    let mut headers = MultiHeaders::preallocate(job.batch(), None);
    while let Some(count) = schedule.next(job.batch()) {
        let sent = sendmmsg(
            socket.as_raw_fd(),
            &mut headers,
            &payloads[..count],
            &addresses,
            [],
            MsgFlags::empty(),
        )?;
        schedule.sent_now(sent.count());
    }
    Ok(())
}

pub(crate) fn receive_batch(job: &Job, counter: &Counter) -> anyhow::Result<()> {
    const BATCH: usize = 64;
    let socket = job.receiver()?;
    ready();
    let mut buffers = vec![vec![0; LARGEST]; BATCH];
    loop {
        // Made anew each time: they hold on to the buffers of the call before.
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
        let mut rooms: Vec<_> = buffers.iter_mut().map(|it| [IoSliceMut::new(it)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        let got = recvmmsg(
            socket.as_raw_fd(),
            &mut headers,
            rooms.iter_mut(),
            flags,
            None,
        )?;
        counter.add(got.count());
    }
}

pub(crate) fn echo(job: &Job) -> anyhow::Result<()> {
    let socket = job.receiver()?;
    ready();
    let mut buffer = vec![0; LARGEST];
    loop {
        let (length, from) = recvfrom::<SockaddrIn>(socket.as_raw_fd(), &mut buffer)?;
        if let Some(from) = from {
            sendto(
                socket.as_raw_fd(),
                &buffer[..length],
                &from,
                MsgFlags::empty(),
            )?;
        }
    }
}

pub(crate) fn ping(job: &Job) -> anyhow::Result<()> {
    let socket = job.sender()?;
    let payload = vec![0; job.size];
    let mut buffer = vec![0; LARGEST];
    take_turns(job, |count| {
        time(count, || {
            send(socket.as_raw_fd(), &payload, MsgFlags::empty())?;
            recvfrom::<SockaddrIn>(socket.as_raw_fd(), &mut buffer)?;
            Ok(())
        })
    })
}

pub(crate) fn echo_with_metadata(job: &Job) -> anyhow::Result<()> {
    let socket = with_metadata(job.receiver()?)?;
    ready();
    let mut buffer = vec![0; LARGEST];
    let mut control = metadata();
    loop {
        let mut room = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::empty();
        let got = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut room, Some(&mut control), flags)?;
        let (length, from) = (got.bytes, got.address);
        if let Some(from) = from {
            sendto(
                socket.as_raw_fd(),
                &buffer[..length],
                &from,
                MsgFlags::empty(),
            )?;
        }
    }
}

pub(crate) fn ping_with_metadata(job: &Job) -> anyhow::Result<()> {
    let socket = with_metadata(job.sender()?)?;
    let payload = vec![0; job.size];
    let mut buffer = vec![0; LARGEST];
    let mut control = metadata();
    take_turns(job, |count| {
        time(count, || {
            send(socket.as_raw_fd(), &payload, MsgFlags::empty())?;
            let mut room = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::empty();
            recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut room, Some(&mut control), flags)?;
            Ok(())
        })
    })
}

/// Asks for what `manycast` tells of each datagram.
fn with_metadata(socket: UdpSocket) -> anyhow::Result<UdpSocket> {
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
    setsockopt(&socket, sockopt::IpRecvTos, &true)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::RxqOvfl, &1)?;
    setsockopt(&socket, sockopt::UdpGroSegment, &true)?;
    Ok(socket)
}

/// Room for it.
fn metadata() -> Vec<u8> {
    cmsg_space!([u8; 12], i32, u8, TimeSpec, u32, i32)
}
