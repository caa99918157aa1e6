//! What SSDP tells, as services.

use std::net::IpAddr;

use manycast_proto::ssdp::{
    Advertisement, Change as Changed, ClientConfig, ClientEvent, Entry, Goodbye, uuid_of,
};

use crate::services::{Services, Source};
use crate::{
    Attribute, BrowseConfig, Change, DiscoveryProtocol, Event, Reason, Service, ServiceAddress,
};

const SSDP: DiscoveryProtocol = DiscoveryProtocol::Ssdp;

/// How SSDP is to look.
pub(crate) fn config(config: &BrowseConfig) -> ClientConfig {
    ClientConfig {
        targets: config.what.ssdp.clone(),
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
            return services.gone(source(&entry), (SSDP, id(&entry.advertisement)), reason);
        }
        ClientEvent::Asked {
            target,
            destination,
            interface,
        } => Event::Asked {
            protocol: SSDP,
            what: target,
            destination: Some(destination),
            interface,
        },
        ClientEvent::Deviates {
            source,
            interface,
            deviations,
        } => Event::Deviates {
            protocol: SSDP,
            source,
            interface,
            how: deviations.to_string(),
        },
        ClientEvent::Malformed {
            source,
            interface,
            error,
        } => Event::Malformed {
            protocol: SSDP,
            source,
            interface,
            error,
        },
        ClientEvent::NotJoined { error, .. } | ClientEvent::NotSent { error, .. } => {
            Event::Failed {
                protocol: SSDP,
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

fn id(said: &Advertisement) -> String {
    said.usn.as_ref().unwrap_or(&said.target).clone()
}

fn service(entry: &Entry) -> Service {
    let said = &entry.advertisement;
    let headers = [
        ("LOCATION", &said.location),
        ("SECURELOCATION", &said.secure_location),
        ("SERVER", &said.server),
    ];
    let headers = headers.into_iter();
    let present = headers.filter_map(|(name, value)| Some(Attribute::new(name, value.clone()?)));
    Service {
        protocol: SSDP,
        id: id(said),
        name: said.server.clone().unwrap_or_default(),
        kind: said.target.clone(),
        uuid: said.usn.as_deref().and_then(uuid_of),
        host: None,
        addresses: vec![ServiceAddress {
            ip: entry.source.ip(),
            interface: entry.interface.clone(),
        }],
        port: said
            .location
            .as_deref()
            .and_then(|url| port_at(url, entry.source.ip())),
        attributes: present.collect(),
        heard: entry.heard,
        lifetime: Some(entry.age),
    }
}

/// The port in a URL whose host is this address: another host's port is not the device's.
pub(crate) fn port_at(url: &str, host: IpAddr) -> Option<u16> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (name, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (name, after) = v6.split_once(']')?;
            (name.split(['%']).next()?, after.strip_prefix(':'))
        }
        None => match authority.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (authority, None),
        },
    };
    if name.parse::<IpAddr>().ok()? != host {
        return None;
    }
    match port {
        Some(port) => port.parse().ok(),
        None if scheme.eq_ignore_ascii_case("https") => Some(443),
        None => Some(80),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_that_of_the_device_alone() {
        let v4: IpAddr = [10, 0, 0, 5].into();
        for (url, port) in [
            ("http://10.0.0.5:8200/rootDesc.xml", Some(8200)),
            ("http://10.0.0.5/x", Some(80)),
            ("HTTPS://10.0.0.5", Some(443)),
            ("http://10.0.0.6:8200/", None),
            ("http://name:8200/", None),
            ("10.0.0.5:8200", None),
            ("http://10.0.0.5:99999/", None),
        ] {
            assert_eq!(port_at(url, v4), port, "{url}");
        }
        let v6: IpAddr = "fe80::1".parse().unwrap();
        assert_eq!(
            port_at("http://[fe80::1%25eth0]:49152/d.xml", v6),
            Some(49_152)
        );
        assert_eq!(port_at("http://[fe80::1]/d.xml", v6), Some(80));
    }
}
