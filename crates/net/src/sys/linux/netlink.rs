//! Questions to the kernel over netlink, and the frames of its answers (`netlink(7)`).
//!
//! Attributes are read one by one, and those that are not asked for are passed over. So a kernel
//! that is newer than this program, and says more, cannot make a listing fail.

#[cfg(test)]
mod tests;

use std::io;
use std::iter;
use std::net::IpAddr;

use netlink_packet_core::{
    DefaultNla, Emitable, NLA_HEADER_SIZE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE,
    NLMSG_ERROR, NetlinkBuffer, NlasIterator,
};
use netlink_sys::{Socket, SocketAddr};

/// The kernel puts at most 32 KiB of a listing into one datagram (`af_netlink.c`).
const LARGEST_ANSWER: usize = 32 * 1024;

/// How often a listing is begun anew because something changed under it. On a host that never
/// rests, the last attempt is as good as any.
const ATTEMPTS: usize = 8;

/// `struct nlmsghdr`: length (4), type (2), flags (2), sequence (4), port (4).
const MESSAGE_HEADER: usize = 16;

/// Messages and attributes begin at multiples of this (`NLMSG_ALIGNTO`, `NLA_ALIGNTO`).
const ALIGNMENT: usize = 4;

/// A connection to one netlink protocol of the network namespace of the calling thread.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// A question: its type, and what follows its header.
#[derive(Clone, Debug)]
pub struct Request {
    kind: u16,
    payload: Vec<u8>,
}

/// One message of an answer: its type, and what follows its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The type (`nlmsg_type`).
    pub kind: u16,
    /// What follows the header: the fixed part of this type, then attributes.
    pub payload: &'a [u8],
    flags: u16,
    sequence: u32,
}

impl Connection {
    /// Opens a connection to `protocol`, such as `NETLINK_ROUTE`.
    ///
    /// # Errors
    ///
    /// When the kernel has no such protocol, or this process may open no more descriptors.
    pub fn open(protocol: i32) -> io::Result<Self> {
        let protocol = isize::try_from(protocol).map_err(io::Error::other)?;
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: Vec::with_capacity(LARGEST_ANSWER),
        })
    }

    /// Asks for one thing, and reads the one message of the answer.
    ///
    /// # Errors
    ///
    /// What the kernel answers, such as `EPERM`.
    pub fn ask<T>(
        &mut self,
        request: &Request,
        mut read: impl FnMut(Message<'_>) -> Option<T>,
    ) -> io::Result<Option<T>> {
        self.send(request, 0)?;
        let mut answer = None;
        self.receive_until(|message| {
            answer = read(message);
            true
        })?;
        Ok(answer)
    }

    /// Asks for a listing, and reads each message of it. Those that `read` does not want are left
    /// out. It is a dump (`NLM_F_DUMP`), begun anew a few times where something changed under it.
    ///
    /// # Errors
    ///
    /// What the kernel answers, such as `EPERM`.
    pub fn list<T>(
        &mut self,
        request: &Request,
        mut read: impl FnMut(Message<'_>) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        let mut listed = Vec::new();
        for _ in 0..ATTEMPTS {
            listed.clear();
            self.send(request, NLM_F_DUMP)?;
            let mut interrupted = false;
            self.receive_until(|message| {
                interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
                listed.extend(read(message));
                false
            })?;
            if !interrupted {
                break;
            }
        }
        Ok(listed)
    }

    fn send(&mut self, request: &Request, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let framed = request.framed(NLM_F_REQUEST | flags, self.sequence);
        self.socket.send(&framed, 0).map(drop)
    }

    /// Hands the messages of the answer to `take` until it says that this was the last, or the
    /// kernel does.
    fn receive_until(&mut self, mut take: impl FnMut(Message<'_>) -> bool) -> io::Result<()> {
        loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, libc::MSG_TRUNC) {
                Ok(length) if length > self.buffer.len() => {
                    return Err(io::Error::other(
                        "the answer of the kernel is longer than its limit",
                    ));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            for message in messages(&self.buffer).filter(|m| m.sequence == self.sequence) {
                match message.kind {
                    NLMSG_DONE | NLMSG_ERROR => return message.status(),
                    _ if take(message) => return Ok(()),
                    _ => {}
                }
            }
        }
    }
}

impl Request {
    /// A question of this type, whose payload begins with the `fixed` bytes of that type.
    pub fn new(kind: u16, fixed: &[u8]) -> Self {
        Self {
            kind,
            payload: fixed.to_vec(),
        }
    }

    /// The same question with one more attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let attribute = DefaultNla::new(kind, value.to_vec());
        let start = self.payload.len();
        self.payload.resize(start + attribute.buffer_len(), 0);
        attribute.emit(&mut self.payload[start..]);
        self
    }

    /// The question as a message, as whoever is asked reads it.
    pub fn message(&self) -> Message<'_> {
        Message {
            kind: self.kind,
            payload: &self.payload,
            flags: 0,
            sequence: 0,
        }
    }

    fn framed(&self, flags: u16, sequence: u32) -> Vec<u8> {
        let length = MESSAGE_HEADER + self.payload.len();
        let mut framed = vec![0; length];
        framed[MESSAGE_HEADER..].copy_from_slice(&self.payload);
        let mut header = NetlinkBuffer::new(&mut framed);
        header.set_length(u32::try_from(length).expect("a question has a few dozen bytes"));
        header.set_message_type(self.kind);
        header.set_flags(flags);
        header.set_sequence_number(sequence);
        framed
    }
}

impl Message<'_> {
    /// What an error message or the end of a listing says: 0, or a negative errno.
    fn status(&self) -> io::Result<()> {
        match u32_at(self.payload, 0).map(u32::cast_signed) {
            Some(code) if code < 0 => Err(io::Error::from_raw_os_error(code.saturating_neg())),
            _ => Ok(()),
        }
    }
}

/// Splits a datagram into its messages, up to the first that is cut off.
pub fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    iter::from_fn(move || {
        let frame = NetlinkBuffer::new_checked(datagram).ok()?;
        let end = MESSAGE_HEADER + frame.payload_length();
        datagram = datagram
            .get(end.next_multiple_of(ALIGNMENT)..)
            .unwrap_or_default();
        Some(Message {
            kind: frame.message_type(),
            payload: frame.payload(),
            flags: frame.flags(),
            sequence: frame.sequence_number(),
        })
    })
}

/// Splits what follows the `fixed` first bytes of a payload into attributes: type and value.
pub fn attributes(payload: &[u8], fixed: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let attributes = payload
        .get(fixed.next_multiple_of(ALIGNMENT)..)
        .unwrap_or_default();
    NlasIterator::new(attributes)
        .map_while(Result::ok)
        .map(|attribute| {
            let (kind, end) = (attribute.kind(), usize::from(attribute.length()));
            (kind, &attribute.into_inner()[NLA_HEADER_SIZE..end])
        })
}

/// The number of four bytes at `offset`, in the byte order of this host.
pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let four = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*four))
}

/// The number of two bytes at `offset`, in the byte order of this host.
pub fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let two = bytes.get(offset..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*two))
}

/// The IP address that the value of an attribute is.
pub fn address(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => value.first_chunk::<4>().copied().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
    }
}

/// The text of an attribute: up to the first zero byte.
pub fn text(value: &[u8]) -> String {
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
