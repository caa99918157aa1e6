//! `manycast interfaces`

use std::fmt;
use std::net::IpAddr;

use manycast::{Interface, JoinedGroup, Sender};
use serde::Serialize;

use crate::Outcome;
use crate::cli::HELP;
use crate::output::{Output, fold, safe_lines};
use crate::values::Interfaces;

const EXAMPLES: &str = "\
Examples:
  manycast interfaces                               # all of them
  manycast interfaces eth0                          # one of them
  manycast interfaces --json | jq -r .name          # one object an interface";

/// List the interfaces as multicast sees them, with the groups that are joined
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, help_template = HELP)]
pub(crate) struct Args {
    /// Show only these: name, index or address [default: all]
    interface: Vec<Interfaces>,
}

/// Groups of wide scope, for which the choice of a route is asked (RFC 2365 §6.1, RFC 4291 §2.7).
const PROBES: [(&str, IpAddr); 2] = [
    (
        "IPv4",
        IpAddr::V4(std::net::Ipv4Addr::new(239, 255, 255, 250)),
    ),
    (
        "IPv6",
        IpAddr::V6(std::net::Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 1)),
    ),
];

pub(crate) fn run(args: Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let interfaces = chosen(&args.interface)?;
    let joined = manycast::joined_groups()?;
    let mut routes = Vec::new();
    for (version, probe) in PROBES {
        let index = manycast::route_to(probe, None)?.map(|route| route.interface);
        routes.push((version, probe, index));
    }
    for interface in &interfaces {
        let route = routes
            .iter()
            .filter(|(_, _, index)| *index == Some(interface.index))
            .map(|(version, ..)| *version)
            .collect();
        let report = Report::new(interface, &joined, route);
        if output.is_json() {
            output.object(&report)?;
        } else {
            output.text(fold(&safe_lines(&format!("{report}\n"))))?;
        }
    }
    if !output.is_json() && args.interface.is_empty() {
        output.text("\n")?;
        for (version, probe, index) in routes {
            let picked = interfaces.iter().find(|found| Some(found.index) == index);
            let choice = safe_lines(&choice(version, probe, picked));
            output.text(fold(&format!("{choice}\n")))?;
        }
    }
    Ok(Outcome::Done)
}

/// Those that are asked for, each once.
fn chosen(selectors: &[Interfaces]) -> anyhow::Result<Vec<Interface>> {
    if selectors.is_empty() || selectors.contains(&Interfaces::All) {
        return Ok(manycast::interfaces()?);
    }
    let mut chosen: Vec<Interface> = Vec::new();
    for selector in selectors {
        if let Interfaces::One(selector) = selector {
            let found = manycast::find_interface(selector)?;
            if chosen.iter().all(|known| known.index != found.index) {
                chosen.push(found);
            }
        }
    }
    Ok(chosen)
}

/// Which interface a datagram to a group takes that names none.
fn choice(version: &str, probe: IpAddr, picked: Option<&Interface>) -> String {
    if let Some(interface) = picked {
        return format!(
            "{version} multicast leaves by {}, as the route says",
            interface.name
        );
    }
    match Sender::new((probe.to_string().as_str(), 9)) {
        Ok(sender) => format!(
            "{version} multicast has no route; manycast sends by {}, the first that can",
            sender.interface()
        ),
        Err(_) => format!("{version} multicast has no route, and no interface that can"),
    }
}

/// An interface, with what is joined on it.
#[derive(Serialize)]
struct Report {
    event: &'static str,
    name: String,
    index: u32,
    /// `up`, `no-carrier` or `down`.
    state: &'static str,
    /// Whether it says that it can multicast.
    multicast: bool,
    allmulti: bool,
    kind: String,
    mtu: u32,
    mac: Option<String>,
    /// With the length of the network's prefix.
    addresses: Vec<String>,
    groups: Vec<Joined>,
    /// The versions of IP whose multicast route leads by it.
    route: Vec<&'static str>,
    #[serde(skip)]
    usable: bool,
}

/// A group that is joined.
#[derive(Serialize)]
struct Joined {
    group: String,
    /// How many sockets have joined it.
    users: u32,
    /// The version of IGMP that is spoken; none for IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    igmp: Option<u8>,
    /// Sources that are wanted.
    sources: Vec<String>,
    /// Sources that are not wanted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    excluded: Vec<String>,
}

impl Report {
    fn new(interface: &Interface, joined: &[JoinedGroup], route: Vec<&'static str>) -> Self {
        let here = |group: &&JoinedGroup| group.interface.index == interface.index;
        Self {
            event: "interface",
            name: interface.name.to_string(),
            index: interface.index,
            state: match (interface.up, interface.running) {
                (false, _) => "down",
                (true, false) => "no-carrier",
                (true, true) => "up",
            },
            multicast: interface.multicast,
            allmulti: interface.all_multicast,
            kind: interface.kind.clone(),
            mtu: interface.mtu,
            mac: interface.mac.map(|mac| mac.to_string()),
            addresses: interface
                .addresses
                .iter()
                .map(|own| format!("{}/{}", own.address, own.prefix))
                .collect(),
            groups: joined.iter().filter(here).map(Joined::from).collect(),
            route,
            usable: interface.can_multicast(),
        }
    }
}

impl From<&JoinedGroup> for Joined {
    fn from(joined: &JoinedGroup) -> Self {
        let sources = |chosen: fn(&manycast::JoinedSource) -> u32| {
            let sources = joined.sources.iter().filter(|source| chosen(source) > 0);
            sources.map(|source| source.address.to_string()).collect()
        };
        Self {
            group: joined.group.to_string(),
            users: joined.users,
            igmp: joined.igmp_version,
            sources: sources(|source| source.included),
            excluded: sources(|source| source.excluded),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let multicast = match (self.multicast, self.usable) {
            (true, _) => "multicast",
            (false, true) => "multicast without the flag",
            (false, false) => "no multicast",
        };
        let allmulti = if self.allmulti { ", allmulti" } else { "" };
        let state = match self.state {
            "no-carrier" => "up without carrier",
            other => other,
        };
        write!(
            f,
            "{} (index {}): {state}, {multicast}{allmulti}, {}, MTU {}",
            self.name, self.index, self.kind, self.mtu
        )?;
        row(f, "addresses", &self.addresses)?;
        let groups: Vec<_> = self.groups.iter().map(ToString::to_string).collect();
        row(f, "groups", &groups)
    }
}

impl fmt::Display for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.sources.is_empty() {
            write!(f, "{}@", self.sources.join(","))?;
        }
        write!(f, "{}", self.group)?;
        match self.users {
            1 => Ok(()),
            users => write!(f, " (by {users})"),
        }
    }
}

/// A titled list.
fn row(f: &mut fmt::Formatter<'_>, title: &str, items: &[String]) -> fmt::Result {
    match items {
        [] => Ok(()),
        items => write!(f, "\n    {title:<10} {}", items.join(", ")),
    }
}
