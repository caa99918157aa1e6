//! Changes by netlink (`rtnetlink(7)`): the groups of links and of addresses.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::netlink::{Message, messages, u32_at};
use crate::Change;

/// More than the kernel sends in one notification about a link or an address. Should one be
/// longer nevertheless, it counts as lost.
const LARGEST_MESSAGE: usize = 16 * 1024;

/// How many messages one call takes, so that a host in turmoil cannot hold the caller.
const MESSAGES_AT_ONCE: usize = 1024;

/// Where `struct ifinfomsg` and `struct ifaddrmsg` have the index.
const INDEX: usize = 4;

pub(crate) struct Watch {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Watch {
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        // Nobody but the kernel can send to a connected socket.
        socket.connect(&SocketAddr::new(0, 0))?;
        for group in [
            libc::RTNLGRP_LINK,
            libc::RTNLGRP_IPV4_IFADDR,
            libc::RTNLGRP_IPV6_IFADDR,
        ] {
            socket.add_membership(group)?;
        }
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(LARGEST_MESSAGE),
        })
    }

    pub(crate) fn drain(&mut self) -> io::Result<Vec<Change>> {
        let mut changes = Changes::default();
        for _ in 0..MESSAGES_AT_ONCE {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, libc::MSG_TRUNC) {
                Ok(length) if length > self.buffer.len() => changes.lost = true,
                Ok(_) => messages(&self.buffer).for_each(|message| changes.add(message)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What is in the queue is still good; what came after it is not there.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => changes.lost = true,
                Err(error) => return Err(error),
            }
        }
        Ok(changes.into_list())
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

/// What many messages come to.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(super) lost: bool,
    pub(super) removed: BTreeSet<u32>,
    pub(super) changed: BTreeSet<u32>,
}

impl Changes {
    pub(crate) fn add(&mut self, message: Message<'_>) {
        let Some(index) = u32_at(message.payload, INDEX) else {
            return;
        };
        match message.kind {
            // Of another family than this, the message tells of something less than the whole
            // device: AF_BRIDGE, that it is a port of a bridge no more.
            libc::RTM_DELLINK if family(message) == Some(libc::AF_UNSPEC) => {
                self.removed.insert(index);
                self.changed.remove(&index);
            }
            libc::RTM_NEWLINK | libc::RTM_DELLINK | libc::RTM_NEWADDR | libc::RTM_DELADDR => {
                self.changed.insert(index);
            }
            _ => {}
        }
    }

    pub(crate) fn into_list(self) -> Vec<Change> {
        let lost = self.lost.then_some(Change::Lost);
        let removed = self.removed.into_iter().map(Change::Removed);
        let changed = self.changed.into_iter().map(Change::Changed);
        lost.into_iter().chain(removed).chain(changed).collect()
    }
}

fn family(message: Message<'_>) -> Option<libc::c_int> {
    message
        .payload
        .first()
        .map(|family| libc::c_int::from(*family))
}
