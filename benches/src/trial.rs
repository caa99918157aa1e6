//! One trial: receivers, a sender, and what became of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::resource::UsageWho;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::contestant::{Contestant, End, Workload};
use crate::worker::{Received, Sent, processor};

/// What became of a trial.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Datagrams a second that each receiver got, the one with the fewest.
    pub(crate) received_rate: f64,
    /// Datagrams a second that were sent.
    pub(crate) sent_rate: f64,
    /// The part of the datagrams that did not come, from 0 to 1.
    pub(crate) loss: f64,
    /// Processor time of both ends, in seconds a million datagrams received.
    pub(crate) cpu: f64,
}

/// What is still under way when the sender has ended.
const GRACE: Duration = Duration::from_millis(150);

/// Sends for so long, at so many bits a second or as fast as it goes.
pub(crate) fn run(
    contestant: Contestant,
    load: &Workload,
    seconds: f64,
    rate: Option<u64>,
) -> anyhow::Result<Outcome> {
    let (arguments, mark, end) = contestant.receiver(load);
    let mut receivers = Vec::new();
    for _ in 0..load.listeners {
        receivers.push(Process::start(
            load.path.at_receiver(load.listeners == 1).args(&arguments),
            mark,
        )?);
    }
    let before = processor(UsageWho::RUSAGE_CHILDREN)?;
    let mut sender = load.path.at_sender();
    sender
        .args(contestant.sender(load, seconds, rate)?)
        .stdin(Stdio::null());
    let output = sender.output().context("the sender")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "the sender failed: {}{}",
        complaint.trim(),
        text.trim()
    );
    let (mut sent, came) = contestant
        .sent(&text, load)
        .context("what the sender says")?;
    let whole = |before| anyhow::Ok(processor(UsageWho::RUSAGE_CHILDREN)? - before);
    sent.cpu = Some(sent.cpu.map_or_else(|| whole(before), Ok)?);
    thread::sleep(GRACE);

    let mut all = Vec::new();
    for receiver in receivers {
        let before = processor(UsageWho::RUSAGE_CHILDREN)?;
        let text = receiver.finish(end)?;
        let mut received = match came {
            Some(came) => came,
            None => contestant.received(&text).context("what a receiver says")?,
        };
        received.cpu = Some(received.cpu.map_or_else(|| whole(before), Ok)?);
        all.push(received);
    }
    Ok(outcome(&sent, &all))
}

/// A receiver that is slower than its sender goes on with what waits for it when the sender has ended, so
/// what it got counts by the time that it took.
fn outcome(sent: &Sent, all: &[Received]) -> Outcome {
    let rates = all
        .iter()
        .map(|it| it.datagrams as f64 / it.seconds.max(sent.seconds));
    let counts = all.iter().map(|it| it.datagrams);
    let fewest = counts.clone().min().unwrap_or_default();
    let cpu: f64 = all.iter().filter_map(|it| it.cpu).chain(sent.cpu).sum();
    Outcome {
        received_rate: rates.fold(f64::INFINITY, f64::min),
        sent_rate: sent.datagrams as f64 / sent.seconds,
        loss: 1.0 - fewest.min(sent.datagrams) as f64 / sent.datagrams.max(1) as f64,
        cpu: cpu * 1e6 / counts.sum::<u64>().max(1) as f64,
    }
}

/// A process that is ready.
pub(crate) struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(command: &mut Command, mark: &str) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("a process")?;
        let stdout = child.stdout.take().context("its output is a pipe")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        while !line.contains(mark) {
            line.clear();
            if stdout.read_line(&mut line)? == 0 {
                bail!("it ended before it was ready");
            }
        }
        Ok(Self { child, stdout })
    }

    /// Lets it do what it does whenever a line comes, and gives the line that it answers.
    pub(crate) fn turn(&mut self) -> anyhow::Result<String> {
        let stdin = self.child.stdin.as_mut().context("its input is a pipe")?;
        stdin.write_all(b"\n")?;
        let mut line = String::new();
        ensure!(self.stdout.read_line(&mut line)? > 0, "it ended early");
        Ok(line)
    }

    /// Ends it, and gives what it printed.
    pub(crate) fn finish(mut self, end: End) -> anyhow::Result<String> {
        let stdin = self.child.stdin.take();
        let id = Pid::from_raw(i32::try_from(self.child.id())?);
        match end {
            End::StandardInput => drop(stdin),
            End::Interrupt => kill(id, Signal::SIGINT)?,
            End::Terminate => kill(id, Signal::SIGTERM)?,
            End::Itself => {}
        }
        let mut text = String::new();
        self.stdout.read_to_string(&mut text)?;
        self.child.wait()?;
        Ok(text)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After an error; usually it has ended.
        if let Ok(None) = self.child.try_wait()
            && let Ok(id) = i32::try_from(self.child.id())
        {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_receiver_does_not_have_the_rate_of_its_sender() {
        let sent = Sent {
            datagrams: 1000,
            seconds: 1.0,
            cpu: Some(0.5),
        };
        let received = |datagrams, seconds| Received {
            datagrams,
            seconds,
            cpu: Some(0.5),
        };
        let slow = outcome(&sent, &[received(1000, 2.0)]);
        assert_eq!(
            (slow.received_rate, slow.loss, slow.cpu),
            (500.0, 0.0, 1000.0)
        );
        // What came at once may take no time at all.
        let fast = outcome(&sent, &[received(1000, 0.0), received(750, 0.5)]);
        assert_eq!((fast.received_rate, fast.loss), (750.0, 0.25));
    }
}
