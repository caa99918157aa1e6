//! `manycast discover`

mod nothing;
mod report;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use manycast::discovery::{BrowseConfig, Browser, DiscoveryProtocol, Event, What, browse};
use manycast::{InterfaceSelector, Malformed, Next};

use super::send_files::Table;
use crate::Outcome;
use crate::cli::HELP;
use crate::interrupt::Interrupt;
use crate::output::{Output, Span, counted};
use crate::values::{self, Interfaces};

const EXAMPLES: &str = "\
Examples:
  manycast discover                                # all that is on any link, in 3 seconds
  manycast discover printer -i eth0                # in words: printers, by all protocols
  manycast discover _http._tcp --watch             # a type of DNS-SD, until Ctrl-C
  manycast discover upnp:rootdevice --json         # a search target of SSDP";

const EXPLANATION: &str = "\
WHAT is a type of DNS-SD (_http._tcp), a search target of SSDP (ssdp:all, upnp:rootdevice, uuid:…, \
urn:…), a type of WS-Discovery (wsdp:Device, dn:NetworkVideoTransmitter, {NAMESPACE}NAME), or a word for what people look for: camera, files, media-server, printer, router, scanner, \
speaker, web. Without it, everything is looked for.

Devices are joined that have a UUID, a host name or an address in common. Nothing of what is told is \
proved: whoever is on the link can say anything. -v shows what was asked, what came, and what else a \
service says of itself.";

/// List what is on the link: devices and services that DNS-SD, SSDP and WS-Discovery find
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(crate) struct Args {
    /// What to look for [default: everything]
    #[arg(value_parser = what)]
    what: Option<What>,
    /// Interface by name, index or address, or all; can be repeated
    #[arg(short, long, value_name = "IFACE")]
    interface: Vec<Interfaces>,
    /// How long to look [default: 3s; with --watch: until Ctrl-C]
    #[arg(short, long, value_name = "TIME", value_parser = values::duration)]
    timeout: Option<Duration>,
    /// Ask by this protocol alone; can be repeated [default: all]
    #[arg(long, value_parser = protocol())]
    protocol: Vec<DiscoveryProtocol>,
    /// Go on, and show what comes, changes and goes
    #[arg(long)]
    watch: bool,
}

/// How long it looks unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often a table on the terminal is drawn anew at most.
const OFTEN: Duration = Duration::from_millis(200);

fn what(text: &str) -> Result<What, String> {
    text.parse().map_err(|Malformed { what, .. }| what.into())
}

/// One of the protocols, by its name.
pub(crate) fn protocol() -> impl TypedValueParser<Value = DiscoveryProtocol> {
    let names = DiscoveryProtocol::ALL.map(DiscoveryProtocol::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<DiscoveryProtocol>())
}

/// The interfaces that are named; none stands for all.
pub(crate) fn named(interfaces: &[Interfaces]) -> Vec<InterfaceSelector> {
    let mut named = Vec::new();
    for interface in interfaces {
        match interface {
            Interfaces::All => return Vec::new(),
            Interfaces::One(selector) if named.contains(selector) => {}
            Interfaces::One(selector) => named.push(selector.clone()),
        }
    }
    named
}

pub(crate) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install(Outcome::No)?;
    let began = Instant::now();
    let mut browser = browse(args.config())?;
    interrupt.stops(browser.stopper()?);
    let mut table = args.watch.then(|| Table::new(output));
    // What is written to a file or a pipe is lines, and not a picture of them.
    let live = io::stdout().is_terminal() && table.as_ref().is_some_and(Table::is_shown);
    let mut heard = Heard::default();
    let mut drawn = None::<Instant>;
    loop {
        output.flush()?;
        // A table that is drawn shows ages too, so it is drawn anew though nothing came.
        let patience = live.then_some(if drawn.is_none() { OFTEN } else { OFTEN * 5 });
        match browser.next_event(patience)? {
            Next::Event(event) => {
                let told = args.watch && !live;
                heard.take(event, told, output)?;
            }
            Next::TimedOut => drawn = None,
            Next::Finished => break,
        }
        if let (true, Some(table)) = (live, &mut table)
            && drawn.is_none_or(|at| at.elapsed() >= OFTEN)
        {
            drawn = Some(Instant::now());
            table.draw(&table::live(&browser.devices(), &heard.last));
        }
    }
    if let Some(table) = &mut table {
        table.clear();
    }
    if interrupt.is_requested() {
        output.after_interrupt();
    }
    heard.interrupted = interrupt.is_requested();
    let found = end(&args, &browser, &heard, began.elapsed(), live, output)?;
    Ok(match found || args.watch && interrupt.is_requested() {
        true => Outcome::Done,
        false => Outcome::No,
    })
}

impl Args {
    fn config(&self) -> BrowseConfig {
        let mut config = BrowseConfig::default();
        config.interfaces = named(&self.interface);
        config.duration = self.timeout;
        if let Some(what) = &self.what {
            config.what = what.clone();
        }
        if !self.protocol.is_empty() {
            config.protocols.clone_from(&self.protocol);
        }
        if !self.watch {
            config.duration.get_or_insert(PATIENCE);
        }
        config
    }
}

/// What was heard beside the services that are there.
#[derive(Default)]
struct Heard {
    /// What was not understood, how often, and where it came from.
    malformed: Counted,
    /// In which ways devices differ from the standard.
    deviates: Counted,
    failed: Counted,
    /// The last lines that were told of services.
    last: Vec<String>,
    /// On which interfaces it was asked; `None` stands for all.
    asked: BTreeSet<Option<String>>,
    found: bool,
    /// Whoever asked for the end does not want to wait.
    interrupted: bool,
}

type Counted = BTreeMap<String, u64>;

/// How many different lines are kept of what is wrong. Whoever sends nonsense has no end of it.
const MOST_LINES: usize = 64;

/// How many lines of what has happened stand below a table.
const LAST: usize = 5;

fn count(lines: &mut Counted, line: String) {
    if lines.len() < MOST_LINES || lines.contains_key(&line) {
        *lines.entry(line).or_default() += 1;
    } else {
        *lines.entry("… and others".to_owned()).or_default() += 1;
    }
}

impl Heard {
    fn take(&mut self, event: Event, told: bool, output: &mut Output) -> anyhow::Result<()> {
        match &event {
            Event::Asked { interface, .. } => {
                self.asked
                    .insert(interface.as_ref().map(ToString::to_string));
                output.detail(report::asked(&event));
            }
            Event::Malformed {
                protocol,
                source,
                interface,
                error,
            } => {
                let line = format!("{} on {interface}, {protocol}: {}", source.ip(), error.what);
                if output.is_json() {
                    output.object(&report::Wrong::new(
                        "malformed",
                        *protocol,
                        *source,
                        interface,
                        &error.to_string(),
                    ))?;
                }
                output.detail(format_args!("not understood: {line}"));
                count(&mut self.malformed, line);
            }
            Event::Deviates {
                protocol,
                source,
                interface,
                how,
            } => {
                if output.is_json() {
                    output.object(&report::Wrong::new(
                        "deviates", *protocol, *source, interface, how,
                    ))?;
                }
                count(
                    &mut self.deviates,
                    format!("{} on {interface}, {protocol}: {how}", source.ip()),
                );
            }
            Event::Failed { what, .. } => {
                // Where nothing is found, it is told.
                output.detail(what);
                count(&mut self.failed, what.clone());
            }
            Event::Found(_) | Event::Changed { .. } | Event::Gone { .. } => {
                self.found = true;
                if told && output.is_json() {
                    output.object(&report::Happened::new(&event))?;
                }
                if let Some(line) = report::line(&event) {
                    if self.last.len() == LAST {
                        self.last.remove(0);
                    }
                    self.last.push(line.clone());
                    match told && !output.is_json() {
                        true => output.text(line + "\n")?,
                        false => output.detail(line),
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Shows what is there in the end, and whether something is.
fn end(
    args: &Args,
    browser: &Browser,
    heard: &Heard,
    elapsed: Duration,
    live: bool,
    output: &mut Output,
) -> anyhow::Result<bool> {
    let devices = browser.devices();
    let services = browser.services().count();
    if output.is_json() {
        for device in devices.iter().filter(|_| !args.watch) {
            output.object(&report::Found::new(device))?;
        }
    } else if !args.watch || live {
        output.text(table::table(&devices, output.is_verbose(), table::width()))?;
        for (title, lines) in [
            ("not understood", &heard.malformed),
            ("not of the standard", &heard.deviates),
        ] {
            if title == "not understood" || output.is_verbose() {
                output.text(table::section(title, lines, table::width()))?;
            }
        }
    }
    let why = match devices.is_empty() && !heard.found {
        true => {
            if !heard.interrupted {
                output.note_in_text("nothing was found; looking why …");
            }
            let Heard { failed, asked, .. } = heard;
            nothing::why(&args.config(), failed, asked, !heard.interrupted, elapsed)?
        }
        false => Vec::new(),
    };
    output.object(&report::Summary {
        event: "summary",
        devices: devices.len(),
        services,
        seconds: elapsed.as_secs_f64(),
        malformed: browser.stats().malformed(),
        overflowed: browser.stats().overflowed,
        why: &why,
    })?;
    if why.is_empty() {
        let (devices, services) = (devices.len() as u64, services as u64);
        output.note_in_text(format_args!(
            "{}, {} in {}",
            counted(devices, "device"),
            counted(services, "service"),
            Span(elapsed)
        ));
    }
    for line in &why {
        output.note_in_text(line);
    }
    let overflowed = browser.stats().overflowed;
    if overflowed > 0 {
        output.warn(format_args!(
            "{} left out, since there were too many",
            counted(overflowed, "service")
        ));
    }
    let differ = heard.deviates.len() as u64;
    if differ > 0 && !output.is_verbose() {
        output.note_in_text(format_args!(
            "{} not quite what the standard asks for; -v tells how",
            match differ {
                1 => "what 1 source sends is".to_owned(),
                _ => format!("what {} send is", counted(differ, "source")),
            }
        ));
    }
    Ok(!devices.is_empty())
}
