//! A child process that was forked off must not share its parent's sockets without knowing.

use std::ops::{Deref, DerefMut};
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

/// Something that tells others when it is dropped. A child that was forked off leaves it by `leave`
/// instead: what it would tell leaves by the sockets of the parent, which goes on.
pub(crate) struct Owned<T> {
    birth: Birth,
    /// There until it is left.
    inner: Option<T>,
    leave: fn(T),
}

impl<T> Owned<T> {
    const GONE: &str = "only its drop takes it";

    pub(crate) fn new(inner: T, leave: fn(T)) -> Self {
        Self {
            birth: Birth::now(),
            inner: Some(inner),
            leave,
        }
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.inner.as_ref().expect(Self::GONE)
    }
}

impl<T> DerefMut for Owned<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.inner.as_mut().expect(Self::GONE)
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.birth != Birth::now()
            && let Some(inner) = self.inner.take()
        {
            (self.leave)(inner);
        }
    }
}
