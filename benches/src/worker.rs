//! One end of one trial: a process of its own, so that its processor time can be told.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use manycast_proto::pace::Pacer;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};

use crate::contender::{many, manycast_library, plain, quinn, raw, tokio_socket};
use crate::round_trip::TRIPS;

/// What a worker is to do.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Job {
    pub(crate) contender: Contender,
    pub(crate) role: Role,
    /// Where to send to, or to listen.
    pub(crate) to: SocketAddrV4,
    /// The local address of the interface to use.
    pub(crate) interface: Ipv4Addr,
    #[arg(long, default_value_t = 1316)]
    pub(crate) size: usize,
    #[arg(long, default_value_t = 1.0)]
    pub(crate) seconds: f64,
    /// Bits a second; as fast as it goes without.
    #[arg(long)]
    pub(crate) rate: Option<u64>,
    /// Round trips a turn.
    #[arg(long, default_value_t = TRIPS)]
    pub(crate) count: usize,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    RawOffload,
    RawBatch,
    /// The raw loop that asks for all that `manycast` tells of a datagram.
    RawMetadata,
    Library,
    Tokio,
    Std,
    TokioSocket,
    Quinn,
    Mcast,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Send,
    Receive,
    Echo,
    Ping,
}

/// What a sender prints.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Sent {
    pub(crate) datagrams: u64,
    pub(crate) seconds: f64,
    /// Seconds of the processor since it was ready, if it tells.
    pub(crate) cpu: Option<f64>,
}

/// What a receiver prints.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Received {
    pub(crate) datagrams: u64,
    /// From the first datagram to the last.
    pub(crate) seconds: f64,
    /// Seconds of the processor since it was ready, if it tells.
    pub(crate) cpu: Option<f64>,
}

/// The processor's time of this process, or of all of its children that have ended, in seconds.
pub(crate) fn processor(whose: UsageWho) -> anyhow::Result<f64> {
    let usage = getrusage(whose)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

pub(crate) fn run(job: &Job) -> anyhow::Result<()> {
    match job.role {
        Role::Send => {
            let mut schedule = Schedule::new(job)?;
            send(job, &mut schedule)?;
            print(&schedule.sent()?)
        }
        Role::Receive => {
            let counter = Counter::start();
            receive(job, counter)
        }
        Role::Echo => {
            end_with_standard_input(|| {});
            echo(job)
        }
        Role::Ping => ping(job),
    }
}

fn send(job: &Job, schedule: &mut Schedule) -> anyhow::Result<()> {
    match job.contender {
        Contender::RawOffload | Contender::RawMetadata => raw::send_offload(job, schedule),
        Contender::RawBatch => raw::send_batch(job, schedule),
        Contender::Library => manycast_library::send(job, schedule),
        Contender::Tokio => manycast_library::send_tokio(job, schedule),
        Contender::Std => plain::send(job, schedule),
        Contender::TokioSocket => tokio_socket::send(job, schedule),
        Contender::Quinn => quinn::send(job, schedule),
        Contender::Mcast => many::send(job, schedule),
    }
}

fn receive(job: &Job, counter: &Counter) -> anyhow::Result<()> {
    match job.contender {
        Contender::RawOffload => raw::receive_offload(job, counter),
        Contender::RawBatch => raw::receive_batch(job, counter),
        Contender::RawMetadata => raw::receive_with_metadata(job, counter),
        Contender::Library => manycast_library::receive(job, counter),
        Contender::Tokio => manycast_library::receive_tokio(job, counter),
        Contender::Std => plain::receive(job, counter),
        Contender::TokioSocket => tokio_socket::receive(job, counter),
        Contender::Quinn => quinn::receive(job, counter),
        Contender::Mcast => many::receive(job, counter),
    }
}

fn echo(job: &Job) -> anyhow::Result<()> {
    match job.contender {
        Contender::RawOffload | Contender::RawBatch => raw::echo(job),
        Contender::RawMetadata => raw::echo_with_metadata(job),
        Contender::Library => manycast_library::echo(job),
        Contender::Tokio => manycast_library::echo_tokio(job),
        Contender::Std => plain::echo(job),
        Contender::TokioSocket => tokio_socket::echo(job),
        Contender::Quinn | Contender::Mcast => bail!("it has no round trip here"),
    }
}

fn ping(job: &Job) -> anyhow::Result<()> {
    match job.contender {
        Contender::RawOffload | Contender::RawBatch => raw::ping(job),
        Contender::RawMetadata => raw::ping_with_metadata(job),
        Contender::Library => manycast_library::ping(job),
        Contender::Tokio => manycast_library::ping_tokio(job),
        Contender::Std => plain::ping(job),
        Contender::TokioSocket => tokio_socket::ping(job),
        Contender::Quinn | Contender::Mcast => bail!("it has no round trip here"),
    }
}

impl Job {
    /// How many datagrams go into one send, where many can.
    pub(crate) fn batch(&self) -> usize {
        (65_507 / self.size).clamp(1, 64)
    }

    /// A socket that sends to the destination alone, by the interface.
    pub(crate) fn sender(&self) -> anyhow::Result<UdpSocket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_send_buffer_size(1 << 20)?;
        socket.set_multicast_if_v4(&self.interface)?;
        socket.connect(&SocketAddr::from(self.to).into())?;
        Ok(socket.into())
    }

    /// A socket that listens on the destination, with as much buffer as `manycast` asks for.
    pub(crate) fn receiver(&self) -> anyhow::Result<UdpSocket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_recv_buffer_size(8 << 20)?;
        if self.to.ip().is_multicast() {
            socket.set_reuse_address(true)?;
        }
        socket.bind(&SocketAddr::from(self.to).into())?;
        if self.to.ip().is_multicast() {
            socket.join_multicast_v4(self.to.ip(), &self.interface)?;
        }
        Ok(socket.into())
    }
}

/// Memory to send, which was written to. What is only read of fresh memory is one page of zeros, again
/// and again, which is copied a fifth faster than other memory; and it depends on what was allocated
/// before whether memory is fresh.
pub(crate) fn written(length: usize) -> Vec<u8> {
    vec![1; length]
}

/// What a sender may send and when, the same for all contenders.
pub(crate) struct Schedule {
    size: usize,
    begin: Instant,
    end: Instant,
    pacer: Option<Pacer>,
    datagrams: u64,
    processor: f64,
}

impl Schedule {
    fn new(job: &Job) -> anyhow::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            size: job.size,
            begin: now,
            end: now + Duration::from_secs_f64(job.seconds),
            pacer: job.rate.map(|rate| Pacer::new(rate, Pacer::BURST, now)),
            datagrams: 0,
            processor: processor(UsageWho::RUSAGE_SELF)?,
        })
    }

    /// How many datagrams may go now, at most `most`; waits for the first. `None` at the end.
    pub(crate) fn next(&mut self, most: usize) -> Option<usize> {
        loop {
            let now = Instant::now();
            if now >= self.end {
                return None;
            }
            let Some(pacer) = &mut self.pacer else {
                return Some(most);
            };
            match pacer.ready(now, self.size) {
                0 => {
                    let next = pacer.next(self.size * most).min(self.end);
                    thread::sleep(next.saturating_duration_since(now));
                }
                ready => return Some(ready.min(most)),
            }
        }
    }

    /// So many went.
    pub(crate) fn sent_now(&mut self, count: usize) {
        self.datagrams += count as u64;
        if let Some(pacer) = &mut self.pacer {
            pacer.spend(count * self.size);
        }
    }

    fn sent(&self) -> anyhow::Result<Sent> {
        Ok(Sent {
            datagrams: self.datagrams,
            seconds: self.begin.elapsed().as_secs_f64(),
            cpu: Some(processor(UsageWho::RUSAGE_SELF)? - self.processor),
        })
    }
}

/// Counts what came and takes the time, until standard input ends; then it prints that and ends the
/// process.
pub(crate) struct Counter {
    begin: Instant,
    datagrams: AtomicU64,
    /// When the first and the last came, in nanoseconds.
    first: AtomicU64,
    last: AtomicU64,
}

/// The processor's time when all was ready.
static READY: OnceLock<f64> = OnceLock::new();

impl Counter {
    /// The time is taken when so many have come: to take that of each would cost those a part of theirs
    /// that make a call for each.
    const STRIDE: u64 = 64;

    fn new() -> Self {
        Self {
            begin: Instant::now(),
            datagrams: AtomicU64::new(0),
            first: AtomicU64::new(0),
            last: AtomicU64::new(0),
        }
    }

    fn start() -> &'static Self {
        static COUNTER: OnceLock<Counter> = OnceLock::new();
        let counter = COUNTER.get_or_init(Self::new);
        end_with_standard_input(|| {
            if let Err(error) = counter.received().and_then(|it| print(&it)) {
                eprintln!("{error:#}");
            }
        });
        counter
    }

    /// So many came. There is but one thread that counts.
    pub(crate) fn add(&self, datagrams: usize) {
        let before = self.datagrams.load(Ordering::Relaxed);
        let sum = before + datagrams as u64;
        self.datagrams.store(sum, Ordering::Relaxed);
        if before == 0 || before / Self::STRIDE != sum / Self::STRIDE {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "nobody waits for centuries"
            )]
            let now = self.begin.elapsed().as_nanos() as u64;
            self.last.store(now, Ordering::Relaxed);
            if before == 0 {
                self.first.store(now, Ordering::Relaxed);
            }
        }
    }

    fn received(&self) -> anyhow::Result<Received> {
        let [datagrams, first, last] =
            [&self.datagrams, &self.first, &self.last].map(|it| it.load(Ordering::Relaxed));
        let ready = READY.get().copied().unwrap_or_default();
        Ok(Received {
            datagrams,
            seconds: Duration::from_nanos(last - first).as_secs_f64(),
            cpu: Some(processor(UsageWho::RUSAGE_SELF)? - ready),
        })
    }
}

/// Says that all is ready to receive.
pub(crate) fn ready() {
    if let Ok(now) = processor(UsageWho::RUSAGE_SELF) {
        let _ = READY.set(now);
    }
    println!("ready");
    let _ = io::stdout().flush();
}

fn end_with_standard_input(finally: impl FnOnce() + Send + 'static) {
    thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        finally();
        std::process::exit(0);
    });
}

pub(crate) fn print(result: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(result)?);
    Ok(io::stdout().flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_between_the_first_and_the_last() {
        let counter = Counter::new();
        let taken = || {
            let received = counter.received().unwrap();
            (received.datagrams, received.seconds)
        };
        assert_eq!(taken(), (0, 0.0));
        counter.add(1);
        let first = Instant::now();
        while first.elapsed() < Duration::from_millis(1) {}
        counter.add(1);
        assert_eq!(taken(), (2, 0.0));
        counter.add(63);
        let (datagrams, seconds) = taken();
        assert_eq!(datagrams, 65);
        assert!(seconds >= 1e-3, "{seconds}");
    }
}
