//! The seam between this crate and the operating system: a system is one folder beside this file, and
//! nothing outside of it knows which one it is. All `unsafe` of the project stands in these folders.
//!
//! What a system must offer, under the names that are listed below:
//!
//! | name | what it is |
//! | --- | --- |
//! | `Slots`, `Messages`, `send` | many datagrams by one system call, in and out; one message |
//! | `Span` | bytes that lie side by side in memory |
//! | `DONT_WAIT`, `WAIT_FOR_ONE`, `PROBE` | how such a call waits; that it only asks if it could send |
//! | `features` | what comes with a datagram and can be told with one: control messages, a feature a file |
//! | `error_queue`, `may_be_of_an_earlier_datagram` | datagrams that came back, and how their errors are told apart |
//! | `options` | what `socket2` does not set: buffers beyond the limit, isolation of groups, the device |
//! | `set_group`, `set_group_source` … | memberships by the index of an interface (RFC 3678) |
//! | `dropped` | how much the system dropped on a socket |
//! | `poller` | the wait for many descriptors; an event that another thread can raise; an alarm; a cheap clock |
//! | `interfaces`, `routes`, `joined` | what the host has, where it sends, what it has joined |
//! | `watch` | notifications of changes of interfaces and addresses |
//! | `netlink`, `packet` | questions to the kernel of Linux, and packets before the host decides |
//! | `sysctl` | system parameters by their names |
//!
//! Where a system lacks something that a caller can do without (offload, the error queue, the count
//! of drops), its function returns an error of the kind
//! [`Unsupported`](crate::ErrorKind::Unsupported).

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
use linux as system;

#[cfg(not(target_os = "linux"))]
compile_error!("manycast-net runs on Linux so far; another system needs a folder beside sys/linux");

pub(crate) use system::{
    DONT_WAIT, MCAST_BLOCK_SOURCE, MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP, MCAST_LEAVE_GROUP,
    Messages, PROBE, Slots, Span, WAIT_FOR_ONE, dropped, error_queue, features, group_filter,
    interfaces, joined, may_be_of_an_earlier_datagram, netlink, options, packet, poller, routes,
    send, set_group, set_group_source, set_multicast_interface_v4, sysctl, watch,
};
