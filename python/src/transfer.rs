//! Transfers, each done by a thread: it tells its caller how far it is, and ends when nobody waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use crate::aside::{Pending, Pool};

/// Begins a transfer: a thread does the work, and `finish` makes of its outcome what Python sees. The
/// transfer ends when the Pending is dropped, and what `progress` has raised is raised there.
pub(crate) fn begin<T: Send + 'static>(
    pool: &'static Pool,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(&Caller) -> T + Send + 'static,
    finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Pending> {
    let caller = Arc::new(Caller {
        progress,
        state: Mutex::default(),
    });
    let (its, told) = (Arc::clone(&caller), Arc::clone(&caller));
    let finish = move |py: Python<'_>, outcome| match told.lock().raised.take() {
        Some(raised) => Err(raised),
        None => finish(py, outcome),
    };
    let pending = Pending::start(pool, move || Ok(work(&its)), finish)?;
    Ok(pending.ended_by(move || caller.end()))
}

/// Who waits for a transfer.
pub(crate) struct Caller {
    progress: Option<Py<PyAny>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Nobody waits any more, perhaps before the transfer has begun.
    gone: bool,
    end: Option<Box<dyn Fn() + Send>>,
    /// What the caller's function raised.
    raised: Option<PyErr>,
}

impl Caller {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what ends the transfer once nobody waits.
    pub(crate) fn ends_it_by(&self, end: impl Fn() + Send + 'static) {
        let mut state = self.lock();
        if state.gone {
            end();
        }
        state.end = Some(Box::new(end));
    }

    /// Calls the caller's function, if there is one. What that raises ends the transfer.
    pub(crate) fn tell(&self, call: impl FnOnce(Python<'_>, &Py<PyAny>) -> PyResult<Py<PyAny>>) {
        let Some(progress) = &self.progress else {
            return;
        };
        if let Err(raised) = Python::attach(|py| call(py, progress)) {
            self.lock().raised.get_or_insert(raised);
            self.end();
        }
    }

    fn end(&self) {
        let mut state = self.lock();
        state.gone = true;
        if let Some(end) = &state.end {
            end();
        }
    }
}
