//! An object of Python that is written or read like a file.

use std::io::{self, Read, Write};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

pub(super) struct Stream(Py<PyAny>);

impl Stream {
    pub(super) const fn new(object: Py<PyAny>) -> Self {
        Self(object)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Python::attach(|py| {
            let written = self.0.call_method1(py, "write", (PyBytes::new(py, bytes),));
            let written = written.map_err(io::Error::other)?;
            let count: Option<usize> = written.extract(py).unwrap_or(None);
            match count {
                Some(count) => Ok(count.min(bytes.len())),
                None if is_raw(self.0.bind(py)).map_err(io::Error::other)? => {
                    Err(io::ErrorKind::WouldBlock.into())
                }
                // What is not raw writes all, and need not say so.
                None => Ok(bytes.len()),
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Python::attach(|py| {
            let read = self.0.call_method1(py, "read", (into.len(),));
            let read = read.map_err(io::Error::other)?;
            let bytes = read.bind(py).cast::<PyBytes>();
            let bytes = bytes.map_err(|_| io::Error::other("read() returned no bytes object"))?;
            let bytes = bytes.as_bytes();
            let place = into.get_mut(..bytes.len()).ok_or_else(|| {
                io::Error::other("read() returned more bytes than it was asked for")
            })?;
            place.copy_from_slice(bytes);
            Ok(bytes.len())
        })
    }
}

/// Whether an object is raw: None says then that nothing was written, since it would have had to wait.
fn is_raw(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    object.is_instance(&object.py().import("io")?.getattr("RawIOBase")?)
}
