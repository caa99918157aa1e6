//! Packets as interfaces receive and send them, before the host decides what to do with them
//! (`packet(7)`).

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::Socket;

use crate::{Error, Operation, sys};

/// A socket that is given the packets of all protocols, of one interface or of all of the network
/// namespace of the thread that opens it. It needs `CAP_NET_RAW`.
///
/// It receives what comes in before firewalls, filters and bridges, whether or not a group is joined.
/// What comes in by a port of a bridge is received there, and from the bridge once more.
///
/// ```no_run
/// use std::time::Duration;
/// use manycast_net::PacketSocket;
///
/// let socket = PacketSocket::open(None)?;
/// let mut buffer = [0; 2048];
/// while let Some(packet) = socket.receive(&mut buffer, Duration::from_secs(1))? {
///     println!("{packet:?}: {:?}", &buffer[..packet.length]);
/// }
/// # Ok::<(), manycast_net::Error>(())
/// ```
#[derive(Debug)]
pub struct PacketSocket {
    socket: Socket,
}

/// What is known of a received packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packet {
    /// How many bytes of it are in the buffer, from the header of the network layer on.
    pub length: usize,
    /// The index of the interface.
    pub interface: u32,
    /// The protocol, as Ethernet numbers it: 0x0800 is IPv4, 0x86dd is IPv6.
    pub protocol: u16,
    /// The number of the VLAN that its tag names (IEEE 802.1Q); `None` where it has no tag. 0 is no
    /// VLAN, but a priority alone.
    pub vlan: Option<u16>,
    /// To whom it was sent, on the link.
    pub packet_type: PacketType,
}

/// To whom a packet was sent, on the link (`sll_pkttype`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PacketType {
    /// To this host.
    Host,
    /// To all hosts of the link.
    Broadcast,
    /// To a group.
    Multicast,
    /// To another host; the interface is promiscuous.
    OtherHost,
    /// This host sent it, and has not received it.
    Outgoing,
    /// Another type, by its number.
    Other(u8),
}

impl PacketSocket {
    /// Opens it for the interface of this index, or for all interfaces.
    ///
    /// # Errors
    ///
    /// `EPERM` without `CAP_NET_RAW`; `ENODEV` where there is no such interface.
    pub fn open(interface: Option<u32>) -> Result<Self, Error> {
        let socket = sys::packet::open(interface.unwrap_or(0))
            .map_err(|error| Error::new(Operation::Open, "a packet socket", error))?;
        Ok(Self { socket })
    }

    /// Asks for a receive buffer of so many bytes, where packets wait until they are received. The
    /// kernel grants at most `net.core.rmem_max`.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn set_receive_buffer(&self, bytes: usize) -> Result<(), Error> {
        self.socket
            .set_recv_buffer_size(bytes)
            .map_err(|error| Error::new(Operation::Set("SO_RCVBUF"), "a packet socket", error))
    }

    /// Waits for a packet, and writes as much of it as fits to `buffer`; `Ok(None)` when none came
    /// in time, or a signal came. With a timeout of zero, it gives what waits to be read.
    ///
    /// # Errors
    ///
    /// `ENETDOWN` once when an interface goes down; the socket can be used further.
    pub fn receive(&self, buffer: &mut [u8], timeout: Duration) -> Result<Option<Packet>, Error> {
        // No timeout at all would be for ever.
        let timeout = timeout.max(Duration::from_micros(1));
        let mut receive = || -> io::Result<Packet> {
            self.socket.set_read_timeout(Some(timeout))?;
            sys::packet::receive(self.socket.as_fd(), buffer)
        };
        match receive() {
            Ok(packet) => Ok(Some(packet)),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(None),
                _ => Err(Error::new(Operation::Receive, "a packet socket", error)),
            },
        }
    }

    /// Lets no more packets in; what came before can still be received.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn refuse_more(&self) -> Result<(), Error> {
        sys::packet::refuse_more(&self.socket).map_err(|error| {
            Error::new(Operation::Set("SO_ATTACH_FILTER"), "a packet socket", error)
        })
    }
}
