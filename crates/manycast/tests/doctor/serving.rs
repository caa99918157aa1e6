//! The far end of an examination by two.

use std::panic;
use std::thread::{self, JoinHandle};

use manycast::Stopper;
use manycast::doctor::{DEFAULT_PORT, FarEnd, Key, Server};
use manycast_lab::netns::Host;

/// A far end on a host, until it is dropped.
pub(crate) struct Serving {
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// One of an ordinary user.
    pub(crate) fn start(host: &Host, key: Option<&str>) -> Self {
        host.run_unprivileged(|| Self::here(key))
    }

    /// One with the privileges to listen on the wire and to read the rules of the firewall.
    pub(crate) fn privileged(host: &Host) -> Self {
        host.run(|| Self::here(None))
    }

    fn here(key: Option<&str>) -> Self {
        let key = key.map(|key| Key::new(key.to_owned()));
        let mut server = Server::open(format!(":{DEFAULT_PORT}"), key).unwrap();
        Self {
            stopper: server.stopper().unwrap(),
            thread: Some(thread::spawn(move || {
                while server.next_event(None).unwrap().event().is_some() {}
            })),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(Err(panicked)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            panic::resume_unwind(panicked);
        }
    }
}

pub(crate) fn far(host: &str) -> FarEnd {
    let address = if host.contains(':') {
        format!("[{host}]:{DEFAULT_PORT}")
    } else {
        format!("{host}:{DEFAULT_PORT}")
    };
    FarEnd::new(address).unwrap()
}
