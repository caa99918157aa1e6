//! Linux: `recvmmsg(2)`, `sendmmsg(2)`, and socket options with structures.

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{c_int, c_void};

use crate::features::CONTROL_LEN;

/// How many datagrams one system call moves at most.
const BATCH: usize = 64;

/// Room for the control messages of one datagram, aligned as the kernel wants them.
#[repr(align(8))]
#[derive(Clone, Copy)]
pub(crate) struct Control([u8; CONTROL_LEN]);

/// The memory that one `recvmmsg` call fills: headers, names, control messages and payloads.
pub(crate) struct Slots {
    headers: Vec<libc::mmsghdr>,
    // The headers point into these; none is resized, so none moves.
    vectors: Vec<libc::iovec>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    payloads: Vec<u8>,
    size: usize,
}

// SAFETY: the raw pointers in `headers` and `vectors` point into heap memory that `Slots` itself
// owns and that does not move with it.
unsafe impl Send for Slots {}
// SAFETY: shared access only reads; writing needs `&mut self`.
unsafe impl Sync for Slots {}

impl Slots {
    /// Memory for `count` datagrams of at most `size` bytes. Pages that are never written to are
    /// never made resident.
    pub(crate) fn new(count: usize, size: usize) -> Self {
        // SAFETY: all-zero bytes are valid values of these plain C structures.
        let (header, name) = unsafe { (mem::zeroed(), mem::zeroed()) };
        let vector = libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: size,
        };
        let mut slots = Self {
            headers: vec![header; count],
            vectors: vec![vector; count],
            names: vec![name; count],
            controls: vec![Control([0; CONTROL_LEN]); count],
            payloads: vec![0; count * size],
            size,
        };
        for i in 0..count {
            let header: &mut libc::mmsghdr = &mut slots.headers[i];
            slots.vectors[i].iov_base = slots.payloads[i * size..].as_mut_ptr().cast();
            header.msg_hdr.msg_iov = &raw mut slots.vectors[i];
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = (&raw mut slots.names[i]).cast();
            header.msg_hdr.msg_control = slots.controls[i].0.as_mut_ptr().cast();
        }
        slots
    }

    pub(crate) fn count(&self) -> usize {
        self.headers.len()
    }

    /// Fills the first slots, at most `limit`, and says how many.
    pub(crate) fn receive(
        &mut self,
        fd: BorrowedFd<'_>,
        limit: usize,
        flags: c_int,
    ) -> io::Result<usize> {
        let limit = limit.min(self.headers.len());
        for header in &mut self.headers[..limit] {
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as _;
            header.msg_hdr.msg_controllen = CONTROL_LEN as _;
            header.msg_hdr.msg_flags = 0;
        }
        // SAFETY: the first `limit` headers are valid, and point to memory that outlives the call.
        let count = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                self.headers.as_mut_ptr(),
                limit as _,
                flags,
                ptr::null_mut(),
            )
        };
        checked(count).map(|count| count as usize)
    }

    /// The payload of slot `i`, as long as the kernel said.
    pub(crate) fn payload(&self, i: usize) -> &[u8] {
        let len = (self.headers[i].msg_len as usize).min(self.size);
        &self.payloads[i * self.size..][..len]
    }

    /// The source of slot `i`, or for the error queue the destination of what came back.
    pub(crate) fn name(&self, i: usize) -> Option<SocketAddr> {
        to_socket_addr(&self.names[i], self.headers[i].msg_hdr.msg_namelen)
    }

    pub(crate) fn control(&self, i: usize) -> &[u8] {
        let len = self.headers[i].msg_hdr.msg_controllen as usize;
        &self.controls[i].0[..len.min(CONTROL_LEN)]
    }

    pub(crate) fn truncated(&self, i: usize) -> bool {
        self.headers[i].msg_hdr.msg_flags & libc::MSG_TRUNC != 0
    }
}

/// One datagram to go, as the kernel takes it.
pub(crate) struct Outgoing<'a> {
    pub(crate) destination: Option<SocketAddr>,
    pub(crate) payload: &'a [u8],
    /// Control messages, as `features` encodes them; empty for none.
    pub(crate) control: crate::features::ControlWriter,
}

/// Hands datagrams to the kernel, at most [`BATCH`] of them, and says how many it took.
pub(crate) fn send<'a>(
    fd: BorrowedFd<'_>,
    outgoing: impl Iterator<Item = Outgoing<'a>>,
    flags: c_int,
) -> io::Result<usize> {
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
    let mut names = [const { MaybeUninit::<Name>::uninit() }; BATCH];
    let mut controls = [const { MaybeUninit::<Control>::uninit() }; BATCH];
    let mut count = 0;
    for (i, datagram) in outgoing.take(BATCH).enumerate() {
        let vector = vectors[i].write(libc::iovec {
            iov_base: datagram.payload.as_ptr().cast_mut().cast(),
            iov_len: datagram.payload.len(),
        });
        // SAFETY: all-zero bytes are a valid value of this plain C structure.
        let header = headers[i].write(unsafe { mem::zeroed() });
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        if let Some(destination) = datagram.destination {
            let (name, len) = to_name(destination);
            header.msg_hdr.msg_name = (names[i].write(name) as *mut Name).cast();
            header.msg_hdr.msg_namelen = len;
        }
        let control = datagram.control.as_bytes();
        if !control.is_empty() {
            let room = controls[i].write(Control([0; CONTROL_LEN]));
            room.0[..control.len()].copy_from_slice(control);
            header.msg_hdr.msg_control = room.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = control.len() as _;
        }
        count = i + 1;
    }
    if count == 0 {
        return Ok(0);
    }
    // SAFETY: the first `count` headers are initialised, and point to memory of this frame or of
    // the caller, which outlives the call.
    let sent = unsafe {
        libc::sendmmsg(
            fd.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            count as _,
            flags,
        )
    };
    checked(sent).map(|sent| sent as usize)
}

/// Takes one message from the error queue (`ip(7)`, `IP_RECVERR`): the destination of the datagram
/// that came back and the control messages, which `features::errors` reads.
pub(crate) fn error_queue(fd: BorrowedFd<'_>, slot: &mut Slots) -> io::Result<bool> {
    match slot.receive(fd, 1, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) {
        Ok(count) => Ok(count == 1),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sets a socket option that is a C `int`.
pub(crate) fn set_int(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: c_int,
) -> io::Result<()> {
    set(fd, level, name, &value)
}

/// `IP_MULTICAST_IF` by index (`ip(7)`); 0 leaves it to the route.
pub(crate) fn set_multicast_interface_v4(fd: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    let any = libc::in_addr { s_addr: 0 };
    let request = libc::ip_mreqn {
        imr_multiaddr: any,
        imr_address: any,
        imr_ifindex: index as c_int,
    };
    set(fd, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &request)
}

/// `MCAST_JOIN_GROUP` and `MCAST_LEAVE_GROUP` (RFC 3678 §5.1).
pub(crate) fn set_group(
    fd: BorrowedFd<'_>,
    name: c_int,
    interface: u32,
    group: IpAddr,
) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid value of this plain C structure.
    let mut request: libc::group_req = unsafe { mem::zeroed() };
    request.gr_interface = interface;
    request.gr_group = to_storage(group);
    set(fd, level(group), name, &request)
}

/// `MCAST_JOIN_SOURCE_GROUP` and its three companions (RFC 3678 §5.1).
pub(crate) fn set_group_source(
    fd: BorrowedFd<'_>,
    name: c_int,
    interface: u32,
    group: IpAddr,
    source: IpAddr,
) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid value of this plain C structure.
    let mut request: libc::group_source_req = unsafe { mem::zeroed() };
    request.gsr_interface = interface;
    request.gsr_group = to_storage(group);
    request.gsr_source = to_storage(source);
    set(fd, level(group), name, &request)
}

/// Dissolves the association with the peer (`connect(2)`, family `AF_UNSPEC`).
pub(crate) fn disconnect(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid value of this plain C structure.
    let mut address: libc::sockaddr = unsafe { mem::zeroed() };
    address.sa_family = libc::AF_UNSPEC as _;
    // SAFETY: the address is valid for its size.
    let result = unsafe {
        libc::connect(
            fd.as_raw_fd(),
            &raw const address,
            size_of::<libc::sockaddr>() as _,
        )
    };
    checked(result).map(drop)
}

fn set<T>(fd: BorrowedFd<'_>, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    // SAFETY: `value` is valid for reading its size.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            ptr::from_ref(value).cast::<c_void>(),
            size_of::<T>() as _,
        )
    };
    checked(result).map(drop)
}

fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn level(address: IpAddr) -> c_int {
    if address.is_ipv4() {
        libc::IPPROTO_IP
    } else {
        libc::IPPROTO_IPV6
    }
}

/// A socket address of either family, at its size and not at that of `sockaddr_storage`.
#[repr(C)]
#[derive(Clone, Copy)]
union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

fn to_name(address: SocketAddr) -> (Name, libc::socklen_t) {
    match address {
        SocketAddr::V4(address) => (
            Name {
                v4: to_in(&address),
            },
            size_of_len::<libc::sockaddr_in>(),
        ),
        SocketAddr::V6(address) => (
            Name {
                v6: to_in6(&address),
            },
            size_of_len::<libc::sockaddr_in6>(),
        ),
    }
}

fn size_of_len<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

fn to_in(address: &SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as _,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(address.ip().octets()),
        },
        sin_zero: [0; 8],
    }
}

fn to_in6(address: &SocketAddrV6) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as _,
        sin6_port: address.port().to_be(),
        sin6_flowinfo: address.flowinfo(),
        sin6_addr: libc::in6_addr {
            s6_addr: address.ip().octets(),
        },
        sin6_scope_id: address.scope_id(),
    }
}

fn to_storage(address: IpAddr) -> libc::sockaddr_storage {
    // SAFETY: all-zero bytes are a valid value of this plain C structure.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let (name, _) = to_name(SocketAddr::new(address, 0));
    // SAFETY: `sockaddr_storage` is made to hold any socket address, aligned for each.
    unsafe { (&raw mut storage).cast::<Name>().write(name) };
    storage
}

fn to_socket_addr(storage: &libc::sockaddr_storage, len: libc::socklen_t) -> Option<SocketAddr> {
    let pointer = ptr::from_ref(storage);
    match c_int::from(storage.ss_family) {
        libc::AF_INET if len >= size_of_len::<libc::sockaddr_in>() => {
            // SAFETY: the kernel wrote this family, and the storage is large and aligned enough.
            let address = unsafe { &*pointer.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
        }
        libc::AF_INET6 if len >= size_of_len::<libc::sockaddr_in6>() => {
            // SAFETY: as above.
            let address = unsafe { &*pointer.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            let port = u16::from_be(address.sin6_port);
            let flow = address.sin6_flowinfo;
            Some(SocketAddrV6::new(ip, port, flow, address.sin6_scope_id).into())
        }
        _ => None,
    }
}
