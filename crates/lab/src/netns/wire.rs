//! A wire in user space: it delays, loses, doubles and reorders frames, which this kernel's own
//! queueing disciplines may not be able to do.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind, PipeReader, PipeWriter};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use manycast_proto::random::Random;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tappers::{Interface, Tap};

use super::enter::skip;
use super::namespace::Namespace;
use super::{Host, Switch};
use crate::Link;
use crate::link::{Fate, LinkState};

/// How many bytes of frames are on the way in one direction at most.
const IN_FLIGHT: usize = 64 << 20;

/// How many frames are read from one end before the other end and the clock are looked at.
const TURN: usize = 64;

/// The longest frame: the MTU of the switch's port and an Ethernet header with a VLAN tag.
const FRAME: usize = 65_536;

/// A wire between a host and a switch; see [`Host::connect_over`]. The default is a perfect one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wire {
    /// What happens to frames that come in at the host.
    pub to_host: Link,
    /// What happens to frames that the host sends.
    pub from_host: Link,
    /// What all chance follows from.
    pub seed: u64,
}

impl Wire {
    /// The same link in both directions.
    pub fn both(link: Link) -> Self {
        Self {
            to_host: link,
            from_host: link,
            seed: 1,
        }
    }
}

impl Default for Wire {
    fn default() -> Self {
        Self::both(Link {
            delay: Duration::ZERO,
            ..Link::default()
        })
    }
}

/// What one direction of a [`Wire`] has done so far, in frames. It carries all of them, also those
/// of ARP, neighbour discovery, IGMP and MLD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireCounters {
    /// Handed over at the other end, doubles included.
    pub delivered: u64,
    /// Lost on the way.
    pub lost: u64,
    /// Dropped because the queue was full, or 64 MiB were on the way.
    pub overflowed: u64,
    /// Doubled.
    pub duplicated: u64,
    /// Held back, so that others could overtake.
    pub held_back: u64,
    /// Not taken by the other end, because it was down.
    pub refused: u64,
    /// On the way now.
    pub on_the_way: u64,
}

impl Host {
    /// Like [`connect`](Self::connect), but over a wire that behaves as `wire` says.
    ///
    /// Both ends are TAP devices, and a thread of the test carries the frames between them; it
    /// reads a monotonic clock, and it is late by as long as the machine keeps it waiting, never
    /// early. It is good for some hundred Mbit/s of large datagrams; what comes faster than the
    /// thread reads is dropped by the device, before the wire counts it (`ip -statistics link`). A
    /// wire passes no carrier on: [`unplug`](Self::unplug) panics, and the other end does not see
    /// that the host's is [down](Self::link_down).
    ///
    /// TAP devices need `/dev/net/tun`, which only root may open on most systems. Where it cannot
    /// be opened the test ends as ignored, and says so; with `CI=true` in the environment it fails.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use manycast_lab::Link;
    /// use manycast_lab::netns::{Lab, Wire};
    ///
    /// let lab = Lab::new();
    /// let (host, switch) = (lab.host("a"), lab.switch("sw"));
    /// let far = Link { delay: Duration::from_millis(20), loss: 0.01, ..Link::default() };
    /// host.connect_over(&switch, "eth0", &["10.0.0.1/24"], Wire::both(far));
    /// ```
    #[track_caller]
    pub fn connect_over(&self, switch: &Switch, device: &str, addresses: &[&str], wire: Wire) {
        self.attach(switch, device, addresses, Some(wire));
    }

    /// Changes how the wire of a device behaves from now on. Frames on the way are not touched, and
    /// the seed has no effect.
    #[track_caller]
    pub fn set_wire(&self, device: &str, wire: Wire) {
        self.wire_of(device, |running| running.shared().wire = wire);
    }

    /// What the wire of a device has done: to the host, and from the host.
    #[track_caller]
    pub fn wire_counters(&self, device: &str) -> (WireCounters, WireCounters) {
        self.wire_of(device, |running| running.shared().counters)
            .into()
    }
}

/// A wire that carries frames, until it is dropped.
#[derive(Debug)]
pub(super) struct RunningWire {
    shared: Arc<Mutex<Shared>>,
    /// The thread ends when this is closed.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    wire: Wire,
    /// To the host, and from the host.
    counters: [WireCounters; 2],
}

impl RunningWire {
    /// Makes both devices and carries frames between them.
    #[track_caller]
    pub(super) fn start(wire: Wire, host: (&Namespace, &str), switch: (&Namespace, &str)) -> Self {
        let [host, switch] = [host, switch].map(|(namespace, device)| tap(namespace, device));
        let shared = Arc::new(Mutex::new(Shared {
            wire,
            counters: Default::default(),
        }));
        let (stopped, stop) = io::pipe().expect("a pipe can be made");
        let carrier = Carrier {
            shared: Arc::clone(&shared),
            ends: [host, switch],
            directions: [Direction::new(), Direction::new()],
            random: random(wire.seed),
            frame: vec![0; FRAME],
        };
        let thread = thread::spawn(move || carrier.run(&stopped));
        Self {
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RunningWire {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed, and a drop must not panic.
            let _ = thread.join();
        }
    }
}

/// The device is made in the thread's namespace, and its descriptor is of use everywhere.
#[track_caller]
fn tap(namespace: &Namespace, device: &str) -> Tap {
    let made = namespace.inside(|| {
        let mut tap = Tap::new_named(Interface::new(device)?)?;
        tap.set_nonblocking(true)?;
        Ok(tap)
    });
    made.unwrap_or_else(|error: io::Error| match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::NotFound => skip(format!(
            "cannot open /dev/net/tun for a wire: {error}; run this test as root"
        )),
        _ => panic!("cannot make the TAP device {device}: {error}"),
    })
}

fn random(seed: u64) -> Random {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    Random::new(bytes)
}

/// What the thread of a wire works with. Direction 0 leads to the host, and so does end 0.
struct Carrier {
    shared: Arc<Mutex<Shared>>,
    ends: [Tap; 2],
    directions: [Direction; 2],
    random: Random,
    frame: Vec<u8>,
}

struct Direction {
    state: LinkState,
    on_the_way: BinaryHeap<Reverse<Frame>>,
    bytes: usize,
    count: u64,
}

/// Ordered by when it is due, then by when it was sent.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Frame {
    due: Instant,
    number: u64,
    bytes: Arc<[u8]>,
}

impl Carrier {
    fn run(mut self, stopped: &PipeReader) {
        loop {
            let next = self.directions.iter().filter_map(Direction::next).min();
            match self.wait(stopped, next) {
                Ok(true) => {}
                Ok(false) => return,
                Err(errno) => panic!("cannot wait for frames: {errno}"),
            }
            for direction in 0..2 {
                // A device that was deleted is the end of its wire.
                if self.take(direction).is_err() {
                    return;
                }
                self.hand_over(direction);
            }
        }
    }

    /// Waits for a frame, or until one is due. False when the wire is to end.
    fn wait(&self, stopped: &PipeReader, next: Option<Instant>) -> rustix::io::Result<bool> {
        let timeout = next.map(|next| {
            let left = next.saturating_duration_since(Instant::now());
            Timespec::try_from(left).expect("a delay is shorter than centuries")
        });
        let [host, switch] = &self.ends;
        let mut fds = [
            PollFd::new(stopped, PollFlags::IN),
            PollFd::new(host, PollFlags::IN),
            PollFd::new(switch, PollFlags::IN),
        ];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(fds[0].revents().is_empty()),
            Err(errno) => Err(errno),
        }
    }

    /// Takes the frames that are to go in one direction.
    fn take(&mut self, direction: usize) -> io::Result<()> {
        for _ in 0..TURN {
            match self.ends[1 - direction].recv(&mut self.frame) {
                Ok(length) => self.carry(direction, length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn carry(&mut self, index: usize, length: usize) {
        let now = Instant::now();
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let link = [shared.wire.to_host, shared.wire.from_host][index];
        let counters = &mut shared.counters[index];
        let direction = &mut self.directions[index];
        if direction.bytes + 2 * length > IN_FLIGHT {
            counters.overflowed += 1;
            return;
        }
        match direction.state.carry(&link, now, length, &mut self.random) {
            Fate::Overflowed => counters.overflowed += 1,
            Fate::Lost => counters.lost += 1,
            Fate::Arrives {
                at,
                again,
                held_back,
            } => {
                counters.duplicated += u64::from(again.is_some());
                counters.held_back += u64::from(held_back);
                let bytes: Arc<[u8]> = self.frame[..length].into();
                for due in [Some(at), again].into_iter().flatten() {
                    direction.push(due, Arc::clone(&bytes));
                    counters.on_the_way += 1;
                }
            }
        }
    }

    /// Hands over the frames that are due.
    fn hand_over(&mut self, index: usize) {
        let now = Instant::now();
        while let Some(frame) = self.directions[index].pop(now) {
            // A device that is down takes none, as a host that is off takes none.
            let taken = self.ends[index].send(&frame.bytes).is_ok();
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            let counters = &mut shared.counters[index];
            counters.on_the_way -= 1;
            counters.delivered += u64::from(taken);
            counters.refused += u64::from(!taken);
        }
    }
}

impl Direction {
    fn new() -> Self {
        Self {
            state: LinkState::new(Instant::now()),
            on_the_way: BinaryHeap::new(),
            bytes: 0,
            count: 0,
        }
    }

    fn next(&self) -> Option<Instant> {
        self.on_the_way.peek().map(|Reverse(frame)| frame.due)
    }

    fn push(&mut self, due: Instant, bytes: Arc<[u8]>) {
        self.bytes += bytes.len();
        self.count += 1;
        let number = self.count;
        self.on_the_way.push(Reverse(Frame { due, number, bytes }));
    }

    fn pop(&mut self, now: Instant) -> Option<Frame> {
        if self.next()? > now {
            return None;
        }
        let Reverse(frame) = self.on_the_way.pop()?;
        self.bytes -= frame.bytes.len();
        Some(frame)
    }
}
