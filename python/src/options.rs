//! Socket options as keyword arguments.

use manycast::SocketConfig;
use pyo3::exceptions::PyValueError;
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
pub(crate) fn sending(hops: Option<u8>, loopback: bool) -> SocketConfig {
    let default = SocketConfig::default();
    SocketConfig {
        multicast_hops: hops.unwrap_or(default.multicast_hops),
        unicast_hops: hops.filter(|hops| *hops > 0),
        loopback,
        ..default
    }
}
