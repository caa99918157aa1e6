//! `manycast measure`

mod histogram;
mod receive;
mod report;
mod send;

use clap::Subcommand;

use crate::Outcome;
use crate::cli::HELP;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  manycast measure receive 239.1.1.1:5001                      # on one host
  manycast measure send 239.1.1.1:5001 --rate 50M              # on another";

const EXPLANATION: &str = "\
Datagrams have the header of iperf 2, so either end can be iperf: 'iperf -u -c 239.1.1.1' sends to \
'manycast measure receive 239.1.1.1:5001', and 'iperf -s -u -B 239.1.1.1' receives from 'manycast \
measure send 239.1.1.1:5001'.";

/// Measure loss, duplicates, reordering, delay, jitter and throughput
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    Send(send::Args),
    Receive(receive::Args),
}

pub(crate) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    match args.role {
        Role::Send(args) => send::run(args, output),
        Role::Receive(args) => receive::run(args, output),
    }
}
