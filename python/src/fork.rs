//! A child process that was forked off must not share its parent's sockets without knowing.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;

use crate::error;

static FORKS: AtomicU64 = AtomicU64::new(0);

/// Counts the forks that lead to this process, from now on.
pub(crate) fn watch(py: Python<'_>) -> PyResult<()> {
    let arguments = [("after_in_child", wrap_pyfunction!(after_in_child, py)?)];
    let arguments = pyo3::types::IntoPyDict::into_py_dict(arguments, py)?;
    py.import("os")?
        .call_method("register_at_fork", (), Some(&arguments))?;
    Ok(())
}

#[pyfunction]
fn after_in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// The process that something was opened in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Birth(u64);

impl Birth {
    pub(crate) fn now() -> Self {
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Fails in a process that was forked off since: both would take datagrams from one queue.
    pub(crate) fn check(self, what: &str) -> PyResult<()> {
        if self == Self::now() {
            return Ok(());
        }
        Err(error::general(format!(
            "this {what} was opened before this process was forked off, and the parent still uses \
             it; open one after the fork"
        )))
    }
}
