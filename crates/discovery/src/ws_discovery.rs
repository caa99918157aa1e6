//! What WS-Discovery tells, as services.

use manycast_proto::ws_discovery::{
    self, Change as Changed, ClientConfig, ClientEvent, Entry, Goodbye,
};

use crate::services::{Services, Source};
use crate::ssdp::port_at;
use crate::{
    Attribute, BrowseConfig, Change, DiscoveryProtocol, Event, Reason, Service, ServiceAddress,
    uuid,
};

const WS_DISCOVERY: DiscoveryProtocol = DiscoveryProtocol::WsDiscovery;

/// What a scope begins with that tells the name of a camera (ONVIF Core Specification §7.3.2.2).
const ONVIF_NAME: &str = "onvif://www.onvif.org/name/";

/// How WS-Discovery is to look.
pub(crate) fn config(config: &BrowseConfig) -> ClientConfig {
    ClientConfig {
        probes: config.what.ws_discovery.clone(),
        interfaces: config.interfaces.clone(),
        entries: config.most,
        ..ClientConfig::default()
    }
}

/// Takes in what the protocol tells.
pub(crate) fn take(services: &mut Services, event: ClientEvent) {
    let told = match event {
        ClientEvent::Found(entry) => {
            return services.said(source(&entry), service(&entry), None);
        }
        ClientEvent::Refreshed(entry) => return services.heard(source(&entry), service(&entry)),
        ClientEvent::Changed { entry, change } => {
            let change = match change {
                Changed::Rebooted => Some(Change::Restarted),
                _ => Some(Change::Attributes),
            };
            return services.said(source(&entry), service(&entry), change);
        }
        ClientEvent::Gone { entry, why } => {
            let reason = match why {
                Goodbye::Said => Reason::Goodbye,
                Goodbye::Interface => Reason::Interface,
                _ => Reason::Expired,
            };
            let id = (WS_DISCOVERY, entry.service.endpoint.clone());
            return services.gone(source(&entry), id, reason);
        }
        ClientEvent::Asked {
            target,
            destination,
            interface,
            version,
        } => Event::Asked {
            protocol: WS_DISCOVERY,
            what: match target.is_empty() {
                true => format!("everything ({version})"),
                false => format!("{target} ({version})"),
            },
            destination: Some(destination),
            interface,
        },
        ClientEvent::Deviates {
            source,
            interface,
            deviations,
        } => Event::Deviates {
            protocol: WS_DISCOVERY,
            source,
            interface,
            how: deviations.to_string(),
        },
        ClientEvent::Malformed {
            source,
            interface,
            error,
        } => Event::Malformed {
            protocol: WS_DISCOVERY,
            source,
            interface,
            error,
        },
        ClientEvent::NotJoined { error, .. } | ClientEvent::NotSent { error, .. } => {
            Event::Failed {
                protocol: WS_DISCOVERY,
                what: error.to_string(),
            }
        }
        _ => return,
    };
    services.events.push_back(told);
}

fn source(entry: &Entry) -> Source {
    Some((entry.source.ip(), entry.interface.index))
}

fn service(entry: &Entry) -> Service {
    let said = &entry.service;
    let kinds: Vec<_> = said.types.iter().map(ToString::to_string).collect();
    let is_uuid = said.endpoint.to_ascii_lowercase().starts_with("urn:uuid:");
    let ip = entry.source.ip();
    let addresses = said.addresses.iter();
    let addresses = addresses.map(|url| Attribute::new("XADDRS", url.clone()));
    let scopes = said
        .scopes
        .iter()
        .map(|it| Attribute::new("SCOPE", it.clone()));
    let name = said
        .scopes
        .iter()
        .find_map(|it| it.strip_prefix(ONVIF_NAME));
    Service {
        protocol: WS_DISCOVERY,
        id: said.endpoint.clone(),
        name: name.unwrap_or_default().replace("%20", " "),
        kind: kinds.join(" "),
        uuid: is_uuid.then(|| uuid::plain(&said.endpoint)),
        host: None,
        addresses: vec![ServiceAddress {
            ip,
            interface: entry.interface.clone(),
        }],
        port: said.addresses.iter().find_map(|url| port_at(url, ip)),
        attributes: addresses.chain(scopes).collect(),
        heard: entry.heard,
        // It is asked for anew in time.
        lifetime: None,
    }
}

/// A type by its name: `{NAMESPACE}NAME`, or with a prefix that everybody uses.
pub(crate) fn name(text: &str) -> Option<ws_discovery::Name> {
    if let Some((namespace, local)) = text.strip_prefix('{').and_then(|it| it.split_once('}')) {
        let is_name = !local.is_empty() && !local.contains([':', '{', '}', ' ']);
        return is_name.then(|| ws_discovery::Name::new(namespace, local));
    }
    let (prefix, local) = text.split_once(':')?;
    let (_, namespace) = ws_discovery::TYPE_PREFIXES
        .iter()
        .find(|(known, _)| *known == prefix)?;
    (!local.is_empty()).then(|| ws_discovery::Name::new(*namespace, local))
}
