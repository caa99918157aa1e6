//! The `manycast` command: it reads arguments, calls the library and prints.

mod cli;
mod commands;
mod interrupt;
mod output;
mod usage;
mod values;

use std::io;
use std::process::ExitCode;

use clap::Parser;

use cli::Cli;
use output::Output;

/// How a command ended that could run. Where it could not, it is an error, and exit code 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It did what it was asked to: exit code 0.
    Done,
    /// The answer is "no": nothing arrived, nobody answered, a check failed. Exit code 1.
    No,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::explain(&error),
    };
    output::trace(cli.global);
    let mut output = Output::new(cli.global);
    let outcome = commands::run(cli.command, &mut output);
    match outcome.and_then(|outcome| Ok(output.flush().map(|()| outcome)?)) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        // Whoever reads has had enough, as in `manycast listen … | head -1`.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::problem(error);
            ExitCode::from(2)
        }
    }
}

/// Whether standard output was closed. All other failures of input and output come with a sentence
/// around them.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
