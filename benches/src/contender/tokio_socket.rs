//! `tokio::net::UdpSocket`, on a runtime of one thread.

use std::net::UdpSocket;

use crate::round_trip::{take_turns, time_async};
use crate::worker::{Counter, Job, Schedule, ready, written};

pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

fn asynchronous(socket: UdpSocket) -> anyhow::Result<tokio::net::UdpSocket> {
    socket.set_nonblocking(true)?;
    Ok(tokio::net::UdpSocket::from_std(socket)?)
}

pub(crate) fn send(job: &Job, schedule: &mut Schedule) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let socket = asynchronous(job.sender()?)?;
        let payload = written(job.size);
        while let Some(count) = schedule.next(job.batch()) {
            for _ in 0..count {
                socket.send(&payload).await?;
            }
            schedule.sent_now(count);
        }
        Ok(())
    })
}

pub(crate) fn receive(job: &Job, counter: &Counter) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let socket = asynchronous(job.receiver()?)?;
        ready();
        let mut buffer = vec![0; 1 << 16];
        loop {
            socket.recv_from(&mut buffer).await?;
            counter.add(1);
        }
    })
}

pub(crate) fn echo(job: &Job) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let socket = asynchronous(job.receiver()?)?;
        ready();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await?;
            socket.send_to(&buffer[..length], from).await?;
        }
    })
}

pub(crate) fn ping(job: &Job) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let socket = runtime.block_on(async { asynchronous(job.sender()?) })?;
    let payload = vec![0; job.size];
    let mut buffer = vec![0; 1 << 16];
    take_turns(job, |count| {
        runtime.block_on(time_async(count, async || {
            socket.send(&payload).await?;
            socket.recv(&mut buffer).await?;
            Ok(())
        }))
    })
}
