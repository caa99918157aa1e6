//! `quinn-udp`, with all the batching that it offers, on sockets that do not block, as it wants
//! them. It joins no groups itself.

use std::env;
use std::io::{self, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};

use crate::contestant::OFFLOAD;
use crate::worker::{Counter, Job, Schedule, ready, written};

pub(crate) fn send(job: &Job, schedule: &mut Schedule) -> anyhow::Result<()> {
    let socket = job.sender()?;
    let state = UdpSocketState::new((&socket).into())?;
    let most = if has_offload() {
        job.batch().min(state.max_gso_segments())
    } else {
        1
    };
    let buffer = written(job.size * most);
    while let Some(count) = schedule.next(most) {
        let transmit = Transmit {
            destination: job.to.into(),
            ecn: None,
            contents: &buffer[..count * job.size],
            segment_size: (count > 1).then_some(job.size),
            src_ip: None,
        };
        when_possible(&socket, PollFlags::POLLOUT, || {
            state.try_send((&socket).into(), &transmit)
        })?;
        schedule.sent_now(count);
    }
    Ok(())
}

pub(crate) fn receive(job: &Job, counter: &Counter) -> anyhow::Result<()> {
    let socket = job.receiver()?;
    let state = UdpSocketState::new((&socket).into())?;
    if !has_offload() {
        setsockopt(&socket, sockopt::UdpGroSegment, &false)?;
    }
    ready();
    let mut buffers = vec![vec![0; 1 << 16]; BATCH_SIZE];
    let mut meta = vec![RecvMeta::default(); BATCH_SIZE];
    loop {
        let mut rooms: Vec<_> = buffers.iter_mut().map(|it| IoSliceMut::new(it)).collect();
        let got = when_possible(&socket, PollFlags::POLLIN, || {
            state.recv((&socket).into(), &mut rooms, &mut meta)
        })?;
        let datagrams = meta[..got]
            .iter()
            .map(|it| it.len.div_ceil(it.stride.max(1)));
        counter.add(datagrams.sum());
    }
}

fn has_offload() -> bool {
    env::var_os(OFFLOAD).is_none()
}

/// Tries until it need not wait.
fn when_possible<T>(
    socket: &UdpSocket,
    event: PollFlags,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> anyhow::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(socket.as_fd(), event)], PollTimeout::NONE)?;
            }
            result => return Ok(result?),
        }
    }
}
