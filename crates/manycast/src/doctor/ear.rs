//! What is heard on the wire, where this process may listen there (`CAP_NET_RAW`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use manycast_net::{Overheard, Wiretap};

use super::Target;

/// What was heard on the wire meanwhile, before firewalls and filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Queriers, the version of IGMP or MLD that each speaks, and how often it asked.
    pub queriers: Vec<(IpAddr, u8, u64)>,
    /// Who sent to the group, the port that it was sent to, and how many datagrams.
    pub senders: Vec<(SocketAddr, u16, u64)>,
}

/// Something that listens in the background.
pub(super) struct Ear {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Heard>,
}

/// How long the end may take.
const PAUSE: Duration = Duration::from_millis(50);

/// Whoever floods the wire gets no more of the memory than this.
const MOST: usize = 64;

impl Ear {
    /// Begins to listen; `None` where this process may not.
    pub(super) fn open(target: &Target) -> Option<Self> {
        let tap = Wiretap::open(target.is_ipv4()).ok()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, group) = (Arc::clone(&stop), target.ip);
        let thread = thread::spawn(move || listen(tap, group, &stopped));
        Some(Self { stop, thread })
    }

    /// Ends, and gives what was heard.
    pub(super) fn finish(self) -> Option<Heard> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().ok()
    }
}

fn listen(mut tap: Wiretap, group: IpAddr, stop: &AtomicBool) -> Heard {
    let mut heard = Heard::default();
    while !stop.load(Ordering::Relaxed) {
        match tap.next(PAUSE) {
            Ok(Some(Overheard::Query { source, version })) => {
                count(&mut heard.queriers, source, version);
            }
            Ok(Some(Overheard::Datagram {
                source,
                destination,
            })) if destination.ip() == group => {
                count(&mut heard.senders, source, destination.port());
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "nothing is heard on the wire any more");
                break;
            }
        }
    }
    heard
}

fn count<A: PartialEq, B: PartialEq>(counts: &mut Vec<(A, B, u64)>, a: A, b: B) {
    if let Some(count) = counts.iter_mut().find(|count| count.0 == a && count.1 == b) {
        count.2 += 1;
    } else if counts.len() < MOST {
        counts.push((a, b, 1));
    }
}
