//! What senders and receivers tell of themselves.

use std::time::Duration;

use bytes::Bytes;

/// An object of a [`Sender`](super::Sender). Later objects are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub(super) u64);

/// What a [`Sender`](super::Sender) tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SenderEvent {
    /// The bytes of a block are needed: [`Sender::supply`](super::Sender::supply) takes them. Those of
    /// later objects are asked for before anything of these is sent. Where they cannot be had,
    /// [`Sender::withdraw`](super::Sender::withdraw) takes the object back.
    Need {
        /// The object.
        object: ObjectId,
        /// Where they begin in it.
        offset: u64,
        /// How many.
        length: usize,
    },
    /// All of an object was sent once.
    Sent(ObjectId),
    /// There is room for more bytes of a stream, after [`Sender::write`](super::Sender::write) did
    /// not take all.
    Room(ObjectId),
    /// A receiver has all of a stream up to a byte.
    Reached {
        /// The stream.
        object: ObjectId,
        /// The receiver.
        node: u32,
        /// How many bytes of the stream those are.
        bytes: u64,
    },
    /// A receiver has this object and all before it, as far as it wanted them and was not
    /// [given up](Self::Unacknowledged).
    Acknowledged {
        /// The object.
        object: ObjectId,
        /// The receiver.
        node: u32,
    },
    /// All receivers that shall acknowledge have this object, and all before it that they were not
    /// [given up](Self::Unacknowledged) for.
    Delivered(ObjectId),
    /// A receiver has not said that it has this object, and is not waited for any more.
    Unacknowledged {
        /// The object.
        object: ObjectId,
        /// The receiver.
        node: u32,
    },
    /// A receiver has answered a [request](super::Sender::request), or said something of its own
    /// accord. Not every answer comes, and one may come twice.
    Answered {
        /// The receiver.
        node: u32,
        /// What was asked, or what it says: from 16.
        kind: u8,
        /// Which request it answers.
        id: u8,
        /// What it says.
        payload: Bytes,
    },
    /// An object is not kept for repair any more; its bytes will not be needed again.
    Released(ObjectId),
    /// It was told to finish, and has.
    Finished,
}

/// What a [`Sender`](super::Sender) has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SenderStats {
    /// Datagrams with symbols or information that were never sent before.
    pub datagrams: u64,
    /// Datagrams that repaired something.
    pub repairs: u64,
    /// Datagrams that said something else.
    pub commands: u64,
    /// Datagrams that this host did not take.
    pub unsent: u64,
    /// How often a receiver said what it misses.
    pub nacks: u64,
    /// How often a receiver said that it has something which was not known to have it.
    pub acks: u64,
    /// Round-trip times measured.
    pub round_trips: u64,
    /// The greatest round-trip time that is reckoned with.
    pub grtt: Duration,
    /// The rate at which it sends now, in bits a second.
    pub rate: u64,
    /// Datagrams that are no NORM.
    pub malformed: u64,
}

/// Why an object is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnqueueError {
    /// It has more blocks than can be numbered, or its information is longer than a segment.
    TooLong,
    /// As many objects as are kept are not through yet.
    Full,
    /// The sender was told to finish.
    Finished,
    /// The stream before it is not closed.
    StreamOpen,
}

/// Why bytes of a stream are not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// It is closed, or no stream of this sender.
    Closed,
    /// It has as many blocks as can be numbered: 2³².
    TooLong,
}

impl std::fmt::Display for WriteError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Closed => "the stream is closed",
            Self::TooLong => "the stream has as many blocks as can be numbered; begin another",
        })
    }
}

impl std::error::Error for WriteError {}

impl std::fmt::Display for EnqueueError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::TooLong => {
                "the object needs more than 16,777,216 blocks, or its information more than a segment"
            }
            Self::Full => "too many objects are not through yet; wait for one of them",
            Self::Finished => "the sender was told to finish",
            Self::StreamOpen => "the stream before it is open; close it first",
        })
    }
}

impl std::error::Error for EnqueueError {}

/// An object of a sender, as a receiver names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The sender's number.
    pub node: u32,
    /// Which of its instances.
    pub instance: u16,
    /// The object; later objects of one instance are greater.
    pub object: u64,
}

/// What a [`Receiver`](super::Receiver) tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiverEvent {
    /// An object has begun to come.
    Started {
        /// The object.
        object: ObjectKey,
        /// Its length in bytes.
        length: u64,
        /// Whether it should be stored as a file.
        file: bool,
        /// Whether information goes with it.
        info: bool,
    },
    /// The information on an object.
    Info {
        /// The object.
        object: ObjectKey,
        /// The information.
        info: Bytes,
    },
    /// A stream has begun to come. [`Data`](Self::Data) follows in order, and
    /// [`Completed`](Self::Completed) at its end.
    StreamStarted {
        /// The object.
        object: ObjectKey,
        /// Whether information goes with it.
        info: bool,
    },
    /// Bytes of a stream are missing, for good: they were sent before this receiver joined, or the
    /// sender does not keep them any more. Of a gap of more than 4 GiB, what is beyond is not told.
    Gap {
        /// The object.
        object: ObjectKey,
        /// The first byte that is missing.
        from: u64,
        /// The first that is not.
        to: u64,
    },
    /// The byte of a stream that comes next begins a message of the application.
    Message {
        /// The object.
        object: ObjectKey,
        /// The byte.
        offset: u64,
    },
    /// Bytes of an object, each once, in any order; of a stream in order.
    Data {
        /// The object.
        object: ObjectKey,
        /// Where they begin in it.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// All of an object was told, or was [there](super::Receiver::have) before.
    Completed(ObjectKey),
    /// The application of a sender asks something; [`Receiver::answer`](super::Receiver::answer)
    /// takes the answer. It may ask the same again.
    Asked {
        /// The sender's number.
        node: u32,
        /// Which of its instances.
        instance: u16,
        /// What it asks: from 16.
        kind: u8,
        /// Which request it is; goes back in the answer.
        id: u8,
    },
    /// An object will not be completed.
    Abandoned {
        /// The object.
        object: ObjectKey,
        /// Why not.
        reason: Abandonment,
    },
    /// A sender says something of the application's: [`Sender::announce`](super::Sender::announce).
    Announced {
        /// The sender's number.
        node: u32,
        /// Which of its instances.
        instance: u16,
        /// What it says.
        payload: Bytes,
    },
    /// Nothing has come of a sender for long, or it has ended.
    Gone {
        /// The sender's number.
        node: u32,
        /// Which of its instances.
        instance: u16,
    },
}

/// Why an object will not be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Abandonment {
    /// The sender does not repair it any more.
    Squelched,
    /// The sender has ended, or was started again.
    Ended,
    /// Too many objects came after it.
    Overtaken,
    /// The sender was silent for long, and its place was needed for another.
    Silent,
}

/// What a [`Receiver`](super::Receiver) has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverStats {
    /// Symbols received that were of use.
    pub symbols: u64,
    /// Symbols received that were there already, or were not needed any more.
    pub duplicates: u64,
    /// Symbols for which there was no room; they are asked for again.
    pub no_room: u64,
    /// Source symbols that were made of others.
    pub decoded: u64,
    /// How often it said what it misses.
    pub nacks: u64,
    /// How often it did not, since others had, or repairs were on their way.
    pub suppressed: u64,
    /// How often it said what it has.
    pub acks: u64,
    /// Objects that are complete.
    pub completed: u64,
    /// Objects that will not be.
    pub abandoned: u64,
    /// How often bytes of a stream were missing for good.
    pub gaps: u64,
    /// Datagrams that are no NORM, or contradict themselves or others.
    pub malformed: u64,
    /// Senders that were not listened to: there were too many, or one with their number and instance is
    /// heard from another address.
    pub refused_senders: u64,
    /// How many bytes are kept now of what is not complete.
    pub memory: usize,
}
