//! What is told of services, as lines and as objects.

use std::net::SocketAddr;

use manycast::InterfaceId;
use manycast::discovery::{
    Attribute, Change, Device, DiscoveryProtocol, Event, Reason, Service, ServiceAddress,
};
use serde::Serialize;

use super::table::short_kind;
use crate::output::{Escaped, Payload, named};

/// That a question was asked.
pub(super) fn asked(event: &Event) -> String {
    let Event::Asked {
        protocol,
        what,
        destination,
        interface,
    } = event
    else {
        return String::new();
    };
    let mut text = format!("asked for {what} by {protocol}");
    match (destination, interface) {
        (Some(to), Some(on)) => text += &format!(" at {} on {on}", named(*to, on)),
        (Some(to), None) => text += &format!(" at {to}"),
        _ => {}
    }
    text
}

/// What has happened to a service.
pub(super) fn line(event: &Event) -> Option<String> {
    let (word, service, how) = match event {
        Event::Found(service) => ("found", service, String::new()),
        Event::Changed { service, change } => ("changed", service, changed(change)),
        Event::Gone { service, reason } => ("gone", service, format!(": {}", why_gone(*reason))),
        _ => return None,
    };
    let Service {
        protocol,
        kind,
        name,
        ..
    } = service;
    // Whatever has a UUID by SSDP says by another line what it is.
    if *protocol == DiscoveryProtocol::Ssdp && kind.to_ascii_lowercase().starts_with("uuid:") {
        return None;
    }
    let kind = short_kind(kind);
    let at = match (word, service.addresses.first()) {
        ("changed", _) | (_, None) => String::new(),
        (_, Some(address)) => format!(" at {address} on {}", address.interface),
    };
    let name = if name.is_empty() {
        ""
    } else {
        &format!(" {name}")
    };
    // The device chose its names, and a line stays one.
    let what = format!("{kind}{name}");
    Some(format!("{word} {}{at} ({protocol}){how}", Escaped(&what)))
}

fn changed(change: &Change) -> String {
    match change {
        Change::Addresses { added, removed } => {
            let list = |all: &[ServiceAddress]| {
                let texts: Vec<_> = all
                    .iter()
                    .map(|it| format!("{it} on {}", it.interface))
                    .collect();
                texts.join(", ")
            };
            match (added.is_empty(), removed.is_empty()) {
                (false, true) => format!(": also at {}", list(added)),
                (true, _) => format!(": no more at {}", list(removed)),
                _ => format!(": now at {}, no more at {}", list(added), list(removed)),
            }
        }
        Change::Restarted => ": the device has started anew".to_owned(),
        _ => ": what it says of itself".to_owned(),
    }
}

const fn why_gone(reason: Reason) -> &'static str {
    match reason {
        Reason::Goodbye => "it said goodbye",
        Reason::Expired => "it was not heard any more",
        Reason::Interface => "the interface is gone",
        _ => "it said goodbye, or was not heard any more",
    }
}

/// A service in JSON.
#[derive(Serialize)]
struct Told<'a> {
    protocol: &'static str,
    id: &'a str,
    name: &'a str,
    kind: &'a str,
    port: Option<u16>,
    uuid: Option<&'a str>,
    host: Option<&'a str>,
    addresses: Vec<Place>,
    attributes: Vec<Said<'a>>,
    /// Seconds since it was heard.
    age: f64,
    /// For how many seconds it holds from then on.
    lifetime: Option<f64>,
}

#[derive(Serialize)]
struct Place {
    address: String,
    interface: String,
}

#[derive(Serialize)]
struct Said<'a> {
    name: &'a str,
    #[serde(flatten)]
    value: Option<Payload<'a>>,
}

impl From<&ServiceAddress> for Place {
    fn from(address: &ServiceAddress) -> Self {
        Self {
            address: address.to_string(),
            interface: address.interface.to_string(),
        }
    }
}

impl<'a> From<&'a Attribute> for Said<'a> {
    fn from(attribute: &'a Attribute) -> Self {
        Self {
            name: &attribute.name,
            value: attribute.value.as_deref().map(Payload::from),
        }
    }
}

impl<'a> From<&'a Service> for Told<'a> {
    fn from(service: &'a Service) -> Self {
        Self {
            protocol: service.protocol.name(),
            id: &service.id,
            name: &service.name,
            kind: &service.kind,
            port: service.port,
            uuid: service.uuid.as_deref(),
            host: service.host.as_deref(),
            addresses: service.addresses.iter().map(Place::from).collect(),
            attributes: service.attributes.iter().map(Said::from).collect(),
            age: service.heard.elapsed().as_secs_f64(),
            lifetime: service.lifetime.map(|it| it.as_secs_f64()),
        }
    }
}

/// A device that is there in the end.
#[derive(Serialize)]
pub(super) struct Found<'a> {
    event: &'static str,
    name: &'a str,
    protocols: Vec<&'static str>,
    uuids: &'a [String],
    addresses: Vec<Place>,
    services: Vec<Told<'a>>,
}

impl<'a> Found<'a> {
    pub(super) fn new(device: &'a Device) -> Self {
        Self {
            event: "device",
            name: &device.name,
            protocols: device.protocols.iter().map(|it| it.name()).collect(),
            uuids: &device.uuids,
            addresses: device.addresses.iter().map(Place::from).collect(),
            services: device.services.iter().map(Told::from).collect(),
        }
    }
}

/// What has happened to a service, with `--watch`.
#[derive(Serialize)]
pub(super) struct Happened<'a> {
    event: &'static str,
    #[serde(flatten)]
    service: Option<Told<'a>>,
    /// `addresses`, `restarted` or `attributes`; of one that is gone `goodbye`, `expired`, `interface` or
    /// `goodbye-or-expired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    added: Vec<Place>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed: Vec<Place>,
}

impl<'a> Happened<'a> {
    pub(super) fn new(event: &'a Event) -> Self {
        let mut happened = Self {
            event: "found",
            service: None,
            why: None,
            added: Vec::new(),
            removed: Vec::new(),
        };
        match event {
            Event::Found(service) => happened.service = Some(service.into()),
            Event::Changed { service, change } => {
                happened.event = "changed";
                happened.service = Some(service.into());
                happened.why = Some(match change {
                    Change::Addresses { added, removed } => {
                        happened.added = added.iter().map(Place::from).collect();
                        happened.removed = removed.iter().map(Place::from).collect();
                        "addresses"
                    }
                    Change::Restarted => "restarted",
                    _ => "attributes",
                });
            }
            Event::Gone { service, reason } => {
                happened.event = "gone";
                happened.service = Some(service.into());
                happened.why = Some(match reason {
                    Reason::Goodbye => "goodbye",
                    Reason::Expired => "expired",
                    Reason::Interface => "interface",
                    _ => "goodbye-or-expired",
                });
            }
            _ => {}
        }
        happened
    }
}

/// Something that is not what the standard asks for, or was not understood.
#[derive(Serialize)]
pub(super) struct Wrong<'a> {
    event: &'static str,
    protocol: &'static str,
    source: String,
    interface: String,
    what: &'a str,
}

impl<'a> Wrong<'a> {
    pub(super) fn new(
        event: &'static str,
        protocol: DiscoveryProtocol,
        source: SocketAddr,
        interface: &InterfaceId,
        what: &'a str,
    ) -> Self {
        Self {
            event,
            protocol: protocol.name(),
            source: named(source, interface),
            interface: interface.to_string(),
            what,
        }
    }
}

/// What came of it all.
#[derive(Serialize)]
pub(super) struct Summary<'a> {
    pub(super) event: &'static str,
    pub(super) devices: usize,
    pub(super) services: usize,
    pub(super) seconds: f64,
    pub(super) malformed: u64,
    pub(super) overflowed: u64,
    /// Why nothing was found.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) why: &'a [String],
}
