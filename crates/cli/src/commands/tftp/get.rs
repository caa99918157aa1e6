//! `manycast tftp get`

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use manycast::transfer::tftp::{Location, Transfer};

use super::transfer::{self, TransferArgs};
use crate::Outcome;
use crate::cli::HELP;
use crate::interrupt::Interrupt;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  manycast tftp get 10.0.0.1/boot.bin                     # to boot.bin here
  manycast tftp get 10.0.0.1:6969/dir/boot.bin /tmp/boot  # another port, another name
  manycast tftp get tftp://10.0.0.1/config.txt -          # to standard output
  manycast tftp get 10.0.0.1%eth0/image --multicast       # together with others";

const EXPLANATION: &str = "\
The file comes under a temporary name and is renamed once it is complete, so a file of the name LOCAL \
is always whole. A server that knows no options is asked again without them: it then sends 512 bytes \
at a time, and waits for each to be acknowledged. Answers come from another port of the server than \
the one that is asked, which some firewalls do not let through.";

/// Get a file from a TFTP server
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(super) struct Args {
    /// The file: HOST/FILE, HOST:PORT/FILE or tftp://HOST/FILE
    #[arg(value_name = "HOST[:PORT]/REMOTE")]
    remote: Location,
    /// Where to put it; - for standard output [default: the last part of its name]
    local: Option<OsString>,
    #[command(flatten)]
    transfer: TransferArgs,
    /// Ask for the data by multicast (RFC 2090), together with others
    #[arg(long)]
    multicast: bool,
}

pub(super) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install(Outcome::No)?;
    let mut options = args.transfer.options();
    options.multicast = args.multicast;
    let local = match args.local {
        Some(local) => local,
        None => Path::new(args.remote.name())
            .file_name()
            .context("the name ends in no file; say where to put it")?
            .to_owned(),
    };
    let get = if local == "-" {
        ensure!(
            !output.is_json(),
            "the file goes to standard output, as --json does; name a file to put it into"
        );
        // What is printed has the lock of standard output; a descriptor of its own needs none.
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        let stdout = File::from(stdout.context("cannot write standard output")?);
        Transfer::get_to(&args.remote, stdout, &options)?
    } else {
        Transfer::get(&args.remote, PathBuf::from(local), &options)?
    };
    let timeout = options.timeout;
    transfer::run(get, "got", &args.remote, timeout, &interrupt, output)
}
