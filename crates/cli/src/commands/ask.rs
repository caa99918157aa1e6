//! `manycast ask`

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufReader, IsTerminal};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use manycast::proto::ask::{Answer, ClientEvent, ClientStats, Ending};
use manycast::{Address, AskConfig, Error, Next, Sender, asker, with_interface_name};
use serde::Serialize;

use super::input::Inputs;
use super::known::Place;
use super::{Choice, choice, must_be_a_destination};
use crate::Outcome;
use crate::cli::HELP;
use crate::interrupt::Interrupt;
use crate::output::{self, DatagramReport, Output, Payload, SentReport, Span, counted, grouped};
use crate::values::{self, Interfaces};

const EXAMPLES: &str = "\
Examples:
  manycast ask localhost:8888 hello                # one answer of one host
  manycast ask 239.192.0.100:8888 'who is there?'  # all answers of a group, within a second
  manycast ask 192.0.2.7:8888 hello --retries 3    # ask again where an answer is lost
  manycast ask localhost:8888                      # line by line
  manycast ask ssdp                                # a group by its name: ssdp, ws-discovery, mdns";

const EXPLANATION: &str = "\
Of one host, answers of others do not count. Each retry waits twice as long as the one before. \
Without MESSAGE, each line is a question of its own, from a port of its own.";

/// Send a question, and show who answers and how fast
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(crate) struct Args {
    /// Whom to ask: HOST:PORT or GROUP:PORT; or ssdp, ws-discovery or mdns, with a question of theirs
    address: Place,
    /// What to ask; without it, each line of standard input is a question
    #[arg(allow_negative_numbers = true)]
    message: Option<OsString>,
    /// Interface by name, index or address
    #[arg(short, long, value_name = "IFACE")]
    interface: Vec<Interfaces>,
    /// How long to wait for answers
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = values::duration)]
    timeout: Duration,
    /// How often to ask again while answers are wanting
    #[arg(long, value_name = "N", default_value = "0", value_parser = values::retries, allow_negative_numbers = true)]
    retries: u32,
    /// Stop at so many answers [default: 1 of a host, all of a group]
    #[arg(long, value_name = "N", value_parser = values::count, allow_negative_numbers = true)]
    answers: Option<u64>,
}

pub(crate) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install(Outcome::No)?;
    let (address, usual) = args.address.asked();
    let address = on_interface(address, &args.interface)?;
    if !address.sources().is_empty() {
        bail!("{address} names sources, which are for listening; leave them out");
    }
    must_be_a_destination(&address)?;
    // Fails here where no route leads there, and not by a silence.
    let sent = Sender::new(&address)?.sent(0);
    // A name is looked up this once, and not in front of each question.
    let found = Address::from(sent.to);
    let question = Question {
        address: match address.interface() {
            Some(interface) => found.on(interface.clone()),
            None => found,
        },
        is_group: sent.to.ip().is_multicast(),
        config: AskConfig::default()
            .timeout(args.timeout)
            .retries(args.retries)
            .answers(
                args.answers
                    .map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
            ),
    };
    let egress = SentReport::from(&sent).egress();
    output.detail(format_args!("asking {egress}"));
    let typed = args.message.map(OsString::into_encoded_bytes);
    match typed.or(usual) {
        Some(message) => once(&question, &message, &interrupt, output),
        None => line_by_line(&question, &interrupt, output),
    }
}

fn on_interface(address: Address, interfaces: &[Interfaces]) -> anyhow::Result<Address> {
    match choice(&address, interfaces)? {
        Choice::AsIs => Ok(address),
        Choice::These(these) if these.len() == 1 => {
            Ok(these.into_iter().fold(address, Address::on))
        }
        Choice::These(_) | Choice::All => {
            bail!("a question goes by one interface; write -i eth0, and ask again by the next")
        }
    }
}

fn once(
    question: &Question,
    payload: &[u8],
    interrupt: &Interrupt,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let result = question.ask(payload, interrupt, output, |answer, output| {
        output.report(&AnswerReport::from(answer))
    })?;
    if interrupt.is_requested() {
        output.after_interrupt();
    }
    if result.stats.answers == 0 {
        output::problem(result.silence(question));
        if !interrupt.is_requested() && result.trouble.is_none() {
            output.note(question.hint());
        }
        return Ok(Outcome::No);
    }
    output.note_in_text(result.summary());
    let wanted = question.config.answers.unwrap_or(1) as u64;
    if result.stats.answers < wanted {
        output::problem(format_args!(
            "{} came, {} expected",
            counted(result.stats.answers, "answer"),
            grouped(wanted)
        ));
        return Ok(Outcome::No);
    }
    Ok(Outcome::Done)
}

/// The dialogue: a prompt, a question, its answers.
fn line_by_line(
    question: &Question,
    interrupt: &Interrupt,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    // Who reads from a pipe wants the answers alone.
    let talks = !output.is_json()
        && !output.is_quiet()
        && io::stdin().is_terminal()
        && io::stdout().is_terminal();
    let mut outcome = Outcome::Done;
    let lines = Inputs::lines(BufReader::new(io::stdin()), "ask in fewer");
    loop {
        if talks {
            output.text("Enter message to send : ")?;
        }
        output.flush()?;
        let line = lines
            .next(interrupt)
            .map_err(|error| anyhow!("cannot read standard input: {error}"))?;
        let Some(line) = line else { break };
        let result = question.ask(&line, interrupt, output, |answer, output| {
            if output.is_json() {
                return output.object(&AnswerReport::from(answer));
            }
            let payload = Payload::from(&answer.datagram.payload[..]);
            if question.is_group {
                let AnswerReport { datagram, .. } = AnswerReport::from(answer);
                output.text(format_args!(
                    "Server reply [{}] : {payload}\n",
                    datagram.source()
                ))
            } else {
                output.text(format_args!("Server reply : {payload}\n"))
            }
        })?;
        if result.stats.answers == 0 {
            outcome = Outcome::No;
            if talks && !interrupt.is_requested() {
                output.text(format_args!("{}\n", result.silence(question)))?;
            } else if !interrupt.is_requested() {
                output.flush()?;
                output::problem(result.silence(question));
            }
        }
    }
    if talks {
        output.text("\n")?;
    }
    Ok(outcome)
}

/// After so long without an answer on its link, the kernel says that a host is not there.
const NOBODY: Duration = Duration::from_secs(3);

/// Whom to ask, and how.
struct Question {
    address: Address,
    /// Whether it means many hosts.
    is_group: bool,
    config: AskConfig,
}

impl Question {
    /// What to do where nobody answers. The doctor looks at the host that it runs on.
    fn hint(&self) -> String {
        let mut text = format!(
            "is 'manycast echo' or another server running there? On its host, 'manycast doctor {}' \
             tells what becomes of the questions",
            self.address
        );
        // Three requests, one a second (arp(7), mcast_solicit; RFC 4861 §10).
        if !self.is_group && self.config.timeout <= NOBODY {
            text += "; '-t 4s' waits long enough to tell whether the host is there at all";
        }
        text
    }

    /// Asks, and shows each answer as it comes.
    fn ask(
        &self,
        payload: &[u8],
        interrupt: &Interrupt,
        output: &mut Output,
        show: impl Fn(&Answer, &mut Output) -> io::Result<()>,
    ) -> anyhow::Result<Asked> {
        let mut asker = asker(&self.address, payload, &self.config)?;
        interrupt.stops(asker.stopper()?);
        let begin = Instant::now();
        let mut trouble = None;
        let mut ended = Ending::Stopped;
        while let Next::Event(event) = asker.next_event(None)? {
            match event {
                ClientEvent::Answer(answer) => {
                    show(&answer, output)?;
                    output.flush()?;
                }
                ClientEvent::Retried { attempt } => {
                    let waited = Span(begin.elapsed());
                    output.detail(format_args!("attempt {attempt}, after {waited}"));
                }
                ClientEvent::Refused { peer } => trouble = Some(Error::ConnectionRefused { peer }),
                ClientEvent::Unreachable(unreachable) => {
                    output.object(&CameBack {
                        event: "unreachable",
                        to: with_interface_name(unreachable.peer).to_string(),
                        errno: unreachable.errno,
                    })?;
                    trouble = Some(unreachable.into());
                }
                ClientEvent::NotSent(error) => trouble = Some(error.into()),
                ClientEvent::Finished { ending, .. } => ended = ending,
                _ => {}
            }
        }
        let asked = Asked {
            stats: asker.protocol().stats(),
            elapsed: begin.elapsed(),
            trouble,
        };
        output.object(&asked.report(ended))?;
        Ok(asked)
    }
}

/// How a question went.
struct Asked {
    stats: ClientStats,
    elapsed: Duration,
    /// Why the question did not arrive, as this host, the other or a router said.
    trouble: Option<Error>,
}

impl Asked {
    /// Why there is no answer.
    fn silence(&self, question: &Question) -> String {
        if let Some(trouble) = &self.trouble {
            return trouble.to_string();
        }
        let questions = self.stats.questions;
        let mut text = if questions == 1 && self.elapsed >= question.config.timeout {
            format!("no reply after {}", Span(question.config.timeout))
        } else {
            format!("no reply after {}", Span(self.elapsed))
        };
        if questions > 1 {
            text += &format!(", asked {questions} times");
        }
        text + &self.ignored()
    }

    fn summary(&self) -> String {
        let answers = counted(self.stats.answers, "answer");
        format!("{answers} in {}{}", Span(self.elapsed), self.ignored())
    }

    fn ignored(&self) -> String {
        match self.stats.strangers {
            0 => String::new(),
            strangers => format!("; ignored {} of others", counted(strangers, "datagram")),
        }
    }

    const fn report(&self, ended: Ending) -> Finished {
        Finished {
            event: "finished",
            answers: self.stats.answers,
            questions: self.stats.questions,
            strangers: self.stats.strangers,
            duplicates: self.stats.duplicates,
            ending: match ended {
                Ending::Enough => "enough",
                Ending::TimeOut => "time-out",
                Ending::Refused => "refused",
                Ending::NotSent => "not-sent",
                Ending::Stopped => "stopped",
                _ => "other",
            },
        }
    }
}

/// A question that came back undelivered.
#[derive(Serialize)]
struct CameBack {
    event: &'static str,
    to: String,
    errno: i32,
}

/// The last object of a question.
#[derive(Serialize)]
struct Finished {
    event: &'static str,
    answers: u64,
    /// How often it was asked.
    questions: u64,
    /// Datagrams from others than the asked host, which do not count.
    strangers: u64,
    duplicates: u64,
    ending: &'static str,
}

/// An answer; its source is the responder.
#[derive(Serialize)]
struct AnswerReport<'a> {
    #[serde(flatten)]
    datagram: DatagramReport<'a>,
    /// In seconds, since the question was last sent.
    round_trip: f64,
    /// How often the question had been sent by then.
    attempt: u32,
    #[serde(skip)]
    payload: Payload<'a>,
}

impl<'a> From<&'a Answer> for AnswerReport<'a> {
    fn from(answer: &'a Answer) -> Self {
        Self {
            datagram: DatagramReport::new("answer", &answer.datagram.as_received()),
            round_trip: answer.round_trip.as_secs_f64(),
            attempt: answer.attempt,
            payload: Payload::from(&answer.datagram.payload[..]),
        }
    }
}

impl fmt::Display for AnswerReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let round_trip = Span(Duration::from_secs_f64(self.round_trip));
        let source = self.datagram.source();
        write!(f, "{source} answered in {round_trip}: {}", self.payload)
    }
}
