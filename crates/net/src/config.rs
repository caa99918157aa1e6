//! How a socket is set up.

use manycast_types::Dscp;

/// How a [`Socket`](crate::Socket) is set up. The defaults are those that users expect; each can
/// be read back from the socket.
///
/// ```
/// use manycast_net::SocketConfig;
///
/// let config = SocketConfig::default().multicast_hops(8);
/// assert!(config.loopback);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketConfig {
    /// Share the port with other sockets that share it too: by `SO_REUSEADDR`, and where those share
    /// it by `SO_REUSEPORT` alone, by that as well.
    /// Each of them receives the datagrams of a group, but only one those to a local address.
    pub share_port: bool,
    /// Receive buffer to ask for, in bytes; default 8 MiB. The kernel may grant less.
    pub receive_buffer: usize,
    /// Send buffer to ask for, in bytes; default 1 MiB. The kernel may grant less.
    pub send_buffer: usize,
    /// Hop limit of datagrams to groups, from 0; default 1, so that they stay on their link.
    pub multicast_hops: u8,
    /// Hop limit of datagrams to hosts, from 1; `None` leaves the system's (64 on Linux).
    pub unicast_hops: Option<u8>,
    /// Differentiated services code point of what is sent; `None` leaves the system's, which is 0.
    /// `Transmit::dscp` takes its place.
    pub dscp: Option<Dscp>,
    /// Whether members on this host receive what this socket sends to a group; default yes.
    pub loopback: bool,
    /// Index of the interface by which datagrams to groups leave; `None` leaves it to the route.
    pub multicast_interface: Option<u32>,
    /// Index of the only interface to receive by and to send by (`SO_BINDTODEVICE`); `None` for all.
    pub device: Option<u32>,
    /// Whether datagrams may go to broadcast addresses; default no.
    pub broadcast: bool,
    /// Whether to be told of datagrams that came back as undeliverable (`IP_RECVERR`); default yes.
    /// They are in [`RecvBatch::unreachable`](crate::RecvBatch::unreachable).
    pub report_unreachable: bool,
    /// Whether the kernel may hand over many datagrams in one buffer (`UDP_GRO`), which
    /// [`RecvBatch`](crate::RecvBatch) takes apart; default yes. Not for a socket that is to become
    /// a plain one, whose reader would take them for one datagram.
    pub merge_received: bool,
}

impl Default for SocketConfig {
    fn default() -> Self {
        Self {
            share_port: false,
            receive_buffer: 8 << 20,
            send_buffer: 1 << 20,
            multicast_hops: 1,
            unicast_hops: None,
            dscp: None,
            loopback: true,
            multicast_interface: None,
            device: None,
            broadcast: false,
            report_unreachable: true,
            merge_received: true,
        }
    }
}

impl SocketConfig {
    /// Sets whether the port is shared.
    #[must_use]
    pub const fn share_port(mut self, share: bool) -> Self {
        self.share_port = share;
        self
    }

    /// Sets the receive buffer to ask for, in bytes.
    #[must_use]
    pub const fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = bytes;
        self
    }

    /// Sets the send buffer to ask for, in bytes.
    #[must_use]
    pub const fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = bytes;
        self
    }

    /// Sets the hop limit of datagrams to groups, from 0.
    #[must_use]
    pub const fn multicast_hops(mut self, hops: u8) -> Self {
        self.multicast_hops = hops;
        self
    }

    /// Sets the hop limit of datagrams to hosts, from 1.
    #[must_use]
    pub const fn unicast_hops(mut self, hops: Option<u8>) -> Self {
        self.unicast_hops = hops;
        self
    }

    /// Sets the differentiated services code point of what is sent.
    #[must_use]
    pub const fn dscp(mut self, dscp: Option<Dscp>) -> Self {
        self.dscp = dscp;
        self
    }

    /// Sets whether members on this host receive what is sent to a group.
    #[must_use]
    pub const fn loopback(mut self, loopback: bool) -> Self {
        self.loopback = loopback;
        self
    }

    /// Sets the interface by which datagrams to groups leave.
    #[must_use]
    pub const fn multicast_interface(mut self, index: Option<u32>) -> Self {
        self.multicast_interface = index;
        self
    }

    /// Sets the only interface to receive by and to send by.
    #[must_use]
    pub const fn device(mut self, index: Option<u32>) -> Self {
        self.device = index;
        self
    }

    /// Sets whether datagrams may go to broadcast addresses.
    #[must_use]
    pub const fn broadcast(mut self, broadcast: bool) -> Self {
        self.broadcast = broadcast;
        self
    }

    /// Sets whether datagrams that came back as undeliverable are told of.
    #[must_use]
    pub const fn report_unreachable(mut self, report: bool) -> Self {
        self.report_unreachable = report;
        self
    }

    /// Sets whether the kernel may hand over many datagrams in one buffer.
    #[must_use]
    pub const fn merge_received(mut self, merge: bool) -> Self {
        self.merge_received = merge;
        self
    }
}

/// The size of a kernel buffer: what was asked for, and what was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufferSize {
    /// What was asked for, in bytes.
    pub requested: usize,
    /// What the kernel granted, in the same unit. Its limit is `net.core.rmem_max` for receiving
    /// and `net.core.wmem_max` for sending (`socket(7)`).
    pub granted: usize,
}

impl BufferSize {
    /// Whether the kernel granted less than was asked for. It says so nowhere else.
    pub const fn is_capped(&self) -> bool {
        self.granted < self.requested
    }
}
