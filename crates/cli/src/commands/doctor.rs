//! `manycast doctor`

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::bail;
use manycast::Address;
use manycast::doctor::{
    self, Doorman, Examination, FarEnd, Finding, Key, Mark, ProgramChoice, Served, Severity,
    Toward, Trial,
};
use serde::Serialize;

use crate::Outcome;
use crate::cli::HELP;
use crate::interrupt::Interrupt;
use crate::output::{Output, counted};
use crate::values;

const EXAMPLES: &str = "\
Examples:
  manycast doctor                                # what this host can do with groups
  manycast doctor 239.1.1.1:5000                 # what becomes of a stream on this host
  manycast doctor 239.1.1.1:5000 --pid 4711      # why another program does not receive it
  manycast doctor 239.1.1.1:5000 --port          # the same, of whoever has port 5000
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
    /// What should arrive: GROUP:PORT, or a local address; without it, this host is examined
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
    #[command(subcommand)]
    serve: Option<Serve>,
}

#[derive(Debug, clap::Subcommand)]
enum Serve {
    /// Send and count for a doctor on another host
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
    let report = match &args.address {
        None => doctor::examine_host()?,
        Some(address) => {
            let how = Examination {
                duration: args.duration,
                program: match args.pid {
                    Some(0) => bail!("process numbers begin at 1"),
                    Some(pid) => Some(ProgramChoice::Pid(pid)),
                    None => args.port.then_some(ProgramChoice::Port),
                },
            };
            if let Some(host) = &args.with {
                let far = FarEnd {
                    address: far_address(host)?,
                    key: args.key.map(Key::new),
                    soak: args.soak,
                };
                output.detail(format_args!("trying {address} with {}", far.address));
                let report = doctor::examine_with(address, &how, &far)?;
                return tell(&report, output);
            }
            output.detail(format_args!(
                "listening on {address} for {:?}",
                args.duration
            ));
            doctor::examine(address, &how)?
        }
    };
    tell(&report, output)
}

fn tell(report: &doctor::Report, output: &mut Output) -> anyhow::Result<Outcome> {
    let healthy = report.is_healthy();
    let marks = [true, false].map(|right| output.mark(right));
    let screen = Screen::new(report, output.is_verbose(), marks);
    if output.is_json() {
        output.object(&screen)?;
    } else {
        output.text(format_args!("{}\n", screen.to_string().trim_end()))?;
    }
    Ok(if healthy { Outcome::Done } else { Outcome::No })
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
        output.warn("without --key, whoever reaches this port can have groups joined and sent to");
    }
    let mut doorman = Doorman::open(address, key.map(Key::new))?;
    interrupt.stops(doorman.stopper()?);
    output.note(format_args!("serving on {address}; Ctrl-C ends it"));
    while let Some(served) = doorman.next()? {
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
            Served::Left { group } => output.note(format_args!("left {group}")),
            _ => {}
        }
    }
    output.after_interrupt();
    Ok(Outcome::Done)
}

/// What is shown of a report; as JSON, the one object that it is.
#[derive(Serialize)]
struct Screen<'a> {
    subject: &'a str,
    verdict: &'static str,
    healthy: bool,
    /// Datagrams that came as they were asked for.
    received: u64,
    findings: Vec<Found<'a>>,
    steps: Vec<Walked<'a>>,
    /// What was tried between two ends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trials: Vec<Tried>,
    /// By how much the kernel's counters moved meanwhile; only those that did.
    counters: &'a BTreeMap<String, u64>,
    /// The packets of interfaces meanwhile.
    interfaces: BTreeMap<&'a str, Carried>,
    #[serde(skip)]
    verbose: bool,
    /// The marks for right and wrong.
    #[serde(skip)]
    marks: [String; 2],
}

#[derive(Serialize)]
struct Found<'a> {
    code: &'static str,
    severity: &'static str,
    confidence: &'static str,
    title: &'a str,
    evidence: &'a [String],
    remedy: Option<&'a str>,
    settle: Option<&'a str>,
    page: String,
}

#[derive(Serialize)]
struct Walked<'a> {
    step: &'static str,
    mark: &'static str,
    detail: &'a str,
}

#[derive(Serialize)]
struct Tried {
    /// `here` or `there`.
    toward: &'static str,
    group: bool,
    /// To the group: by the interface that the route chooses.
    by_route: bool,
    hops: u8,
    size: u16,
    sent: u8,
    came: u8,
}

#[derive(Serialize)]
struct Carried {
    received: u64,
    sent: u64,
}

impl<'a> Screen<'a> {
    fn new(report: &'a doctor::Report, verbose: bool, marks: [String; 2]) -> Self {
        let steps = report.steps.iter().map(|state| Walked {
            step: state.step.as_str(),
            mark: state.mark.as_str(),
            detail: &state.detail,
        });
        let interfaces = report.counters.interfaces.iter().map(|(name, moved)| {
            let carried = Carried {
                received: moved.received,
                sent: moved.sent,
            };
            (name.as_str(), carried)
        });
        Self {
            subject: &report.subject,
            verdict: report.verdict().as_str(),
            healthy: report.is_healthy(),
            received: report.received,
            findings: report.findings.iter().map(Found::from).collect(),
            steps: steps.collect(),
            trials: report.trials.iter().map(Tried::from).collect(),
            counters: &report.counters.values,
            interfaces: interfaces.collect(),
            verbose,
            marks,
        }
    }

    fn walk(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [right, wrong] = &self.marks;
        for walked in &self.steps {
            let mark = match walked.mark {
                mark if mark == Mark::Passed.as_str() => right,
                mark if mark == Mark::Broken.as_str() => wrong,
                mark if mark == Mark::Unknown.as_str() => "?",
                _ => "·",
            };
            // The title of the fault stands above.
            let detail = if mark == wrong { "" } else { walked.detail };
            let line = format!("  {mark} {:<12} {detail}", walked.step);
            write!(f, "\n{}", line.trim_end())?;
        }
        if self.steps.is_empty() {
            Ok(())
        } else {
            writeln!(f)
        }
    }
}

impl From<&Trial> for Tried {
    fn from(trial: &Trial) -> Self {
        Self {
            toward: match trial.toward {
                Toward::Here => "here",
                Toward::There => "there",
            },
            group: trial.to_group,
            by_route: trial.by_route,
            hops: trial.hops,
            size: trial.size,
            sent: trial.sent,
            came: trial.came,
        }
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (toward, sent, came) = (self.toward, self.sent, self.came);
        if !self.group {
            return write!(f, "{came} of {sent} came {toward} by unicast");
        }
        let Self { hops, size, .. } = self;
        let by = if self.by_route {
            ""
        } else {
            ", not by the route"
        };
        write!(
            f,
            "{came} of {sent} came {toward} by the group: hop limit {hops}, {size} bytes{by}"
        )
    }
}

impl<'a> From<&'a Finding> for Found<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self {
            code: finding.code.as_str(),
            severity: match finding.severity {
                Severity::Fault => "fault",
                Severity::Warning => "warning",
            },
            confidence: finding.confidence.as_str(),
            title: &finding.title,
            evidence: &finding.evidence,
            remedy: finding.remedy.as_deref(),
            settle: finding.settle.as_deref(),
            page: finding.page(),
        }
    }
}

impl fmt::Display for Screen<'_> {
    /// The verdict, the walk, and what to do; what is less important by name only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [right, wrong] = &self.marks;
        let first = self.findings.first().filter(|_| !self.healthy);
        match first {
            None if self.steps.is_empty() => {
                writeln!(f, "{right} {}: no fault was found", self.subject)?;
            }
            None if self.received == 0 => {
                writeln!(f, "{right} {}: no fault was found", self.subject)?;
            }
            None => writeln!(
                f,
                "{right} {}: delivered, {}",
                self.subject,
                counted(self.received, "datagram")
            )?,
            Some(first) => {
                wrapped(f, "", &format!("{wrong} {}: {}", self.subject, first.title))?;
                writeln!(f, "  {} ({})", first.code, first.confidence)?;
            }
        }
        self.walk(f)?;
        if self.verbose {
            let tried: Vec<String> = self.trials.iter().map(ToString::to_string).collect();
            section(f, "tried", tried.iter().map(String::as_str))?;
        }
        let mut named = Vec::new();
        for (index, found) in self.findings.iter().enumerate() {
            let is_first = index == 0 && !self.healthy;
            if is_first || self.verbose {
                found.tell(f, !is_first)?;
            } else {
                named.push(format!("{} ({})", found.code, found.confidence));
            }
        }
        if !named.is_empty() {
            writeln!(f)?;
            wrapped(f, "", &format!("also: {}; -v tells more", named.join(", ")))?;
        }
        if let Some(first) = first {
            write!(f, "\nread on: {}", first.page)?;
        }
        Ok(())
    }
}

impl Found<'_> {
    fn tell(&self, f: &mut fmt::Formatter<'_>, titled: bool) -> fmt::Result {
        if titled {
            writeln!(f)?;
            wrapped(f, "", &format!("{}: {}", self.severity, self.title))?;
            writeln!(f, "  {} ({})", self.code, self.confidence)?;
        }
        section(f, "why", self.evidence.iter().map(String::as_str))?;
        advice(f, "to mend it", self.remedy)?;
        advice(f, "to be sure", self.settle)
    }
}

/// A titled list of sentences, each on lines of its own.
fn section<'a>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    lines: impl IntoIterator<Item = &'a str>,
) -> fmt::Result {
    for (index, line) in lines.into_iter().enumerate() {
        if index == 0 {
            writeln!(f, "\n  {title}:")?;
        }
        wrapped(f, "    ", line)?;
    }
    Ok(())
}

/// What to do, under a title. A command has a line of its own, which is not broken, so that it can
/// be copied.
fn advice(f: &mut fmt::Formatter<'_>, title: &str, text: Option<&str>) -> fmt::Result {
    let Some(text) = text else {
        return Ok(());
    };
    writeln!(f, "\n  {title}:")?;
    for clause in text.split("; ") {
        match command_in(clause) {
            Some(("", command)) => writeln!(f, "    {command}")?,
            Some((reason, command)) => {
                wrapped(f, "    ", reason)?;
                writeln!(f, "      {command}")?;
            }
            None => wrapped(f, "    ", clause)?,
        }
    }
    Ok(())
}

/// Parts a clause into what it says, with its colon, and the command at its end, if there is one.
fn command_in(clause: &str) -> Option<(&str, &str)> {
    let is_command = |text: &str| {
        let first = text.split(' ').next();
        first.is_some_and(|first| ["sudo", "ip", "manycast"].contains(&first))
    };
    if is_command(clause) {
        return Some(("", clause));
    }
    let (at, _) = clause
        .match_indices(": ")
        .find(|(at, _)| is_command(&clause[at + 2..]))?;
    Some((&clause[..=at], &clause[at + 2..]))
}

/// Text in lines of at most 80 columns, those after the first a little deeper.
fn wrapped(f: &mut fmt::Formatter<'_>, indent: &str, text: &str) -> fmt::Result {
    const WIDTH: usize = 80;
    let mut column = indent.len();
    f.write_str(indent)?;
    for (index, word) in text.split(' ').enumerate() {
        let length = visible(word);
        if index > 0 && column + 1 + length > WIDTH {
            write!(f, "\n{indent}  {word}")?;
            column = indent.len() + 2 + length;
        } else {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{word}")?;
            column += space.len() + length;
        }
    }
    writeln!(f)
}

/// How many columns a word takes; a colour takes none.
fn visible(word: &str) -> usize {
    let mut in_colour = false;
    let shown = word.chars().filter(|character| match character {
        '\x1b' => {
            in_colour = true;
            false
        }
        'm' if in_colour => {
            in_colour = false;
            false
        }
        _ => !in_colour,
    });
    shown.count()
}
