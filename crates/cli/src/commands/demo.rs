//! `manycast demo`

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use manycast::proto::ask::{Responder, ResponderConfig};
use manycast::{
    Address, AskConfig, Datagram, Driver, Interface, InterfaceSelector, Listener, Sender, Sent,
    SocketConfig,
};
use serde::Serialize;

use crate::Outcome;
use crate::cli::HELP;
use crate::output::{Output, Payload, Span};

const EXAMPLES: &str = "\
Examples:
  manycast demo                 # two listeners in one group, one in another, and an echo server";

const EXPLANATION: &str = "\
It uses the loopback interface alone, so it needs no network and no privilege, and nothing leaves \
this machine. Exit code 0 means that all was as it should be.";

/// Send, listen, ask and answer on this machine alone, and check what arrives
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(crate) struct Args {}

/// How long anything may take that takes no time when all is right.
const PATIENCE: Duration = Duration::from_secs(1);

/// Groups for use within an organisation (RFC 2365 §6.2).
const ONE: Ipv4Addr = Ipv4Addr::new(239, 192, 0, 100);
const OTHER: Ipv4Addr = Ipv4Addr::new(239, 192, 0, 101);

pub(crate) fn run(_: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let begin = Instant::now();
    let loopback = loopback()?;
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Listener::open([local], SocketConfig::default())?;
    let host = server.local_addrs().next().unwrap_or(local);
    // The server has this port for itself, so no other program has it, for groups either.
    let [one, other] = [ONE, OTHER].map(|group| {
        let name = loopback.name.to_string();
        Address::from(SocketAddr::from((group, host.port()))).on(InterfaceSelector::Name(name))
    });

    let mut checks = Checks {
        output,
        right: 0,
        wrong: 0,
    };
    show_groups(&one, &other, &mut checks)?;
    show_echo(server, host, &mut checks)?;

    let Checks { right, wrong, .. } = checks;
    output.report(&Summary {
        event: "finished",
        ok: wrong == 0,
        checks: right + wrong,
        wrong,
        elapsed: begin.elapsed(),
    })?;
    Ok(if wrong == 0 {
        Outcome::Done
    } else {
        Outcome::No
    })
}

fn loopback() -> anyhow::Result<Interface> {
    let found = manycast::interfaces()?
        .into_iter()
        .find(|interface| interface.loopback);
    match found {
        Some(interface) if interface.up => Ok(interface),
        Some(Interface { name, .. }) => {
            bail!("the loopback interface is down; bring it up with 'ip link set {name} up'")
        }
        None => bail!("this machine has no loopback interface"),
    }
}

/// Two listeners in one group and one in another, all on one port.
fn show_groups(one: &Address, other: &Address, checks: &mut Checks<'_>) -> anyhow::Result<()> {
    let mut listeners = Vec::new();
    for group in [one, one, other] {
        listeners.push((group, manycast::listen(group)?));
    }
    let (to_one, to_other) = (Sender::new(one)?, Sender::new(other)?);
    // In turn: whatever strays into the wrong group comes before something that belongs there.
    let mut sent = Vec::new();
    for (sender, text) in [
        (&to_one, "Hello, world!"),
        (&to_other, "Hello, others!"),
        (&to_one, "Good-bye, world!"),
        (&to_other, "Good-bye, others!"),
    ] {
        sent.push((sender.send(text)?, text));
    }
    for (number, (group, mut listener)) in (1..).zip(listeners) {
        let expected: Vec<_> = sent
            .iter()
            .filter(|(sent, _)| Some(sent.to.ip()) == group.group().map(|group| group.address))
            .collect();
        let received = gather(&mut listener, expected.len())?;
        let right = received.len() == expected.len()
            && received
                .iter()
                .zip(&expected)
                .all(|(came, (sent, text))| is(came, sent, text));
        let how = received.first().map(|came| {
            let hops = came
                .hops
                .map(|hops| format!(", hop limit {hops}"))
                .unwrap_or_default();
            format!(" from {} on {}{hops}", came.source, came.interface)
        });
        checks.add(Check {
            event: "check",
            ok: right,
            name: format!("listener {number}"),
            address: group.to_string(),
            received: received.iter().map(|came| text(&came.payload)).collect(),
            expected: expected
                .iter()
                .map(|(_, text)| (*text).to_owned())
                .collect(),
            verb: "received",
            how: how.unwrap_or_default(),
            mark: String::new(),
        })?;
    }
    Ok(())
}

/// What comes, until there is as much as is expected and no more.
fn gather(listener: &mut Listener, expected: usize) -> anyhow::Result<Vec<Datagram>> {
    let deadline = Instant::now() + PATIENCE;
    let mut received = Vec::new();
    loop {
        let left = if received.len() < expected {
            deadline.saturating_duration_since(Instant::now())
        } else {
            Duration::ZERO
        };
        match listener.recv_timeout(left)? {
            Some(datagram) => received.push(datagram.to_datagram()),
            None => return Ok(received),
        }
    }
}

/// Whether a datagram is what was sent, and came as it was sent.
fn is(came: &Datagram, sent: &Sent, text: &str) -> bool {
    came.payload == text
        && came.source == sent.from
        && came.destination.ip() == sent.to.ip()
        && came.interface.index == sent.interface.index
        && came.hops == Some(sent.hops)
}

/// An echo server, and one who asks it.
fn show_echo(server: Listener, host: SocketAddr, checks: &mut Checks<'_>) -> anyhow::Result<()> {
    let config = ResponderConfig {
        prefix: "OK...".into(),
        ..ResponderConfig::default()
    };
    let mut driver = Driver::new(server, Responder::new(config));
    let stopper = driver.stopper()?;
    let server = thread::spawn(move || driver.run(|_, _| {}));
    let config = AskConfig::default().timeout(PATIENCE);
    let answers = manycast::ask(host, "hello", &config);
    stopper.stop();
    if let Ok(result) = server.join() {
        result?;
    }
    let answers = answers?;
    let right = matches!(answers.as_slice(), [answer] if answer.datagram.payload == "OK...hello");
    let how = answers
        .first()
        .map(|answer| format!(" to \"hello\" in {}", Span(answer.round_trip)));
    checks.add(Check {
        event: "check",
        ok: right,
        name: "echo server".to_owned(),
        address: host.to_string(),
        received: answers
            .iter()
            .map(|answer| text(&answer.datagram.payload))
            .collect(),
        expected: vec!["OK...hello".to_owned()],
        verb: "answered",
        how: how.unwrap_or_default(),
        mark: String::new(),
    })
}

fn text(payload: &[u8]) -> String {
    Payload::from(payload).to_string()
}

/// What was checked so far.
struct Checks<'a> {
    output: &'a mut Output,
    right: u32,
    wrong: u32,
}

impl Checks<'_> {
    fn add(&mut self, check: Check) -> anyhow::Result<()> {
        let counter = if check.ok {
            &mut self.right
        } else {
            &mut self.wrong
        };
        *counter += 1;
        let mark = self.output.mark(check.ok);
        self.output.report(&Check { mark, ..check })?;
        Ok(self.output.flush()?)
    }
}

/// What someone received, and whether it is what was to be expected.
#[derive(Serialize)]
struct Check {
    event: &'static str,
    ok: bool,
    name: String,
    address: String,
    received: Vec<String>,
    expected: Vec<String>,
    #[serde(skip)]
    verb: &'static str,
    #[serde(skip)]
    how: String,
    #[serde(skip)]
    mark: String,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            mark,
            name,
            address,
            verb,
            how,
            ..
        } = self;
        write!(
            f,
            "{mark} {name} at {address} {verb} {}{how}",
            quoted(&self.received)
        )?;
        if !self.ok {
            write!(f, ", and should have {verb} {}", quoted(&self.expected))?;
        }
        Ok(())
    }
}

fn quoted(texts: &[String]) -> String {
    if texts.is_empty() {
        return "nothing".to_owned();
    }
    let texts: Vec<_> = texts.iter().map(|text| format!("\"{text}\"")).collect();
    texts.join(" and ")
}

/// The end of it.
#[derive(Serialize)]
struct Summary {
    event: &'static str,
    ok: bool,
    checks: u32,
    wrong: u32,
    #[serde(skip)]
    elapsed: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elapsed = Span(self.elapsed);
        match self.wrong {
            0 => write!(
                f,
                "All {} are as they should be, after {elapsed}.",
                self.checks
            ),
            wrong => write!(
                f,
                "{wrong} of {} are not as they should be, after {elapsed}.",
                self.checks
            ),
        }
    }
}
