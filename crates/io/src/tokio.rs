//! The same names with `async fn`, on a Tokio runtime.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), manycast::Error> {
//! let mut listener = manycast::tokio::listen("239.192.0.100%lo:5000").await?;
//! manycast::tokio::send("239.192.0.100%lo:5000", "Hello, world!").await?;
//! assert_eq!(listener.recv().await?.payload, b"Hello, world!");
//! # Ok(())
//! # }
//! ```
//!
//! Names are looked up on a thread of their own, never on that of the runtime. Every wait can be
//! cancelled by dropping its future, and loses nothing.

pub(crate) mod alarm;
mod listener;
pub(crate) mod readiness;
mod send_half;
mod sender;
mod socket;

use manycast_types::{Address, Host};

pub use crate::driver::tokio::Driver;
pub use listener::Listener;
pub use send_half::SendHalf;
pub use sender::Sender;
pub use socket::Socket;

use crate::ask::{answer, parts};
use crate::tentative::patiently;
use crate::{Answer, AskConfig, Error, IntoAddress, Sent, SocketConfig};

/// Sends one datagram to a group or a host, as [`crate::send`] does.
///
/// # Errors
///
/// Those of [`crate::send`].
pub async fn send(address: impl IntoAddress, payload: impl AsRef<[u8]>) -> Result<Sent, Error> {
    Sender::new(address).await?.send(payload).await
}

/// Listens on a group or a local address, as [`crate::listen`] does.
///
/// # Errors
///
/// Those of [`crate::listen`].
pub async fn listen(address: impl IntoAddress) -> Result<Listener, Error> {
    Listener::open([address], SocketConfig::default()).await
}

/// Asks a host or a group, and gathers the answers, as [`crate::ask()`] does.
///
/// # Errors
///
/// Those of [`crate::ask()`].
pub async fn ask(
    address: impl IntoAddress,
    payload: impl AsRef<[u8]>,
    config: &AskConfig,
) -> Result<Vec<Answer>, Error> {
    let address = address.into_address()?;
    let payload = payload.as_ref().to_vec();
    let config = config.clone();
    let names = has_name([&address]);
    let open = move || parts(&address, &payload, &config);
    let (endpoint, client) = unblocked(names, open).await?;
    let mut driver = Driver::new(endpoint, client)?;
    let mut answers = Vec::new();
    while let Some(event) = driver.next_event().await? {
        answers.extend(answer(event)?);
    }
    Ok(answers)
}

fn has_name<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> bool {
    addresses
        .into_iter()
        .any(|address| matches!(address.host(), Host::Name(_)))
}

/// Runs what may look up a name or wait for an address, on another thread if it does.
async fn unblocked<T: Send + 'static>(
    names: bool,
    mut open: impl FnMut() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    if !names {
        match open() {
            Err(error) if error.is_tentative() => {}
            result => return result,
        }
    }
    match ::tokio::task::spawn_blocking(|| patiently(open)).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(_) => Err(Error::Stopped),
        },
    }
}
