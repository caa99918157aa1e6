//! `std::net::UdpSocket`: one call for each datagram.

use crate::round_trip::{take_turns, time};
use crate::worker::{Counter, Job, Schedule, ready, written};

pub(crate) fn send(job: &Job, schedule: &mut Schedule) -> anyhow::Result<()> {
    let socket = job.sender()?;
    let payload = written(job.size);
    while let Some(count) = schedule.next(job.batch()) {
        for _ in 0..count {
            socket.send(&payload)?;
        }
        schedule.sent_now(count);
    }
    Ok(())
}

pub(crate) fn receive(job: &Job, counter: &Counter) -> anyhow::Result<()> {
    let socket = job.receiver()?;
    ready();
    let mut buffer = vec![0; 1 << 16];
    loop {
        socket.recv_from(&mut buffer)?;
        counter.add(1);
    }
}

pub(crate) fn echo(job: &Job) -> anyhow::Result<()> {
    let socket = job.receiver()?;
    ready();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..length], from)?;
    }
}

pub(crate) fn ping(job: &Job) -> anyhow::Result<()> {
    let socket = job.sender()?;
    let payload = vec![0; job.size];
    let mut buffer = vec![0; 1 << 16];
    take_turns(job, |count| {
        time(count, || {
            socket.send(&payload)?;
            socket.recv(&mut buffer)?;
            Ok(())
        })
    })
}
