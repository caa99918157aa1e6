//! How soon a driver hears a stop while its protocol sends as fast as it can.

use std::fmt::Write;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use manycast::{
    Driver, Output, Protocol, Received, Socket, Stopper, Transmit, tokio as asynchronous,
};

use crate::report::median;

/// The title of the table.
pub(crate) const TITLE: &str = "A stop while it sends";

/// What a stop may take at most.
const AIM: Duration = Duration::from_millis(50);
/// For how long it sends before it is stopped.
const LEAD: Duration = Duration::from_millis(20);

/// Always has something to send.
struct Greedy {
    what: Transmit,
    stopped: bool,
}

impl Protocol for Greedy {
    type Event = ();

    fn stop(&mut self, _now: Instant) {
        self.stopped = true;
    }

    fn handle_datagram(&mut self, _now: Instant, _datagram: Received<'_>) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        match self.stopped {
            true => Output::Finished,
            false => Output::Transmit(self.what.clone()),
        }
    }
}

/// A driver runs on a thread of its own until it is stopped; gives how long that took.
fn trial(
    run: fn(Socket, Greedy, &mpsc::Sender<Stopper>) -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let sink = Socket::bind("127.0.0.1:0")?;
    let greedy = Greedy {
        what: Transmit::new(sink.local_addr()?, vec![7; 1316].into()),
        stopped: false,
    };
    let socket = Socket::bind("127.0.0.1:0")?;
    let (give, take) = mpsc::channel();
    let thread = thread::spawn(move || run(socket, greedy, &give));
    let stopper = take.recv().context("it did not begin")?;
    thread::sleep(LEAD);
    let start = Instant::now();
    stopper.stop();
    thread.join().map_err(|_| anyhow!("it panicked"))??;
    Ok(start.elapsed().as_secs_f64())
}

fn blocking(socket: Socket, greedy: Greedy, give: &mpsc::Sender<Stopper>) -> anyhow::Result<()> {
    let mut driver = Driver::new(socket, greedy);
    give.send(driver.stopper()?)?;
    Ok(driver.run(|_, ()| {})?)
}

fn on_a_runtime(
    socket: Socket,
    greedy: Greedy,
    give: &mpsc::Sender<Stopper>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut driver = asynchronous::Driver::new(socket, greedy)?;
        give.send(driver.stopper()?)?;
        while driver.next_event().await?.is_some() {}
        Ok(())
    })
}

/// Many stops of both drivers.
pub(crate) fn table(trials: usize) -> anyhow::Result<String> {
    let mut text = format!(
        "From the call that stops a driver, on another thread, until the driver has ended, in {trials} \
         trials each, while a protocol sends datagrams of 1316 bytes over loopback as fast as it can. At \
         most {} ms are aimed at.\n\n| driver | median, ms | the longest, ms |\n| --- | ---: | ---: |\n",
        AIM.as_millis()
    );
    for (name, run) in [
        ("blocking", blocking as fn(_, _, &_) -> _),
        ("on a runtime", on_a_runtime),
    ] {
        let seconds: Vec<_> = (0..trials).map(|_| trial(run)).collect::<Result<_, _>>()?;
        let longest = seconds.iter().copied().fold(0.0, f64::max);
        let middle = median(seconds);
        writeln!(
            text,
            "| {name} | {:.2} | {:.2} |",
            middle * 1e3,
            longest * 1e3
        )?;
    }
    text.push('\n');
    Ok(text)
}
