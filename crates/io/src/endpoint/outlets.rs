//! Sending, each datagram by the socket that fits it and by the interface that was named.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use manycast_net::{ErrorKind, Operation, Socket};
use manycast_types::{SocketId, Transmit, with_zone};

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
    /// To whom one of the sockets is connected.
    peer: Option<SocketAddr>,
    /// By which interface groups were last sent to where no route leads.
    first: Arc<Mutex<Option<First>>>,
}

/// What stands in for a route.
#[derive(Debug)]
struct First {
    ipv4: bool,
    interface: Named,
    at: Instant,
}

/// How long it stands in before it is looked for anew.
const FIRST: Duration = Duration::from_secs(1);

/// A socket to send by.
#[derive(Clone, Debug)]
pub(super) struct Outlet {
    pub(super) id: SocketId,
    pub(super) local: SocketAddr,
    pub(super) socket: Arc<Socket>,
    /// Whether nobody chose the interface by which it sends to its peer, which is a group: another one
    /// can stand in for it.
    pub(super) by_any: bool,
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
        peer: Option<SocketAddr>,
    ) -> Self {
        Self {
            sockets,
            named,
            only,
            peer,
            first: Arc::default(),
        }
    }

    /// The peer, with the zone that it has now.
    pub(crate) const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Puts a socket in the place of a port, or takes it from there.
    pub(super) fn set(&mut self, slot: usize, outlet: Option<Outlet>) {
        if slot >= self.sockets.len() {
            self.sockets.resize(slot + 1, None);
        }
        self.sockets[slot] = outlet;
    }

    /// Sends `transmits` in order, each by the socket that fits it, and says how many datagrams went:
    /// all, or those before the first that failed.
    ///
    /// With `wait`, a full send buffer is waited for; without, it ends the call.
    pub(crate) fn send<P: AsRef<[u8]>>(
        &self,
        transmits: &[Transmit<P>],
        wait: bool,
    ) -> Result<usize, Error> {
        let (mut sent, mut left) = (0, transmits);
        while let Some(next) = left.first() {
            let (result, all) = if next.segment_size.is_some() {
                (self.send_segments(next, wait), next.count())
            } else {
                (self.send_alike(left, wait), 1)
            };
            match result {
                Ok(count) => {
                    sent += count;
                    if count < all {
                        break;
                    }
                    left = &left[count / all..];
                }
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
        let run = &transmits[..alike];
        if let Some(named) = self.named_for(outlet, first)? {
            let same = run.iter().take_while(|other| {
                self.named_for(outlet, other)
                    .is_ok_and(|found| found == Some(named))
            });
            return send_by(outlet, &run[..same.count()], named, wait);
        }
        let plain = run
            .iter()
            .take_while(|other| matches!(self.named_for(outlet, other), Ok(None)))
            .count();
        let run = &run[..plain];
        let result = if wait {
            outlet.socket.send_batch(run)
        } else {
            outlet.socket.try_send_batch(run)
        };
        match result {
            Err(error) if needs_egress(&error, outlet, first) => {
                let same = run.iter().take_while(|other| other.is_like(first)).count();
                let by = self.first_that_can(first)?;
                send_by(outlet, &run[..same], &by, wait).inspect_err(|_| self.forget_first())
            }
            result => Ok(result?),
        }
    }

    /// The first interface that can send to a group where no route leads. It is looked for once a
    /// second at most.
    fn first_that_can<P>(&self, transmit: &Transmit<P>) -> Result<Named, Error> {
        let to = transmit.destination.ip();
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = first.as_ref()
            && known.ipv4 == to.is_ipv4()
            && known.at.elapsed() < FIRST
        {
            return Ok(known.interface.clone());
        }
        let Some(found) = egress::egress(to, transmit.source)? else {
            return Err(egress::nowhere(to));
        };
        let interface = Named {
            name: found.name.to_string(),
            index: Some(found.index),
            loopback: found.loopback,
        };
        *first = Some(First {
            ipv4: to.is_ipv4(),
            interface: interface.clone(),
            at: Instant::now(),
        });
        Ok(interface)
    }

    fn forget_first(&self) {
        *self.first.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Sends the datagrams of one [`Transmit`], and says how many went.
    pub(crate) fn send_segments<P: AsRef<[u8]>>(
        &self,
        transmit: &Transmit<P>,
        wait: bool,
    ) -> Result<usize, Error> {
        let outlet = self.outlet(transmit)?;
        if let Some(named) = self.named_for(outlet, transmit)? {
            return send_segments_by(outlet, transmit, named, wait);
        }
        match outlet.socket.send_segments(transmit, wait) {
            Err(error) if needs_egress(&error, outlet, transmit) => {
                let by = self.first_that_can(transmit)?;
                send_segments_by(outlet, transmit, &by, wait).inspect_err(|_| self.forget_first())
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

    /// The socket by which this would be sent.
    pub(crate) fn socket_for<P>(&self, transmit: &Transmit<P>) -> Result<&Arc<Socket>, Error> {
        Ok(&self.outlet(transmit)?.socket)
    }

    /// The interface that was named for listening, where it must be named to the kernel for sending
    /// too: so a trial on loopback never leaks to the network.
    fn named_for<P>(
        &self,
        outlet: &Outlet,
        transmit: &Transmit<P>,
    ) -> Result<Option<&Named>, Error> {
        if transmit.interface.is_some() || (self.named.is_empty() && self.only.is_none()) {
            return Ok(None);
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
                None => return Ok(None),
            },
        };
        if named.index.is_none() {
            let target = format!("{to} by {}", named.name);
            let error = manycast_net::Error::from_errno(
                Operation::Send,
                target,
                manycast_net::errno::ENETDOWN,
            );
            let cause = format!("{} is down or not there", named.name);
            let remedy = format!("bring it up with 'ip link set {} up'", named.name);
            return Err(error.explained(cause, remedy).into());
        }
        // The socket may have been set up for it already.
        let is_set = to.is_multicast() && outlet.socket.multicast_interface() == named.index;
        Ok((!is_set).then_some(named))
    }
}

impl Named {
    /// The address to send from by it, where the kernel would choose a wrong one: that of the
    /// loopback interface has the scope of the host alone, so it would be passed over.
    fn source(&self, destination: SocketAddr) -> Option<IpAddr> {
        (self.loopback && destination.is_ipv4()).then_some(Ipv4Addr::LOCALHOST.into())
    }

    fn explain(&self, error: manycast_net::Error, to: SocketAddr) -> Error {
        egress::no_route(error, to.ip(), &self.name, self.loopback).into()
    }
}

/// Sends datagrams to the same version of IP by an interface that they do not name.
fn send_by<P: AsRef<[u8]>>(
    outlet: &Outlet,
    transmits: &[Transmit<P>],
    named: &Named,
    wait: bool,
) -> Result<usize, Error> {
    let (Some(first), Some(index)) = (transmits.first(), named.index) else {
        return Ok(0);
    };
    let source = named.source(first.destination);
    let sent = outlet.socket.send_batch_by(index, source, transmits, wait);
    sent.map_err(|error| named.explain(error, first.destination))
}

/// The same of the datagrams of one [`Transmit`].
fn send_segments_by<P: AsRef<[u8]>>(
    outlet: &Outlet,
    transmit: &Transmit<P>,
    named: &Named,
    wait: bool,
) -> Result<usize, Error> {
    let (to, Some(index)) = (transmit.destination, named.index) else {
        return Ok(0);
    };
    let source = named.source(to);
    let sent = outlet
        .socket
        .send_segments_by(index, source, transmit, wait);
    sent.map_err(|error| named.explain(error, to))
}

/// Whether it failed for want of a route to a group, which an interface can stand in for: not where
/// one was chosen, be it for this socket, since what is meant for that leaves by no other.
fn needs_egress<P>(error: &manycast_net::Error, outlet: &Outlet, transmit: &Transmit<P>) -> bool {
    let to = transmit.destination;
    error.operation() == Operation::Send
        && error.kind() == ErrorKind::NetworkUnreachable
        && to.ip().is_multicast()
        && if outlet.by_any {
            // An address with a zone has bound the socket to it, and the kernel lets no other stand in.
            transmit.interface.is_none() && with_zone(to, 0) == to
        } else {
            outlet.socket.interface_to(to, transmit.interface).is_none()
        }
}
