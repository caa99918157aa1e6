//! A service of this host that is announced, which a thread does.

use std::os::fd::RawFd;
use std::time::Duration;

use manycast::Next;
use manycast::discovery::{AnnounceEvent, Announcement, Attribute, Error};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMapping, PyString, PyTuple};

use super::{exception, protocols, selectors, told};
use crate::address::Interfaces;
use crate::background::Background;
use crate::options::{Names, number};
use crate::wait::timeout;

/// What else is said of a service: a mapping of names to str, bytes or None.
pub(crate) struct Attributes(Vec<Attribute>);

impl FromPyObject<'_, '_> for Attributes {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let mapping = object.cast::<PyMapping>().map_err(|_| {
            PyTypeError::new_err("attributes are a dict, such as {\"path\": \"/index.html\"}")
        })?;
        let attributes = mapping.items()?.iter().map(|item| attribute(&item));
        attributes.collect::<PyResult<_>>().map(Self)
    }
}

fn attribute(item: &Bound<'_, PyAny>) -> PyResult<Attribute> {
    let (name, value): (String, Bound<'_, PyAny>) = item.extract()?;
    let value = if value.is_none() {
        None
    } else if let Ok(text) = value.cast::<PyString>() {
        Some(text.to_cow()?.as_bytes().to_vec())
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        Some(bytes.as_bytes().to_vec())
    } else {
        return Err(PyTypeError::new_err(format!(
            "the value of the attribute {name:?} is no str, bytes or None"
        )));
    };
    Ok(Attribute { name, value })
}

/// Announces a service of this host until the end of the with statement, and says goodbye then. Returns an
/// Announcer.
///
/// ``name`` is what people see. ``kind`` is what it is, and says by which protocol it is announced:
/// "_http._tcp" by DNS-SD, "urn:schemas-upnp-org:device:Basic:1" by SSDP, "wsdp:Device" by WS-Discovery; it
/// may be several. ``port`` is that of the service, which listens by itself.
///
/// ``attributes`` is what else is to be known, by DNS-SD, such as {"path": "/index.html"}. ``protocol`` is
/// one or several of "dns-sd", "ssdp" and "ws-discovery", whatever the kind; ``interface`` one or several, by
/// default all. ``uuid`` is that of the device, by SSDP and WS-Discovery, a random one by default; ``path``
/// is where its description is, as http://ADDRESS:PORT and this path.
///
///     with manycast.announce("My web", "_http._tcp", 8080, attributes={"path": "/"}):
///         server.serve_forever()
///
/// >>> kind = "urn:schemas-upnp-org:device:Basic:1"
/// >>> with manycast.announce("My web", kind, 8080, interface="lo") as announcer:
/// ...     announcer.next_event(timeout=10).interface
/// 'lo'
///
/// ValueError: a kind or a name is none, or is too long. SocketError: there is no such interface.
#[pyfunction]
#[pyo3(signature = (
    name, kind, port, *, attributes=None, protocol=None, interface=None, uuid=None, path="/"
))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(crate) fn announce(
    py: Python<'_>,
    name: String,
    kind: Names,
    port: &Bound<'_, PyAny>,
    attributes: Option<Attributes>,
    protocol: Option<Names>,
    interface: Option<Interfaces>,
    uuid: Option<String>,
    path: &str,
) -> PyResult<Announcer> {
    let port = number(port, "a port", u16::MAX, PyValueError::new_err)?;
    let what = format!("{name:?}");
    let mut announcement = Announcement::new(name, "", port);
    announcement.kinds = kind.0;
    announcement.attributes = attributes.map_or_else(Vec::new, |attributes| attributes.0);
    announcement.protocols = protocol.map_or_else(|| Ok(Vec::new()), protocols)?;
    announcement.interfaces = selectors(interface);
    announcement.uuid = uuid;
    path.clone_into(&mut announcement.path);
    let begin = || {
        let mut announcer = manycast::discovery::announce(announcement)?;
        let stopper = announcer.stopper()?;
        Ok::<_, Error>((announcer, stopper))
    };
    let (mut announcer, stopper) = py.detach(begin).map_err(exception)?;
    let background = Background::start(py, "Announcer", what, stopper, move |told| {
        loop {
            match announcer.next_event(None) {
                Ok(Next::Event(event)) => told.tell(Ok(event)),
                Ok(_) => break,
                Err(failure) => {
                    told.tell(Err(failure));
                    break;
                }
            }
        }
        // By DNS-SD goodbye is said when it is dropped, at the latest.
    })?;
    Ok(Announcer { background })
}

/// Announces a service of this host, in a thread of its own, until it is closed: what ``announce`` returns.
///
/// It answers those who look for the service, and follows the interfaces and addresses of this host. Iterate
/// over it, or wait by ``next_event``, for what happens: Announced, Renamed, Asked and Warned. The latest
/// thousand wait to be asked for; it goes on whether or not anybody asks. Close it, or use it as a context
/// manager: goodbye is said then. ``aio.announce`` is the same for asyncio.
///
/// >>> with manycast.announce("Cam", "dn:NetworkVideoTransmitter", 80, interface="lo") as announcer:
/// ...     print(announcer)
/// <Announcer of "Cam">
#[pyclass(frozen, weakref, module = "manycast.discovery", skip_from_py_object)]
pub(crate) struct Announcer {
    background: Background<Result<AnnounceEvent, Error>>,
}

impl Announcer {
    fn next(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<Option<Py<PyAny>>> {
        let what = self.background.what();
        loop {
            let late = |seconds| format!("nothing was told of {what} within {seconds} s");
            let Some(event) = self.background.next(py, timeout, late)? else {
                return Ok(None);
            };
            if let Some(event) = told::announced(py, event.map_err(exception)?)? {
                return Ok(Some(event));
            }
        }
    }
}

#[pymethods]
impl Announcer {
    /// Waits for what happens next, and returns it; None: it was closed.
    ///
    /// ``timeout`` is in seconds; None waits for ever. TimedOut: nothing happened in time.
    #[pyo3(signature = (*, timeout=None))]
    fn next_event(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        self.next(py, self::timeout(timeout)?)
    }

    /// What has happened, without waiting, or None. For event loops, which call it when ``fileno`` is
    /// readable.
    fn try_next_event(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match self.background.try_next()? {
            Some(event) => told::announced(py, event.map_err(exception)?),
            None => Ok(None),
        }
    }

    /// The descriptor that is readable when something has happened that was not taken, or when it was
    /// closed.
    fn fileno(&self) -> RawFd {
        self.background.fileno()
    }

    /// Says goodbye, which takes some tenths of a second, and ends it. Repeating it is harmless.
    fn close(&self, py: Python<'_>) {
        self.background.close(py);
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.background.has_ended()
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    /// What happens next; the iteration ends when it is closed.
    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.next(py, None)
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    fn __repr__(&self) -> String {
        self.background.repr()
    }
}
