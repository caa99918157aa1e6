//! What is sent meanwhile.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use manycast::{Sender, SenderConfig};
use manycast_lab::netns::{Host, Task};

/// Sends a datagram every five milliseconds, until it is dropped.
pub(crate) struct Stream {
    /// Closed to end it.
    stop: Option<mpsc::Sender<()>>,
    task: Option<Task<()>>,
}

impl Stream {
    pub(crate) fn start(host: &Host, to: &str) -> Self {
        Self::of(
            host,
            to,
            SenderConfig::default(),
            64,
            Duration::from_millis(5),
        )
    }

    pub(crate) fn of(
        host: &Host,
        to: &str,
        config: SenderConfig,
        size: usize,
        pause: Duration,
    ) -> Self {
        let sender = host.run(|| Sender::open(to, config).unwrap());
        let (stop, stopped) = mpsc::channel::<()>();
        let task = host.spawn(move || {
            let payload = vec![b'x'; size];
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                // A firewall of the sender's host may forbid it, which is no business of this.
                let _ = sender.send(&payload);
            }
        });
        Self {
            stop: Some(stop),
            task: Some(task),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(task) = self.task.take() {
            task.join();
        }
    }
}

/// Datagrams to ten groups of no interest, so many a second, until it is dropped.
pub(crate) struct Flood {
    /// Closed to end it.
    stop: Option<mpsc::Sender<()>>,
    task: Option<Task<()>>,
}

impl Flood {
    pub(crate) fn start(host: &Host, rate: u64) -> Self {
        let senders = host.run(|| {
            let to = |number| format!("239.9.9.{number}%eth0:5000");
            (1..=10)
                .map(|number| Sender::new(to(number)).unwrap())
                .collect::<Vec<_>>()
        });
        let (stop, stopped) = mpsc::channel::<()>();
        let task = host.spawn(move || {
            let (began, mut sent) = (Instant::now(), 0);
            let owed = |began: Instant| began.elapsed().as_millis() * u128::from(rate) / 1000;
            let tick = Duration::from_millis(1);
            while stopped.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
                // What is owed by now is made up for, however late this thread gets its turn.
                while sent < owed(began) {
                    for sender in &senders {
                        sender.send([b'x'; 200]).unwrap();
                    }
                    sent += 10;
                }
            }
        });
        Self {
            stop: Some(stop),
            task: Some(task),
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(task) = self.task.take() {
            task.join();
        }
    }
}
