//! Socket options as keyword arguments.

use std::fmt::Display;

use manycast::SocketConfig;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

/// The set-up of a socket that only receives.
pub(crate) fn receiving(receive_buffer: Option<usize>, share_port: bool) -> PyResult<SocketConfig> {
    let default = SocketConfig::default();
    let size = buffer("receive", receive_buffer, default.receive_buffer)?;
    Ok(default.receive_buffer(size).share_port(share_port))
}

/// The set-up of a socket that only sends.
pub(crate) fn sending(
    hops: Option<Hops>,
    loopback: bool,
    dscp: Option<Dscp>,
    send_buffer: Option<usize>,
) -> PyResult<SocketConfig> {
    let hops = hops.map(|hops| hops.0);
    let default = SocketConfig::default();
    let multicast_hops = hops.unwrap_or(default.multicast_hops);
    let size = buffer("send", send_buffer, default.send_buffer)?;
    Ok(default
        .multicast_hops(multicast_hops)
        .unicast_hops(hops.filter(|hops| *hops > 0))
        .loopback(loopback)
        .dscp(dscp.map(|dscp| dscp.0))
        .send_buffer(size))
}

/// The size of a buffer that is asked for.
pub(crate) fn buffer(what: &str, size: Option<usize>, default: usize) -> PyResult<usize> {
    match size {
        Some(0) => Err(PyValueError::new_err(format!(
            "a {what} buffer has at least 1 byte"
        ))),
        size => Ok(size.unwrap_or(default)),
    }
}

/// A rate in bits a second.
pub(crate) fn rate(rate: f64) -> PyResult<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is in the range"
    )]
    if (1.0..1e15).contains(&rate) {
        Ok(rate as u64)
    } else {
        Err(PyValueError::new_err(format!(
            "a rate of {rate} bits a second cannot be held; give 1 or more, below 1e15"
        )))
    }
}

/// How many parity symbols go unasked with each block.
pub(crate) struct Parity(pub(crate) u8);

impl FromPyObject<'_, '_> for Parity {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        number(&object, "parity", 64, PyValueError::new_err).map(Self)
    }
}

/// The names of receivers: one or several.
#[derive(Default)]
pub(crate) struct Names(pub(crate) Vec<String>);

impl FromPyObject<'_, '_> for Names {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyString>() {
            return Ok(Self(vec![object.extract()?]));
        }
        let names = object.try_iter()?.map(|name| name?.extract());
        names.collect::<PyResult<_>>().map(Self)
    }
}

/// A hop limit.
pub(crate) struct Hops(pub(crate) u8);

impl FromPyObject<'_, '_> for Hops {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        number(&object, "a hop limit", u8::MAX, PyValueError::new_err).map(Self)
    }
}

/// A differentiated services code point (RFC 2474).
pub(crate) struct Dscp(pub(crate) manycast::Dscp);

impl FromPyObject<'_, '_> for Dscp {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let number = number(&object, "a DSCP", 63, PyValueError::new_err)?;
        Ok(Self(manycast::Dscp::new(number).unwrap_or_default()))
    }
}

/// A whole number from 0 to `max`; `what` it is stands in the messages.
pub(crate) fn number<N: Copy + Display + PartialOrd + TryFrom<i64>>(
    object: &Bound<'_, PyAny>,
    what: &str,
    max: N,
    out_of_range: impl FnOnce(String) -> PyErr,
) -> PyResult<N> {
    let rule = |given| format!("{what} is a whole number from 0 to {max}, not {given}");
    match object.extract::<i64>().map(N::try_from) {
        Ok(Ok(number)) if number <= max => Ok(number),
        Err(error) if error.is_instance_of::<PyTypeError>(object.py()) => {
            Err(PyTypeError::new_err(rule(object.repr()?)))
        }
        Ok(_) | Err(_) => Err(out_of_range(rule(object.repr()?))),
    }
}
