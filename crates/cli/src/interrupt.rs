//! Ctrl-C, and the other polite requests to end: SIGTERM and SIGHUP. A second one ends the process at
//! once, unless it comes with the first.
//! A SIGHUP or SIGINT that whoever started the command wants ignored, as nohup(1) does, stays ignored.

use std::fs;
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use manycast::Stopper;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::Outcome;

/// Ends whatever wait is going on when the user asks for it.
///
/// A command has one wait at a time, so it names the one action that ends it.
#[derive(Clone)]
pub(crate) struct Interrupt {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    requested: Condvar,
    /// What the command has to show where it is asked to end before its first wait.
    before: Outcome,
}

#[derive(Default)]
struct State {
    /// When the request came first.
    requested: Option<Instant>,
    action: Option<Box<dyn Fn() + Send>>,
}

/// Signals within this time are one request: timeout(1) signals its command, and then the process
/// group that it is in; a terminal, a shell and a supervisor may each send theirs.
const TOGETHER: Duration = Duration::from_secs(1);

impl Interrupt {
    /// Takes charge of the signals. It can be called once.
    ///
    /// Until the first action is named, a request ends the process at once, with the exit code of
    /// `before`: to look up a name, for one, may take long and cannot be broken off.
    pub(crate) fn install(before: Outcome) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            requested: Condvar::new(),
            before,
        });
        let handler = Arc::clone(&shared);
        let ignored = ignored();
        let wanted = [SIGINT, SIGTERM, SIGHUP]
            .into_iter()
            .filter(|signal| ignored & (1 << (signal - 1)) == 0);
        let mut signals = Signals::new(wanted).context("cannot take charge of Ctrl-C")?;
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || signals.forever().for_each(|_| handler.request()))
            .context("cannot start a thread")?;
        Ok(Self { shared })
    }

    /// Names the action that ends the wait to come, in place of the one before. Where the request
    /// has come already, it is done now.
    pub(crate) fn then(&self, action: impl Fn() + Send + 'static) {
        let mut state = self.shared.state();
        if state.requested.is_some() {
            action();
        }
        state.action = Some(Box::new(action));
    }

    /// From now on the command looks itself whether the request has come.
    pub(crate) fn is_looked_for(&self) {
        self.then(|| {});
    }

    /// Stops `stopper` at the request.
    pub(crate) fn stops(&self, stopper: Stopper) {
        self.then(move || stopper.stop());
    }

    /// Whether the request has come.
    pub(crate) fn is_requested(&self) -> bool {
        self.shared.state().requested.is_some()
    }

    /// Waits until `at`, or until the request comes, and says whether it did.
    pub(crate) fn wait_until(&self, at: Instant) -> bool {
        let mut state = self.shared.state();
        while state.requested.is_none() {
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
        state.requested.is_some()
    }
}

/// The signals that this process was started to ignore: the lowest bit stands for signal 1
/// (proc_pid_status(5), `SigIgn`).
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(&self) {
        let mut state = self.state();
        if let Some(first) = state.requested {
            if first.elapsed() < TOGETHER {
                return;
            }
            // It hangs where nothing ends the wait, such as in writing to a pipe that nobody reads.
            process::exit(2);
        }
        state.requested = Some(Instant::now());
        match &state.action {
            Some(action) => action(),
            None => process::exit(self.before.code().into()),
        }
        drop(state);
        self.requested.notify_all();
    }
}
