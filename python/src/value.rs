//! Plain values: what calls return is of classes that are written in Python.

use std::net::IpAddr;

use pyo3::IntoPyObjectExt;
use pyo3::call::PyCallArgs;
use pyo3::prelude::*;

/// An object of a class of `manycast/value.py`.
pub(crate) fn make<'py>(
    py: Python<'py>,
    class: &str,
    fields: impl PyCallArgs<'py>,
) -> PyResult<Py<PyAny>> {
    make_of(py, "manycast.value", class, fields)
}

/// An object of a class of another module of the package.
pub(crate) fn make_of<'py>(
    py: Python<'py>,
    module: &str,
    class: &str,
    fields: impl PyCallArgs<'py>,
) -> PyResult<Py<PyAny>> {
    let class = py.import(module)?.getattr(class)?;
    Ok(class.call1(fields)?.unbind())
}

/// A Dropped.
pub(crate) fn dropped(py: Python<'_>, dropped: manycast::Dropped) -> PyResult<Py<PyAny>> {
    make(py, "Dropped", (dropped.count, dropped.is_exact))
}

/// A tuple, which is what plain values hold where there are several.
pub(crate) fn tuple<'py, T: IntoPyObject<'py>>(
    py: Python<'py>,
    elements: impl IntoIterator<Item = T>,
) -> PyResult<Py<PyAny>> {
    let elements: Vec<Py<PyAny>> = elements
        .into_iter()
        .map(|element| element.into_py_any(py))
        .collect::<PyResult<_>>()?;
    Ok(pyo3::types::PyTuple::new(py, elements)?.into_any().unbind())
}

/// Addresses as texts.
pub(crate) fn texts(py: Python<'_>, addresses: &[IpAddr]) -> PyResult<Py<PyAny>> {
    tuple(py, addresses.iter().map(ToString::to_string))
}
