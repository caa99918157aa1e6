//! A stream in the simulator: how it is written, and what came of it.

use std::time::Duration;

use bytes::Bytes;
use manycast_proto::norm::{ObjectId, ObjectKey, ReceiverEvent, SenderEvent};

use super::{Session, made_up};

/// A stream of a session, written as there is room.
pub(crate) struct Writer {
    pub(crate) stream: ObjectId,
    pub(crate) bytes: Bytes,
    pub(crate) written: usize,
    /// How many events of the sender were looked at.
    seen: usize,
}

impl Writer {
    pub(crate) fn new(session: &mut Session, window: usize, length: usize) -> Self {
        let open = session.sim.command(session.sender, |sender, _| {
            sender.open_stream(window, Some("of numbers".into()))
        });
        Self {
            stream: open.expect("nothing is open"),
            bytes: made_up(length, session.instance().into()),
            written: 0,
            seen: 0,
        }
    }

    /// Writes until there is no room, or all that is before `end` is written.
    pub(crate) fn write(&mut self, session: &mut Session, end: usize) {
        let (stream, rest) = (self.stream, self.bytes.slice(self.written..end));
        let taken = session
            .sim
            .command(session.sender, |sender, _| sender.write(stream, &rest));
        self.written += taken.expect("it is open");
    }

    /// Whether the sender has said that there is room, since this was asked last.
    pub(crate) fn has_room(&mut self, session: &Session) -> bool {
        let events = session.sim.events(session.sender);
        let new = events[self.seen..].iter();
        self.seen = events.len();
        let mut new = new.filter(|(_, event)| *event == SenderEvent::Room(self.stream));
        new.next().is_some()
    }

    /// Writes all of it, and only where the sender has said that there is room. False where it takes
    /// longer.
    pub(crate) fn write_all(&mut self, session: &mut Session, limit: Duration) -> bool {
        self.write(session, self.bytes.len());
        while self.written < self.bytes.len() {
            if session.sim.elapsed() > limit || !session.sim.step() {
                return false;
            }
            if self.has_room(session) {
                self.write(session, self.bytes.len());
            }
        }
        true
    }

    pub(crate) fn close(&self, session: &mut Session) {
        session
            .sim
            .command(session.sender, |sender, _| sender.close(self.stream));
    }
}

/// What a receiver has of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) bytes: usize,
    pub(crate) gaps: Vec<(usize, usize)>,
    pub(crate) messages: Vec<u64>,
    pub(crate) infos: usize,
    pub(crate) completed: usize,
    pub(crate) abandoned: usize,
}

/// What came of all streams, checked: in order, each byte once, and those that were sent.
pub(crate) fn taken(session: &Session, receiver: usize, sent: &[u8]) -> Taken {
    taken_of(session, receiver, sent, |_| true)
}

/// What came of those streams that are `wanted`, checked.
pub(crate) fn taken_of(
    session: &Session,
    receiver: usize,
    sent: &[u8],
    wanted: impl Fn(&ObjectKey) -> bool,
) -> Taken {
    let mut taken = Taken::default();
    let mut at = 0;
    let index = |offset: u64| usize::try_from(offset).expect("it is small");
    let events = session.sim.events(session.receivers[receiver]).iter();
    let events = events.map(|(_, event)| event);
    for event in events.filter(|event| object(event).is_some_and(&wanted)) {
        match event {
            ReceiverEvent::Data { offset, bytes, .. } => {
                assert_eq!(index(*offset), at, "in order");
                assert!(!bytes.is_empty());
                assert!(sent[at..at + bytes.len()] == bytes[..], "what was sent");
                at += bytes.len();
                taken.bytes += bytes.len();
            }
            ReceiverEvent::Gap { from, to, .. } => {
                assert_eq!(index(*from), at);
                at = index(*to);
                taken.gaps.push((index(*from), at));
            }
            ReceiverEvent::Message { offset, .. } => taken.messages.push(*offset),
            ReceiverEvent::Info { info, .. } => {
                assert_eq!(*info, "of numbers");
                taken.infos += 1;
            }
            ReceiverEvent::Completed(_) => {
                assert_eq!(at, sent.len(), "nothing is missing at the end");
                taken.completed += 1;
            }
            ReceiverEvent::Abandoned { .. } => taken.abandoned += 1,
            _ => {}
        }
    }
    taken
}

/// The stream that an event is about.
const fn object(event: &ReceiverEvent) -> Option<&ObjectKey> {
    match event {
        ReceiverEvent::Data { object, .. }
        | ReceiverEvent::Gap { object, .. }
        | ReceiverEvent::Message { object, .. }
        | ReceiverEvent::Info { object, .. }
        | ReceiverEvent::Completed(object)
        | ReceiverEvent::Abandoned { object, .. } => Some(object),
        _ => None,
    }
}

pub(crate) fn assert_whole(session: &Session, sent: &[u8]) {
    for receiver in 0..session.receivers.len() {
        let taken = taken(session, receiver, sent);
        let stats = session.sim.protocol(session.receivers[receiver]).stats();
        assert_eq!(taken.gaps, [], "receiver {receiver}: {stats:?}");
        assert_eq!(
            (taken.bytes, taken.infos, taken.completed, taken.abandoned),
            (sent.len(), 1, 1, 0),
            "receiver {receiver}: {stats:?}"
        );
    }
}

pub(crate) fn delivered(session: &Session, stream: ObjectId) -> bool {
    let mut events = session.sim.events(session.sender).iter();
    events.any(|(_, event)| *event == SenderEvent::Delivered(stream))
}
