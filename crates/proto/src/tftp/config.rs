//! What can be chosen.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use manycast_types::InterfaceSelector;

use super::{Mode, RollOver};

/// The port that servers listen on (RFC 1350 §4).
pub const PORT: u16 = 69;

/// The block size without the option (RFC 1350 §2), in bytes.
pub const BLOCK_SIZE: u16 = 512;

/// The largest block size (RFC 2348), in bytes.
pub const MAX_BLOCK_SIZE: u16 = 65_464;

/// The port that the data of a multicast transfer go to by default (RFC 2090).
pub const MULTICAST_PORT: u16 = 1758;

/// When to send again, and when to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The time-out before anything was measured; 1 s by default (RFC 6298 §2.1).
    pub initial: Duration,
    /// The shortest time-out; 100 ms by default. RFC 6298 §2.4 has 1 s for the whole Internet.
    pub least: Duration,
    /// The longest time-out, which back-off comes to; 4 s by default.
    pub most: Duration,
    /// How long nothing may come of the peer before the transfer is given up; 30 s by default.
    pub patience: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            least: Duration::from_millis(100),
            most: Duration::from_secs(4),
            patience: Duration::from_secs(30),
        }
    }
}

/// What a [`Client`](super::Client) transfers, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// The server's address, and the port that it listens on.
    pub server: SocketAddr,
    /// The name of the file on the server: any bytes but 0.
    pub name: Bytes,
    /// How the file is encoded; octet by default.
    pub mode: Mode,
    /// The block size to ask for, 8 to 65,464; 1428 by default, which goes through most tunnels in
    /// one piece. `None` asks for none, which is 512.
    pub block_size: Option<u16>,
    /// The window to ask for; 64 blocks by default. `None` asks for none, which is 1.
    pub window: Option<u16>,
    /// The time-out to ask of the server, in whole seconds; 1 by default.
    pub timeout: Option<u8>,
    /// To write: how long the file is, where it is known, in bytes as they are on the wire. To read:
    /// whether to ask for it, which any number does; by default it is asked for.
    pub transfer_size: Option<u64>,
    /// Whether to ask for the data by multicast; not by default.
    pub multicast: bool,
    /// The interface to join the group on; all by default.
    pub interface: Option<InterfaceSelector>,
    /// What follows on block 65,535.
    pub roll_over: RollOver,
    /// When to send again, and when to give up.
    pub timing: Timing,
}

impl ClientConfig {
    /// The transfer of the file `name`, with the defaults.
    pub fn new(server: SocketAddr, name: impl Into<Bytes>) -> Self {
        Self {
            server,
            name: name.into(),
            mode: Mode::Octet,
            block_size: Some(1428),
            window: Some(64),
            timeout: Some(1),
            transfer_size: Some(0),
            multicast: false,
            interface: None,
            roll_over: RollOver::Zero,
            timing: Timing::default(),
        }
    }
}

/// What a [`Server`](super::Server) allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Whether to answer from the port that was asked, for firewalls and NATs that let nothing else
    /// through, and not from a port for each transfer (RFC 1350 §4).
    pub single_port: bool,
    /// The largest block size; 65,464 by default.
    pub block_size: u16,
    /// The largest window; 1024 blocks by default.
    pub window: u16,
    /// How many bytes may be on their way to or from one peer; 1 MiB by default. It bounds what a
    /// window comes to, and so the memory of a transfer.
    pub window_bytes: usize,
    /// How many transfers run at once; 1,000 by default. More are refused.
    pub transfers: usize,
    /// How many of them one address has; 100 by default.
    pub per_address: usize,
    /// How many requests are remembered whose sender has not yet answered, and so may be forged;
    /// 1,000 by default. They are beside the transfers, and the oldest makes room for a new one
    /// once it is 50 ms old.
    pub unconfirmed: usize,
    /// How often the first answer is sent to such a sender; 4 times by default.
    pub first_answers: u32,
    /// How long a transfer may take; 12 hours by default.
    pub duration: Duration,
    /// The groups that data are sent to when a client asks for multicast; none by default.
    pub groups: Vec<IpAddr>,
    /// The port of those groups; 1758 by default.
    pub group_port: u16,
    /// The hop limit of what is sent to groups; `None` leaves it to the socket, which has 1.
    pub hops: Option<u8>,
    /// What follows on block 65,535.
    pub roll_over: RollOver,
    /// When to send again, and when to give up.
    pub timing: Timing,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            single_port: false,
            block_size: MAX_BLOCK_SIZE,
            window: 1024,
            window_bytes: 1 << 20,
            transfers: 1_000,
            per_address: 100,
            unconfirmed: 1_000,
            first_answers: 4,
            duration: Duration::from_secs(12 * 3_600),
            groups: Vec::new(),
            group_port: MULTICAST_PORT,
            hops: None,
            roll_over: RollOver::Zero,
            timing: Timing::default(),
        }
    }
}
