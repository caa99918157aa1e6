//! The same as futures, on a Tokio runtime.
//!
//! Files block, so each has a thread of the runtime's for blocking work. A future that is dropped
//! stops what it is for.

use std::path::Path;

use manycast_io::IntoAddress;

use crate::aside;

use super::{
    Error, ReceiveEvent, ReceiveOptions, ReceiveReport, Receiving, SendEvent, SendOptions,
    SendReport, Sending, Stop,
};

/// As [`super::send_files`].
///
/// # Errors
///
/// Those of [`super::send_files`].
pub async fn send_files<P: AsRef<Path>>(
    address: impl IntoAddress,
    paths: impl IntoIterator<Item = P>,
    options: SendOptions,
) -> Result<SendReport, Error> {
    send(Sending::new(address, paths, options)?, |_| {}).await
}

/// As [`super::receive_files`].
///
/// # Errors
///
/// Those of [`super::receive_files`].
pub async fn receive_files(
    address: impl IntoAddress,
    folder: impl AsRef<Path>,
    options: ReceiveOptions,
) -> Result<ReceiveReport, Error> {
    receive(Receiving::new([address], folder, options)?, |_| {}).await
}

/// Sends, as [`Sending::run`].
///
/// # Errors
///
/// Those of [`Sending::run`].
pub async fn send(
    sending: Sending,
    on_event: impl FnMut(SendEvent) + Send + 'static,
) -> Result<SendReport, Error> {
    let _stop = StopOnDrop(sending.stopper());
    aside::run(move || sending.run(on_event), Error::Stopped).await
}

/// Receives, as [`Receiving::run`].
///
/// # Errors
///
/// Those of [`Receiving::run`].
pub async fn receive(
    receiving: Receiving,
    on_event: impl FnMut(ReceiveEvent) + Send + 'static,
) -> Result<ReceiveReport, Error> {
    let _stop = StopOnDrop(receiving.stopper());
    aside::run(move || receiving.run(on_event), Error::Stopped).await
}

struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
