//! What `get` and `put` have in common: options, progress, and how it ends.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use manycast::proto::tftp::{Failure, Mode, RollOver};
use manycast::transfer::tftp::{Error, Location, Options, Progress, Transfer};

use super::report::Done;
use crate::Outcome;
use crate::interrupt::Interrupt;
use crate::output::{self, Output, Span, grouped};
use crate::values;

/// How a file is encoded on the wire. The values have no help of their own: with it, clap would put
/// each option of the command on lines of its own.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Encoding {
    Octet,
    Netascii,
}

/// What follows on block 65,535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Rollover {
    #[value(name = "0")]
    Zero,
    #[value(name = "1")]
    One,
}

impl From<Rollover> for RollOver {
    fn from(rollover: Rollover) -> Self {
        match rollover {
            Rollover::Zero => Self::Zero,
            Rollover::One => Self::One,
        }
    }
}

/// The options of a transfer.
#[derive(clap::Args, Debug)]
pub(super) struct TransferArgs {
    /// Bytes in a block, 8 to 65464 [default: what a packet of the interface takes]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(8..=65_464))]
    block_size: Option<u16>,
    /// Blocks that are acknowledged together [default: 256 KiB of them, at most 192]
    #[arg(long, value_name = "BLOCKS", value_parser = clap::value_parser!(u16).range(1..))]
    window: Option<u16>,
    /// How the file is encoded on the wire: as it is, or as text, of which lines end in CR LF there
    /// and in LF here
    #[arg(long, value_enum, default_value_t = Encoding::Octet)]
    mode: Encoding,
    /// Which number follows on block 65535: 0, as most do, or 1; the server must do the same
    #[arg(long, value_enum, value_name = "NUMBER", default_value_t = Rollover::Zero)]
    rollover: Rollover,
    /// Give up when the server says nothing for so long
    #[arg(short, long, value_name = "TIME", default_value = "30s", value_parser = values::duration)]
    timeout: Duration,
}

impl TransferArgs {
    pub(super) fn options(&self) -> Options {
        let mut options = Options::default();
        options.block_size = self.block_size;
        options.window = self.window;
        options.mode = match self.mode {
            Encoding::Octet => Mode::Octet,
            Encoding::Netascii => Mode::Netascii,
        };
        options.roll_over = self.rollover.into();
        options.timeout = self.timeout;
        options
    }
}

/// After how long without an answer it is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs a transfer, and tells how far it is and what came of it.
pub(super) fn run(
    mut transfer: Transfer,
    verb: &'static str,
    location: &Location,
    timeout: Duration,
    interrupt: &Interrupt,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    interrupt.stops(transfer.stopper()?);
    let mut bar = Bar::new(output);
    let (began, mut is_told) = (Instant::now(), false);
    let result = transfer.run(|progress| {
        if progress.has_answered {
            bar.show(progress);
        } else if !is_told && began.elapsed() >= PATIENCE {
            is_told = true;
            output.note_in_text(format_args!(
                "no answer yet from {}, trying for {}",
                location.server(),
                Span(timeout)
            ));
        }
    });
    bar.clear();
    match result {
        Ok(report) => {
            let done = Done::new(verb, location, &report);
            if output.is_json() {
                output.object(&done)?;
            } else {
                output.note(done);
            }
            Ok(Outcome::Done)
        }
        Err(Error::Stopped) => {
            output.after_interrupt();
            output.note("stopped; nothing is left behind");
            Ok(Outcome::No)
        }
        // Whoever reads standard output has had enough.
        Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
            Err(source.into())
        }
        // The answer of the server is "no", or there is none.
        Err(error) if is_answer(&error) => {
            output::problem(&error);
            Ok(Outcome::No)
        }
        Err(error) => Err(error.into()),
    }
}

fn is_answer(error: &Error) -> bool {
    matches!(
        error,
        Error::Transfer {
            failure: Failure::Refused(_)
                | Failure::Silent(_)
                | Failure::Unreachable(_)
                | Failure::HostUnreachable { .. }
                | Failure::BadOptions,
            ..
        }
    )
}

/// A line on the terminal that shows how far it is.
struct Bar {
    shown: bool,
    wanted: bool,
}

impl Bar {
    fn new(output: &Output) -> Self {
        Self {
            shown: false,
            wanted: io::stderr().is_terminal() && !output.is_quiet() && !output.is_json(),
        }
    }

    fn show(&mut self, progress: Progress) {
        const WIDTH: u64 = 30;
        if !self.wanted {
            return;
        }
        self.shown = true;
        let bytes = grouped(progress.bytes);
        let line = match progress.total {
            Some(total) if total > 0 => {
                let part = progress.bytes.min(total);
                let full = usize::try_from(part * WIDTH / total).unwrap_or(0);
                let empty = usize::try_from(WIDTH).unwrap_or(0) - full;
                let percent = part * 100 / total;
                let (full, empty) = ("█".repeat(full), "░".repeat(empty));
                format!("{full}{empty} {percent:3} %  {bytes} bytes")
            }
            _ => format!("{bytes} bytes"),
        };
        // Where nobody sees it, there is nobody to tell so.
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
