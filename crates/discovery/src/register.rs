//! Announcing by DNS-SD, by the library `mdns-sd`.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use mdns_sd::{DaemonEvent, ServiceDaemon, ServiceInfo, TxtProperty};

use crate::announcement::types;
use crate::dns_sd::{DOMAIN, daemon, if_kinds, once_there_is_room};
use crate::{Announcement, Error};

/// How long a goodbye may take: it is said twice, 120 ms apart.
const GOODBYE: Duration = Duration::from_millis(200);

/// What the library tells of a service that is announced.
#[derive(Debug)]
pub(crate) enum Registered {
    Announced(String),
    Renamed { from: String, to: String },
    Failed(String),
}

/// A service that is announced until this is dropped.
pub(crate) struct Registration {
    daemon: ServiceDaemon,
    names: Vec<String>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        for name in &self.names {
            if let Ok(done) = once_there_is_room(|| self.daemon.unregister(name)) {
                let _ = done.recv_timeout(GOODBYE);
            }
        }
        // The library says the goodbye again after 120 ms, and tells nobody of it.
        if !self.names.is_empty() {
            thread::park_timeout(GOODBYE);
        }
        let _ = once_there_is_room(|| self.daemon.shutdown());
    }
}

/// Announces a service on the interfaces that it names, and tells what becomes of it.
pub(crate) fn register(
    announcement: &Announcement,
    told: impl Fn(Registered) + Send + 'static,
) -> Result<Registration, Error> {
    let daemon = daemon(&announcement.interfaces)?;
    let monitor = daemon.monitor().map_err(Error::dns_sd("announce"))?;
    let host = format!("{}{DOMAIN}", host_name());
    let mut registration = Registration {
        daemon,
        names: Vec::new(),
    };
    for kind in types(announcement)? {
        let name = &announcement.name;
        let failed = || Error::dns_sd(format!("announce {name} as {kind}"));
        let properties: Vec<TxtProperty> = announcement.attributes.iter().map(property).collect();
        let info = ServiceInfo::new(&kind, name, &host, "", announcement.port, properties);
        let mut info = info.map_err(failed())?.enable_addr_auto();
        if !announcement.interfaces.is_empty() {
            info.set_interfaces(if_kinds(&announcement.interfaces)?);
        }
        let full = info.get_fullname().to_owned();
        registration.daemon.register(info).map_err(failed())?;
        registration.names.push(full);
    }
    thread::Builder::new()
        .name("dns-sd".to_owned())
        .spawn(move || {
            // The library tells of each record, on each interface and by IPv4 and IPv6.
            let mut renamed = HashMap::new();
            // It ends with the library's own thread.
            for event in monitor {
                match event {
                    DaemonEvent::Announce(name, _) => told(Registered::Announced(name)),
                    DaemonEvent::NameChange(change) => {
                        let (from, to) = (change.original, change.new_name);
                        if renamed.insert(from.clone(), to.clone()).as_ref() != Some(&to) {
                            told(Registered::Renamed { from, to });
                        }
                    }
                    DaemonEvent::Error(error) => told(Registered::Failed(format!(
                        "cannot announce by DNS-SD: {error}"
                    ))),
                    _ => {}
                }
            }
        })
        .map_err(|error| Error::Unsuitable(format!("cannot start a thread: {error}")))?;
    Ok(registration)
}

fn property(attribute: &crate::Attribute) -> TxtProperty {
    match &attribute.value {
        Some(value) => (attribute.name.as_str(), value.as_slice()).into(),
        None => attribute.name.as_str().into(),
    }
}

/// The first label of this host's name, of which mDNS makes its own (RFC 6762 §3).
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let label = name.trim().split('.').next().unwrap_or_default().to_owned();
    match label.is_empty() {
        true => "localhost".to_owned(),
        false => label,
    }
}
