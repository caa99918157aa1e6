//! Where something was opened, for the warning that it was not closed.

use std::ffi::CString;

use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};

/// An object that is made where something is opened. Of an object, tracemalloc knows where it was
/// made, and `warnings` prints that of the source of a ResourceWarning. What was opened cannot be the
/// source itself, since nothing is left of it when it is found to be unclosed.
pub(crate) struct Origin(Py<PyAny>);

impl Origin {
    pub(crate) fn here(py: Python<'_>) -> PyResult<Self> {
        Ok(Self(PyDict::new(py).into_any().unbind()))
    }

    /// Warns of something that was left open. It may be called while another exception is on its way.
    pub(crate) fn warn_unclosed(&self, py: Python<'_>, message: &str) {
        let pending = PyErr::take(py);
        if let Err(error) = self.warn(py, message) {
            error.write_unraisable(py, None);
        }
        if let Some(pending) = pending {
            pending.restore(py);
        }
    }

    fn warn(&self, py: Python<'_>, message: &str) -> PyResult<()> {
        let category = py.get_type::<PyResourceWarning>();
        let Ok(warnings) = py.import("warnings") else {
            // The interpreter comes to its end. This needs no module, and knows no source.
            let message = CString::new(message)?;
            return PyErr::warn(py, &category, &message, 1);
        };
        let source = [("source", &self.0)].into_py_dict(py)?;
        warnings.call_method("warn", (message, category), Some(&source))?;
        Ok(())
    }
}
