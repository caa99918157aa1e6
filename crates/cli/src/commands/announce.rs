//! `manycast announce`

use std::collections::VecDeque;

use clap::ValueHint;
use manycast::Next;
use manycast::discovery::{AnnounceEvent, Announcement, Attribute, DiscoveryProtocol, announce};
use serde::Serialize;

use super::discover::{named, protocol};
use crate::Outcome;
use crate::cli::HELP;
use crate::interrupt::Interrupt;
use crate::output::{Escaped, Output};
use crate::values::Interfaces;

const EXAMPLES: &str = "\
Examples:
  manycast announce 'My web' --type _http._tcp --port 8080 --txt path=/index.html
  manycast announce Player --type urn:schemas-upnp-org:device:MediaRenderer:1 --port 8080 --path /d.xml
  manycast announce 'My web' --type _http._tcp --port 8080 --protocol dns-sd --protocol ssdp";

const EXPLANATION: &str = "\
It is announced until Ctrl-C, and goodbye is said then. The form of a type says by which protocol: \
_NAME._tcp or _NAME._udp is for DNS-SD, urn:… for SSDP, wsdp:Device or {NAMESPACE}NAME for WS-Discovery. --protocol ssdp or ws-discovery \
without such a type announces a basic device. Where another host has the name already, DNS-SD takes another one, such as \
'My web (2)', which is told.

Nothing is served: the service itself must listen on the port. By SSDP and WS-Discovery others fetch the description \
of the device from http://ADDRESS:PORT and --path, which has the name that people see: NAME and --txt are told by \
DNS-SD alone.";

/// Announce a service of this host, so that others discover it, until Ctrl-C
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, after_help = EXPLANATION, help_template = HELP)]
pub(crate) struct Args {
    /// The name that people see, by DNS-SD; by the others the description has one
    name: String,
    /// What it is: _http._tcp, urn:schemas-upnp-org:device:NAME:1, wsdp:Device; can be repeated
    #[arg(long = "type", required = true, value_name = "TYPE")]
    kinds: Vec<String>,
    /// The port of the service
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// What else others may know (DNS-SD: the TXT record), such as path=/; can be repeated
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = attribute)]
    txt: Vec<Attribute>,
    /// By this protocol, whatever the type; can be repeated [default: as the types say]
    #[arg(long, value_parser = protocol())]
    protocol: Vec<DiscoveryProtocol>,
    /// Interface by name, index or address, or all; can be repeated
    #[arg(short, long, value_name = "IFACE")]
    interface: Vec<Interfaces>,
    /// The UUID of the device, by SSDP and WS-Discovery [default: a random one]
    #[arg(long)]
    uuid: Option<String>,
    /// Where the description of the device is, by SSDP and WS-Discovery
    #[arg(long, value_name = "URL-PATH", default_value = "/", value_hint = ValueHint::Other)]
    path: String,
}

fn attribute(text: &str) -> Result<Attribute, manycast::discovery::Error> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.as_bytes().to_vec())),
        None => (text, None),
    };
    let attribute = Attribute {
        name: name.to_owned(),
        value,
    };
    attribute.check().map(|()| attribute)
}

pub(crate) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install(Outcome::Done)?;
    let mut announcement = Announcement::new(args.name, "", args.port);
    announcement.kinds = args.kinds;
    announcement.attributes = args.txt;
    announcement.protocols = args.protocol;
    announcement.interfaces = named(&args.interface);
    announcement.uuid = args.uuid;
    announcement.path = args.path;
    let mut announcer = announce(announcement)?;
    interrupt.stops(announcer.stopper()?);
    let mut told = Lately::default();
    while let Next::Event(event) = announcer.next_event(None)? {
        tell(event, &mut told, output)?;
        output.flush()?;
    }
    output.after_interrupt();
    output.note_in_text("goodbye was said");
    Ok(Outcome::Done)
}

/// What was told lately. Interfaces come and go, and others ask again and again, for as long as this runs.
#[derive(Default)]
struct Lately(VecDeque<String>);

impl Lately {
    /// How many lines are remembered; what comes again after so many others is told again.
    const MOST: usize = 256;

    /// Whether a line was not told lately; from now on it was.
    fn is_new(&mut self, line: &str) -> bool {
        if self.0.iter().any(|told| told == line) {
            return false;
        }
        if self.0.len() == Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back(line.to_owned());
        true
    }
}

/// Something that has happened to what is announced.
#[derive(Serialize)]
struct Told {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<String>,
}

/// Tells what is new: what is announced again, each some minutes, is not.
fn tell(event: AnnounceEvent, lately: &mut Lately, output: &mut Output) -> anyhow::Result<()> {
    let mut told = Told {
        event: "announced",
        protocol: None,
        id: None,
        interface: None,
        from: None,
        to: None,
        what: None,
    };
    match event {
        AnnounceEvent::Announced {
            protocol,
            id,
            interface,
        } => {
            let on = interface.as_ref().map(|it| format!(" on {it}"));
            let line = format!("announced {id} by {protocol}{}", on.unwrap_or_default());
            if !lately.is_new(&line) {
                return Ok(());
            }
            output.note_in_text(Escaped(&line));
            told.protocol = Some(protocol.name());
            told.id = Some(id);
            told.interface = interface.map(|it| it.to_string());
        }
        AnnounceEvent::Renamed { from, to } => {
            output.warn(format_args!(
                "another host has the name {from} already; this one is announced as {to}"
            ));
            told.event = "renamed";
            (told.from, told.to) = (Some(from), Some(to));
        }
        AnnounceEvent::Asked {
            protocol,
            source,
            what,
        } => {
            let source = manycast::with_interface_name(source).to_string();
            output.detail(format_args!("{source} asked for {what} by {protocol}"));
            told.event = "asked";
            told.protocol = Some(protocol.name());
            (told.from, told.what) = (Some(source), Some(what));
        }
        AnnounceEvent::Malformed {
            protocol,
            source,
            error,
        } => {
            let source = manycast::with_interface_name(source).to_string();
            output.detail(format_args!(
                "{source} sent what was not understood by {protocol}: {error}"
            ));
            told.event = "malformed";
            told.protocol = Some(protocol.name());
            (told.from, told.what) = (Some(source), Some(error.to_string()));
        }
        AnnounceEvent::Failed { protocol, what } => {
            if !lately.is_new(&what) {
                return Ok(());
            }
            output.warn(&what);
            told.event = "failed";
            told.protocol = Some(protocol.name());
            told.what = Some(what);
        }
        _ => return Ok(()),
    }
    output.object(&told)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_not_told_again_and_takes_bounded_memory() {
        let mut lately = Lately::default();
        for number in 0..10_000 {
            let line = format!("announced x on veth{number}");
            assert!(lately.is_new(&line) && !lately.is_new(&line));
        }
        assert_eq!(lately.0.len(), Lately::MOST);
    }
}
