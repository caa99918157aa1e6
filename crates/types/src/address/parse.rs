//! Text to [`Address`].
//!
//! Every function takes a piece of the text and the piece's offset in the whole, so that an error
//! points into the whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Address, Host, mistakes};
use crate::{Group, InterfaceSelector, Malformed};

/// Reads an address; where it is none, the error tells the right form of what was probably meant.
pub(crate) fn address(text: &str) -> Result<Address, Malformed> {
    strict(text).map_err(|error| mistakes::explain(text).unwrap_or(error))
}

/// Reads an address; the error knows nothing of what was meant.
pub(super) fn strict(text: &str) -> Result<Address, Malformed> {
    if text.is_empty() {
        return Err(Malformed::new("the address is empty; write HOST:PORT", 0));
    }
    // What else is refused depends on the part: names of interfaces need not be ASCII.
    if let Some(offset) = text.find(|c: char| c.is_whitespace() || c.is_control()) {
        let found = text[offset..].chars().next().unwrap_or_default();
        return Err(Malformed::new(
            format!("{found:?} cannot stand in an address"),
            offset,
        ));
    }
    match text.split_once("://") {
        None => plain(text, 0),
        // RFC 3986 §3.1: case does not matter.
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("udp") => url(rest, "udp://".len()),
        Some((scheme, _)) => {
            let what = format!("{scheme}:// is not supported; write HOST:PORT or udp://@HOST:PORT");
            Err(Malformed::new(what, 0))
        }
    }
}

/// `[SOURCE[,SOURCE…]@]GROUP[%INTERFACE]`, IPv6 with brackets or without: an address of a group that
/// lacks the port.
pub(crate) fn group(text: &str) -> Result<Group, Malformed> {
    let offset = text.len() - after_sources(text).len();
    if let Some((before, _)) = after_sources(text).rsplit_once(':')
        && (before.ends_with(']') || !before.contains(':'))
    {
        let what = format!("a group stands without a port here; write {before}");
        return Err(Malformed::new(what, offset + before.len()));
    }
    strict(&with_port(text, 0))
        .map_err(|error| Malformed {
            offset: error.offset.min(text.len()),
            ..error
        })?
        .group()
        .ok_or_else(|| Malformed::new("it is no multicast group", offset))
}

/// The text of an address from a text without a port, in which IPv6 may lack its brackets.
pub(crate) fn with_port(text: &str, port: u16) -> String {
    let host = after_sources(text);
    if host.contains(':') && !host.starts_with('[') {
        let sources = &text[..text.len() - host.len()];
        format!("{sources}[{host}]:{port}")
    } else {
        format!("{text}:{port}")
    }
}

fn after_sources(text: &str) -> &str {
    text.rsplit('@').next().unwrap_or(text)
}

/// `udp://[SOURCE]@GROUP:PORT`, as VLC, FFmpeg and multicat users write it. The empty user part
/// means "listen", which is said elsewhere here.
fn url(text: &str, offset: usize) -> Result<Address, Malformed> {
    if let Some(at) = text.find(['?', '/']) {
        let what = format!("{:?} is not part of an address; leave it out", &text[at..]);
        return Err(Malformed::new(what, offset + at));
    }
    match text.strip_prefix('@') {
        Some(rest) => plain(rest, offset + 1),
        None => plain(text, offset),
    }
}

/// `[SOURCE[,SOURCE…]@]HOST[%INTERFACE]:PORT`
fn plain(text: &str, offset: usize) -> Result<Address, Malformed> {
    let (sources_text, rest, rest_offset) = match text.rsplit_once('@') {
        Some((sources, rest)) => (Some(sources), rest, offset + sources.len() + 1),
        None => (None, text, offset),
    };
    let (host, interface, port) = host_and_port(rest, rest_offset)?;
    let sources = match sources_text {
        Some(text) => sources(text, offset, &host)?,
        None => Vec::new(),
    };
    Ok(Address {
        sources,
        host,
        interface,
        port,
    })
}

fn host_and_port(
    text: &str,
    offset: usize,
) -> Result<(Host, Option<InterfaceSelector>, u16), Malformed> {
    let (inside, inside_offset, port_text, bracketed) = if let Some(rest) = text.strip_prefix('[') {
        let Some((inside, after)) = rest.split_once(']') else {
            return Err(Malformed::new(
                "the closing ] is missing",
                offset + text.len(),
            ));
        };
        let after_offset = offset + inside.len() + 2;
        let Some(port) = after.strip_prefix(':') else {
            return Err(no_port(after_offset));
        };
        (inside, offset + 1, port, true)
    } else {
        // The interface may be an IPv6 address only within brackets, so the last colon is the
        // port's, and a second one in front of it betrays a bare IPv6 address.
        let Some((before, port)) = text.rsplit_once(':') else {
            return Err(no_port(offset + text.len()));
        };
        if before.contains(':') {
            let what = "an IPv6 address stands in brackets: [ff15::1]:5000";
            return Err(Malformed::new(what, offset));
        }
        (before, offset, port, false)
    };
    let port = port_number(port_text, offset + text.len() - port_text.len())?;
    let (host_text, interface) = match inside.split_once('%') {
        Some((host, name)) => {
            let name_offset = inside_offset + host.len() + 1;
            let interface = name.parse().map_err(|error: Malformed| Malformed {
                offset: error.offset + name_offset,
                ..error
            })?;
            (host, Some(interface))
        }
        None => (inside, None),
    };
    let host = host(host_text, inside_offset, bracketed)?;
    if bracketed
        && matches!(host, Host::Ip(IpAddr::V4(_)))
        && matches!(interface, Some(InterfaceSelector::Address(IpAddr::V6(_))))
    {
        let what = "an IPv4 address needs an interface by name, index or IPv4 address";
        return Err(Malformed::new(what, inside_offset + host_text.len() + 1));
    }
    Ok((host, interface, port))
}

fn no_port(offset: usize) -> Malformed {
    Malformed::new("the port is missing; write HOST:PORT", offset)
}

fn port_number(text: &str, offset: usize) -> Result<u16, Malformed> {
    if text.is_empty() {
        return Err(no_port(offset));
    }
    if let Some(at) = text.find('%') {
        let what = "the interface stands before the port: HOST%INTERFACE:PORT";
        return Err(Malformed::new(what, offset + at));
    }
    let of_range = |byte: u8| byte.is_ascii_digit() || byte == b'-';
    if text.starts_with(|first: char| first.is_ascii_digit())
        && let Some(dash) = text.find('-')
        && text.bytes().all(of_range)
    {
        let what = "a range of ports cannot be given; list the addresses one by one";
        return Err(Malformed::new(what, offset + dash));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed::new(
            format!("port {text:?} is not a number"),
            offset,
        ));
    }
    text.parse()
        .map_err(|_| Malformed::new(format!("port {text} is not between 0 and 65535"), offset))
}

fn host(text: &str, offset: usize, bracketed: bool) -> Result<Host, Malformed> {
    if bracketed {
        return match text.parse::<Ipv6Addr>() {
            // RFC 4291 §2.5.5.2: it stands for the node of that IPv4 address.
            Ok(address) => Ok(Host::Ip(IpAddr::from(address).to_canonical())),
            Err(_) => Err(Malformed::new(
                format!("{text:?} is not an IPv6 address"),
                offset,
            )),
        };
    }
    if text.is_empty() {
        return Ok(Host::Any);
    }
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return ipv4(text, offset).map(|address| Host::Ip(address.into()));
    }
    let of_range = |byte: u8| byte.is_ascii_digit() || byte == b'.' || byte == b'-';
    if let Some(dash) = text.find('-')
        && text.bytes().all(of_range)
    {
        let what = "a range cannot be given; list the groups one by one";
        return Err(Malformed::new(what, offset + dash));
    }
    name(text, offset)
}

/// Parses what consists of digits and dots, and so is meant as an IPv4 address: the forms of
/// `inet_aton(3)` with fewer parts or octal ones mean something else to each reader.
fn ipv4(text: &str, offset: usize) -> Result<Ipv4Addr, Malformed> {
    let mut octets = [0; 4];
    let mut at = offset;
    let mut count = 0;
    for part in text.split('.') {
        let Some(octet) = octets.get_mut(count) else {
            return Err(Malformed::new(
                "an IPv4 address has four parts, not more",
                at,
            ));
        };
        if part.is_empty() {
            return Err(Malformed::new("a part of the IPv4 address is missing", at));
        }
        if part.len() > 1 && part.starts_with('0') {
            let what = format!("{part} has a leading zero, which some read as octal");
            return Err(Malformed::new(what, at));
        }
        *octet = part
            .parse()
            .map_err(|_| Malformed::new(format!("{part} is not between 0 and 255"), at))?;
        at += part.len() + 1;
        count += 1;
    }
    if count < 4 {
        let what = format!("an IPv4 address has four parts, not {count}");
        return Err(Malformed::new(what, offset));
    }
    Ok(octets.into())
}

/// A host name (RFC 1123 §2.1), with the underscore that is met in practice.
fn name(text: &str, offset: usize) -> Result<Host, Malformed> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if let Some(at) = text.find(|c| !allowed(c)) {
        let found = text[at..].chars().next().unwrap_or_default().to_string();
        return Err(Malformed::new(
            format!("{found:?} cannot stand in a host name"),
            offset + at,
        ));
    }
    if text.len() > 253 {
        return Err(Malformed::new(
            "the host name is longer than 253 bytes",
            offset,
        ));
    }
    if text.starts_with('.') || text.contains("..") {
        return Err(Malformed::new("a part of the host name is missing", offset));
    }
    Ok(Host::Name(text.to_owned()))
}

fn sources(text: &str, offset: usize, host: &Host) -> Result<Vec<IpAddr>, Malformed> {
    let group = match host {
        Host::Ip(address) if address.is_multicast() => address,
        _ => {
            let what = "sources stand before a multicast group only";
            return Err(Malformed::new(what, offset));
        }
    };
    let mut at = offset;
    let mut sources = Vec::new();
    for part in text.split(',') {
        let source = part
            .parse::<IpAddr>()
            .map_err(|_| Malformed::new(format!("source {part:?} is not an IP address"), at))?
            .to_canonical();
        if source.is_ipv4() != group.is_ipv4() {
            let what = format!("source {source} and group {group} are not of one IP version");
            return Err(Malformed::new(what, at));
        }
        if source.is_multicast() || source.is_unspecified() {
            let what = format!("{source} is not the address of one host, so it is no source");
            return Err(Malformed::new(what, at));
        }
        if sources.contains(&source) {
            return Err(Malformed::new(
                format!("source {source} is given twice"),
                at,
            ));
        }
        sources.push(source);
        at += part.len() + 1;
    }
    Ok(sources)
}
