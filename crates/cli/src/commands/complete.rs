//! `manycast completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::Outcome;
use crate::cli::{Cli, HELP};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  manycast completions bash > ~/.local/share/bash-completion/completions/manycast
  manycast completions zsh > ~/.zfunc/_manycast   # with ~/.zfunc in $fpath
  manycast completions fish > ~/.config/fish/completions/manycast.fish";

/// Print a script that completes arguments in a shell
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES, help_template = HELP)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

pub(crate) fn completions(args: Completions, output: &mut Output) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "manycast", &mut script);
    output.bytes(&script)?;
    Ok(Outcome::Done)
}
