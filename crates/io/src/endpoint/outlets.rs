//! Sending, each datagram by the socket that fits it and by the interface that was named.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use manycast_net::{ErrorKind, Operation, Socket};
use manycast_types::{SocketId, Transmit};

use crate::{Error, egress};

/// The sockets of an endpoint as far as sending needs them. Both halves of a socket that is split
/// have the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outlets {
    /// In the place of each port of the endpoint.
    sockets: Vec<Option<Outlet>>,
    /// For each group that was asked for on named interfaces: which they are.
    named: Vec<(IpAddr, Vec<Named>)>,
    /// The one interface that all was asked for on, if it is so.
    only: Option<Named>,
}

/// A socket to send by.
#[derive(Clone, Debug)]
pub(super) struct Outlet {
    pub(super) id: SocketId,
    pub(super) local: SocketAddr,
    pub(super) socket: Arc<Socket>,
}

/// An interface that was named, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// As it was named.
    pub(super) name: String,
    /// `None` while there is no such interface, or it is down.
    pub(super) index: Option<u32>,
    pub(super) loopback: bool,
}

impl Outlets {
    pub(super) fn new(
        sockets: Vec<Option<Outlet>>,
        named: Vec<(IpAddr, Vec<Named>)>,
        only: Option<Named>,
    ) -> Self {
        Self {
            sockets,
            named,
            only,
        }
    }

    /// Sends `transmits` in order, each by the socket that fits it, and says how many went: all, or
    /// those before the first that failed.
    ///
    /// With `wait`, a full send buffer is waited for; without, it ends the call. Only the rest of a
    /// [`Transmit`] with a segment size is waited for all the same.
    pub(crate) fn send<P: AsRef<[u8]>>(
        &self,
        transmits: &[Transmit<P>],
        wait: bool,
    ) -> Result<usize, Error> {
        let mut sent = 0;
        while let Some(next) = transmits.get(sent) {
            let result = if next.segment_size.is_some() {
                self.send_all_segments(next, wait).map(usize::from)
            } else {
                self.send_alike(&transmits[sent..], wait)
            };
            match result {
                Ok(0) => break,
                Ok(count) => sent += count,
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Sends those that begin the list and go by the same socket.
    fn send_alike<P: AsRef<[u8]>>(
        &self,
        transmits: &[Transmit<P>],
        wait: bool,
    ) -> Result<usize, Error> {
        let Some(first) = transmits.first() else {
            return Ok(0);
        };
        let outlet = self.outlet(first)?;
        let alike = 1 + transmits[1..]
            .iter()
            .take_while(|other| {
                other.segment_size.is_none()
                    && self
                        .outlet(other)
                        .is_ok_and(|found| std::ptr::eq(found, outlet))
            })
            .count();
        let way = self.way(outlet, first)?;
        if way == first.with(()) {
            let run = &transmits[..alike];
            let result = if wait {
                outlet.socket.send_batch(run)
            } else {
                outlet.socket.try_send_batch(run)
            };
            return match result {
                Err(error) if needs_egress(&error, &way) => self.send_by_first(outlet, first, wait),
                result => Ok(result?),
            };
        }
        let changed = way.with(first.payload.as_ref());
        send_one(outlet, &changed, wait)
    }

    /// Sends to a group where no route leads, by the first interface that can.
    fn send_by_first<P: AsRef<[u8]>>(
        &self,
        outlet: &Outlet,
        transmit: &Transmit<P>,
        wait: bool,
    ) -> Result<usize, Error> {
        let to = transmit.destination.ip();
        let Some(interface) = egress::egress(to, transmit.source)? else {
            return Err(egress::nowhere(to));
        };
        let mut changed = transmit.with(transmit.payload.as_ref());
        let named = Named {
            name: interface.name.to_string(),
            index: Some(interface.index),
            loopback: interface.loopback,
        };
        by_interface(&mut changed, &named);
        let sent = if wait {
            outlet.socket.send_batch(std::slice::from_ref(&changed))
        } else {
            outlet.socket.try_send_batch(std::slice::from_ref(&changed))
        };
        Ok(sent.map_err(|error| egress::no_route(error, to, Some(&interface)))?)
    }

    fn send_all_segments<P: AsRef<[u8]>>(
        &self,
        transmit: &Transmit<P>,
        wait: bool,
    ) -> Result<bool, Error> {
        let payload = transmit.payload.as_ref();
        let size = transmit
            .segment_size
            .map_or(payload.len(), usize::from)
            .max(1);
        let mut sent = 0;
        while sent == 0 || sent * size < payload.len() {
            let rest = transmit.with(&payload[sent * size..]);
            let count = self.send_segments(&rest, wait || sent > 0)?;
            if count == 0 {
                break;
            }
            sent += count;
        }
        Ok(sent > 0)
    }

    /// Sends the datagrams of one [`Transmit`], and says how many went.
    pub(crate) fn send_segments<P: AsRef<[u8]>>(
        &self,
        transmit: &Transmit<P>,
        wait: bool,
    ) -> Result<usize, Error> {
        let outlet = self.outlet(transmit)?;
        let changed = self.way(outlet, transmit)?.with(transmit.payload.as_ref());
        match outlet.socket.send_segments(&changed, wait) {
            Err(error) if needs_egress(&error, &changed) => {
                let first = transmit.segments().next().unwrap_or_default();
                let mut alone = transmit.with(first);
                alone.segment_size = None;
                self.send_by_first(outlet, &alone, wait)
            }
            result => Ok(result?),
        }
    }

    /// The socket to send by: the one that is asked for; else one of the right version of IP, and
    /// where a source is asked for, one that is bound to it or to any address.
    pub(super) fn outlet<P>(&self, transmit: &Transmit<P>) -> Result<&Outlet, Error> {
        let ipv4 = transmit.destination.is_ipv4();
        if let Some(id) = transmit.socket {
            let slot = usize::try_from(id.get() & u64::from(u32::MAX)).unwrap_or(usize::MAX);
            let found = self.sockets.get(slot).and_then(Option::as_ref);
            return match found.filter(|outlet| outlet.id == id) {
                Some(outlet) if outlet.local.is_ipv4() == ipv4 => Ok(outlet),
                Some(_) => Err(Error::unsuitable(
                    transmit.destination,
                    "the socket that was chosen speaks the other version of IP",
                )),
                None => Err(Error::unsuitable(
                    transmit.destination,
                    "the socket that was chosen is closed",
                )),
            };
        }
        let may = |outlet: &&Outlet| {
            let local = outlet.local.ip();
            let free = local.is_unspecified() || local.is_multicast();
            outlet.local.is_ipv4() == ipv4
                && (free || transmit.source.is_none_or(|source| source == local))
                && transmit
                    .source_port
                    .is_none_or(|port| port == outlet.local.port())
        };
        if let [Some(outlet)] = self.sockets.as_slice()
            && may(&outlet)
        {
            return Ok(outlet);
        }
        self.sockets.iter().flatten().find(may).ok_or_else(|| {
            Error::unsuitable(
                transmit.destination,
                "no socket that was opened can send to it; open one of the same version of IP",
            )
        })
    }

    /// How it is sent: what was named for listening holds for sending too, so that a trial on
    /// loopback never leaks to the network.
    fn way<P>(&self, outlet: &Outlet, transmit: &Transmit<P>) -> Result<Transmit<()>, Error> {
        let mut way = transmit.with(());
        if way.interface.is_some() || (self.named.is_empty() && self.only.is_none()) {
            return Ok(way);
        }
        let to = transmit.destination.ip();
        let of_group = self.named.iter().find(|(group, _)| *group == to);
        let named = match of_group.map(|(_, interfaces)| interfaces.as_slice()) {
            Some([one]) => one,
            Some(several) => {
                let names: Vec<&str> = several.iter().map(|named| named.name.as_str()).collect();
                return Err(Error::Ambiguous {
                    group: to,
                    interfaces: names.join(", "),
                });
            }
            None => match &self.only {
                Some(only) => only,
                None => return Ok(way),
            },
        };
        if named.index.is_none() {
            return Err(Error::from(
                manycast_net::Error::from_errno(
                    Operation::Send,
                    format!("{to} by {}", named.name),
                    manycast_net::errno::ENETDOWN,
                )
                .explained(
                    format!("{} is down or not there", named.name),
                    format!("bring it up with 'ip link set {} up'", named.name),
                ),
            ));
        }
        // The socket may have been set up for it already.
        if !(to.is_multicast() && outlet.socket.multicast_interface() == named.index) {
            by_interface(&mut way, named);
        }
        Ok(way)
    }
}

/// Sends by an interface.
fn by_interface<P>(transmit: &mut Transmit<P>, named: &Named) {
    transmit.interface = named.index;
    if named.loopback && transmit.source.is_none() && transmit.destination.is_ipv4() {
        // The address of the loopback interface has the scope of the host alone, so the kernel
        // would pass over it and send from another interface's.
        transmit.source = Some(Ipv4Addr::LOCALHOST.into());
    }
}

fn send_one<P: AsRef<[u8]>>(
    outlet: &Outlet,
    transmit: &Transmit<P>,
    wait: bool,
) -> Result<usize, Error> {
    let one = std::slice::from_ref(transmit);
    Ok(if wait {
        outlet.socket.send_batch(one)?
    } else {
        outlet.socket.try_send_batch(one)?
    })
}

/// Whether it failed for want of a route to a group, which an interface can stand in for.
fn needs_egress<P>(error: &manycast_net::Error, transmit: &Transmit<P>) -> bool {
    error.operation() == Operation::Send
        && error.kind() == ErrorKind::NetworkUnreachable
        && transmit.destination.ip().is_multicast()
        && transmit.interface.is_none()
}
