//! Work on files beside a Tokio runtime: it blocks, so it gets a thread of the runtime's for that.

use tokio::task::spawn_blocking;

/// Waits for `work`, which fails with `stopped` where the runtime shuts down before it began. A panic
/// of the work goes on here.
pub(crate) async fn run<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
    stopped: E,
) -> Result<T, E>
where
    T: Send + 'static,
    E: Send + 'static,
{
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(stopped),
    }
}
