//! What an errno means for UDP and multicast, and what to do next.
//!
//! The man pages behind it: `ip(7)`, `ipv6(7)`, `udp(7)`, `send(2)`, `bind(2)`,
//! `IP_ADD_MEMBERSHIP(2const)`.

use std::borrow::Cow;

use super::{ErrorKind, Operation};

/// Why it failed, and what to do next: two clauses, put together as `cause; remedy`.
#[derive(Clone, Debug)]
pub(crate) struct Explanation {
    pub(crate) cause: Cow<'static, str>,
    pub(crate) remedy: Cow<'static, str>,
    /// Whether time alone mends it: an address of this host is tentative.
    pub(crate) is_tentative: bool,
}

pub(super) fn kind(errno: i32) -> ErrorKind {
    match errno {
        libc::ENODEV | libc::ENXIO => ErrorKind::NoInterface,
        libc::ENETUNREACH | libc::ENETDOWN => ErrorKind::NetworkUnreachable,
        libc::EHOSTUNREACH | libc::EHOSTDOWN => ErrorKind::HostUnreachable,
        libc::ENOBUFS | libc::ENOMEM | libc::EMFILE | libc::ENFILE => ErrorKind::LimitReached,
        libc::EADDRINUSE => ErrorKind::AddressInUse,
        libc::EADDRNOTAVAIL => ErrorKind::AddressNotAvailable,
        libc::EACCES | libc::EPERM => ErrorKind::PermissionDenied,
        libc::EMSGSIZE => ErrorKind::MessageTooLong,
        libc::EINVAL | libc::EDESTADDRREQ => ErrorKind::InvalidInput,
        libc::ECONNREFUSED => ErrorKind::ConnectionRefused,
        libc::ENOPROTOOPT | libc::EOPNOTSUPP | libc::EAFNOSUPPORT => ErrorKind::Unsupported,
        _ => ErrorKind::Other,
    }
}

pub(super) fn explain(operation: Operation, errno: i32) -> Option<Explanation> {
    use Operation as Op;
    let (cause, remedy) = match (operation, errno) {
        (Op::Join, libc::ENODEV) => (
            "the interface is gone, or no interface was named and no route leads to the group",
            "choose an interface with %INTERFACE or see 'manycast interfaces'",
        ),
        (_, libc::ENODEV | libc::ENXIO) => (
            "there is no such interface",
            "see 'manycast interfaces' for those that there are",
        ),
        (_, libc::ENETUNREACH) => (
            "no route leads there",
            "name the interface to send by, or add a route",
        ),
        (_, libc::ENETDOWN) => (
            "the interface is down",
            "bring it up with 'ip link set INTERFACE up', or choose another",
        ),
        (_, libc::EHOSTUNREACH | libc::EHOSTDOWN) => (
            "the host does not answer on its link, or a router or firewall says that it cannot be \
             reached",
            "check that it is on and its address is right (on macOS: that this program may use \
             the local network)",
        ),
        (Op::Join, libc::ENOBUFS) => (
            "the socket has as many groups or sources as the kernel allows",
            "use another socket, or raise net.ipv4.igmp_max_memberships or net.ipv4.igmp_max_msf",
        ),
        (Op::Join, libc::ENOMEM) => (
            "the option memory of the socket is used up",
            "use another socket, or raise net.core.optmem_max",
        ),
        (Op::Join, libc::EADDRINUSE) => (
            "the socket is a member already",
            "nothing is to be done, or leave first",
        ),
        (_, libc::ENOBUFS) => (
            "the send queue of the interface is full",
            "send more slowly, with a rate",
        ),
        (_, libc::ENOMEM) => ("the kernel is out of memory", "free some, then try again"),
        (_, libc::EMFILE) => (
            "this process has as many open files as it may",
            "raise the limit with 'ulimit -n', or use fewer groups and interfaces",
        ),
        (_, libc::ENFILE) => ("the system is out of open files", "raise fs.file-max"),
        (Op::Bind, libc::EADDRINUSE) => (
            "another socket has the port and does not share it",
            "stop that program, choose another port, or let both share; \
             'ss -ulpn' shows who has it",
        ),
        (_, libc::EADDRINUSE) => (
            "the address is in use",
            "choose another port; 'ss -ulpn' shows who has it",
        ),
        (Op::Leave, libc::EADDRNOTAVAIL) => (
            "the socket is no member of it on this interface",
            "leave what was joined, on the interface where it was joined",
        ),
        (Op::Send | Op::Connect, libc::EADDRNOTAVAIL) => (
            "this host has no address that may be used to send from to there",
            "see 'manycast interfaces', choose another interface, or use the other version of IP",
        ),
        (_, libc::EADDRNOTAVAIL) => (
            "no interface of this host has the address",
            "use one that 'manycast interfaces' lists, or leave it out",
        ),
        (Op::Bind, libc::EACCES) => (
            "ports below net.ipv4.ip_unprivileged_port_start (1024) need a privilege",
            "choose port 1024 or higher, or grant CAP_NET_BIND_SERVICE",
        ),
        (Op::Send | Op::Connect, libc::EACCES) => (
            "it is a broadcast address, and broadcasting was not switched on, or a route or a firewall \
             on the way prohibits it",
            "switch it on, send to a group, or see 'ip route get' and the firewalls",
        ),
        (Op::Send, libc::EPERM) => (
            "a firewall of this host drops it on the way out",
            "see 'nft list ruleset' as root, chains with hook output",
        ),
        (_, libc::EACCES | libc::EPERM) => (
            "it is not permitted to this user",
            "run it with the privilege, or do without",
        ),
        (_, libc::EMSGSIZE) => (
            "the datagram is longer than UDP allows (65,507 bytes over IPv4), or longer than the \
             path allows without fragments",
            "send it in smaller pieces; 1,472 bytes pass any Ethernet in one",
        ),
        (Op::Join | Op::Leave, libc::EINVAL) => (
            "it is no multicast group, or its sources are of another kind than those joined before",
            "use a group of 224.0.0.0/4 or ff00::/8, with sources of the same IP version",
        ),
        (Op::Send | Op::Connect | Op::Bind, libc::EINVAL) => (
            "the address does not fit the socket: port 0, another IP version, or a link-local \
             address without its interface",
            "give a port, and the interface after a % for link-local addresses",
        ),
        (_, libc::EINVAL) => (
            "the value is out of range",
            "use one that the manual allows",
        ),
        (_, libc::EDESTADDRREQ) => ("no peer is set", "connect first, or name the destination"),
        (_, libc::ECONNREFUSED) => (
            "nobody listens on that port",
            "start the receiver, or check host and port",
        ),
        (_, libc::EAFNOSUPPORT) => (
            "this host has that version of IP switched off",
            "use the other version, or switch it on",
        ),
        (_, libc::ENOPROTOOPT | libc::EOPNOTSUPP) => (
            "this kernel does not offer it",
            "do without, or use a newer kernel",
        ),
        _ => return None,
    };
    Some(Explanation {
        cause: cause.into(),
        remedy: remedy.into(),
        is_tentative: false,
    })
}
