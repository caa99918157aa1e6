//! Where: texts, pairs and [`Address`] in, `SocketAddress` out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::{Mutex, PoisonError};

use manycast::{Host, InterfaceSelector, IntoAddress as _};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::{MutexExt, PyOnceLock};
use pyo3::types::{PyInt, PyList, PyString, PyTuple, PyType};

use crate::aside::{LOOK_UPS, Pending, unlocked};
use crate::error;
use crate::options::number;
use crate::value;

/// Where to listen or to send: sources, host or group, interface and port.
///
/// It has one text form, the same everywhere in manycast::
///
///     [SOURCE[,SOURCE...]@]HOST[%INTERFACE]:PORT
///
///     239.192.0.100:5000            a group, any source
///     239.192.0.100%eth0:5000       ... on one interface (name, index or local address)
///     10.0.0.5@232.1.1.1%eth0:5000  ... from one source only (SSM)
///     [ff15::1%eth0]:5000           IPv6; the zone stands inside the brackets
///     192.0.2.7:5005                unicast
///     localhost:8888                unicast; the name is resolved
///     :8888                         any local address (listening only)
///
/// Wherever an address is wanted, such a text, a pair (host, port) or an Address will do.
///
/// >>> address = Address("239.192.0.100", 5000, interface="eth0")
/// >>> str(address), address.host, address.port, address.is_group
/// ('239.192.0.100%eth0:5000', '239.192.0.100', 5000, True)
///
/// AddressError says what is wrong with a text, and in which column.
#[pyclass(frozen, eq, hash, weakref, module = "manycast", skip_from_py_object)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    inner: manycast::Address,
}

#[pymethods]
impl Address {
    #[classattr]
    fn __match_args__(py: Python<'_>) -> PyResult<Py<PyAny>> {
        value::tuple(py, ["host", "port", "interface", "sources"])
    }

    #[new]
    #[pyo3(signature = (host, port=None, /, *, interface=None, sources=None))]
    fn new(
        host: &Bound<'_, PyAny>,
        port: Option<&Bound<'_, PyAny>>,
        interface: Option<Interface>,
        sources: Option<Sources>,
    ) -> PyResult<Self> {
        let inner = one(host, port, interface, sources)?;
        Ok(Self { inner })
    }

    /// The host or group as text; empty for any local address.
    #[getter]
    fn host(&self) -> String {
        match self.inner.host() {
            Host::Any => String::new(),
            Host::Ip(address) => address.to_string(),
            Host::Name(name) => name.clone(),
        }
    }

    /// The port, from 0 (any free one, when listening) to 65,535.
    #[getter]
    fn port(&self) -> u16 {
        self.inner.port()
    }

    /// The interface as text, or None where none is named.
    #[getter]
    fn interface(&self) -> Option<String> {
        self.inner.interface().map(ToString::to_string)
    }

    /// The sources that are wanted; empty means any.
    #[getter]
    fn sources(&self) -> Vec<String> {
        self.inner
            .sources()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// Whether it is a multicast group.
    #[getter]
    fn is_group(&self) -> bool {
        self.inner.group().is_some()
    }

    /// Whether its host is a name, which has to be looked up before it can be used.
    #[getter]
    fn is_name(&self) -> bool {
        is_name(&self.inner)
    }

    fn __str__(&self) -> String {
        self.inner.to_string()
    }

    fn __repr__(&self) -> String {
        format!("Address('{}')", self.inner)
    }

    fn __getnewargs__(&self) -> (String,) {
        (self.inner.to_string(),)
    }
}

/// Looks up a host, and returns its addresses in numbers, those of IPv4 first.
///
/// It waits for the name server where the host is a name. SocketError: nobody knows the name.
///
/// >>> [str(address) for address in resolve("192.0.2.7:5005")]
/// ['192.0.2.7:5005']
#[pyfunction]
#[pyo3(signature = (address, port=None, /))]
pub(crate) fn resolve(
    py: Python<'_>,
    address: &Bound<'_, PyAny>,
    port: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<Address>> {
    let address = one(address, port, None, None)?;
    let interface = address.interface().cloned();
    let found = unlocked(py, is_name(&address), move || {
        manycast::resolve(address.clone())
    })?;
    Ok(addresses(found, interface.as_ref()))
}

/// Begins to look up a host. The result of the Pending is that of ``resolve``.
#[pyfunction]
#[pyo3(signature = (address, port=None, /))]
pub(crate) fn begin_resolve(
    address: &Bound<'_, PyAny>,
    port: Option<&Bound<'_, PyAny>>,
) -> PyResult<Pending> {
    let address = one(address, port, None, None)?;
    let interface = address.interface().cloned();
    Pending::start(
        &LOOK_UPS,
        || manycast::resolve(address),
        move |py, found| {
            let found = addresses(found, interface.as_ref());
            Ok(found.into_pyobject(py)?.unbind())
        },
    )
}

/// What was found, on the interface that was named.
fn addresses(found: Vec<SocketAddr>, interface: Option<&InterfaceSelector>) -> Vec<Address> {
    let addresses = found.into_iter().map(manycast::Address::from);
    let on = |address: manycast::Address| match (interface, address.interface()) {
        (Some(interface), None) => address.on(interface.clone()),
        _ => address,
    };
    addresses
        .map(|found| Address { inner: on(found) })
        .collect()
}

/// Whether an address has to be looked up before it can be used.
pub(crate) fn is_name(address: &manycast::Address) -> bool {
    matches!(address.host(), Host::Name(_))
}

/// An interface by name, index or local address.
pub(crate) struct Interface(pub(crate) InterfaceSelector);

impl FromPyObject<'_, '_> for Interface {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if !object.is_instance_of::<PyString>() && !object.is_instance_of::<PyInt>() {
            return Err(PyTypeError::new_err(
                "an interface is chosen by its name or local address (str) or its index (int)",
            ));
        }
        let text = object.str()?.to_string();
        text.parse()
            .map(Self)
            .map_err(|malformed: manycast::Malformed| {
                error::address(format!("interface {text:?}: {}", malformed.what))
            })
    }
}

/// One interface, several, or all that can multicast.
pub(crate) enum Interfaces {
    All,
    These(Vec<Interface>),
}

impl FromPyObject<'_, '_> for Interfaces {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>()
            && text.to_cow()? == "all"
        {
            return Ok(Self::All);
        }
        if object.is_instance_of::<PyString>() || object.is_instance_of::<PyInt>() {
            return Ok(Self::These(vec![object.extract()?]));
        }
        let these: Vec<Interface> = object
            .try_iter()?
            .map(|interface| interface?.extract())
            .collect::<PyResult<_>>()?;
        if these.is_empty() {
            return Err(PyValueError::new_err(
                "no interface is named; name one at least, or give None",
            ));
        }
        Ok(Self::These(these))
    }
}

/// An address to send to, by each of the interfaces.
pub(crate) fn by_each(
    py: Python<'_>,
    address: manycast::Address,
    interfaces: Option<Interfaces>,
) -> PyResult<Vec<manycast::Address>> {
    let selectors: Vec<_> = match interfaces {
        None => return Ok(vec![address]),
        Some(Interfaces::These(these)) => these.into_iter().map(|it| it.0).collect(),
        Some(Interfaces::All) => all(py, &address)?,
    };
    let on = |selector| address.clone().on(selector);
    Ok(selectors.into_iter().map(on).collect())
}

/// Those by which a group can be reached.
fn all(py: Python<'_>, address: &manycast::Address) -> PyResult<Vec<InterfaceSelector>> {
    let Some(group) = address.group() else {
        return Err(error::address(format!(
            "all interfaces are for groups; {address} is reached by one, so leave it out"
        )));
    };
    let found = py.detach(manycast::interfaces).map_err(error::exception)?;
    let is_ipv4 = group.address.is_ipv4();
    let selectors: Vec<_> = found
        .iter()
        .filter(|interface| interface.can_multicast())
        .filter(|interface| {
            let mut own = interface.addresses.iter();
            own.any(|own| own.address.is_ipv4() == is_ipv4)
        })
        .map(|interface| InterfaceSelector::Name(interface.name.to_string()))
        .collect();
    if selectors.is_empty() {
        return Err(error::general(format!(
            "no interface is up and can send to {address}; see manycast.interfaces()"
        )));
    }
    Ok(selectors)
}

/// One source address or many.
pub(crate) struct Sources(Vec<String>);

impl FromPyObject<'_, '_> for Sources {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyString>() {
            return Ok(Self(vec![object.extract()?]));
        }
        let sources = object
            .try_iter()?
            .map(|source| Ok(source?.str()?.to_string()));
        sources.collect::<PyResult<_>>().map(Self)
    }
}

impl Sources {
    /// The sources as numbers.
    pub(crate) fn ips(&self) -> PyResult<Vec<IpAddr>> {
        self.0.iter().map(|source| ip(source)).collect()
    }
}

/// The addresses of a call's positional arguments: each a text, a pair or an Address; or one host
/// and its port.
pub(crate) fn many(
    arguments: &Bound<'_, PyTuple>,
    interface: Option<Interface>,
    sources: Option<Sources>,
) -> PyResult<Vec<manycast::Address>> {
    let plain = if arguments.len() == 2 && arguments.get_item(1)?.is_instance_of::<PyInt>() {
        vec![from_pair(&arguments.get_item(0)?, &arguments.get_item(1)?)?]
    } else {
        let addresses = arguments.iter().map(|argument| from_any(&argument));
        addresses.collect::<PyResult<_>>()?
    };
    if plain.is_empty() {
        return Err(PyTypeError::new_err(
            "an address is missing; give GROUP, PORT or a text such as '239.1.1.1:5000'",
        ));
    }
    if interface.is_none() && sources.is_none() {
        return Ok(plain);
    }
    let interface = interface.map(|interface| interface.0);
    let sources = sources.map(|sources| sources.0);
    plain
        .into_iter()
        .map(|address| {
            let interface = interface.clone().map(Interface);
            refine(address, interface, sources.clone().map(Sources))
        })
        .collect()
}

/// One address, or a list of them.
pub(crate) fn listed(
    addresses: &Bound<'_, PyAny>,
    interface: Option<Interface>,
    sources: Option<Sources>,
) -> PyResult<Vec<manycast::Address>> {
    match addresses.cast::<PyList>() {
        Ok(list) => many(&list.to_tuple(), interface, sources),
        Err(_) => one(addresses, None, interface, sources).map(|address| vec![address]),
    }
}

/// The one address of a call's arguments.
pub(crate) fn one(
    address: &Bound<'_, PyAny>,
    port: Option<&Bound<'_, PyAny>>,
    interface: Option<Interface>,
    sources: Option<Sources>,
) -> PyResult<manycast::Address> {
    let plain = match port {
        Some(port) => from_pair(address, port)?,
        None => from_any(address)?,
    };
    refine(plain, interface, sources)
}

fn from_any(object: &Bound<'_, PyAny>) -> PyResult<manycast::Address> {
    if let Ok(address) = object.cast::<Address>() {
        return Ok(address.get().inner.clone());
    }
    if let Ok(text) = object.cast::<PyString>() {
        return parse(text.to_cow()?.as_ref());
    }
    if let Ok(pair) = object.cast::<PyTuple>()
        && pair.len() >= 2
    {
        let address = from_pair(&pair.get_item(0)?, &pair.get_item(1)?)?;
        // As sockets write an address of IPv6: (host, port, flow, scope).
        return match pair.get_item(3).and_then(|scope| scope.extract::<u32>()) {
            Ok(scope) if scope > 0 && address.interface().is_none() => {
                Ok(address.on(InterfaceSelector::Index(scope)))
            }
            _ => Ok(address),
        };
    }
    Err(PyTypeError::new_err(
        "an address is a text such as '239.1.1.1:5000', a pair (host, port), or an Address",
    ))
}

fn from_pair(host: &Bound<'_, PyAny>, port: &Bound<'_, PyAny>) -> PyResult<manycast::Address> {
    let Ok(host) = host.extract::<String>() else {
        let host = host.repr()?;
        return Err(PyTypeError::new_err(format!(
            "a host is a text such as '239.1.1.1', not {host}"
        )));
    };
    let port = number(port, "a port", u16::MAX, error::address)?;
    match host.split_once('%') {
        // As a socket writes an address with a zone.
        Some((before, _)) if before.parse::<Ipv6Addr>().is_ok() => {
            parse(&format!("[{host}]:{port}"))
        }
        _ => (host.as_str(), port).into_address().map_err(rejected),
    }
}

fn parse(text: &str) -> PyResult<manycast::Address> {
    text.into_address().map_err(rejected)
}

fn rejected(rejected: manycast::AddressError) -> PyErr {
    error::exception(rejected.into())
}

fn refine(
    address: manycast::Address,
    interface: Option<Interface>,
    sources: Option<Sources>,
) -> PyResult<manycast::Address> {
    let address = match interface {
        Some(Interface(selector)) => address.on(selector),
        None => address,
    };
    match sources {
        Some(Sources(sources)) if !sources.is_empty() => {
            parse(&format!("{}@{address}", sources.join(",")))
        }
        _ => Ok(address),
    }
}

/// An address and port that are in numbers already.
pub(crate) fn in_numbers(object: &Bound<'_, PyAny>) -> PyResult<SocketAddr> {
    let address = from_any(object)?;
    match (address.host(), address.interface()) {
        (Host::Ip(IpAddr::V6(ip)), Some(zone)) => {
            // Of an interface that is gone the address is known all the same.
            let index = manycast::find_interface(zone).map_or(0, |found| found.index);
            Ok(SocketAddrV6::new(*ip, address.port(), 0, index).into())
        }
        (Host::Ip(ip), _) => Ok(SocketAddr::new(*ip, address.port())),
        _ => Err(error::address(format!(
            "{address} is not in numbers; manycast.resolve() finds what a name stands for"
        ))),
    }
}

/// The index of an interface by its name; 0 where there is none.
pub(crate) fn index(name: &str) -> u32 {
    let selector = InterfaceSelector::Name(name.to_owned());
    manycast::find_interface(&selector).map_or(0, |found| found.index)
}

/// A local address to send from, with a port if wanted, or a port alone, as text.
pub(crate) fn local(text: &str) -> PyResult<manycast::Address> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, 0).into());
    }
    match text.parse::<manycast::Address>() {
        Ok(address) if !is_name(&address) => Ok(address),
        _ => Err(error::address(format!(
            "{text:?}: it is no IP address; write it in numbers, with a port if wanted"
        ))),
    }
}

/// A local address without a port, as text.
pub(crate) fn ip(text: &str) -> PyResult<IpAddr> {
    text.parse().map_err(|_| {
        error::address(format!(
            "{text:?}: it is no IP address; write it in numbers"
        ))
    })
}

/// How many socket addresses are remembered; a peer that invents sources gains nothing by it.
const REMEMBERED: usize = 1024;

/// The `SocketAddress` of an address. Those that come often are made once.
pub(crate) fn socket_address(py: Python<'_>, address: SocketAddr) -> PyResult<Py<PyAny>> {
    static REMEMBER: Mutex<Option<HashMap<SocketAddr, Py<PyAny>>>> = Mutex::new(None);
    let lock = || {
        REMEMBER
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner)
    };
    if let Some(known) = lock().as_ref().and_then(|known| known.get(&address)) {
        return Ok(known.clone_ref(py));
    }
    let made = make(py, address)?;
    let mut guard = lock();
    let known = guard.get_or_insert_default();
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(address, made.clone_ref(py));
    Ok(made)
}

fn make(py: Python<'_>, address: SocketAddr) -> PyResult<Py<PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = CLASS.import(py, "manycast.address", "SocketAddress")?;
    let host = match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => {
            let selector = InterfaceSelector::Index(v6.scope_id());
            // An interface that is gone has no name any more.
            let zone = manycast::find_interface(&selector).map_or_else(
                |_| v6.scope_id().to_string(),
                |found| found.name.to_string(),
            );
            format!("{}%{zone}", v6.ip())
        }
        other => other.ip().to_string(),
    };
    Ok(class.call1((host, address.port()))?.unbind())
}
