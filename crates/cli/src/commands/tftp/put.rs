//! `manycast tftp put`

use std::ffi::OsString;
use std::io;

use manycast::transfer::tftp::{Location, Transfer};

use super::transfer::{self, TransferArgs};
use crate::Outcome;
use crate::cli::HELP;
use crate::interrupt::Interrupt;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  manycast tftp put config.txt 10.0.0.1/config.txt
  manycast tftp put image 10.0.0.1:6969/image --window 16
  tar c dir | manycast tftp put - 10.0.0.1/dir.tar        # from standard input";

const EXPLANATION: &str = "\
Many servers take files only under names that are there already, or not at all; the server says so.";

/// Put a file to a TFTP server that allows it
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(super) struct Args {
    /// The file; - for standard input
    local: OsString,
    /// Its name there: HOST/FILE, HOST:PORT/FILE or tftp://HOST/FILE
    #[arg(value_name = "HOST[:PORT]/REMOTE")]
    remote: Location,
    #[command(flatten)]
    transfer: TransferArgs,
}

pub(super) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install(Outcome::No)?;
    let options = args.transfer.options();
    let put = if args.local == "-" {
        Transfer::put_from(io::stdin(), &args.remote, &options)?
    } else {
        Transfer::put(&args.local, &args.remote, &options)?
    };
    let timeout = options.timeout;
    transfer::run(put, "put", &args.remote, timeout, &interrupt, output)
}
