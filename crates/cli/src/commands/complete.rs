//! `manycast completions` and `manycast man`.

use anyhow::bail;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::Outcome;
use crate::cli::{Cli, HELP};
use crate::output::Output;
use crate::usage;

const COMPLETION_EXAMPLES: &str = "\
Examples:
  manycast completions bash > ~/.local/share/bash-completion/completions/manycast
  manycast completions zsh > ~/.zfunc/_manycast   # with ~/.zfunc in $fpath
  manycast completions fish > ~/.config/fish/completions/manycast.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  manycast man | man -l -                          # the command as a whole
  manycast man send | man -l -                     # one command, with all its options
  manycast man measure send > manycast-measure-send.1";

/// Print a script that completes arguments in a shell
#[derive(Args, Debug)]
#[command(before_help = COMPLETION_EXAMPLES, help_template = HELP)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Print a manual page, of manycast or of one of its commands
#[derive(Args, Debug)]
#[command(before_help = MAN_EXAMPLES, help_template = HELP)]
pub(crate) struct Man {
    /// The command, such as send or measure send [default: manycast itself]
    command: Vec<String>,
}

pub(crate) fn completions(args: Completions, output: &mut Output) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "manycast", &mut script);
    output.bytes(&script)?;
    Ok(Outcome::Done)
}

pub(crate) fn man(args: Man, output: &mut Output) -> anyhow::Result<Outcome> {
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    let mut command = &cli;
    for word in &args.command {
        let Some(deeper) = command.find_subcommand(word) else {
            let words = command.get_bin_name().unwrap_or("manycast");
            bail!(usage::no_such_command(words, command, word));
        };
        command = deeper;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    output.bytes(&page)?;
    Ok(Outcome::Done)
}
