//! The same as futures, on a Tokio runtime.
//!
//! Files block, so each transfer has a thread of the runtime's for blocking work. A future that is
//! dropped stops its transfer, and the other end is told.

use std::path::Path;

use manycast_io::Stopper;
use manycast_proto::tftp::ServerStats;

use crate::aside;

use super::{Error, Event, Location, Options, Report, Server, Transfer};

/// As [`super::get`].
///
/// ```
/// use manycast::transfer::tftp::{self, Options, Server, ServerOptions};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().to_owned();
/// std::fs::write(folder.join("firmware.bin"), "new")?;
/// let server = Server::open(&folder, &["127.0.0.1:0".parse()?], ServerOptions::default())?;
/// let port = server.local_addrs()[0].port();
/// let from = format!("127.0.0.1:{port}/firmware.bin").parse()?;
/// let options = Options::default();
/// tokio::select! {
///     result = tftp::tokio::serve(server, |_| {}) => drop(result?),
///     result = tftp::tokio::get(&from, folder.join("copy"), &options) => {
///         assert_eq!(result?.bytes, 3);
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of [`super::get`].
pub async fn get(
    from: &Location,
    to: impl AsRef<Path>,
    options: &Options,
) -> Result<Report, Error> {
    run(Transfer::get(from, to, options)?).await
}

/// As [`super::put`].
///
/// # Errors
///
/// Those of [`super::put`].
pub async fn put(
    from: impl AsRef<Path>,
    to: &Location,
    options: &Options,
) -> Result<Report, Error> {
    run(Transfer::put(from, to, options)?).await
}

/// Runs a transfer, as [`Transfer::run`].
///
/// # Errors
///
/// Those of [`Transfer::run`].
pub async fn run(mut transfer: Transfer) -> Result<Report, Error> {
    let _stop = StopOnDrop(transfer.stopper()?);
    aside::run(move || transfer.run(|_| {}), Error::Stopped).await
}

/// Serves until the future is dropped, as [`Server::run`].
///
/// # Errors
///
/// Those of [`Server::run`].
pub async fn serve(
    mut server: Server,
    on_event: impl FnMut(Event) + Send + 'static,
) -> Result<ServerStats, Error> {
    let _stop = StopOnDrop(server.stopper()?);
    aside::run(move || server.run(on_event), Error::Stopped).await
}

struct StopOnDrop(Stopper);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
