//! The interfaces of this host, as multicast sees them.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::error;

/// Lists the interfaces of this host, by index.
///
/// >>> [interface.name for interface in interfaces() if interface.loopback]
/// ['lo']
#[pyfunction]
pub(crate) fn interfaces(py: Python<'_>) -> PyResult<Vec<Interface>> {
    let all = py.detach(manycast::interfaces).map_err(error::exception)?;
    Ok(all.into_iter().map(|inner| Interface { inner }).collect())
}

/// An interface of this host, as it was when it was listed.
///
/// >>> lo = ifconfig()["lo"]
/// >>> lo.up, lo.loopback, "127.0.0.1" in lo.addresses
/// (True, True, True)
#[pyclass(frozen, eq, module = "manycast", skip_from_py_object)]
#[derive(PartialEq)]
pub(crate) struct Interface {
    inner: manycast::Interface,
}

#[pymethods]
impl Interface {
    /// The kernel's index, from 1. A device that is recreated under its name has another.
    #[getter]
    fn index(&self) -> u32 {
        self.inner.index
    }

    /// The name, such as 'eth0'.
    #[getter]
    fn name(&self) -> &str {
        &self.inner.name
    }

    /// Further names by which it can be chosen.
    #[getter]
    fn alternative_names(&self) -> Vec<String> {
        let names = self.inner.alternative_names.iter();
        names.map(ToString::to_string).collect()
    }

    /// What it is: 'ethernet', 'wifi', 'loopback', or the kernel's word: 'bridge', 'veth', 'vlan',
    /// 'wireguard' and so on; 'other' where there is no word.
    #[getter]
    fn kind(&self) -> &str {
        &self.inner.kind
    }

    /// Whether it is switched on.
    #[getter]
    fn up(&self) -> bool {
        self.inner.up
    }

    /// Whether it can carry datagrams: it is up, and its cable, radio or peer is there.
    #[getter]
    fn running(&self) -> bool {
        self.inner.running
    }

    /// Whether it says that it can multicast. See ``can_multicast``.
    #[getter]
    fn multicast(&self) -> bool {
        self.inner.multicast
    }

    /// Whether groups can be joined on it and sent to by it: it is up, and says that it can or is
    /// the loopback interface, which can although it does not say so.
    #[getter]
    fn can_multicast(&self) -> bool {
        self.inner.can_multicast()
    }

    /// Whether it leads back to this host.
    #[getter]
    fn loopback(&self) -> bool {
        self.inner.loopback
    }

    /// Whether there is one peer at its other end, and no link of many.
    #[getter]
    fn point_to_point(&self) -> bool {
        self.inner.point_to_point
    }

    /// Whether it has a broadcast address.
    #[getter]
    fn broadcast(&self) -> bool {
        self.inner.broadcast
    }

    /// Whether it takes in all groups, joined or not.
    #[getter]
    fn all_multicast(&self) -> bool {
        self.inner.all_multicast
    }

    /// Whether it takes in everything.
    #[getter]
    fn promiscuous(&self) -> bool {
        self.inner.promiscuous
    }

    /// The largest IP packet that it carries in one piece, in bytes.
    #[getter]
    fn mtu(&self) -> u32 {
        self.inner.mtu
    }

    /// The hardware address as 'aa:bb:cc:dd:ee:ff', or None.
    #[getter]
    fn mac(&self) -> Option<String> {
        self.inner.mac.map(|mac| mac.to_string())
    }

    /// The local addresses as text: IPv4, then IPv6.
    #[getter]
    fn addresses(&self) -> Vec<String> {
        let own = self.inner.addresses.iter();
        own.map(|own| own.address.to_string()).collect()
    }

    /// The local addresses with the networks that they are in, as ``ipaddress.ip_interface`` makes
    /// them.
    #[getter]
    fn networks(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let make = MAKE.get_or_try_init(py, || {
            py.import("ipaddress")?
                .getattr("ip_interface")
                .map(Bound::unbind)
        })?;
        let own = self.inner.addresses.iter();
        own.map(|own| make.call1(py, (format!("{}/{}", own.address, own.prefix),)))
            .collect()
    }

    fn __repr__(&self) -> String {
        let state = if self.inner.up { "up" } else { "down" };
        format!(
            "<Interface {} {} {state} {}>",
            self.inner.index,
            self.inner.name,
            self.addresses().join(" ")
        )
    }
}
