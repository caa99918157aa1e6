//! The options that can be read and set while the socket runs.

use std::io;
use std::sync::atomic::Ordering;

use manycast_types::Dscp;

use super::{Socket, interface_id};
use crate::{BufferSize, Error, Operation, sys};

impl Socket {
    /// The name of an option of this socket's version of IP.
    const fn named(&self, ipv4: &'static str, ipv6: &'static str) -> &'static str {
        if self.is_ipv4() { ipv4 } else { ipv6 }
    }

    /// Hop limit of datagrams to groups.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn multicast_hops(&self) -> Result<u8, Error> {
        let hops = if self.is_ipv4() {
            self.inner.multicast_ttl_v4()
        } else {
            self.inner.multicast_hops_v6()
        };
        Ok(octet(self.get(
            self.named("IP_MULTICAST_TTL", "IPV6_MULTICAST_HOPS"),
            hops,
        )?))
    }

    /// Sets the hop limit of datagrams to groups: 1 stays on the link. With 0 they should stay on
    /// this host, but Linux keeps them there only if this host is a member.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn set_multicast_hops(&self, hops: u8) -> Result<(), Error> {
        let result = if self.is_ipv4() {
            self.inner.set_multicast_ttl_v4(hops.into())
        } else {
            self.inner.set_multicast_hops_v6(hops.into())
        };
        self.set(
            self.named("IP_MULTICAST_TTL", "IPV6_MULTICAST_HOPS"),
            result,
        )
    }

    /// Hop limit of datagrams to hosts.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn unicast_hops(&self) -> Result<u8, Error> {
        let hops = if self.is_ipv4() {
            self.inner.ttl_v4()
        } else {
            self.inner.unicast_hops_v6()
        };
        Ok(octet(
            self.get(self.named("IP_TTL", "IPV6_UNICAST_HOPS"), hops)?,
        ))
    }

    /// Sets the hop limit of datagrams to hosts, from 1.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput): `hops` is 0.
    pub fn set_unicast_hops(&self, hops: u8) -> Result<(), Error> {
        // Linux refuses it for IPv4 only.
        if hops == 0 {
            return self.set(
                self.named("IP_TTL", "IPV6_UNICAST_HOPS"),
                Err(io::Error::from_raw_os_error(libc::EINVAL)),
            );
        }
        let result = if self.is_ipv4() {
            self.inner.set_ttl_v4(hops.into())
        } else {
            self.inner.set_unicast_hops_v6(hops.into())
        };
        self.set(self.named("IP_TTL", "IPV6_UNICAST_HOPS"), result)
    }

    /// Sets the differentiated services code point of what is sent.
    pub(super) fn set_dscp(&self, dscp: Dscp) -> Result<(), Error> {
        let octet = u32::from(dscp.octet());
        let result = if self.is_ipv4() {
            self.inner.set_tos_v4(octet)
        } else {
            self.inner.set_tclass_v6(octet)
        };
        self.set(self.named("IP_TOS", "IPV6_TCLASS"), result)
    }

    /// Sends datagrams of IPv6 without a UDP checksum, and receives such, which are not given to other
    /// sockets (RFC 6935; `UDP_NO_CHECK6_TX`, `UDP_NO_CHECK6_RX`).
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn omit_checksum(&self) -> Result<(), Error> {
        let result = sys::options::omit_checksum(self.fd());
        self.set("UDP_NO_CHECK6", result)
    }

    /// Whether members on this host receive what this socket sends to a group.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn loopback(&self) -> Result<bool, Error> {
        let result = if self.is_ipv4() {
            self.inner.multicast_loop_v4()
        } else {
            self.inner.multicast_loop_v6()
        };
        self.get(
            self.named("IP_MULTICAST_LOOP", "IPV6_MULTICAST_LOOP"),
            result,
        )
    }

    /// Sets whether members on this host receive what this socket sends to a group.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn set_loopback(&self, loopback: bool) -> Result<(), Error> {
        let result = if self.is_ipv4() {
            self.inner.set_multicast_loop_v4(loopback)
        } else {
            self.inner.set_multicast_loop_v6(loopback)
        };
        self.set(
            self.named("IP_MULTICAST_LOOP", "IPV6_MULTICAST_LOOP"),
            result,
        )
    }

    /// Index of the interface by which datagrams to groups leave; `None`: as the route says.
    pub fn multicast_interface(&self) -> Option<u32> {
        let index = self.multicast_interface.load(Ordering::Relaxed);
        (index != 0).then_some(index)
    }

    /// Sets by which interface datagrams to groups leave. No route is needed then.
    ///
    /// # Errors
    ///
    /// [`NoInterface`](crate::ErrorKind::NoInterface): there is none with this index.
    pub fn set_multicast_interface(&self, index: Option<u32>) -> Result<(), Error> {
        let number = index.unwrap_or(0);
        let result = if self.is_ipv4() {
            sys::set_multicast_interface_v4(self.fd(), number)
        } else {
            self.inner.set_multicast_if_v6(number)
        };
        // Linux answers EADDRNOTAVAIL where IPv6 would answer ENODEV.
        if let (Some(index), Err(_)) = (index, &result) {
            return Err(Error::from_errno(
                Operation::Find,
                interface_id(index),
                libc::ENODEV,
            ));
        }
        self.set(self.named("IP_MULTICAST_IF", "IPV6_MULTICAST_IF"), result)?;
        self.multicast_interface.store(number, Ordering::Relaxed);
        Ok(())
    }

    /// Whether datagrams may go to broadcast addresses.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn broadcast(&self) -> Result<bool, Error> {
        self.get("SO_BROADCAST", self.inner.broadcast())
    }

    /// Sets whether datagrams may go to broadcast addresses.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn set_broadcast(&self, broadcast: bool) -> Result<(), Error> {
        self.set("SO_BROADCAST", self.inner.set_broadcast(broadcast))
    }

    /// The receive buffer that was asked for and granted.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn receive_buffer(&self) -> Result<BufferSize, Error> {
        let size = self.get("SO_RCVBUF", self.inner.recv_buffer_size())?;
        Ok(BufferSize {
            requested: self.requested.receive_buffer,
            granted: sys::options::asked_buffer(size),
        })
    }

    /// The send buffer that was asked for and granted.
    ///
    /// # Errors
    ///
    /// Only where the machine itself fails.
    pub fn send_buffer(&self) -> Result<BufferSize, Error> {
        let size = self.get("SO_SNDBUF", self.inner.send_buffer_size())?;
        Ok(BufferSize {
            requested: self.requested.send_buffer,
            granted: sys::options::asked_buffer(size),
        })
    }
}

fn octet(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}
