//! Ctrl-C, and the other polite requests to end: SIGTERM and SIGHUP. A second one is obeyed at once.

use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Context;
use manycast::Stopper;

/// Ends whatever wait is going on when the user asks for it.
///
/// A command has one wait at a time, so it names the one action that ends it.
#[derive(Clone)]
pub(crate) struct Interrupt {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    requested: Condvar,
}

#[derive(Default)]
struct State {
    requested: bool,
    action: Option<Box<dyn Fn() + Send>>,
}

impl Interrupt {
    /// Takes charge of the signals. It can be called once.
    pub(crate) fn install() -> anyhow::Result<Self> {
        let shared = Arc::<Shared>::default();
        let handler = Arc::clone(&shared);
        ctrlc::set_handler(move || handler.request()).context("cannot take charge of Ctrl-C")?;
        Ok(Self { shared })
    }

    /// Names the action that ends the wait to come, in place of the one before. Where the request
    /// has come already, it is done now.
    pub(crate) fn then(&self, action: impl Fn() + Send + 'static) {
        let mut state = self.shared.state();
        if state.requested {
            action();
        }
        state.action = Some(Box::new(action));
    }

    /// Stops `stopper` at the request.
    pub(crate) fn stops(&self, stopper: Stopper) {
        self.then(move || stopper.stop());
    }

    /// Whether the request has come.
    pub(crate) fn is_requested(&self) -> bool {
        self.shared.state().requested
    }

    /// Waits until `at`, or until the request comes, and says whether it did.
    pub(crate) fn wait_until(&self, at: Instant) -> bool {
        let mut state = self.shared.state();
        while !state.requested {
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self
                .shared
                .requested
                .wait_timeout(state, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
        state.requested
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(&self) {
        let mut state = self.state();
        if state.requested {
            // It hangs where nothing ends the wait, such as in the resolution of a name.
            process::exit(2);
        }
        state.requested = true;
        if let Some(action) = &state.action {
            action();
        }
        drop(state);
        self.requested.notify_all();
    }
}
