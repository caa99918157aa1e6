//! Linux: `recvmmsg(2)`, `sendmmsg(2)`, `epoll(7)`, netlink, and the tables of `/proc`.

mod address;
mod calls;
pub(crate) mod features;
pub(crate) mod interfaces;
pub(crate) mod joined;
pub(crate) mod netlink;
pub(crate) mod options;
pub(crate) mod packet;
pub(crate) mod poller;
pub(crate) mod routes;
mod span;
pub(crate) mod sysctl;
pub(crate) mod watch;

pub(crate) use calls::{
    DONT_WAIT, MCAST_BLOCK_SOURCE, MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP, MCAST_LEAVE_GROUP,
    Messages, PROBE, Slots, WAIT_FOR_ONE, dropped, error_queue, group_filter, send, set_group,
    set_group_source, set_multicast_interface_v4,
};
pub(crate) use span::Span;

/// Errors that a datagram sent earlier met on its way, as ICMP tells them (`icmp(7)`, `udp(7)`):
/// EACCES for instance where an IPv6 firewall rejects it.
pub(crate) const fn may_be_of_an_earlier_datagram(errno: i32) -> bool {
    matches!(
        errno,
        libc::ECONNREFUSED
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::ENOPROTOOPT
            | libc::EOPNOTSUPP
            | libc::EPROTO
            | libc::ENONET
            | libc::EMSGSIZE
            | libc::EACCES
    )
}
