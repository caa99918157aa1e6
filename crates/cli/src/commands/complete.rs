//! `manycast completions` and `manycast man`: for packagers.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::Outcome;
use crate::cli::Cli;
use crate::output::Output;

/// Print a script that completes arguments in a shell
#[derive(Args, Debug)]
pub(crate) struct Completions {
    shell: Shell,
}

/// Print the manual page
#[derive(Args, Debug)]
pub(crate) struct Man {}

pub(crate) fn completions(args: Completions, output: &mut Output) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "manycast", &mut script);
    output.bytes(&script)?;
    Ok(Outcome::Done)
}

pub(crate) fn man(_: Man, output: &mut Output) -> anyhow::Result<Outcome> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    output.bytes(&page)?;
    Ok(Outcome::Done)
}
