//! Sending the stream of a [`measure::Sender`](crate::proto::measure::Sender) at full speed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use manycast_net::RecvBatch;
use manycast_proto::measure::{self, SenderEvent, ServerReport};
use manycast_proto::{Output, Protocol};
use manycast_types::MAX_PAYLOAD;

use crate::{Error, Sender, pace};

/// How many datagrams are handed to the kernel at once, at most: what fits one GSO send
/// (`UDP_MAX_SEGMENTS`, and the length of an IP packet).
const BATCH: usize = 64;
/// How often it is looked whether the receiver refuses, and whether it is to end.
const LOOK: Duration = Duration::from_millis(100);
/// Bursts shorter than this need a wait that is exact.
const EXACT: Duration = Duration::from_micros(500);

/// Runs `protocol` over `sender` until it has finished, or until `stop` is set: then the stream
/// ends in good order. Gives the report of the receiver, if it is a host that sends one.
///
/// Datagrams are numbered in place and handed over in batches, so nothing is allocated or copied
/// for them. To measure what comes, run a [`measure::Receiver`] by a [`Driver`](crate::Driver).
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use std::time::{Instant, SystemTime};
///
/// use manycast::proto::measure::{self, Receiver, ReceiverConfig, SenderConfig};
/// use manycast::{Driver, Sender, Socket};
///
/// let (now, time) = (Instant::now(), SystemTime::now());
/// let socket = Socket::bind("127.0.0.1:0")?;
/// let sender = Sender::new(socket.local_addr()?)?;
/// let receiver = Receiver::new(ReceiverConfig { expect: Some(1), ..Default::default() }, now, time);
/// let mut driver = Driver::new(socket, receiver);
///
/// let config = SenderConfig { count: Some(100), rate: Some(10_000_000), ..SenderConfig::new(sender.way().to) };
/// let report = std::thread::scope(|scope| {
///     let sending = scope.spawn(|| {
///         let mut stream = measure::Sender::new(config, now, time);
///         manycast::send_stream(&sender, &mut stream, &AtomicBool::new(false))
///     });
///     while driver.next_event(None)?.is_some() {}
///     sending.join().expect("it does not panic")
/// })?;
/// assert_eq!(report.map(|report| (report.datagrams, report.lost)), Some((100, 0)));
/// # Ok::<(), manycast::Error>(())
/// ```
///
/// # Errors
///
/// As [`Sender::send`]; it has sent a part then.
pub fn send_stream(
    sender: &Sender,
    protocol: &mut measure::Sender,
    stop: &AtomicBool,
) -> Result<Option<ServerReport>, Error> {
    let size = protocol.config().size;
    let exact = protocol.config().burst < EXACT;
    // They lie side by side, so that the kernel gets them as one piece.
    let mut memory = vec![0; size * (MAX_PAYLOAD / size).clamp(1, BATCH)];
    let mut buffers: Vec<_> = memory.chunks_exact_mut(size).collect();
    let mut answers = RecvBatch::with_capacity(1);
    let mut report = None;
    let mut now = Instant::now();
    let mut look = now + LOOK;
    protocol.start(now);
    loop {
        let count = protocol.number(now, &mut buffers);
        if count > 0 {
            protocol.sent(sender.send_batch(&buffers[..count])?);
        } else {
            match protocol.poll_output() {
                Output::Transmit(transmit) => {
                    sender.send(&transmit.payload)?;
                }
                Output::Event(SenderEvent::Finished(found)) => report = found,
                Output::Finished => return Ok(report),
                Output::Wait { until, .. } => {
                    let until = until.unwrap_or(now + LOOK).min(now + LOOK);
                    if protocol.is_closing() {
                        receive(sender, protocol, &mut answers, until)?;
                    } else if exact {
                        pace::wait_until(until);
                    } else {
                        thread::sleep(until.saturating_duration_since(now));
                    }
                }
            }
        }
        now = Instant::now();
        protocol.handle_timeout(now);
        if now >= look {
            look = now + LOOK;
            if stop.load(Ordering::Relaxed) {
                protocol.finish(now);
            }
            receive(sender, protocol, &mut answers, now)?;
        }
    }
}

/// Takes in what the receiver says, and waits for it until `until`.
fn receive(
    sender: &Sender,
    protocol: &mut measure::Sender,
    batch: &mut RecvBatch,
    until: Instant,
) -> Result<(), Error> {
    let left = until.saturating_duration_since(Instant::now());
    sender.socket().recv_batch(batch, Some(left))?;
    let now = Instant::now();
    for received in batch.iter() {
        protocol.handle_datagram(now, received);
    }
    for unreachable in batch.unreachable().iter().filter(|it| it.is_refused()) {
        protocol.handle_refused(now, unreachable.peer);
    }
    Ok(())
}
