//! DNS-SD by the library `mdns-sd`, which has a thread and sockets of its own.

mod searching;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use manycast_io::find_interface;
use manycast_types::{InterfaceId, InterfaceSelector};
use mdns_sd::{IfKind, ResolvedService, ScopedIp, ServiceDaemon};

use searching::Searching;

use crate::optional::loopback;
use crate::services::Services;
use crate::{Attribute, DiscoveryProtocol, Error, Event, Reason, Service, ServiceAddress, uuid};

const DNS_SD: DiscoveryProtocol = DiscoveryProtocol::DnsSd;

/// The only domain of Multicast DNS (RFC 6762 §3).
pub(crate) const DOMAIN: &str = ".local.";

/// How many types are looked for at most; hosts of a large office announce some 60.
const MAX_TYPES: usize = 256;

/// How much that is told may wait for whoever reads it: as much as there are services at most by default. When it is
/// full, the library is not read any more, which then ends its subscription, and is asked anew.
const WAITING: usize = 4_096;

/// What the thread tells.
#[derive(Debug)]
pub(crate) enum Said {
    Resolved(Box<ResolvedService>, Instant),
    Removed(String),
    Asked(String),
    Failed(String),
    /// There are more types than are looked for.
    TooManyTypes,
}

/// A search that runs until it is dropped.
pub(crate) struct Search {
    daemon: ServiceDaemon,
    /// Its end stops the thread.
    _running: flume::Sender<()>,
}

impl Drop for Search {
    fn drop(&mut self) {
        let _ = once_there_is_room(|| self.daemon.shutdown());
    }
}

/// Gives the library a command that must not be lost: for a moment its queue may be full.
pub(crate) fn once_there_is_room<T>(
    mut command: impl FnMut() -> mdns_sd::Result<T>,
) -> mdns_sd::Result<T> {
    const TRIES: u32 = 100;
    for _ in 1..TRIES {
        match command() {
            Err(mdns_sd::Error::Again) => thread::park_timeout(Duration::from_millis(10)),
            given => return given,
        }
    }
    command()
}

/// What the thread says is read from the receiver, after `wake` was called.
pub(crate) fn search(
    what: &[String],
    on: &[InterfaceSelector],
    wake: impl Fn() + Send + 'static,
) -> Result<(Search, mpsc::Receiver<Said>), Error> {
    let daemon = daemon(on)?;
    let monitor = daemon.monitor().map_err(Error::dns_sd("look"))?;
    let (running, stopped) = flume::bounded(0);
    let (sender, receiver) = mpsc::sync_channel(WAITING);
    let mut searching = Searching::new(daemon.clone(), sender, Box::new(wake));
    for kind in what {
        searching.begin(format!("{kind}{DOMAIN}"), BTreeSet::new())?;
    }
    thread::Builder::new()
        .name("dns-sd".to_owned())
        .spawn(move || searching.run(&stopped, &monitor))
        .map_err(|error| Error::Unsuitable(format!("cannot start a thread: {error}")))?;
    let search = Search {
        daemon,
        _running: running,
    };
    Ok((search, receiver))
}

/// The library's thread, on the interfaces that were named, or on all but loopback.
pub(crate) fn daemon(on: &[InterfaceSelector]) -> Result<ServiceDaemon, Error> {
    let kinds = if_kinds(on)?;
    let daemon = ServiceDaemon::new().map_err(Error::dns_sd("begin"))?;
    let set = || {
        // It looks for changes of the host by itself, each 5 s unless it is told otherwise.
        daemon.set_ip_check_interval(1)?;
        daemon.set_service_name_len_max(30)?;
        if !on.is_empty() {
            daemon.disable_interface(IfKind::All)?;
            daemon.enable_interface(kinds)?;
        } else if !loopback(on) {
            daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
        }
        Ok(())
    };
    set().map_err(Error::dns_sd("choose the interfaces"))?;
    Ok(daemon)
}

/// The interfaces by name, so that one that is recreated is the same.
pub(crate) fn if_kinds(on: &[InterfaceSelector]) -> Result<Vec<IfKind>, Error> {
    let named = on.iter().map(|selector| {
        let found = find_interface(selector)?;
        Ok(IfKind::Name(found.name.to_string()))
    });
    named.collect()
}

/// A name without the domain.
pub(crate) fn bare(name: &str) -> &str {
    name.strip_suffix(DOMAIN).unwrap_or(name)
}

/// Takes in what the thread has said.
pub(crate) fn take(services: &mut Services, said: Said) {
    match said {
        Said::Resolved(resolved, heard) => services.said(None, service(*resolved, heard), None),
        Said::Removed(name) => services.gone(None, (DNS_SD, name), Reason::GoodbyeOrExpired),
        Said::Asked(what) => services.events.push_back(Event::Asked {
            protocol: DNS_SD,
            what,
            destination: None,
            interface: None,
        }),
        Said::Failed(what) => services.events.push_back(Event::Failed {
            protocol: DNS_SD,
            what,
        }),
        Said::TooManyTypes => services.events.push_back(Event::Failed {
            protocol: DNS_SD,
            what: format!(
                "cannot look for more than {MAX_TYPES} types by DNS-SD: somebody announces more; name the type"
            ),
        }),
    }
}

/// How many addresses of one service are kept.
const MAX_ADDRESSES: usize = 64;

fn service(resolved: ResolvedService, heard: Instant) -> Service {
    let mut addresses: Vec<ServiceAddress> = resolved.addresses.iter().flat_map(places).collect();
    addresses.sort_by_key(|it| (it.ip, it.interface.index));
    // The library keeps as many as anybody announces.
    addresses.truncate(MAX_ADDRESSES);
    let properties = resolved.txt_properties.iter();
    let attributes: Vec<Attribute> = properties
        .map(|property| Attribute {
            name: property.key().to_owned(),
            value: property.val().map(<[u8]>::to_vec),
        })
        .collect();
    let uuid = attributes
        .iter()
        .find(|it| it.name.eq_ignore_ascii_case("uuid"));
    let uuid = uuid.and_then(|it| it.text()).map(uuid::plain);
    Service {
        protocol: DNS_SD,
        name: instance_name(&resolved.fullname, &resolved.ty_domain),
        kind: bare(&resolved.ty_domain).to_owned(),
        id: resolved.fullname,
        uuid: uuid.filter(|uuid| !uuid.is_empty()),
        host: Some(resolved.host.to_lowercase()),
        addresses,
        port: Some(resolved.port),
        attributes,
        heard,
        // The library asks anew in time, and tells when nobody answers.
        lifetime: None,
    }
}

/// The addresses, each by one interface.
fn places(address: &ScopedIp) -> Vec<ServiceAddress> {
    let place = |ip: IpAddr, id: &mdns_sd::InterfaceId| ServiceAddress {
        ip,
        interface: InterfaceId::new(id.index, Arc::from(id.name.as_str())),
    };
    match address {
        ScopedIp::V4(v4) => {
            let interfaces = v4.interface_ids().iter();
            interfaces
                .map(|id| place((*v4.addr()).into(), id))
                .collect()
        }
        ScopedIp::V6(v6) => vec![place((*v6.addr()).into(), v6.scope_id())],
        _ => Vec::new(),
    }
}

/// The first label of a full name. The library gives it as it came, without what RFC 6763 §4.3 puts before dots and
/// backslashes.
fn instance_name(full: &str, kind: &str) -> String {
    let name = full.strip_suffix(kind).unwrap_or(full);
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_do() {
        let kind = "_http._tcp.local.";
        let name = |full: &str| instance_name(full, kind);
        assert_eq!(name("My web (2)._http._tcp.local."), "My web (2)");
        assert_eq!(name(r"No. 5 \prn._http._tcp.local."), r"No. 5 \prn");
    }
}
