//! `manycast receive-stream`

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{bail, ensure};
use manycast::Address;
use manycast::transfer::files::Stop;
use manycast::transfer::stream::{self, Error, StreamReceiveOptions};

use crate::Outcome;
use crate::cli::HELP;
use crate::commands::to_listen_on;
use crate::interrupt::Interrupt;
use crate::output::{self, Output, Span, counted};
use crate::values::{self, Interfaces};

const EXAMPLES: &str = "\
Examples:
  manycast receive-stream 239.192.0.8:5014 | tar x
  manycast receive-stream 239.192.0.8:5014 --name lab1 -t 1m > stream";

const EXPLANATION: &str = "\
On the other host 'manycast send-stream ADDRESS' sends. What comes goes to standard output, in order, as \
soon as it can. The exit code is 0 if all of the stream came, and 1 if something of it is missing; then \
nothing that follows is printed.";

/// Receive a stream that is sent to many, to standard output
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(crate) struct Args {
    /// Where to listen: GROUP:PORT, SOURCE@GROUP:PORT or :PORT
    address: Address,
    /// The name of this receiver, another one for each [default: that of this host]
    #[arg(long)]
    name: Option<String>,
    /// End when nothing comes for so long
    #[arg(short, long, value_name = "TIME", value_parser = values::duration)]
    timeout: Option<Duration>,
    /// Say nothing to the sender, where there is no way back
    #[arg(long)]
    silent: bool,
    /// Interface by name, index or address
    #[arg(short, long, value_name = "IFACE")]
    interface: Vec<Interfaces>,
}

pub(crate) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    ensure!(
        !output.is_json(),
        "the stream goes to standard output, as --json does; leave out --json"
    );
    let addresses = to_listen_on(std::slice::from_ref(&args.address), &args.interface)?;
    let [address] = &addresses[..] else {
        bail!("a stream comes by one address; name one interface with -i, or none");
    };
    let interrupt = Interrupt::install(Outcome::No)?;
    let mut options = StreamReceiveOptions::default();
    if let Some(name) = args.name {
        options.name = name;
    }
    options.timeout = args.timeout;
    options.silent = args.silent;
    let stop = Stop::default();
    interrupt.then({
        let stop = stop.clone();
        move || stop.stop()
    });
    output.note(format_args!("receiving as {} at {address}", options.name));
    let writer = Standard(output);
    let received = match stream::receive_stream(address.clone(), writer, &options, &stop) {
        // Whoever reads has had enough.
        Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
            return Err(source.into());
        }
        received => received?,
    };
    if interrupt.is_requested() {
        output.after_interrupt();
    }
    if !received.has_begun {
        output.note(match args.timeout {
            Some(timeout) if !interrupt.is_requested() => {
                format!("no stream began within {}", Span(timeout))
            }
            _ => "no stream has begun".to_owned(),
        });
        output.note(format_args!(
            "'manycast doctor {address}' tells why nothing comes"
        ));
        return Ok(Outcome::No);
    }
    output.note(format_args!(
        "{} in {}",
        counted(received.bytes, "byte"),
        Span(received.elapsed)
    ));
    Ok(match received.result {
        Ok(()) => Outcome::Done,
        Err(why) => {
            output::problem(format_args!("the stream is not complete: {why}"));
            Outcome::No
        }
    })
}

/// Standard output, as the command holds it.
struct Standard<'a>(&'a mut Output);

impl Write for Standard<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.bytes(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
