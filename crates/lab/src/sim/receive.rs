//! How datagrams are handed to a protocol: one by one, or as runs.

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use manycast_types::{MAX_PAYLOAD, Received, Run, SocketId, needs_zone};

use super::Sim;
use super::agenda::What;
use super::network::{Packet, is_unicast};
use super::node::Node;
use super::topology::Interface;

/// How many datagrams a run has at most, as in Linux (`UDP_GRO_CNT_MAX`).
const MOST: usize = 64;

/// Datagrams that came by one socket from one source to one destination, and wait for more.
#[derive(Debug)]
pub(super) struct Gathered {
    /// Which of all runs it is.
    number: u64,
    first: Rc<Packet>,
    socket: SocketId,
    interface: Interface,
    /// When the first came, since the beginning.
    at: Duration,
    count: usize,
    payloads: Vec<u8>,
    /// Nothing fits any more: the last one is shorter than the others.
    complete: bool,
}

impl Gathered {
    fn admits(&self, socket: SocketId, interface: Interface, packet: &Packet) -> bool {
        let first = &self.first;
        let length = packet.payload.len();
        !self.complete
            && self.count < MOST
            && (self.socket, self.interface) == (socket, interface)
            && (first.source, first.destination) == (packet.source, packet.destination)
            && (first.hops, first.ecn) == (packet.hops, packet.ecn)
            && (1..=first.payload.len()).contains(&length)
            && self.payloads.len() + length <= MAX_PAYLOAD
    }
}

impl Sim {
    /// Brings a packet to an endpoint, at once or with those that follow.
    pub(super) fn deliver(
        &mut self,
        index: usize,
        socket: SocketId,
        interface: Interface,
        packet: &Rc<Packet>,
    ) {
        if !self.endpoints[index].open {
            return;
        }
        self.transit.traffic.delivered += 1;
        let at = self.elapsed();
        let Some(within) = self.merging else {
            let place = (socket, interface, at);
            return self.hand_over(index, place, packet, &packet.payload, |node, now, one| {
                node.handle_datagram(now, one);
            });
        };
        if let Some(gathered) = &mut self.endpoints[index].gathered {
            if gathered.admits(socket, interface, packet) {
                gathered.count += 1;
                gathered.complete = packet.payload.len() < gathered.first.payload.len();
                gathered.payloads.extend_from_slice(&packet.payload);
                return;
            }
            let number = gathered.number;
            self.hand_over_run(index, number);
            if !self.endpoints[index].open {
                return;
            }
        }
        let number = self.transit.traffic.delivered;
        self.endpoints[index].gathered = Some(Gathered {
            number,
            first: Rc::clone(packet),
            socket,
            interface,
            at,
            count: 1,
            payloads: packet.payload.to_vec(),
            complete: false,
        });
        self.transit
            .push(self.transit.now + within, What::Gathered(index, number));
    }

    /// Hands over what an endpoint has gathered, unless that was done before.
    pub(super) fn hand_over_run(&mut self, index: usize, number: u64) {
        let gathered = &mut self.endpoints[index].gathered;
        let Some(run) = gathered.take_if(|gathered| gathered.number == number) else {
            return;
        };
        if run.count > 1 {
            self.transit.traffic.merged += run.count as u64;
        }
        let size = run.first.payload.len();
        let place = (run.socket, run.interface, run.at);
        self.hand_over(index, place, &run.first, &run.payloads, |node, now, all| {
            node.handle_run(now, Run::new(all, size));
        });
    }

    /// Hands over payloads with all that is known of the packet, and does what the protocol makes of
    /// them.
    fn hand_over(
        &mut self,
        index: usize,
        (socket, interface, at): (SocketId, Interface, Duration),
        packet: &Packet,
        payloads: &[u8],
        hand_over: impl FnOnce(&mut dyn Node, Instant, Received<'_>),
    ) {
        let endpoint = &mut self.endpoints[index];
        let host = &self.hosts[endpoint.host.0];
        let id = &host.interfaces[interface.number].id;
        let named = endpoint.replies_by_interface(socket);

        let mut received = Received::new(payloads, packet.source, packet.destination, id);
        received.local = host
            .address_like(packet.destination.ip(), interface.number)
            .filter(|_| is_unicast(packet.destination.ip()));
        received.hops = Some(packet.hops);
        received.time = Some(SystemTime::UNIX_EPOCH + at);
        received.ecn = packet.ecn;
        received.socket = socket;
        let by_interface = named || received.local.is_some_and(needs_zone);
        received.reply_interface = by_interface.then_some(id.index);
        hand_over(&mut *endpoint.node, self.transit.now, received);
        self.drain(index);
    }
}
