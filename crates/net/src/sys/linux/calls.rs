//! Linux: `recvmmsg(2)`, `sendmmsg(2)`, and socket options with structures.

#![allow(unsafe_code)]
// Lengths and counts here are those of small fixed structures; their C types differ by system.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]
#![allow(clippy::unnecessary_cast)]

#[cfg(test)]
mod tests;

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::slice;

use libc::{c_int, c_void};

use super::address::{Name, size_of_len, to_name, to_socket_addr, to_storage};
use super::features::{CONTROL_LEN, ControlWriter};
use super::span::Span;

/// A call that does not wait, be it to receive or to send.
pub(crate) const DONT_WAIT: c_int = libc::MSG_DONTWAIT;

/// A receiving call that waits for one datagram, and not for more.
pub(crate) const WAIT_FOR_ONE: c_int = libc::MSG_WAITFORONE;

/// A sending call that looks for a route and for permission as for a datagram to send, but sends
/// nothing: `MSG_PROBE` (`linux/socket.h` of the kernel; the C library's header lacks it).
pub(crate) const PROBE: c_int = 0x10;

// The numbers are the same for both versions of IP (`linux/in.h`, `linux/in6.h`).
pub(crate) const MCAST_JOIN_GROUP: c_int = 42;
pub(crate) const MCAST_BLOCK_SOURCE: c_int = 43;
pub(crate) const MCAST_LEAVE_GROUP: c_int = 45;
pub(crate) const MCAST_JOIN_SOURCE_GROUP: c_int = 46;

/// How many messages and how many spans one system call sends at most.
const MAX_MESSAGES: usize = 64;
const MAX_SPANS: usize = 512;

/// Room for the control messages of one datagram, aligned as the kernel wants them.
#[repr(align(8))]
#[derive(Clone, Copy)]
pub(crate) struct Control([u8; CONTROL_LEN]);

/// What one datagram needs beside its header and its payload. It lies side by side, since a dialogue
/// of single datagrams finds all memory cold after each wait.
#[repr(C)]
struct Envelope {
    vector: libc::iovec,
    name: Name,
    control: Control,
}

/// The memory that one `recvmmsg` call fills: headers, names, control messages and payloads.
///
/// The headers point into the rest only while a call runs: [`Slots::prepare`] fills the pointers in.
/// A pointer that was kept would not survive a move of `Slots`, nor a reference that is made to what
/// it points to, by the rules that Miri checks.
pub(crate) struct Slots {
    headers: Vec<libc::mmsghdr>,
    envelopes: Vec<Envelope>,
    payloads: Box<[MaybeUninit<Page>]>,
    /// How many bytes of each payload are filled at most, and in how many pages it lies.
    size: usize,
    pages: usize,
}

/// Payloads begin where pages do: the kernel copies 64 KiB there in 5 to 7 % less time than to other
/// places.
#[repr(align(4096))]
#[derive(Clone, Copy)]
struct Page(#[expect(dead_code, reason = "it is written to and read through pointers")] [u8; PAGE]);

const PAGE: usize = 4096;

// SAFETY: the raw pointers in `headers` and `envelopes` are followed by nobody but the kernel, during
// a call that has `&mut self` and that fills them in before.
unsafe impl Send for Slots {}
// SAFETY: shared access only reads, and follows none of the pointers.
unsafe impl Sync for Slots {}

impl Slots {
    /// Memory for `count` datagrams of at most `size` bytes. Pages that are never written to are
    /// never made resident.
    pub(crate) fn new(count: usize, size: usize) -> Self {
        let pages = size.div_ceil(PAGE);
        let envelope = || Envelope {
            vector: libc::iovec {
                iov_base: ptr::null_mut(),
                iov_len: size,
            },
            name: to_name((Ipv4Addr::UNSPECIFIED, 0).into()).0,
            control: Control([0; CONTROL_LEN]),
        };
        // SAFETY: all-zero bytes are a valid value of this plain C structure.
        let header = || unsafe { mem::zeroed() };
        Self {
            headers: std::iter::repeat_with(header).take(count).collect(),
            envelopes: std::iter::repeat_with(envelope).take(count).collect(),
            payloads: Box::new_uninit_slice(count * pages),
            size,
            pages,
        }
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
        let headers = self.prepare(limit);
        let count = if limit == 1 {
            // One message at a time is cheaper by the older call, which knows no other flag.
            let flags = flags & !libc::MSG_WAITFORONE;
            // SAFETY: the first header is prepared, and points to memory of `self`, to which nothing
            // else refers during the call.
            unsafe {
                let len = libc::recvmsg(fd.as_raw_fd(), &raw mut (*headers).msg_hdr, flags);
                (*headers).msg_len = u32::try_from(len).unwrap_or_default();
                if len < 0 { -1 } else { 1 }
            }
        } else {
            // SAFETY: as above, for the first `limit` headers.
            unsafe {
                // The type of the flags differs by C library.
                libc::recvmmsg(
                    fd.as_raw_fd(),
                    headers,
                    limit as _,
                    flags as _,
                    ptr::null_mut(),
                )
            }
        };
        checked(count).map(|count| count as usize)
    }

    /// Makes the first `limit` headers ready to be filled. Until the memory behind them is written
    /// to, `self` is not to be touched.
    fn prepare(&mut self, limit: usize) -> *mut libc::mmsghdr {
        assert!(limit <= self.headers.len(), "there are not so many slots");
        let headers = self.headers.as_mut_ptr();
        let envelopes = self.envelopes.as_mut_ptr();
        let payloads = self.payloads.as_mut_ptr();
        for i in 0..limit {
            // SAFETY: there are as many headers and envelopes, and `pages` of payload for each.
            // All pointers stem from the three above, and no reference is made beside them.
            unsafe {
                let envelope = envelopes.add(i);
                (*envelope).vector.iov_base = payloads.add(i * self.pages).cast();
                let header = &raw mut (*headers.add(i)).msg_hdr;
                (*header).msg_iov = &raw mut (*envelope).vector;
                (*header).msg_iovlen = 1;
                (*header).msg_name = (&raw mut (*envelope).name).cast();
                (*header).msg_namelen = size_of_len::<Name>();
                (*header).msg_control = (&raw mut (*envelope).control).cast();
                (*header).msg_controllen = CONTROL_LEN as _;
                (*header).msg_flags = 0;
            }
        }
        headers
    }

    /// The payload of slot `i`, as long as the kernel said.
    pub(crate) fn payload(&self, i: usize) -> &[u8] {
        let len = (self.headers[i].msg_len as usize).min(self.size);
        let payload = self.payloads[i * self.pages..].as_ptr();
        // SAFETY: it is within the pages of this slot, and the kernel has written as much as it said.
        unsafe { slice::from_raw_parts(payload.cast(), len) }
    }

    /// The source of slot `i`, or for the error queue the destination of what came back.
    pub(crate) fn name(&self, i: usize) -> Option<SocketAddr> {
        to_socket_addr(&self.envelopes[i].name, self.headers[i].msg_hdr.msg_namelen)
    }

    pub(crate) fn control(&self, i: usize) -> &[u8] {
        let len = self.headers[i].msg_hdr.msg_controllen as usize;
        &self.envelopes[i].control.0[..len.min(CONTROL_LEN)]
    }

    pub(crate) fn truncated(&self, i: usize) -> bool {
        self.headers[i].msg_hdr.msg_flags & libc::MSG_TRUNC != 0
    }
}

/// Datagrams to go, gathered for one `sendmmsg` call on the stack of its caller: messages, each of
/// one payload or of several that the kernel cuts apart.
pub(crate) struct Messages<'a> {
    headers: [MaybeUninit<libc::mmsghdr>; MAX_MESSAGES],
    spans: [MaybeUninit<Span<'a>>; MAX_SPANS],
    names: [MaybeUninit<Name>; MAX_MESSAGES],
    controls: [MaybeUninit<ControlWriter>; MAX_MESSAGES],
    /// Up to which payload each message goes.
    ends: [MaybeUninit<usize>; MAX_MESSAGES],
    /// How many messages, spans and payloads there are.
    messages: usize,
    used: usize,
    payloads: usize,
    /// The first span of the message that is being gathered.
    begin: usize,
}

impl<'a> Messages<'a> {
    pub(crate) const fn new() -> Self {
        Self {
            headers: [const { MaybeUninit::uninit() }; MAX_MESSAGES],
            spans: [const { MaybeUninit::uninit() }; MAX_SPANS],
            names: [const { MaybeUninit::uninit() }; MAX_MESSAGES],
            controls: [const { MaybeUninit::uninit() }; MAX_MESSAGES],
            ends: [const { MaybeUninit::uninit() }; MAX_MESSAGES],
            messages: 0,
            used: 0,
            payloads: 0,
            begin: 0,
        }
    }

    /// Whether there is room for one more payload and, with [`Messages::end`], one more message.
    pub(crate) const fn has_room(&self) -> bool {
        self.messages < MAX_MESSAGES && self.used < MAX_SPANS
    }

    /// Adds the payloads of `count` datagrams to the message that is being gathered.
    pub(crate) fn push(&mut self, payloads: Span<'a>, count: usize) {
        self.payloads += count;
        if self.used > self.begin {
            // SAFETY: the first `used` spans are initialised.
            let last = unsafe { self.spans[self.used - 1].assume_init_mut() };
            if last.push(payloads) {
                return;
            }
        }
        self.spans[self.used].write(payloads);
        self.used += 1;
    }

    /// Ends the message that is being gathered.
    pub(crate) fn end(&mut self, destination: Option<SocketAddr>, control: &ControlWriter) {
        let i = self.messages;
        // SAFETY: all-zero bytes are a valid value of this plain C structure.
        let header = self.headers[i].write(unsafe { mem::zeroed() });
        if let Some(destination) = destination {
            let (name, len) = to_name(destination);
            self.names[i].write(name);
            header.msg_hdr.msg_namelen = len;
        }
        let len = control.as_bytes().len();
        if len > 0 {
            self.controls[i].write(*control);
            header.msg_hdr.msg_controllen = len as _;
        }
        header.msg_hdr.msg_iovlen = (self.used - self.begin) as _;
        self.ends[i].write(self.payloads);
        self.begin = self.used;
        self.messages = i + 1;
    }

    /// Hands all ended messages to the kernel, and says how many payloads it took.
    pub(crate) fn send(&mut self, fd: BorrowedFd<'_>, flags: c_int) -> io::Result<usize> {
        if self.messages == 0 {
            return Ok(0);
        }
        let headers = self.prepare();
        // SAFETY: the first `messages` headers are prepared, and point to memory of `self` or to
        // payloads that are borrowed for as long as `self` lives. The kernel only reads them.
        let sent = unsafe {
            if self.messages == 1 {
                // One message is cheaper by the older call.
                let len = libc::sendmsg(fd.as_raw_fd(), &raw const (*headers).msg_hdr, flags);
                if len < 0 { -1 } else { 1 }
            } else {
                // The type of the flags differs by C library.
                libc::sendmmsg(fd.as_raw_fd(), headers, self.messages as _, flags as _)
            }
        };
        match checked(sent)? as usize {
            0 => Ok(0),
            // SAFETY: there are no more than `messages`, and `end` has initialised each.
            sent => Ok(unsafe { self.ends[sent - 1].assume_init() }),
        }
    }

    /// Lets the headers of all ended messages point to what they are to send. It is done last, since
    /// all of it may have moved before.
    fn prepare(&mut self) -> *mut libc::mmsghdr {
        let headers: *mut libc::mmsghdr = self.headers.as_mut_ptr().cast();
        let vectors: *mut libc::iovec = self.spans.as_mut_ptr().cast();
        let names: *mut Name = self.names.as_mut_ptr().cast();
        let controls: *mut ControlWriter = self.controls.as_mut_ptr().cast();
        let mut begin = 0;
        for i in 0..self.messages {
            // SAFETY: `end` has initialised this header, the vectors that it counts, and name and
            // control messages where it set a length. All pointers stem from the four above, and no
            // mutable reference is made beside them.
            unsafe {
                let header = &raw mut (*headers.add(i)).msg_hdr;
                (*header).msg_iov = vectors.add(begin);
                begin += (*header).msg_iovlen as usize;
                if (*header).msg_namelen > 0 {
                    (*header).msg_name = names.add(i).cast();
                }
                if (*header).msg_controllen > 0 {
                    let bytes = (*controls.add(i)).as_bytes();
                    (*header).msg_control = bytes.as_ptr().cast_mut().cast();
                }
            }
        }
        headers
    }
}

/// Sends one message whose payloads lie side by side, by the oldest call that can, since it costs the
/// least. It keeps clear of [`Messages`], whose memory would be cold when a dialogue goes on after a
/// wait, or when much was copied by the call before.
pub(crate) fn send(
    fd: BorrowedFd<'_>,
    payloads: Span<'_>,
    destination: Option<SocketAddr>,
    control: &ControlWriter,
    flags: c_int,
) -> io::Result<()> {
    let mut name = destination.map(to_name);
    let (name, name_len): (*mut c_void, _) = match &mut name {
        Some((name, len)) => (ptr::from_mut(name).cast(), *len),
        None => (ptr::null_mut(), 0),
    };
    let control = control.as_bytes();
    let mut vector = payloads.vector;
    let sent = if control.is_empty() {
        // SAFETY: payloads and name are valid for reading as many bytes as is said.
        unsafe {
            libc::sendto(
                fd.as_raw_fd(),
                vector.iov_base,
                vector.iov_len,
                flags,
                name.cast(),
                name_len,
            )
        }
    } else {
        // SAFETY: all-zero bytes are a valid value of this plain C structure.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_name = name;
        header.msg_namelen = name_len;
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        header.msg_control = control.as_ptr().cast_mut().cast();
        header.msg_controllen = control.len() as _;
        // SAFETY: the header points to memory that outlives the call, and that the kernel only
        // reads.
        unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const header, flags) }
    };
    checked(sent.signum() as c_int).map(drop)
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

/// How often the kernel dropped something on a socket, modulo 2^32: the last of what `SO_MEMINFO`
/// tells (`linux/sock_diag.h`, `SK_MEMINFO_DROPS`; since Linux 4.12).
pub(crate) fn dropped(fd: BorrowedFd<'_>) -> io::Result<u32> {
    const SO_MEMINFO: c_int = 55;
    const SK_MEMINFO_DROPS: usize = 8;
    let mut values = [0_u32; SK_MEMINFO_DROPS + 1];
    let mut length = size_of_val(&values) as libc::socklen_t;
    // SAFETY: `values` is valid for writing `length` bytes.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            (&raw mut values).cast::<c_void>(),
            &raw mut length,
        )
    };
    checked(result)?;
    if (length as usize) < size_of_val(&values) {
        return Err(io::Error::from_raw_os_error(libc::ENOPROTOOPT));
    }
    Ok(values[SK_MEMINFO_DROPS])
}

/// `IP_MULTICAST_IF` by index (`ip(7)`); 0 leaves it to the route.
pub(crate) fn set_multicast_interface_v4(fd: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    // The loopback interface has this index in every namespace (`LOOPBACK_IFINDEX` of the kernel).
    // Its address has the scope of the host alone, so the kernel would pass over it and send from
    // another interface's, or from 0.0.0.0.
    let source = if index == 1 {
        Ipv4Addr::LOCALHOST
    } else {
        Ipv4Addr::UNSPECIFIED
    };
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr {
            s_addr: u32::from(source).to_be(),
        },
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

/// The most sources that are read of one membership.
const SOURCES: usize = 64;

/// `struct group_filter` of RFC 3678 §5.2.1, with room for sources.
#[repr(C)]
struct GroupFilter {
    interface: u32,
    group: libc::sockaddr_storage,
    mode: u32,
    count: u32,
    sources: [libc::sockaddr_storage; SOURCES],
}

/// `MCAST_MSFILTER`: whether the membership excludes sources, and which it includes or excludes.
pub(crate) fn group_filter(
    fd: BorrowedFd<'_>,
    interface: u32,
    group: IpAddr,
) -> io::Result<(bool, Vec<IpAddr>)> {
    const MCAST_MSFILTER: c_int = 48;
    const MCAST_EXCLUDE: u32 = 0;
    // SAFETY: all-zero bytes are a valid value of this plain C structure.
    let mut filter: GroupFilter = unsafe { mem::zeroed() };
    filter.interface = interface;
    filter.group = to_storage(group);
    filter.count = SOURCES as u32;
    let mut length = size_of::<GroupFilter>() as libc::socklen_t;
    // SAFETY: the structure is valid for writing `length` bytes.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level(group),
            MCAST_MSFILTER,
            (&raw mut filter).cast::<c_void>(),
            &raw mut length,
        )
    };
    checked(result)?;
    let count = (filter.count as usize).min(SOURCES);
    let sources = filter.sources[..count]
        .iter()
        .filter_map(|source| {
            // SAFETY: `sockaddr_storage` is large and aligned enough for any socket address.
            let name = unsafe { &*ptr::from_ref(source).cast::<Name>() };
            to_socket_addr(name, size_of_len::<Name>())
        })
        .map(|source| source.ip())
        .collect();
    Ok((filter.mode == MCAST_EXCLUDE, sources))
}

pub(super) fn set<T>(fd: BorrowedFd<'_>, level: c_int, name: c_int, value: &T) -> io::Result<()> {
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

pub(super) fn checked(result: c_int) -> io::Result<c_int> {
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
