//! `manycast doctor`

mod screen;

use std::process;
use std::time::Duration;

use anyhow::bail;
use manycast::doctor::{
    self, Cancellation, Code, Examination, FarEnd, Key, Notes, ProgramChoice, Served, Server,
};
use manycast::{Address, Next};

use crate::Outcome;
use crate::cli::HELP;
use crate::interrupt::Interrupt;
use crate::output::{self, Output, Span, fold, safe_json, safe_lines};
use crate::usage::similar;
use crate::values;
use screen::Screen;

const EXAMPLES: &str = "\
Examples:
  manycast doctor                                # what this host can do with groups
  manycast doctor 239.1.1.1:5000                 # what becomes of a stream on this host
  manycast doctor 239.1.1.1:5000 --pid 4711      # why another program does not receive it
  manycast doctor 239.1.1.1:5000 --port          # the same, of whoever has port 5000
  manycast doctor 239.255.255.250:1900 --answers # whether answers to a group come back
  manycast doctor serve                          # on the sender's host, and then here:
  manycast doctor 239.1.1.1:5000 --with HOST     # the way between both, in both directions";

const SERVE_EXAMPLES: &str = "\
Examples:
  manycast doctor serve                          # on this host, for one that examines with --with
  manycast doctor serve 10.0.0.5:49366           # on one address alone
  manycast doctor serve --key 'a long secret'    # for those alone who know the key";

const EXPLANATION: &str = "\
It needs no privileges, and it changes nothing: the commands that mend a fault are printed, not
run. Exit code 0: healthy; 1: a fault was found; 2: it could not be examined.";

/// Find out why nothing arrives
#[derive(clap::Args, Debug)]
#[command(
    before_help = EXAMPLES,
    after_help = EXPLANATION,
    help_template = HELP,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub(crate) struct Args {
    /// What should arrive: GROUP:PORT, or ADDRESS:PORT of this host, or :PORT; without it, this host is
    /// examined
    address: Option<Address>,
    /// How long to listen
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = values::duration)]
    duration: Duration,
    /// Explain the program with this process number
    #[arg(long, value_name = "PID", requires = "address")]
    pid: Option<u32>,
    /// Explain whichever programs have the port of the address
    #[arg(long, requires = "address", conflicts_with = "pid")]
    port: bool,
    /// Try the way from and to this host, where 'manycast doctor serve' runs
    #[arg(long, value_name = "HOST", requires = "address", conflicts_with_all = ["pid", "port"])]
    with: Option<String>,
    /// The secret that was given to 'manycast doctor serve'
    #[arg(long, value_name = "TEXT", requires = "with")]
    key: Option<String>,
    /// Go on for so long; memberships that nobody asks for end after 260 seconds
    #[arg(long, value_name = "TIME", requires = "with", value_parser = values::duration)]
    soak: Option<Duration>,
    /// How many datagrams a second are to come; fewer are told as loss
    #[arg(long, value_name = "RATE", requires = "address", value_parser = expected_rate)]
    expect_rate: Option<f64>,
    /// Ask the group, and see whether the answers come, which its members send by unicast
    #[arg(long, requires = "address", conflicts_with_all = ["pid", "port", "with", "expect_rate"])]
    answers: bool,
    /// What to ask; without it, as the protocol of the port does: SLP, SSDP, WS-Discovery, mDNS, CoAP
    #[arg(long, value_name = "TEXT", requires = "answers")]
    question: Option<String>,
    /// Print what a code means, how the doctor knows it, and what to do; without a code, all of them
    #[arg(long, value_name = "CODE", num_args = 0..=1, value_parser = code,
        conflicts_with_all = ["address", "duration"])]
    explain: Option<Option<Code>>,
    #[command(subcommand)]
    serve: Option<Serve>,
}

#[derive(Debug, clap::Subcommand)]
enum Serve {
    /// Send, count and look for faults here for a doctor on another host
    #[command(before_help = SERVE_EXAMPLES, help_template = HELP)]
    Serve {
        /// Where to listen
        #[arg(default_value = ":49366")]
        address: Address,
        /// A secret that the other host must know too
        #[arg(long, value_name = "TEXT")]
        key: Option<String>,
    },
}

pub(crate) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    if let Some(Serve::Serve { address, key }) = args.serve {
        return serve(&address, key, output);
    }
    if args.explain.is_some() && output.is_json() {
        bail!("--explain is text for people; leave out --json");
    }
    match args.explain {
        None => {}
        Some(Some(code)) => {
            output.text(output::fold_prose(code.explanation()))?;
            return Ok(Outcome::Done);
        }
        Some(None) => {
            for code in Code::ALL {
                output.text(fold(&format!("{code:<25} {}\n", code.meaning())))?;
            }
            return Ok(Outcome::Done);
        }
    }
    let report = match &args.address {
        None => doctor::examine_host()?,
        Some(address) => {
            let program = match args.pid {
                Some(0) => bail!("process numbers begin at 1"),
                Some(pid) => Some(ProgramChoice::Pid(pid)),
                None => args.port.then_some(ProgramChoice::Port),
            };
            let how = Examination::default()
                .cancellation(cancelled_by_interrupt()?)
                .notes(Notes::to(output.noter()))
                .duration(args.duration)
                .expected_rate(args.expect_rate)
                .program(program);
            if args.answers {
                output.note_in_text(format_args!(
                    "asking {address}, and waiting for answers for {} at most; Ctrl-C ends it before",
                    Span(args.duration.max(Examination::SHORTEST))
                ));
                let question = args.question.as_ref().map(String::as_bytes);
                let report = doctor::examine_answers(address, question, &how)?;
                return tell(&report, output);
            }
            if let Some(host) = &args.with {
                let far = FarEnd::new(far_address(host)?)?
                    .key(args.key.map(Key::new))
                    .soak(args.soak);
                output.note_in_text(format_args!(
                    "trying {address} with {}, in both directions; then watching for {}; Ctrl-C \
                     ends it before",
                    far.address,
                    Span(args.duration.max(Examination::SHORTEST))
                ));
                let report = doctor::examine_with(address, &how, &far)?;
                return tell(&report, output);
            }
            output.note_in_text(format_args!(
                "watching {address} for {}, and for up to 8 s more where nothing comes; Ctrl-C ends it \
                 before",
                Span(args.duration.max(Examination::SHORTEST))
            ));
            doctor::examine(address, &how)?
        }
    };
    tell(&report, output)
}

/// A code by its name.
fn code(name: &str) -> Result<Code, String> {
    const ALL: &str = "'manycast doctor --explain' lists all codes";
    Code::named(name).ok_or_else(|| {
        let names: Vec<_> = Code::ALL.iter().map(ToString::to_string).collect();
        match similar::closest(name, &names) {
            Some(meant) => format!("there is no such code; did you mean {meant}? {ALL}"),
            None => format!("there is no such code; {ALL}"),
        }
    })
}

/// Datagrams a second: more than none.
fn expected_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok();
    rate.filter(|rate: &f64| rate.is_finite() && *rate > 0.0)
        .ok_or_else(|| "it is no number of datagrams a second above 0, such as 100".to_owned())
}

/// Ctrl-C ends the watching, and what is known until then is told. Before there is anything to
/// tell, it ends the command.
fn cancelled_by_interrupt() -> anyhow::Result<Cancellation> {
    let cancellation = Cancellation::default();
    let interrupted = cancellation.clone();
    Interrupt::install(Outcome::No)?.then(move || {
        if !interrupted.cancel() {
            output::problem("stopped before anything was known");
            process::exit(2);
        }
    });
    Ok(cancellation)
}

fn tell(report: &doctor::Report, output: &mut Output) -> anyhow::Result<Outcome> {
    let healthy = report.is_healthy();
    if report.cancelled_after.is_some() {
        output.after_interrupt();
    }
    let plain = ["✓", "✗"].map(str::to_owned);
    let screen = Screen::new(report, output.is_verbose(), plain);
    if output.is_json() {
        output.object(&screen)?;
    } else {
        // Names of processes and what the far host says are chosen by others.
        let text = fold(&safe_lines(screen.to_string().trim_end()));
        let marked = text
            .replace('✓', &output.mark(true))
            .replace('✗', &output.mark(false));
        output.text(format_args!("{marked}\n"))?;
    }
    Ok(if healthy { Outcome::Done } else { Outcome::No })
}

/// What the command shows of a report, as text.
pub fn report_text(report: &doctor::Report) -> String {
    let screen = Screen::new(report, false, ["✓", "✗"].map(str::to_owned));
    safe_lines(screen.to_string().trim_end())
}

/// What the command shows of a report, as one JSON object.
pub fn report_json(report: &doctor::Report) -> String {
    let marks = ["✓", "✗"].map(str::to_owned);
    safe_json(&Screen::new(report, false, marks)).unwrap_or_default()
}

/// The far end's address; with the usual port, where none is written.
fn far_address(host: &str) -> anyhow::Result<Address> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    Ok((host, doctor::DEFAULT_PORT).try_into()?)
}

/// Serves until Ctrl-C.
fn serve(address: &Address, key: Option<String>, output: &mut Output) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install(Outcome::Done)?;
    if key.is_none() {
        output.warn(
            "without --key, whoever reaches this port can have groups joined and sent to, and \
             learns what is wrong with them on this host",
        );
    }
    let mut server = Server::open(address, key.map(Key::new))?;
    interrupt.stops(server.stopper()?);
    output.note(format_args!("serving on {address}; Ctrl-C ends it"));
    while let Next::Event(served) = server.next_event(None)? {
        match served {
            Served::Joined {
                client,
                group,
                failure: None,
            } => {
                output.note(format_args!("{client} asks about {group}"));
            }
            Served::Joined {
                failure: Some(failure),
                ..
            } => output.warn(failure),
            Served::Sent {
                client,
                to,
                count,
                failure: None,
            } => {
                output.detail(format_args!("{count} datagrams to {to} for {client}"));
            }
            Served::Sent {
                failure: Some(failure),
                ..
            } => output.warn(failure),
            Served::Examined {
                client,
                group,
                verdict,
                failure: None,
            } => {
                output.note(format_args!(
                    "examined this host for {client}, {group}: {verdict}"
                ));
            }
            Served::Examined {
                failure: Some(failure),
                ..
            } => output.warn(failure),
            Served::Left { group } => output.note(format_args!("left {group}")),
            _ => {}
        }
    }
    output.after_interrupt();
    Ok(Outcome::Done)
}
