//! How a socket is set up.

/// How a [`Socket`](crate::Socket) is set up. The defaults are those that users expect; each can
/// be read back from the socket.
///
/// ```
/// use manycast_net::SocketConfig;
///
/// let config = SocketConfig { multicast_hops: 8, ..SocketConfig::default() };
/// assert!(config.loopback);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Whether members on this host receive what this socket sends to a group; default yes.
    pub loopback: bool,
    /// Index of the interface by which datagrams to groups leave; `None` leaves it to the route.
    pub multicast_interface: Option<u32>,
    /// Index of the only interface to receive by and to send by (`SO_BINDTODEVICE`); `None` for all.
    pub device: Option<u32>,
    /// Whether datagrams may go to broadcast addresses; default no.
    pub broadcast: bool,
    /// Whether to hear of datagrams that came back as undeliverable (`IP_RECVERR`); default yes.
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
            loopback: true,
            multicast_interface: None,
            device: None,
            broadcast: false,
            report_unreachable: true,
            merge_received: true,
        }
    }
}

/// The size of a kernel buffer: what was asked for, and what was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
