//! One trial: receivers, a sender, and what became of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;

use crate::contestant::{Contestant, End, Workload};

/// What became of a trial.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Datagrams a second that each receiver got, the one with the fewest.
    pub(crate) received_rate: f64,
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
    let before = cpu()?;
    let (arguments, mark, end) = contestant.receiver(load);
    let mut receivers = Vec::new();
    for _ in 0..load.listeners {
        receivers.push(Process::start(
            load.path.at_receiver(load.listeners == 1).args(&arguments),
            mark,
        )?);
    }
    let mut sender = load.path.at_sender();
    sender
        .args(contestant.sender(load, seconds, rate))
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
    let (sent, came) = contestant
        .sent(&text, load)
        .context("what the sender says")?;
    thread::sleep(GRACE);

    let mut fewest = came.unwrap_or(u64::MAX);
    let mut all = 0;
    for receiver in receivers {
        let text = receiver.finish(end)?;
        let count = match came {
            Some(came) => came,
            None => contestant.received(&text).context("what a receiver says")?,
        };
        fewest = fewest.min(count);
        all += count;
    }
    let spent = cpu()? - before;
    Ok(Outcome {
        received_rate: fewest as f64 / sent.seconds,
        loss: 1.0 - fewest.min(sent.datagrams) as f64 / sent.datagrams.max(1) as f64,
        cpu: spent * 1e6 / all.max(1) as f64,
    })
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

/// The processor time of all processes that have ended, in seconds.
fn cpu() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}
