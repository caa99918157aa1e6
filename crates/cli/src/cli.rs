//! What can be typed: the list of commands, and the options that all of them have.

#[cfg(test)]
mod suggested;

use std::ffi::OsString;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::commands::{
    announce, ask, complete, demo, discover, doctor, echo, interfaces, listen, man, measure,
    receive_files, receive_stream, send, send_files, send_stream, tftp,
};

/// Help begins with examples, since these are what most people look for.
pub(crate) const HELP: &str =
    "{before-help}{about-with-newline}\n{usage-heading} {usage}\n\n{all-args}{after-help}";

const EXAMPLES: &str = "\
Examples:
  manycast listen 239.192.0.100:5000                     # in one terminal
  manycast send 239.192.0.100:5000 'Hello, world!'       # in another
  manycast demo                                          # both, on this machine alone";

pub(crate) const ADDRESSES: &str = "\
Addresses:
  [SOURCE[,SOURCE…]@]HOST[%INTERFACE]:PORT

  239.192.0.100:5000              a group, any source
  239.192.0.100%eth0:5000         … on one interface (name, index or local address)
  10.0.0.5@232.1.1.1%eth0:5000    … from one source only (SSM)
  [ff15::1%eth0]:5000             IPv6; the interface stands inside the brackets
  192.0.2.7:5005  localhost:8888  one host
  :8888                           any local address (listening only)";

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the answer is \"no\": nothing arrived, nobody answered, a check failed
  2  bad arguments, or this machine does not let it";

/// UDP and UDP multicast that works the first time, and says why when it does not
#[derive(Debug, Parser)]
#[command(
    name = "manycast",
    version,
    before_help = EXAMPLES,
    after_help = format!("{ADDRESSES}\n\n{EXIT_CODES}"),
    help_template = HELP,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options of all commands.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Options of all commands")]
pub(crate) struct Global {
    /// Print one JSON object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Tell more on standard error; twice: everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Print what comes in, and errors, but nothing else
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Send(send::Args),
    Listen(listen::Args),
    Echo(echo::Args),
    Ask(ask::Args),
    Interfaces(interfaces::Args),
    Measure(measure::Args),
    Doctor(doctor::Args),
    SendFiles(send_files::Args),
    ReceiveFiles(receive_files::Args),
    SendStream(send_stream::Args),
    ReceiveStream(receive_stream::Args),
    Tftp(tftp::Args),
    Discover(discover::Args),
    Announce(announce::Args),
    Demo(demo::Args),
    Completions(complete::Completions),
    Man(man::Man),
}

/// The words that were typed, where `help send` is `send --help`, and `measure help` is `measure
/// --help`.
pub(crate) fn typed(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<_> = words.into_iter().collect();
    let mut command = Cli::command();
    for at in 1..words.len() {
        if words[at] == "help" && command.has_subcommands() {
            words.remove(at);
            words.push("--help".into());
            break;
        }
        let Some(deeper) = command.find_subcommand(&words[at]).cloned() else {
            break;
        };
        command = deeper;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_begins_its_help_with_an_example() {
        let mut cli = Cli::command();
        cli.build();
        check_commands_of(&mut cli);
    }

    fn check_commands_of(command: &mut clap::Command) {
        for command in command.get_subcommands_mut().filter(|c| !c.is_hide_set()) {
            let help = command.render_help().to_string();
            let words = command.get_bin_name().unwrap_or_default();
            let example = format!("Examples:\n  {words}");
            assert!(help.starts_with(&example), "{words}: {help}");
            check_commands_of(command);
        }
    }
}
