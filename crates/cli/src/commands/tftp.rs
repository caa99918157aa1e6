//! `manycast tftp`

mod get;
mod put;
mod report;
mod serve;
mod transfer;

use clap::Subcommand;

use crate::Outcome;
use crate::cli::HELP;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  manycast tftp serve /srv/tftp                                # on one host, as root: port 69
  manycast tftp get 10.0.0.1/boot.bin                          # on another
  manycast tftp put config.txt 10.0.0.1/config.txt";

/// Get, put and serve files by TFTP, as devices do that boot
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, help_template = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    Get(get::Args),
    Put(put::Args),
    Serve(serve::Args),
}

pub(crate) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    match args.role {
        Role::Get(args) => get::run(args, output),
        Role::Put(args) => put::run(args, output),
        Role::Serve(args) => serve::run(args, output),
    }
}
