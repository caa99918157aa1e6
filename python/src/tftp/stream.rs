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
            let written = written.map_err(failed)?;
            // What is not raw writes all, and need not say so.
            let count: Option<usize> = written.extract(py).unwrap_or(None);
            Ok(count.unwrap_or(bytes.len()).min(bytes.len()))
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
            let read = read.map_err(failed)?;
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

fn failed(error: PyErr) -> io::Error {
    io::Error::other(error.to_string())
}
