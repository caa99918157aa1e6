//! Socket options as keyword arguments.

use std::fmt::Display;

use manycast::SocketConfig;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// The set-up of a socket that only receives.
pub(crate) fn receiving(receive_buffer: Option<usize>) -> PyResult<SocketConfig> {
    let mut config = SocketConfig::default();
    if let Some(size) = receive_buffer {
        if size == 0 {
            return Err(PyValueError::new_err(
                "a receive buffer has at least 1 byte",
            ));
        }
        config.receive_buffer = size;
    }
    Ok(config)
}

/// The set-up of a socket that only sends.
pub(crate) fn sending(hops: Option<Hops>, loopback: bool) -> SocketConfig {
    let hops = hops.map(|hops| hops.0);
    let default = SocketConfig::default();
    let multicast_hops = hops.unwrap_or(default.multicast_hops);
    default
        .multicast_hops(multicast_hops)
        .unicast_hops(hops.filter(|hops| *hops > 0))
        .loopback(loopback)
}

/// A hop limit.
pub(crate) struct Hops(pub(crate) u8);

impl FromPyObject<'_, '_> for Hops {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        number(&object, "a hop limit", u8::MAX, PyValueError::new_err).map(Self)
    }
}

/// A whole number from 0 to `max`; `what` it is stands in the messages.
pub(crate) fn number<N: Copy + Display + TryFrom<i64>>(
    object: &Bound<'_, PyAny>,
    what: &str,
    max: N,
    out_of_range: impl FnOnce(String) -> PyErr,
) -> PyResult<N> {
    let rule = |given| format!("{what} is a whole number from 0 to {max}, not {given}");
    match object.extract::<i64>().map(N::try_from) {
        Ok(Ok(number)) => Ok(number),
        Err(error) if error.is_instance_of::<PyTypeError>(object.py()) => {
            Err(PyTypeError::new_err(rule(object.repr()?)))
        }
        Ok(Err(_)) | Err(_) => Err(out_of_range(rule(object.repr()?))),
    }
}
