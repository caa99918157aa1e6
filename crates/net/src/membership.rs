//! Joining and leaving groups on a socket (RFC 3678 §5.1, `ip(7)`, `ipv6(7)`), always by the index
//! of an interface.

use std::net::IpAddr;
use std::os::fd::AsFd;

use manycast_types::SourceFilter;

use crate::sys::{
    self, MCAST_BLOCK_SOURCE, MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP, MCAST_LEAVE_GROUP,
};
use crate::{Error, Operation, Socket};

impl Socket {
    /// Becomes a member of `group` on the interface with the index `interface`.
    ///
    /// # Errors
    ///
    /// * [`LimitReached`](crate::ErrorKind::LimitReached): the socket has as many groups as
    ///   `net.ipv4.igmp_max_memberships` allows (20), or as many sources as
    ///   `net.ipv4.igmp_max_msf` does (10).
    /// * [`AddressInUse`](crate::ErrorKind::AddressInUse): the socket is a member already.
    /// * [`NoInterface`](crate::ErrorKind::NoInterface): the interface is gone.
    /// * [`InvalidInput`](crate::ErrorKind::InvalidInput): the address is no group.
    ///
    /// After an error the socket is no more a member than before.
    pub fn join(&self, group: IpAddr, interface: u32, filter: &SourceFilter) -> Result<(), Error> {
        let result = match filter {
            SourceFilter::Include(sources) => {
                self.each_source(MCAST_JOIN_SOURCE_GROUP, group, interface, sources)
            }
            SourceFilter::Exclude(sources) => {
                sys::set_group(self.fd(), MCAST_JOIN_GROUP, interface, group)
                    .map_err(|error| (0, error))
                    .and_then(|()| {
                        self.each_source(MCAST_BLOCK_SOURCE, group, interface, sources)
                            .map_err(|(done, error)| (done + 1, error))
                    })
            }
        };
        result.map_err(|(done, error)| {
            if done > 0 {
                // Half a membership is none. The error that matters is the first one.
                let _ = sys::set_group(self.fd(), MCAST_LEAVE_GROUP, interface, group);
            }
            Error::new(Operation::Join, on(group, interface), error)
        })
    }

    /// Ends the membership of `group` on an interface, with all its sources.
    ///
    /// # Errors
    ///
    /// [`AddressNotAvailable`](crate::ErrorKind::AddressNotAvailable): the socket is no member of
    /// it there.
    pub fn leave(&self, group: IpAddr, interface: u32) -> Result<(), Error> {
        sys::set_group(self.fd(), MCAST_LEAVE_GROUP, interface, group)
            .map_err(|error| Error::new(Operation::Leave, on(group, interface), error))
    }

    /// On failure, says how many sources had succeeded.
    fn each_source(
        &self,
        option: i32,
        group: IpAddr,
        interface: u32,
        sources: &[IpAddr],
    ) -> Result<(), (usize, std::io::Error)> {
        for (done, source) in sources.iter().enumerate() {
            sys::set_group_source(self.fd(), option, interface, group, *source)
                .map_err(|error| (done, error))?;
        }
        Ok(())
    }
}

fn on(group: IpAddr, interface: u32) -> String {
    let name = crate::socket::interface_id(interface);
    format!("{group} on {name}")
}

/// The sources that a socket takes of a group on the interface of this index (`MCAST_MSFILTER`,
/// RFC 3678). The socket may be any, also another program's.
///
/// Of an interface that is gone, a membership that was made there still shows: the socket does not
/// know that it is worth nothing any more.
///
/// # Errors
///
/// `EADDRNOTAVAIL` where the socket is no member there, and `EINVAL` where it is no socket of the
/// version of IP of the group.
pub fn source_filter(
    socket: impl AsFd,
    group: IpAddr,
    interface: u32,
) -> Result<SourceFilter, Error> {
    let (excludes, sources) = sys::group_filter(socket.as_fd(), interface, group)
        .map_err(|error| Error::new(Operation::Get("MCAST_MSFILTER"), group, error))?;
    Ok(if excludes {
        SourceFilter::Exclude(sources)
    } else {
        SourceFilter::Include(sources)
    })
}
