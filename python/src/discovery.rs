//! What is on the link: `manycast/discovery.py` has the values.

mod announcer;
mod told;

use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use manycast::discovery::{BrowseConfig, Browser, DiscoveryProtocol, Error, Event, What};
use manycast::{Malformed, Next, Stopper};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::address::Interfaces;
use crate::driver::{Driver, Run, Tell, begin_own};
use crate::error;
use crate::fork::Owned;
use crate::options::Names;
use crate::wait::timeout;

pub(crate) use announcer::{Announcer, announce};

/// How many events that nobody is told of are passed over in a step, so that no flood of them keeps a
/// signal waiting.
const UNTOLD: usize = 64;

/// How many different warnings are kept. Whoever sends nonsense has no end of it.
const WARNINGS: usize = 64;

/// Looks for services on the link, and returns a Driver that tells of each as it comes, changes and goes:
/// Found, Changed and Gone, each with its ``service``, all of which is known at once.
///
/// ``what`` is a type of DNS-SD ("_http._tcp"), a search target of SSDP ("upnp:rootdevice"), a type of
/// WS-Discovery ("dn:NetworkVideoTransmitter"), or a word: "camera", "files", "media-server", "printer",
/// "router", "scanner", "speaker", "web". It may be several; None is everything. ``protocol`` is one or
/// several of "dns-sd", "ssdp" and "ws-discovery", ``interface`` one or several, by default all. It ends after
/// ``timeout`` seconds, or goes on until it is closed. Its ``stats`` are BrowseStats, with the devices that
/// are there.
///
///     with manycast.browse("printer") as browsing:
///         for event in browsing:
///             print(type(event).__name__, event.service)
///
/// >>> stats = manycast.browse("printer", interface="lo", timeout=0.1).run()
/// >>> stats.devices, stats.overflowed
/// ((), 0)
///
/// ValueError: ``what`` is nothing that can be looked for, or no protocol has words for it. SocketError:
/// there is no such interface.
#[pyfunction]
#[pyo3(signature = (what=None, *, timeout=None, protocol=None, interface=None))]
pub(crate) fn browse(
    py: Python<'_>,
    what: Option<Names>,
    timeout: Option<f64>,
    protocol: Option<Names>,
    interface: Option<Interfaces>,
) -> PyResult<Driver> {
    let mut config = BrowseConfig::default();
    config.interfaces = selectors(interface);
    config.duration = self::timeout(timeout)?;
    let mut name = "everything".to_owned();
    if let Some(Names(texts)) = what {
        name = texts.join(", ");
        config.what = all_of(&texts)?;
    }
    if let Some(names) = protocol {
        config.protocols = protocols(names)?;
    }
    let browsing = py.detach(|| Browsing::new(config)).map_err(exception)?;
    begin_own(py, format!("a search for {name}"), Box::new(browsing))
}

/// The words of several texts together.
fn all_of(texts: &[String]) -> PyResult<What> {
    let mut all = What {
        dns_sd: Vec::new(),
        ssdp: Vec::new(),
        ws_discovery: Vec::new(),
    };
    for text in texts {
        let what: What = text.parse().map_err(malformed)?;
        all.dns_sd.extend(what.dns_sd);
        all.ssdp.extend(what.ssdp);
        all.ws_discovery.extend(what.ws_discovery);
    }
    Ok(all)
}

fn protocols(Names(names): Names) -> PyResult<Vec<DiscoveryProtocol>> {
    let protocols = names.iter().map(|name| name.parse().map_err(malformed));
    protocols.collect()
}

/// The interfaces that are named; none stands for all.
fn selectors(interface: Option<Interfaces>) -> Vec<manycast::InterfaceSelector> {
    match interface {
        None | Some(Interfaces::All) => Vec::new(),
        Some(Interfaces::These(these)) => these.into_iter().map(|it| it.0).collect(),
    }
}

fn malformed(malformed: Malformed) -> PyErr {
    PyValueError::new_err(malformed.what.into_owned())
}

/// The exception for an error of discovery, with its sentence.
fn exception(told: Error) -> PyErr {
    let message = told.to_string();
    match told {
        Error::Network(told) => error::exception(told),
        Error::Unsuitable(_) => PyValueError::new_err(message),
        _ => error::general(message),
    }
}

/// A browser, as a Driver runs it.
struct Browsing {
    browser: Owned<Browser>,
    stopper: Stopper,
    warnings: Vec<String>,
    finished: bool,
    /// Whether it has more to tell, or to pass over, at once.
    busy: bool,
}

impl Browsing {
    fn new(config: BrowseConfig) -> Result<Self, Error> {
        let mut browser = Browser::new(config)?;
        Ok(Self {
            stopper: browser.stopper()?,
            // It cannot be taken apart, so a child keeps its descriptors.
            browser: Owned::new(browser, mem::forget),
            warnings: Vec::new(),
            finished: false,
            busy: false,
        })
    }

    fn warn(&mut self, warning: String) {
        if self.warnings.len() < WARNINGS && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

impl Run for Browsing {
    fn step(&mut self) -> Result<Option<Tell>, manycast::Error> {
        self.busy = false;
        for _ in 0..UNTOLD {
            match self.browser.next_event(Some(Duration::ZERO)) {
                Ok(Next::Event(event)) => match told::warning(&event) {
                    Some(warning) => self.warn(warning),
                    None if matches!(event, Event::Asked { .. }) => {}
                    None => return Ok(Some(Box::new(move |py| told::found(py, &event)))),
                },
                Ok(Next::TimedOut) => return Ok(None),
                Ok(Next::Finished) => {
                    self.finished = true;
                    return Ok(None);
                }
                Err(Error::Network(failure)) => return Err(failure),
                Err(failure) => return Ok(Some(Box::new(move |_| Err(exception(failure))))),
            }
        }
        self.busy = true;
        Ok(None)
    }

    fn until(&self) -> Option<Instant> {
        match self.busy {
            true => Some(Instant::now()),
            false => self.browser.until(),
        }
    }

    fn is_finished(&self) -> bool {
        self.finished
    }

    fn finish(&self) {
        self.stopper.stop();
    }

    fn command(&self, _name: &str, _arguments: &Bound<'_, PyTuple>) -> PyResult<bool> {
        Ok(false)
    }

    fn stats(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        told::stats(py, &self.browser, &self.warnings)
    }

    fn ready(&self) -> BorrowedFd<'_> {
        self.browser.as_fd()
    }
}
