//! What clients want sent, one after another.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use manycast_types::{NetworkError, Transmit};

use super::super::Key;
use super::super::message::{Body, Message};
use super::super::round::{Sending, Step};
use crate::{NetworkEvent, Request};

/// Datagrams that a client wants sent.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) client: SocketAddr,
    /// The request.
    pub(super) message: Message,
    pub(super) count: u8,
    pub(super) size: u16,
    /// Where to and how; to a group by a socket of its own.
    pub(super) like: Transmit<()>,
}

/// The orders of all clients, at most one of each. The first is being sent.
#[derive(Debug, Default)]
pub(super) struct Orders {
    queue: VecDeque<Order>,
    sending: Option<Sending>,
    /// The tag of the last socket that was requested.
    tag: u64,
}

/// What is to be done for the first order.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is but one at a time")]
pub(super) enum Next {
    Request(Request),
    Transmit(Transmit),
    /// It is done: close its socket, if it had one, and tell the client and whoever runs the server.
    Sent(Order, Option<Request>, Option<NetworkError>),
    /// Wait until then.
    Wait(Option<Instant>),
}

impl Orders {
    pub(super) fn push(&mut self, order: Order) {
        self.queue.push_back(order);
    }

    /// Forgets what a session wanted sent: it has gone, or wants something else. If its socket is
    /// open, it is to be closed by the request that is given.
    pub(super) fn cancel(&mut self, cookie: [u8; 16]) -> Option<Request> {
        let is_its = |order: &Order| order.message.cookie == cookie;
        let is_begun = self.queue.front().is_some_and(is_its);
        self.queue.retain(|order| !is_its(order));
        let begun = self.sending.take_if(|_| is_begun)?;
        begun.close()
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.sending = None;
    }

    /// Takes in what concerns the first order, and says whether that was so.
    pub(super) fn handle_network(&mut self, now: Instant, event: &NetworkEvent) -> bool {
        let sending = self.sending.as_mut();
        sending.is_some_and(|sending| sending.handle_network(now, event))
    }

    pub(super) fn poll(&mut self, now: Instant, key: Option<&Key>) -> Next {
        let Some(order) = self.queue.front() else {
            return Next::Wait(None);
        };
        let sending = match &mut self.sending {
            Some(sending) => sending,
            none if order.like.destination.ip().is_multicast() => {
                self.tag += 1;
                let (sending, open) = Sending::by_own_socket(order.like, order.count, self.tag);
                *none = Some(sending);
                return Next::Request(open);
            }
            none => none.insert(Sending::by_socket(order.like, order.count, now)),
        };
        match sending.step(now) {
            Step::Send(index, like) => {
                let body = Body::Data {
                    index,
                    from_client: false,
                };
                let message = Message {
                    body,
                    ..order.message.clone()
                };
                Next::Transmit(like.with(message.emit(key, order.size.into())))
            }
            Step::Wait(until) => Next::Wait(until),
            Step::Done => {
                let close = sending.close();
                let error = self.sending.take().and_then(Sending::into_error);
                match self.queue.pop_front() {
                    Some(order) => Next::Sent(order, close, error),
                    None => Next::Wait(None),
                }
            }
        }
    }
}
