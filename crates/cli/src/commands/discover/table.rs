//! The table: devices, and what each offers.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use manycast::discovery::{Device, DiscoveryProtocol, Service, natural_order};
use terminal_size::{Height, Width, terminal_size_of};

use crate::output::{Escaped, Payload};

/// How wide standard output is; where it is no terminal, 100 columns.
pub(super) fn width() -> usize {
    terminal_size_of(io::stdout()).map_or(100, |(Width(width), _)| width.into())
}

/// The devices, a block each.
pub(super) fn table(devices: &[Device], verbose: bool, width: usize) -> String {
    let mut lines = Vec::new();
    for device in devices {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        block(device, verbose, width, &mut lines);
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// The same while it goes on: as much as the terminal holds, and below it what has happened last.
pub(super) fn live(devices: &[Device], last: &[String]) -> Vec<String> {
    let size = terminal_size_of(io::stderr());
    let (width, height) = size.map_or((80, 24), |(Width(width), Height(height))| {
        (usize::from(width), usize::from(height))
    });
    screen(devices, last, width, height)
}

fn screen(devices: &[Device], last: &[String], width: usize, height: usize) -> Vec<String> {
    // A terminal folds what is as wide as itself.
    let width = width.saturating_sub(1);
    let (mut lines, mut below) = (Vec::new(), Vec::new());
    for device in devices {
        block(device, false, width, &mut lines);
    }
    for line in last {
        fold(line, 0, 4, width, &mut below);
    }
    let most = height.saturating_sub(below.len() + 3).max(1);
    if lines.len() > most {
        let left = lines.len() - most;
        lines.truncate(most);
        lines.push(format!("… and {left} lines more"));
    }
    if lines.is_empty() {
        lines.push("nothing yet".to_owned());
    }
    if !below.is_empty() {
        lines.push(String::new());
        lines.extend(below);
    }
    lines
}

/// A titled list of what was counted.
pub(super) fn section(title: &str, lines: &BTreeMap<String, u64>, width: usize) -> String {
    let mut text = String::new();
    let mut lines: Vec<_> = lines.iter().collect();
    lines.sort_by(|one, other| natural_order(one.0, other.0));
    for (index, (line, count)) in lines.into_iter().enumerate() {
        if index == 0 {
            text += &format!("\n{title}:\n");
        }
        let times = match count {
            1 => String::new(),
            count => format!(", {count} times"),
        };
        let mut folded = Vec::new();
        fold(
            &format!("{}{times}", Escaped(line)),
            2,
            4,
            width,
            &mut folded,
        );
        text.extend(folded.into_iter().map(|line| line + "\n"));
    }
    text
}

fn block(device: &Device, verbose: bool, width: usize, lines: &mut Vec<String>) {
    let protocols: Vec<_> = device.protocols.iter().map(|it| it.name()).collect();
    let all = device.addresses.iter().map(|it| it.interface.to_string());
    let mut on: Vec<String> = all.collect::<BTreeSet<_>>().into_iter().collect();
    on.sort_by(|one, other| natural_order(one, other));
    let name = Escaped(&device.name).to_string();
    let (on, protocols) = (on.join(", "), protocols.join(", "));
    fold(
        &format!("{name}  on {on}, by {protocols}"),
        0,
        2,
        width,
        lines,
    );
    let addresses: Vec<_> = device.addresses.iter().map(ToString::to_string).collect();
    fold(&addresses.join(", "), 2, 4, width, lines);
    let shown = shown(&device.services);
    let longest = |text: fn(&Service) -> usize| shown.iter().map(|it| text(it)).max().unwrap_or(0);
    let kinds = longest(|it| Escaped(&short_kind(&it.kind)).to_string().chars().count());
    // A kind that takes more than half of a line stands on a line of its own.
    let kinds = kinds.min(width / 2);
    let ports = longest(|it| port(it).len());
    let mut before: Option<&Service> = None;
    for service in shown {
        row(service, before, (kinds, ports), width, lines);
        if verbose {
            attributes(service, width, lines);
        }
        before = Some(service);
    }
}

fn row(
    service: &Service,
    before: Option<&Service>,
    (kinds, ports): (usize, usize),
    width: usize,
    lines: &mut Vec<String>,
) {
    // What a device says of itself with each of its services need be read but once.
    let said = |other: &Service| other.protocol == service.protocol && other.name == service.name;
    let is_said = before.is_some_and(said) && service.protocol != DiscoveryProtocol::DnsSd;
    let name = if is_said { "" } else { &*service.name };
    let kind = Escaped(&short_kind(&service.kind)).to_string();
    let port = port(service);
    let mut begin = format!("  {kind:kinds$}  {port:>ports$}");
    if kind.chars().count() > kinds {
        lines.push(format!("  {kind}"));
        begin = format!("  {:kinds$}  {port:>ports$}", "");
    }
    if name.is_empty() {
        lines.push(begin.trim_end().to_owned());
        return;
    }
    let deep = begin.chars().count() + 2;
    let mut folded = Vec::new();
    // Where there is hardly room beside it, the name stands below.
    if deep + 16 > width {
        lines.push(begin.trim_end().to_owned());
        fold(&Escaped(name).to_string(), 4, 4, width, lines);
        return;
    }
    fold(&Escaped(name).to_string(), deep, deep, width, &mut folded);
    for (index, line) in folded.into_iter().enumerate() {
        lines.push(match index {
            0 => format!("{begin}  {}", line.trim_start()),
            _ => line,
        });
    }
}

fn attributes(service: &Service, width: usize, lines: &mut Vec<String>) {
    for attribute in &service.attributes {
        let value = match attribute.value.as_deref() {
            Some(value) => format!("={}", Payload::from(value)),
            None => String::new(),
        };
        fold(
            &format!("{}{value}", Escaped(&attribute.name)),
            6,
            8,
            width,
            lines,
        );
    }
}

fn port(service: &Service) -> String {
    service
        .port
        .map_or_else(String::new, |port| port.to_string())
}

/// Those that tell people something: of SSDP, each device says thrice that it is there, and what it is besides.
fn shown(services: &[Service]) -> Vec<&Service> {
    let is_plain = |service: &Service| {
        let kind = service.kind.to_ascii_lowercase();
        service.protocol == DiscoveryProtocol::Ssdp && !kind.starts_with("urn:")
    };
    // Of devices that tell more than that, and of those that are shown already.
    let mut known: BTreeSet<Option<&str>> = services
        .iter()
        .filter(|it| it.protocol == DiscoveryProtocol::Ssdp && !is_plain(it))
        .map(|it| it.uuid.as_deref())
        .collect();
    let mut shown: Vec<_> = services
        .iter()
        .filter(|it| !is_plain(it) || known.insert(it.uuid.as_deref()))
        .collect();
    // Those of one kind stay in the order of their names.
    shown.sort_by_key(|it| {
        (
            it.protocol,
            &it.uuid,
            !it.kind.contains(":device:"),
            &it.kind,
        )
    });
    shown
}

/// A kind without what all of its like begin with: `MediaServer:1`, `NetworkVideoTransmitter`.
pub(super) fn short_kind(kind: &str) -> String {
    if kind.starts_with('{') {
        let locals = kind
            .split(' ')
            .map(|name| name.rsplit('}').next().unwrap_or(name));
        return locals.collect::<Vec<_>>().join(", ");
    }
    let end = [":device:", ":service:"].iter().find_map(|part| {
        let (_, end) = kind.split_once(part)?;
        (kind.starts_with("urn:") && !end.is_empty()).then_some(end)
    });
    end.unwrap_or(kind).to_owned()
}

/// The words in lines of at most `width` columns; the first begins in one column, the others in another. A word that is
/// longer than a line is cut there, so that no terminal breaks it.
fn fold(text: &str, first: usize, others: usize, width: usize, lines: &mut Vec<String>) {
    let room = |indent: usize| width.saturating_sub(indent).max(8);
    let mut line = " ".repeat(first);
    let mut indent = first;
    let mut left = room(first);
    let mut is_empty = true;
    for word in text.split(' ') {
        let mut letters: Vec<char> = word.chars().collect();
        if !is_empty && letters.len() + 1 > left {
            lines.push(std::mem::replace(&mut line, " ".repeat(others)));
            (indent, left, is_empty) = (others, room(others), true);
        }
        if !is_empty {
            line.push(' ');
            left -= 1;
        }
        while letters.len() > left {
            line.extend(letters.drain(..left));
            lines.push(std::mem::replace(&mut line, " ".repeat(others)));
            (indent, left) = (others, room(others));
        }
        left -= letters.len();
        line.extend(letters);
        is_empty = false;
    }
    if line.len() > indent {
        lines.push(line.trim_end().to_owned());
    }
}

#[cfg(test)]
mod tests;
