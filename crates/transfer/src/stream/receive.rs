//! The receiving side.

use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manycast_io::{Driver, IntoAddress, Listener, Next, SocketConfig};
use manycast_proto::norm::{self, FeedbackTo, ObjectKey, ReceiverEvent};
use manycast_proto::random::Random;

use super::{Error, HERE, WHO};
use crate::files::inner::{LOOK, check_name, node_of};
use crate::files::{ReceiveOptions, Stop};

/// How a stream is received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamReceiveOptions {
    /// The name of this receiver, another one for each: 1 to 64 bytes. By default that of the host.
    pub name: String,
    /// How long nothing may come; `None`: for ever.
    pub timeout: Option<Duration>,
    /// Whether to say nothing at all, where there is no way back.
    pub silent: bool,
    /// Buffers, and the hop limit of answers.
    pub socket: SocketConfig,
}

impl Default for StreamReceiveOptions {
    fn default() -> Self {
        let ReceiveOptions { name, socket, .. } = ReceiveOptions::default();
        Self {
            name,
            timeout: None,
            silent: false,
            socket,
        }
    }
}

/// What came of receiving a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamReceived {
    /// The bytes that were written.
    pub bytes: u64,
    /// From the first word of the stream on.
    pub elapsed: Duration,
    /// Whether a stream has begun.
    pub has_begun: bool,
    /// Whether all of the stream has come; otherwise why not, in a whole sentence.
    pub result: Result<(), String>,
}

/// How long a sender may be silent that the protocol takes to be gone, before the stream ends.
const SILENT: Duration = Duration::from_secs(8);

/// Receives one stream, the first that begins, and writes it as it comes. See
/// [`send_stream`](super::send_stream) for an example. While the writer takes nothing, what comes is
/// lost and asked for again.
///
/// # Errors
///
/// One cannot listen at the address, or the writer fails. What is missing of the stream is no error,
/// but in the report.
pub fn receive_stream(
    address: impl IntoAddress,
    mut writer: impl Write,
    options: &StreamReceiveOptions,
    stop: &Stop,
) -> Result<StreamReceived, Error> {
    let address = address.into_address().map_err(manycast_io::Error::from)?;
    check_name(&options.name)?;
    let listener = Listener::open([address], options.socket.clone())?;
    let group = listener.memberships().map(|it| it.group).next();
    let config = norm::ReceiverConfig {
        feedback: match options.silent {
            true => FeedbackTo::Nobody,
            false => FeedbackTo::Sender,
        },
        ..norm::ReceiverConfig::new(
            group.unwrap_or_else(|| ([0, 0, 0, 0], 0).into()),
            node_of(&options.name),
        )
    };
    let receiver = norm::Receiver::new(config, manycast_io::seed(), Instant::now());
    let mut driver = Driver::new(listener, receiver);
    let (mut heard, mut begun) = (Instant::now(), None);
    // The stream that is taken, and whether all of it has come.
    let (mut stream, mut complete): (Option<ObjectKey>, _) = (None, false);
    let mut bytes = 0;
    // Since when its sender is silent.
    let mut gone: Option<Instant> = None;
    // When to say that it is here, and to which sender.
    let mut answer: Option<(Instant, (u32, u16))> = None;
    let mut random = Random::new(manycast_io::seed());
    let failure = |error| Error::file("write", "the stream", error);
    let result = loop {
        let wait = answer.map_or(LOOK, |(at, _)| at.saturating_duration_since(Instant::now()));
        let next = driver.next_event(Some(wait.min(LOOK)))?;
        let now = Instant::now();
        if let Some((_, sender)) = answer.take_if(|(at, _)| *at <= now) {
            let name = Bytes::from(options.name.clone());
            driver.protocol_mut().answer(sender, (HERE, 0), name);
        }
        if stop.is_requested() {
            break Err("it was stopped".to_owned());
        }
        let is_over = |at: &mut Instant| now.saturating_duration_since(*at) >= SILENT;
        if let Some(key) = stream
            && gone.take_if(is_over).is_some()
            && !driver.protocol().hears(key.node, key.instance)
        {
            break Err("the sender fell silent".to_owned());
        }
        let event = match next {
            Next::Finished => break Err("it was stopped".to_owned()),
            Next::TimedOut => {
                let silent = now.saturating_duration_since(heard);
                if options.timeout.is_some_and(|most| silent >= most) {
                    break match (complete, begun) {
                        (true, _) => Ok(()),
                        (_, None) => Err("no stream has begun".to_owned()),
                        _ => Err("nothing came any more".to_owned()),
                    };
                }
                continue;
            }
            Next::Event(event) => event,
        };
        heard = now;
        let is_it = |key: ObjectKey| stream == Some(key);
        match event {
            ReceiverEvent::Asked {
                node,
                instance,
                kind: HERE,
                id,
            } => {
                let receiver = driver.protocol_mut();
                receiver.answer((node, instance), (HERE, id), Bytes::new());
            }
            ReceiverEvent::Announced {
                node,
                instance,
                payload,
            } => {
                if let Some(within) = within(&payload)
                    && answer.is_none()
                {
                    let wait = random.duration(Duration::ZERO..=within);
                    answer = Some((now + wait, (node, instance)));
                }
            }
            ReceiverEvent::StreamStarted { object, .. } => {
                if stream.is_none() {
                    (stream, begun) = (Some(object), Some(now));
                } else {
                    driver.protocol_mut().refuse(object);
                }
            }
            ReceiverEvent::Started { object, .. } => driver.protocol_mut().refuse(object),
            ReceiverEvent::Data {
                object,
                bytes: part,
                ..
            } if is_it(object) => {
                writer.write_all(&part).map_err(failure)?;
                writer.flush().map_err(failure)?;
                bytes += part.len() as u64;
            }
            ReceiverEvent::Gap { object, from, to } if is_it(object) => {
                break Err(format!(
                    "{} bytes from byte {from} on are missing: they were sent before this receiver \
                     listened, or more were lost than the sender keeps",
                    to.saturating_sub(from)
                ));
            }
            ReceiverEvent::Completed(object) if is_it(object) => complete = true,
            ReceiverEvent::Abandoned { object, .. } if is_it(object) => {
                break Err("the sender has ended before the end of the stream".to_owned());
            }
            // Until the sender ends, it may ask whether all has come.
            ReceiverEvent::Gone { node, instance } => {
                match stream.filter(|it| (it.node, it.instance) == (node, instance)) {
                    Some(_) if complete => break Ok(()),
                    // The network may be gone for a moment.
                    Some(_) => gone = Some(now),
                    None => {}
                }
            }
            _ => {}
        }
    };
    Ok(StreamReceived {
        bytes,
        has_begun: begun.is_some(),
        elapsed: begun.map_or(Duration::ZERO, |at: Instant| at.elapsed()),
        result,
    })
}

/// Within which time all who are there are to say so, where that is what a sender asks.
fn within(payload: &[u8]) -> Option<Duration> {
    let within = payload.strip_prefix(&WHO)?;
    let within = u16::from_be_bytes(within.try_into().ok()?);
    Some(Duration::from_millis(within.into()))
}
