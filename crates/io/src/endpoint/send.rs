//! Sending, each datagram by the socket that fits it.

use std::net::SocketAddr;

use manycast_net::{ErrorKind, Operation, Socket};
use manycast_types::Transmit;

use super::{Endpoint, Port};
use crate::{Error, way};

impl Endpoint {
    /// Sends `transmits` in order, each by the socket that fits it, and says how many went: all, or
    /// those before the first that failed.
    ///
    /// With `wait`, a full send buffer is waited for; without, it ends the call.
    pub fn send<P: AsRef<[u8]>>(
        &self,
        transmits: &[Transmit<P>],
        wait: bool,
    ) -> Result<usize, Error> {
        let mut sent = 0;
        while let Some(next) = transmits.get(sent) {
            let port = self.port_for(next)?;
            let alike = 1 + transmits[sent + 1..]
                .iter()
                .take_while(|other| self.port_for(other).is_ok_and(|found| same(found, port)))
                .count();
            let run = &transmits[sent..sent + alike];
            let send = |run| {
                if wait {
                    port.socket.send_batch(run)
                } else {
                    port.socket.try_send_batch(run)
                }
            };
            let result = match send(run) {
                Err(error) if needs_egress(&error, next) => {
                    let Some(interface) = way::egress(next.destination.ip())? else {
                        return Err(error.into());
                    };
                    port.socket.set_multicast_interface(Some(interface.index))?;
                    let to = next.destination.ip();
                    send(run).map_err(|error| way::no_route(error, to, Some(&interface)))
                }
                result => result,
            };
            match result {
                Ok(0) => break,
                Ok(count) => sent += count,
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sent)
    }

    /// The socket to send by: of the right version of IP, and where a source is asked for, one that
    /// is bound to it or to any address.
    fn port_for<P>(&self, transmit: &Transmit<P>) -> Result<&Port, Error> {
        let ipv4 = transmit.destination.is_ipv4();
        let may = |port: &&Port| {
            let local = port.local.ip();
            let free = local.is_unspecified() || local.is_multicast();
            port.local.is_ipv4() == ipv4
                && (free || transmit.source.is_none_or(|source| source == local))
        };
        if let [Some(port)] = self.ports.as_slice()
            && may(&port)
        {
            return Ok(port);
        }
        self.ports().find(may).ok_or_else(|| {
            Error::unsuitable(
                transmit.destination,
                "no socket that was opened can send to it; open one of the same version of IP",
            )
        })
    }

    /// The socket by which something to `destination` would be sent.
    pub(crate) fn socket_for(&self, destination: SocketAddr) -> Result<&Socket, Error> {
        self.port_for(&Transmit::new(destination, ()))
            .map(|port| &port.socket)
    }
}

fn same(a: &Port, b: &Port) -> bool {
    std::ptr::eq(a, b)
}

/// Whether it failed for want of a route to a group, which an interface can stand in for.
fn needs_egress<P>(error: &manycast_net::Error, transmit: &Transmit<P>) -> bool {
    error.operation() == Operation::Send
        && error.kind() == ErrorKind::NetworkUnreachable
        && transmit.destination.ip().is_multicast()
        && transmit.interface.is_none()
}
