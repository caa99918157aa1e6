//! Packet sockets (`packet(7)`).

#![allow(unsafe_code)]
// Lengths and counts here are those of small fixed structures; their C types differ by system.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]
#![allow(clippy::unnecessary_cast)]

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use socket2::{Domain, Socket, Type};

use super::calls::{checked, set};
use crate::packet::{Packet, PacketType};

/// A socket that receives from the interface of this index, or from all where it is 0.
pub(crate) fn open(interface: u32) -> io::Result<Socket> {
    // With no protocol it receives nothing yet, and so nothing from other interfaces.
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
    // SAFETY: all-zero bytes are a valid value of this plain C structure.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    // Those who ask for one protocol alone are given it only behind the ingress hook and the bridge.
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = interface.cast_signed();
    // SAFETY: the address is valid for reading its size.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    checked(result)?;
    // The kernel takes the tag of a VLAN off before the packet is seen here, and tells it beside.
    set(
        socket.as_fd(),
        libc::SOL_PACKET,
        libc::PACKET_AUXDATA,
        &1_i32,
    )?;
    Ok(socket)
}

/// Receives a packet, without the header of the link.
pub(crate) fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Packet> {
    // SAFETY: all-zero bytes are valid values of these plain C structures.
    let mut from: libc::sockaddr_ll = unsafe { mem::zeroed() };
    // SAFETY: the same.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    let mut control = Control([0; CONTROL]);
    let mut payload = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    message.msg_name = (&raw mut from).cast();
    message.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    message.msg_iov = &raw mut payload;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL as _;
    // SAFETY: name, buffer and control are valid for writing as many bytes as the message says.
    let received = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, 0) };
    Ok(Packet {
        length: usize::try_from(received).map_err(|_| io::Error::last_os_error())?,
        interface: from.sll_ifindex.cast_unsigned(),
        protocol: u16::from_be(from.sll_protocol),
        vlan: vlan(&message),
        packet_type: match from.sll_pkttype {
            libc::PACKET_HOST => PacketType::Host,
            libc::PACKET_BROADCAST => PacketType::Broadcast,
            libc::PACKET_MULTICAST => PacketType::Multicast,
            libc::PACKET_OTHERHOST => PacketType::OtherHost,
            libc::PACKET_OUTGOING => PacketType::Outgoing,
            other => PacketType::Other(other),
        },
    })
}

/// The number of the VLAN in the tag that the kernel has taken off (`PACKET_AUXDATA`).
fn vlan(message: &libc::msghdr) -> Option<u16> {
    // SAFETY: the kernel has filled the control buffer, which is aligned as its headers are.
    let header = unsafe { libc::CMSG_FIRSTHDR(message).as_ref() }?;
    let auxiliary = (header.cmsg_level, header.cmsg_type);
    if auxiliary != (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
        return None;
    }
    // SAFETY: a message of this kind holds this structure, wherever it stands in the buffer.
    let data: libc::tpacket_auxdata = unsafe {
        libc::CMSG_DATA(header)
            .cast::<libc::tpacket_auxdata>()
            .read_unaligned()
    };
    (data.tp_status & libc::TP_STATUS_VLAN_VALID != 0).then_some(data.tp_vlan_tci & 0x0fff)
}

/// Room for one `struct tpacket_auxdata` with its header.
const CONTROL: usize = 64;

/// Aligned as a control message has to be.
#[repr(align(8))]
struct Control([u8; CONTROL]);

/// Lets nothing more into the queue (`SO_ATTACH_FILTER`, `socket(7)`); what is in it can still be
/// read.
pub(crate) fn refuse_more(socket: &Socket) -> io::Result<()> {
    // One instruction, `BPF_RET | BPF_K`: to take none of a packet.
    let mut refuse = [libc::sock_filter {
        code: 0x06,
        jt: 0,
        jf: 0,
        k: 0,
    }];
    let program = libc::sock_fprog {
        len: 1,
        filter: refuse.as_mut_ptr(),
    };
    // The kernel copies the instructions, which live as long as this call.
    set(
        socket.as_fd(),
        libc::SOL_SOCKET,
        libc::SO_ATTACH_FILTER,
        &program,
    )
}
