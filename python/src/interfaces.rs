//! The interfaces of this host, as multicast sees them.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error;
use crate::value;

/// Lists the interfaces of this host, by index; each is an Interface.
///
/// >>> [interface.name for interface in interfaces() if interface.loopback]
/// ['lo']
#[pyfunction]
pub(crate) fn interfaces(py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
    let all = py.detach(manycast::interfaces).map_err(error::exception)?;
    all.iter().map(|interface| make(py, interface)).collect()
}

fn make(py: Python<'_>, interface: &manycast::Interface) -> PyResult<Py<PyAny>> {
    let own = &interface.addresses;
    let fields = PyDict::new(py);
    fields.set_item("index", interface.index)?;
    fields.set_item("name", interface.name.to_string())?;
    let names = interface.alternative_names.iter().map(ToString::to_string);
    fields.set_item("alternative_names", value::tuple(py, names)?)?;
    fields.set_item("kind", &*interface.kind)?;
    fields.set_item("up", interface.up)?;
    fields.set_item("running", interface.running)?;
    fields.set_item("multicast", interface.multicast)?;
    fields.set_item("can_multicast", interface.can_multicast())?;
    fields.set_item("loopback", interface.loopback)?;
    fields.set_item("point_to_point", interface.point_to_point)?;
    fields.set_item("broadcast", interface.broadcast)?;
    fields.set_item("all_multicast", interface.all_multicast)?;
    fields.set_item("promiscuous", interface.promiscuous)?;
    fields.set_item("mtu", interface.mtu)?;
    fields.set_item("mac", interface.mac.map(|mac| mac.to_string()))?;
    let addresses = own.iter().map(|own| own.address.to_string());
    fields.set_item("addresses", value::tuple(py, addresses)?)?;
    fields.set_item(
        "prefixes",
        value::tuple(py, own.iter().map(|own| own.prefix))?,
    )?;
    let class = py.import("manycast.value")?.getattr("Interface")?;
    Ok(class.call((), Some(&fields))?.unbind())
}
