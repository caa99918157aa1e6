//! What was probably meant by a text that is no [`Address`](super::Address): the mistakes that are met
//! often, each with its right form.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::parse::{strict, with_port};
use crate::Malformed;

/// What is wrong, where, and the text that was meant.
struct Mistake {
    what: Cow<'static, str>,
    /// In bytes from the start of the text.
    offset: usize,
    right: String,
}

/// One finds mistakes of one kind. What one takes for right is tried before it is told, so it may
/// guess.
type Kind = fn(&str) -> Option<Mistake>;

const KINDS: [Kind; 18] = [
    space_around,
    space_inside,
    other_scheme,
    something_behind_the_port,
    prefix_length,
    zone_behind_the_brackets,
    zone_behind_the_port,
    interface_for_a_source,
    source_for_a_group,
    no_source,
    any_host,
    brackets_around_ipv4,
    one_bracket,
    no_colon_behind_the_bracket,
    no_brackets,
    two_ports,
    no_colon,
    no_port,
];

/// The error for a text that [`strict`] rejects, with the right form of what was probably meant;
/// `None` where no guess is an address.
pub(super) fn explain(text: &str) -> Option<Malformed> {
    let found = KINDS.iter().find_map(|find| {
        let found = find(text)?;
        // A port that is only an example is in capitals.
        let tried = match found.right.strip_suffix(PORT) {
            Some(host) => format!("{host}{EXAMPLE}"),
            None => found.right.clone(),
        };
        strict(&tried).is_ok().then_some((found, tried))
    });
    let (
        Mistake {
            what,
            offset,
            right,
        },
        tried,
    ) = found?;
    let such_as = if right == tried {
        String::new()
    } else {
        format!(", such as {tried}")
    };
    Some(Malformed::new(
        format!("{what}; write {right}{such_as}"),
        offset,
    ))
}

/// Stands for a port that nobody wrote.
const PORT: &str = ":PORT";
const EXAMPLE: &str = ":5000";

fn mistake(what: impl Into<Cow<'static, str>>, offset: usize, right: String) -> Option<Mistake> {
    Some(Mistake {
        what: what.into(),
        offset,
        right,
    })
}

/// `" 239.1.1.1:5000"`, from a list that was split at its commas.
fn space_around(text: &str) -> Option<Mistake> {
    let right = text.trim();
    if right.len() == text.len() {
        return None;
    }
    match text.find(right)? {
        0 => mistake(
            "a space stands behind the address",
            right.len(),
            right.into(),
        ),
        _ => mistake("a space stands before the address", 0, right.into()),
    }
}

/// `239.1.1.1 5000`, as the arguments of other programs are; `239.1.1.1 : 5000`.
fn space_inside(text: &str) -> Option<Mistake> {
    let offset = text.find(char::is_whitespace)?;
    let pieces: Vec<&str> = text.split_whitespace().collect();
    let joined = pieces.concat();
    match pieces.as_slice() {
        [host, port] if is_port(port) => {
            let what = "a colon stands between host and port, not a space";
            mistake(what, offset, with_port_text(host, port))
        }
        _ => mistake("no space stands in an address", offset, joined),
    }
}

/// `udp:239.1.1.1:5000`, as socat writes it, and `rtp://@239.1.1.1:5000`, as players do.
fn other_scheme(text: &str) -> Option<Mistake> {
    let (scheme, rest) = text.split_once(':')?;
    let what = match scheme.to_ascii_lowercase().as_str() {
        "udp" | "udp4" | "udp6" => format!("{scheme}: is not part of an address"),
        "rtp" | "srtp" => format!("{scheme}:// is not supported, but udp:// is"),
        _ => return None,
    };
    let right = rest.trim_start_matches('/').trim_start_matches('@');
    mistake(what, 0, right.into())
}

/// `239.1.1.1:5000/udp`, as port numbers are written; `udp://@239.1.1.1:5000?ttl=4`.
fn something_behind_the_port(text: &str) -> Option<Mistake> {
    let host = text.find("://").map_or(0, |at| at + 3);
    let at = host + text[host..].find(['/', '?', '#'])?;
    let what = format!("{:?} is not part of an address", &text[at..]);
    mistake(what, at, text[..at].into())
}

/// `239.1.1.0/24:5000`
fn prefix_length(text: &str) -> Option<Mistake> {
    let at = text.find('/')?;
    let length = text[at + 1..].find(|c: char| !c.is_ascii_digit())?;
    let (prefix, rest) = text[at..].split_at(length + 1);
    let what = format!("{prefix:?} is not part of an address");
    mistake(what, at, format!("{}{rest}", &text[..at]))
}

/// `[ff15::1]%eth0:5000`
fn zone_behind_the_brackets(text: &str) -> Option<Mistake> {
    let (before, behind) = text.split_once("]%")?;
    let (zone, port) = behind.rsplit_once(':')?;
    let what = "the interface stands inside the brackets";
    mistake(what, before.len() + 1, format!("{before}%{zone}]:{port}"))
}

/// `239.1.1.1:5000%eth0`
fn zone_behind_the_port(text: &str) -> Option<Mistake> {
    let (before, zone) = text.rsplit_once('%')?;
    let (host, port) = before.rsplit_once(':').filter(|(_, port)| is_port(port))?;
    let right = match host.strip_suffix(']') {
        Some(inside) => format!("{inside}%{zone}]:{port}"),
        None => format!("{host}%{zone}:{port}"),
    };
    mistake("the interface stands before the port", before.len(), right)
}

/// `239.1.1.1@eth0:5000`
fn interface_for_a_source(text: &str) -> Option<Mistake> {
    let (group, rest) = text.split_once('@')?;
    let (interface, port) = rest.rsplit_once(':')?;
    let ip: IpAddr = bare(group).parse().ok().filter(IpAddr::is_multicast)?;
    if bare(interface).parse::<IpAddr>().is_ok() {
        return None;
    }
    let right = match ip {
        IpAddr::V4(ip) => format!("{ip}%{interface}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}%{interface}]:{port}"),
    };
    mistake("the interface stands after a %", group.len(), right)
}

/// `232.1.1.1@10.0.0.5:5000`, the wrong way round.
fn source_for_a_group(text: &str) -> Option<Mistake> {
    let (group, rest) = text.split_once('@')?;
    let (source, port) = rest.rsplit_once(':')?;
    let (group, source) = (bare(group), bare(source));
    let what = "the source stands before the @, and the group behind it";
    let right = format!("{source}@{}", with_port_text(group, port));
    mistake(what, 0, right)
}

/// `@239.1.1.1:5000`, of which players want `udp://` in front.
fn no_source(text: &str) -> Option<Mistake> {
    let right = text.strip_prefix('@')?;
    mistake("no source stands before the @", 0, right.into())
}

/// `*:5000` and `0:5000`, as other programs print any local address.
fn any_host(text: &str) -> Option<Mistake> {
    let (_, port) = text
        .split_once(':')
        .filter(|(host, _)| ["*", "0"].contains(host))?;
    let what = "any local address is written without a host";
    mistake(what, 0, format!(":{port}"))
}

/// `[239.1.1.1]:5000`
fn brackets_around_ipv4(text: &str) -> Option<Mistake> {
    let (sources, rest) = text.split_at(text.find('[')?);
    let (host, port) = rest[1..].split_once("]:")?;
    host.split('%').next()?.parse::<Ipv4Addr>().ok()?;
    let right = format!("{sources}{host}:{port}");
    mistake("brackets are for IPv6 alone", sources.len(), right)
}

/// `ff15::1]:5000` and `[ff15::1:5000`
fn one_bracket(text: &str) -> Option<Mistake> {
    match (text.find('['), text.find(']')) {
        (None, Some(_)) => {
            let at = text.rfind('@').map_or(0, |at| at + 1);
            let right = format!("{}[{}", &text[..at], &text[at..]);
            mistake("the opening [ is missing", at, right)
        }
        (Some(_), None) => {
            let (before, port) = text.rsplit_once(':').filter(|(_, port)| is_port(port))?;
            let right = format!("{before}]:{port}");
            mistake("the closing ] is missing", before.len(), right)
        }
        _ => None,
    }
}

/// `[::1]5000`
fn no_colon_behind_the_bracket(text: &str) -> Option<Mistake> {
    let (before, port) = text.split_once(']').filter(|(_, port)| is_port(port))?;
    let what = "a colon stands between the ] and the port";
    mistake(what, before.len() + 1, format!("{before}]:{port}"))
}

/// `ff15::1:5000`, `ff15::1%eth0:5000` and `fe80::1%eth0`
fn no_brackets(text: &str) -> Option<Mistake> {
    if text.contains(['[', ']']) {
        return None;
    }
    let at = text.rfind('@').map_or(0, |at| at + 1);
    let (sources, host) = text.split_at(at);
    let is_ipv6 = |host: &str| {
        let address = host.split('%').next().unwrap_or_default();
        address.parse::<Ipv6Addr>().is_ok()
    };
    let what = "an IPv6 address stands in brackets";
    if let Some((before, port)) = host.rsplit_once(':')
        && is_port(port)
        && is_ipv6(before)
    {
        return mistake(what, at, format!("{sources}[{before}]:{port}"));
    }
    let what = "an IPv6 address stands in brackets, and its port behind them";
    is_ipv6(host).then_some(())?;
    mistake(what, at, format!("{sources}[{host}]{PORT}"))
}

/// `239.1.1.1:5000:6000`
fn two_ports(text: &str) -> Option<Mistake> {
    let (right, _) = text.rsplit_once(':')?;
    mistake("an address has one port", right.len(), right.into())
}

/// `239.1.1.1,5000` and `239.1.1.1.5000`, as tcpdump writes it.
fn no_colon(text: &str) -> Option<Mistake> {
    let at = text.rfind(|c: char| !c.is_ascii_digit())?;
    let (host, rest) = text.split_at(at);
    let mut rest = rest.chars();
    let separator = rest.next().filter(|c| ",;=|_.".contains(*c))?;
    host.parse::<Ipv4Addr>().ok()?;
    let what = format!("a colon stands before the port, not {separator:?}");
    mistake(what, at, format!("{host}:{}", rest.as_str()))
}

/// `239.1.1.1`, `localhost` and `5000`
fn no_port(text: &str) -> Option<Mistake> {
    if is_port(text) {
        return mistake("a port alone is no address", 0, format!("HOST:{text}"));
    }
    let host = text.strip_suffix(':').unwrap_or(text);
    (!host.is_empty()).then_some(())?;
    mistake(
        "the port is missing",
        text.len(),
        with_port_text(host, "PORT"),
    )
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok() && !text.starts_with('+')
}

/// As [`with_port`], of a port that is text.
fn with_port_text(host: &str, port: &str) -> String {
    let with_any = with_port(host, 0);
    format!("{}:{port}", with_any.strip_suffix(":0").unwrap_or(host))
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}
