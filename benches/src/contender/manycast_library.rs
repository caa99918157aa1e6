//! `manycast` itself: `Sender` and `Listener`, and the same on a runtime.

use manycast::{Address, InterfaceSelector, Listener, Sender, Socket, SocketConfig, Transmit};

use super::tokio_socket::runtime;
use crate::round_trip::{take_turns, time, time_async};
use crate::worker::{Counter, Job, Schedule, ready, written};

fn address(job: &Job) -> Address {
    let address = Address::from(std::net::SocketAddr::from(job.to));
    if job.to.ip().is_multicast() {
        address.on(InterfaceSelector::Address(job.interface.into()))
    } else {
        address
    }
}

pub(crate) fn send(job: &Job, schedule: &mut Schedule) -> anyhow::Result<()> {
    let sender = Sender::new(address(job))?;
    let memory = written(job.size * job.batch());
    let payloads: Vec<_> = memory.chunks_exact(job.size).collect();
    while let Some(count) = schedule.next(job.batch()) {
        schedule.sent_now(sender.send_batch(&payloads[..count])?);
    }
    Ok(())
}

pub(crate) fn receive(job: &Job, counter: &Counter) -> anyhow::Result<()> {
    let mut listener = Listener::open([address(job)], SocketConfig::default())?;
    ready();
    loop {
        counter.add(listener.recv_batch(None)?.count());
    }
}

pub(crate) fn send_tokio(job: &Job, schedule: &mut Schedule) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let sender = manycast::tokio::Sender::new(address(job)).await?;
        let memory = written(job.size * job.batch());
        let payloads: Vec<_> = memory.chunks_exact(job.size).collect();
        while let Some(count) = schedule.next(job.batch()) {
            schedule.sent_now(sender.send_batch(&payloads[..count]).await?);
        }
        Ok(())
    })
}

pub(crate) fn receive_tokio(job: &Job, counter: &Counter) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let config = SocketConfig::default();
        let mut listener = manycast::tokio::Listener::open([address(job)], config).await?;
        ready();
        loop {
            counter.add(listener.recv_batch().await?.count());
        }
    })
}

pub(crate) fn echo(job: &Job) -> anyhow::Result<()> {
    let mut socket = Socket::bind(address(job))?;
    ready();
    let mut payload = Vec::new();
    loop {
        let received = socket.recv()?;
        let to = received.source;
        payload.clear();
        payload.extend_from_slice(received.payload);
        socket.send_batch(&[Transmit::new(to, &payload)])?;
    }
}

pub(crate) fn ping(job: &Job) -> anyhow::Result<()> {
    let mut socket = Socket::connect(address(job))?;
    let payload = vec![0; job.size];
    take_turns(job, |count| {
        time(count, || {
            socket.send(&payload)?;
            socket.recv()?;
            Ok(())
        })
    })
}

pub(crate) fn echo_tokio(job: &Job) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let mut socket = manycast::tokio::Socket::bind(address(job)).await?;
        ready();
        let mut payload = Vec::new();
        loop {
            let received = socket.recv().await?;
            let to = received.source;
            payload.clear();
            payload.extend_from_slice(received.payload);
            socket.send_to(to, &payload).await?;
        }
    })
}

pub(crate) fn ping_tokio(job: &Job) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let mut socket = runtime.block_on(manycast::tokio::Socket::connect(address(job)))?;
    let payload = vec![0; job.size];
    take_turns(job, |count| {
        runtime.block_on(time_async(count, async || {
            socket.send(&payload).await?;
            socket.recv().await?;
            Ok(())
        }))
    })
}
