//! The `manycast` command: it reads arguments, calls the library and prints.
//!
//! It is a library so that the Python package can bring the command along, and show what it shows.

mod cli;
mod commands;
mod exit;
mod interrupt;
mod output;
mod usage;
mod values;

use std::ffi::OsString;
use std::fmt::Display;
use std::hint::black_box;
use std::io;

use clap::Parser;

use cli::{Cli, typed};
use output::Output;

/// How a command ended that could run. Where it could not, it is an error, and exit code 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It did what it was asked to: exit code 0.
    Done,
    /// The answer is "no": nothing arrived, nobody answered, a check failed. Exit code 1.
    No,
}

impl Outcome {
    /// The exit code.
    const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
        }
    }
}

pub use commands::doctor::{report_json, report_text};

/// Runs the command with the words that were typed, of which the first is its own name, and returns
/// its exit code. Once a process: it takes charge of the signals.
pub fn main(words: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(typed(words)) {
        Ok(cli) => cli,
        Err(error) => return usage::explain(&error),
    };
    output::trace(cli.global);
    if !has_memory() {
        return failed(format_args!(
            "cannot get {} MB of memory: this process may not have so much; allow more with 'ulimit \
             -v', or free some",
            NEEDED >> 20
        ));
    }
    let mut output = Output::new(cli.global);
    let outcome = commands::run(cli.command, &mut output);
    match outcome.and_then(|outcome| Ok(output.flush().map(|()| outcome)?)) {
        Ok(outcome) => outcome.code(),
        Err(error) => match error.downcast_ref::<io::Error>() {
            // All but those of standard output come with a sentence around them.
            Some(cause) if error.chain().count() > 1 => failed(format_args!("{error}: {cause}")),
            // Whoever reads has had enough, as in `manycast listen … | head -1`.
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Outcome::Done.code(),
            Some(error) => failed(format_args!("cannot write to standard output: {error}")),
            None => failed(error),
        },
    }
}

/// In bytes, more than a command takes that is not asked to measure thousands of senders. Where there
/// is less, it would be broken off in the middle of something, and without a word.
const NEEDED: usize = 48 << 20;

/// Whether there is that much. Nothing of it is used, so to ask costs nothing.
fn has_memory() -> bool {
    let mut memory = Vec::<u8>::new();
    let there_is = memory.try_reserve_exact(NEEDED).is_ok();
    // What nobody looks at would not be asked for.
    black_box(&memory);
    there_is
}

fn failed(problem: impl Display) -> u8 {
    output::problem(problem);
    2
}
