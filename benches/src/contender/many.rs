//! `mcrx-core` and `mctx-core`: groups only, one call for each datagram.

use std::net::SocketAddr;
use std::os::fd::AsFd;

use anyhow::Context as _;
use mcrx_core::SubscriptionConfig;
use mctx_core::PublicationConfig;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::worker::{Counter, Job, Schedule, ready, written};

pub(crate) fn send(job: &Job, schedule: &mut Schedule) -> anyhow::Result<()> {
    let mut context = mctx_core::Context::new();
    let config = PublicationConfig::new(*job.to.ip(), job.to.port());
    let config = config.with_interface(job.interface).with_loopback(true);
    let id = context.add_publication(config)?;
    let payload = written(job.size);
    while let Some(count) = schedule.next(job.batch()) {
        for _ in 0..count {
            context.send(id, &payload)?;
        }
        schedule.sent_now(count);
    }
    Ok(())
}

pub(crate) fn receive(job: &Job, counter: &Counter) -> anyhow::Result<()> {
    let mut context = mcrx_core::Context::new();
    let mut config = SubscriptionConfig::asm(*job.to.ip(), job.to.port());
    config.interface = Some(job.interface.into());
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    socket.set_recv_buffer_size(8 << 20)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from(job.to).into())?;
    let id = context.add_subscription_with_socket(config, socket)?;
    context.join_subscription(id)?;
    let subscription = context.take_subscription(id).context("it was just added")?;
    ready();
    loop {
        while subscription.try_recv()?.is_some() {
            counter.add(1);
        }
        let mut wait = [PollFd::new(
            subscription.socket().as_fd(),
            PollFlags::POLLIN,
        )];
        poll(&mut wait, PollTimeout::NONE)?;
    }
}
