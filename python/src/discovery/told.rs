//! What is found and announced, as values of `manycast/discovery.py`.

use std::time::{Instant, SystemTime};

use manycast::discovery::{
    AnnounceEvent, Attribute, Browser, Change, Device, DiscoveryProtocol, Event, Reason, Service,
    ServiceAddress,
};
use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::address::socket_address;
use crate::value;

const MODULE: &str = "manycast.discovery";

/// A Found, Changed or Gone; None of other events.
pub(super) fn found(py: Python<'_>, event: &Event) -> PyResult<Option<Py<PyAny>>> {
    match event {
        Event::Found(found) => make(py, "Found", (service(py, found)?,)),
        Event::Changed {
            service: now,
            change,
        } => {
            let (change, added, removed) = match change {
                Change::Addresses { added, removed } => ("addresses", &added[..], &removed[..]),
                Change::Restarted => ("restarted", &[][..], &[][..]),
                _ => ("attributes", &[][..], &[][..]),
            };
            let (added, removed) = (addresses(py, added)?, addresses(py, removed)?);
            make(py, "Changed", (service(py, now)?, change, added, removed))
        }
        Event::Gone {
            service: last,
            reason,
        } => {
            let reason = match reason {
                Reason::Goodbye => "goodbye",
                Reason::Expired => "expired",
                Reason::Interface => "interface",
                _ => "goodbye-or-expired",
            };
            make(py, "Gone", (service(py, last)?, reason))
        }
        _ => return Ok(None),
    }
    .map(Some)
}

/// What could not be done, was not understood or differs from the standard, as a sentence; None of other
/// events.
pub(super) fn warning(event: &Event) -> Option<String> {
    match event {
        Event::Failed { what, .. } => Some(what.clone()),
        Event::Malformed {
            protocol,
            source,
            interface,
            error,
        } => Some(not_understood(
            *protocol,
            &format!("{} on {interface}", source.ip()),
            error,
        )),
        Event::Deviates {
            protocol,
            source,
            interface,
            how,
        } => Some(format!(
            "{} on {interface} differs from the standard of {protocol}: {how}",
            source.ip()
        )),
        _ => None,
    }
}

fn not_understood(
    protocol: DiscoveryProtocol,
    source: &str,
    error: &manycast::Malformed,
) -> String {
    format!(
        "{source} sent what was not understood by {protocol}: {}",
        error.what
    )
}

/// BrowseStats.
pub(super) fn stats(py: Python<'_>, browser: &Browser, warnings: &[String]) -> PyResult<Py<PyAny>> {
    let devices = browser.devices();
    let devices = devices.iter().map(|it| device(py, it));
    let devices = value::tuple(py, devices.collect::<PyResult<Vec<_>>>()?)?;
    let stats = browser.stats();
    let warnings = value::tuple(py, warnings)?;
    let fields = (devices, stats.malformed(), stats.overflowed, warnings);
    make(py, "BrowseStats", fields)
}

fn device(py: Python<'_>, device: &Device) -> PyResult<Py<PyAny>> {
    let services = device.services.iter().map(|it| service(py, it));
    let fields = (
        &device.name,
        addresses(py, &device.addresses)?,
        value::tuple(py, services.collect::<PyResult<Vec<_>>>()?)?,
        value::tuple(py, device.protocols.iter().map(|it| it.name()))?,
        value::tuple(py, &device.uuids)?,
    );
    make(py, "Device", fields)
}

fn service(py: Python<'_>, service: &Service) -> PyResult<Py<PyAny>> {
    let fields = PyDict::new(py);
    fields.set_item("name", &service.name)?;
    fields.set_item("kind", &service.kind)?;
    fields.set_item("protocol", service.protocol.name())?;
    fields.set_item("id", &service.id)?;
    fields.set_item("addresses", addresses(py, &service.addresses)?)?;
    fields.set_item("port", service.port)?;
    let attributes = service.attributes.iter().map(|it| attribute(py, it));
    let attributes = value::tuple(py, attributes.collect::<PyResult<Vec<_>>>()?)?;
    fields.set_item("attributes", attributes)?;
    fields.set_item("host", &service.host)?;
    fields.set_item("uuid", &service.uuid)?;
    fields.set_item("heard", since_1970(service.heard))?;
    let lifetime = service.lifetime.map(|it| it.as_secs_f64());
    fields.set_item("lifetime", lifetime)?;
    let class = py.import(MODULE)?.getattr("Service")?;
    Ok(class.call((), Some(&fields))?.unbind())
}

fn addresses(py: Python<'_>, addresses: &[ServiceAddress]) -> PyResult<Py<PyAny>> {
    let addresses = addresses.iter().map(|it| {
        let fields = (it.to_string(), it.interface.to_string());
        make(py, "ServiceAddress", fields)
    });
    value::tuple(py, addresses.collect::<PyResult<Vec<_>>>()?)
}

fn attribute(py: Python<'_>, attribute: &Attribute) -> PyResult<Py<PyAny>> {
    let value = attribute.value.as_deref();
    let value = value.map(|value| PyBytes::new(py, value));
    make(py, "Attribute", (&attribute.name, value))
}

/// Seconds since 1970, as `time.time()` has them.
fn since_1970(at: Instant) -> f64 {
    let then = SystemTime::now().checked_sub(at.elapsed());
    let since = then.and_then(|then| then.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.unwrap_or_default().as_secs_f64()
}

/// An Announced, Renamed, Asked or Warned.
pub(super) fn announced(py: Python<'_>, event: AnnounceEvent) -> PyResult<Option<Py<PyAny>>> {
    match event {
        AnnounceEvent::Announced {
            protocol,
            id,
            interface,
        } => {
            let interface = interface.map(|it| it.to_string());
            make(py, "Announced", (protocol.name(), id, interface))
        }
        AnnounceEvent::Renamed { from, to } => make(py, "Renamed", (from, to)),
        AnnounceEvent::Asked {
            protocol,
            source,
            what,
        } => {
            let source = socket_address(py, source)?;
            make(py, "Asked", (protocol.name(), source, what))
        }
        AnnounceEvent::Malformed {
            protocol,
            source,
            error,
        } => {
            let source = manycast::with_interface_name(source).to_string();
            make(py, "Warned", (not_understood(protocol, &source, &error),))
        }
        AnnounceEvent::Failed { what, .. } => make(py, "Warned", (what,)),
        _ => return Ok(None),
    }
    .map(Some)
}

fn make<'py>(py: Python<'py>, class: &str, fields: impl PyCallArgs<'py>) -> PyResult<Py<PyAny>> {
    value::make_of(py, MODULE, class, fields)
}
