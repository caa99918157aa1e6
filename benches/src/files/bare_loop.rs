//! What the processors and the network of the lab carry, without a protocol.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use manycast_lab::netns::Host;

use super::{GROUP, Outcome, Place, Processors, RECEIVERS, Work, network, spent};
use crate::contestant::End;
use crate::trial::Process;
use crate::worker::{Received, Sent};

/// Bytes of a datagram, about as many as the others send.
const SIZE: u64 = 1400;

/// How long the bytes take of themselves: nothing is read, repaired, checked or kept.
pub(super) fn run(place: &Place, work: Work) -> anyhow::Result<Outcome> {
    let (sender, receivers) = network(work);
    let program = std::env::current_exe()?;
    let worker = |host: &Host, number: usize, role: &str| {
        let mut command = host.command(&program.display().to_string());
        command.args(["worker", "raw-offload", role]);
        command.args([format!("{GROUP}:6003"), format!("10.0.0.{}", number + 1)]);
        command.args(["--size".to_owned(), SIZE.to_string()]);
        command
    };
    let mut running = Vec::new();
    for (host, number) in receivers.iter().zip(1..) {
        running.push(Process::start(
            &mut worker(host, number, "receive"),
            "ready",
        )?);
    }
    let (before, processors) = (spent()?, Processors::now()?);
    let mut sending = worker(&sender, 0, "send");
    let output = sending
        .args(["--seconds", "3"])
        .stdin(Stdio::null())
        .output();
    let sent: Sent = serde_json::from_slice(&output.context("the bare loop")?.stdout)?;
    let busy = Processors::now()?.busy_since(&processors);
    let spent_by_sender = spent()? - before;
    // What waits at the link is under way for longer than the sender runs.
    thread::sleep(Duration::from_millis(300));
    let (mut fewest, mut slowest) = (u64::MAX, f64::INFINITY);
    for process in running {
        let text = process.finish(End::StandardInput)?;
        let received: Received = serde_json::from_str(&text)?;
        fewest = fewest.min(received.datagrams);
        let bytes = (received.datagrams * SIZE) as f64;
        slowest = slowest.min(bytes / received.seconds.max(sent.seconds));
    }
    ensure!(fewest > 0, "nothing came of the bare loop");
    let spent_by_receivers = spent()? - before - spent_by_sender;
    let carried = (fewest * SIZE) as f64;
    let part = place.bytes as f64 / carried;
    Ok(Outcome {
        seconds: place.bytes as f64 / slowest,
        sender: spent_by_sender * part,
        receiver: spent_by_receivers * part / RECEIVERS as f64,
        busy,
    })
}
