//! Waiting for an address that this host may soon use.

use std::time::{Duration, Instant};

use manycast_net::{Poller, Watch};

use crate::{Error, resolve};

/// Duplicate address detection takes a second, after a wait of up to another (RFC 4862 §5.4).
const PATIENCE: Duration = Duration::from_secs(3);

impl Error {
    /// Whether an address of this host is tentative, so that the same call succeeds in a moment.
    #[doc(hidden)]
    pub fn is_tentative(&self) -> bool {
        matches!(self, Self::Net(error) if error.is_tentative())
    }
}

/// Opens something, and waits for an address that is tentative, at most three seconds. A name is
/// looked up once.
#[doc(hidden)]
pub fn patiently<T>(mut open: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let _remembered = resolve::remember();
    let error = match open() {
        Err(error) if error.is_tentative() => error,
        result => return result,
    };
    // Where the host cannot be watched, what is known already says more.
    let Ok(mut patience) = Patience::begin() else {
        return Err(error);
    };
    loop {
        // The first time at once: the address may have changed before the host was watched.
        match open() {
            Err(error) if error.is_tentative() && patience.wait() => {
                tracing::debug!(%error, "waits");
            }
            result => return result,
        }
    }
}

/// Waits until no address of this host is tentative, at most three seconds.
#[doc(hidden)]
pub fn wait_for_addresses() -> Result<(), Error> {
    let mut patience = Patience::begin()?;
    loop {
        let interfaces = manycast_net::interfaces()?;
        let mut addresses = interfaces.iter().flat_map(|it| &it.addresses);
        if !addresses.any(|own| own.tentative) || !patience.wait() {
            return Ok(());
        }
    }
}

/// Waits for changes of the addresses, until three seconds are over.
struct Patience {
    watch: Watch,
    poller: Poller,
    deadline: Instant,
}

impl Patience {
    fn begin() -> Result<Self, manycast_net::Error> {
        let watch = Watch::open()?;
        let poller = Poller::new()?;
        poller.add(&watch, 0)?;
        Ok(Self {
            watch,
            poller,
            deadline: Instant::now() + PATIENCE,
        })
    }

    /// Waits for a change, or to the end; false where the end was there already.
    fn wait(&mut self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let mut changed = || {
            self.poller.wait(&mut Vec::new(), Some(left))?;
            self.watch.drain()
        };
        !left.is_zero() && changed().is_ok()
    }
}
