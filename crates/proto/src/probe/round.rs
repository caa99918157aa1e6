//! The datagrams of one round, sent one after another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use manycast_types::{NetworkError, SocketId, Transmit};

use crate::{NetworkEvent, Request};

/// The time between two datagrams of a round, so that no queue between the hosts decides the outcome.
pub(super) const PACE: Duration = Duration::from_millis(2);

/// The least time between two, where the host is late. Of those that are handed out at once a driver
/// makes one buffer (UDP_SEGMENT of udp(7)), and the counters of the hosts take it for one packet.
const GAP: Duration = Duration::from_micros(500);

/// A round that is being sent: where to and how, and how far it is.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    like: Transmit<()>,
    count: u8,
    sent: u8,
    /// When the first datagram was due; `None` until its socket is open.
    began: Option<Instant>,
    /// When the last one was handed out.
    last: Option<Instant>,
    own: Own,
    /// Why the first of those that were not sent was not.
    error: Option<NetworkError>,
}

/// How it stands with a socket that is opened for the round alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    NotNeeded,
    Requested { tag: u64 },
    Open(SocketId),
    NotOpened,
}

/// What a round wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send the datagram of this number in this manner.
    Send(u8, Transmit<()>),
    /// Wait until then, or for the socket.
    Wait(Option<Instant>),
    /// All were sent, and the driver has had time to tell of those that were not.
    Done,
}

impl Sending {
    /// So many datagrams by a socket that is there already.
    pub(super) const fn by_socket(like: Transmit<()>, count: u8, now: Instant) -> Self {
        Self {
            like,
            count,
            sent: 0,
            began: Some(now),
            last: None,
            own: Own::NotNeeded,
            error: None,
        }
    }

    /// So many datagrams by a socket of their own, as another program of this host would send them,
    /// and the request for that socket.
    pub(super) fn by_own_socket(like: Transmit<()>, count: u8, tag: u64) -> (Self, Request) {
        let any: IpAddr = match like.destination {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let local = SocketAddr::new(like.source.unwrap_or(any), 0).into();
        let sending = Self {
            like,
            count,
            sent: 0,
            began: None,
            last: None,
            own: Own::Requested { tag },
            error: None,
        };
        (sending, Request::Open { tag, local })
    }

    /// Takes in what concerns it, and says whether that was so.
    pub(super) fn handle_network(&mut self, now: Instant, event: &NetworkEvent) -> bool {
        match (event, self.own) {
            (NetworkEvent::Opened { tag, socket, .. }, Own::Requested { tag: own })
                if *tag == own =>
            {
                self.own = Own::Open(*socket);
                self.like.socket = Some(*socket);
                self.began = Some(now);
                true
            }
            (NetworkEvent::NotOpened { tag, error }, Own::Requested { tag: own })
                if *tag == own =>
            {
                self.own = Own::NotOpened;
                self.error = Some(error.clone());
                true
            }
            (
                NetworkEvent::NotSent {
                    destination, error, ..
                },
                _,
            ) if *destination == self.like.destination => {
                self.error.get_or_insert_with(|| error.clone());
                true
            }
            _ => false,
        }
    }

    /// What is to be done now. A host that is short of time makes up for what it is late, so that
    /// nobody waits for it in vain.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        if self.own == Own::NotOpened {
            return Step::Done;
        }
        let Some(began) = self.began else {
            return Step::Wait(None);
        };
        let due = began.checked_add(PACE * u32::from(self.sent));
        let free = self.last.and_then(|last| last.checked_add(GAP));
        match due.max(free) {
            Some(due) if due > now => Step::Wait(Some(due)),
            _ if self.sent < self.count => {
                self.last = Some(now);
                self.sent += 1;
                Step::Send(self.sent - 1, self.like)
            }
            _ => Step::Done,
        }
    }

    /// The request that closes its own socket, if it has one.
    pub(super) const fn close(&self) -> Option<Request> {
        match self.own {
            Own::Open(socket) => Some(Request::Close { socket }),
            _ => None,
        }
    }

    /// Why some were not sent, if so.
    pub(super) fn into_error(self) -> Option<NetworkError> {
        self.error
    }
}

#[cfg(test)]
mod tests {
    use manycast_types::ErrorKind;

    use super::*;

    /// Somewhere in time: a protocol needs an instant to begin with, and no other.
    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    fn group() -> Transmit<()> {
        Transmit::new(([239, 1, 2, 3], 5000).into(), ())
    }

    #[test]
    fn datagrams_keep_their_distance_and_lateness_is_made_up_for() {
        let now = start();
        let mut sending = Sending::by_socket(group(), 4, now);
        assert_eq!(sending.step(now), Step::Send(0, group()));
        assert_eq!(sending.step(now), Step::Wait(Some(now + PACE)));
        let late = now + PACE * 2;
        assert_eq!(sending.step(late), Step::Send(1, group()));
        assert_eq!(
            sending.step(late),
            Step::Wait(Some(late + GAP)),
            "not as one buffer"
        );
        assert_eq!(sending.step(late + GAP), Step::Send(2, group()));
        assert_eq!(sending.step(late + GAP), Step::Wait(Some(now + PACE * 3)));
        assert_eq!(sending.step(now + PACE * 3), Step::Send(3, group()));
        // The driver tells within this time what it could not send.
        assert_eq!(
            sending.step(now + PACE * 3),
            Step::Wait(Some(now + PACE * 4))
        );
        assert_eq!(sending.step(now + PACE * 4), Step::Done);
    }

    #[test]
    fn a_socket_of_its_own_is_waited_for_used_and_closed() {
        let now = start();
        let mut like = group();
        like.source = Some([10, 0, 0, 7].into());
        let (mut sending, request) = Sending::by_own_socket(like, 1, 8);
        let local = "10.0.0.7:0".parse().unwrap();
        assert_eq!(request, Request::Open { tag: 8, local });
        assert_eq!(sending.step(now), Step::Wait(None));
        let opened = |tag| NetworkEvent::Opened {
            tag,
            socket: SocketId::new(3),
            local: ([10, 0, 0, 7], 50_000).into(),
        };
        assert!(!sending.handle_network(now, &opened(7)));
        assert!(sending.handle_network(now, &opened(8)));
        let Step::Send(0, like) = sending.step(now) else {
            panic!("its time has come");
        };
        let socket = SocketId::new(3);
        assert_eq!(like.socket, Some(socket));
        assert_eq!(sending.close(), Some(Request::Close { socket }));
    }

    #[test]
    fn what_could_not_be_sent_is_told_and_a_socket_that_is_not_there_ends_it() {
        let now = start();
        let error = |text: &str| NetworkError::new(ErrorKind::PermissionDenied, text);
        let not_sent = |destination, text| NetworkEvent::NotSent {
            destination,
            count: 1,
            error: error(text),
        };
        let mut sending = Sending::by_socket(group(), 2, now);
        assert!(!sending.handle_network(now, &not_sent(([10, 0, 0, 1], 1).into(), "another's")));
        for text in ["first", "second"] {
            assert!(sending.handle_network(now, &not_sent(group().destination, text)));
        }
        assert_eq!(sending.into_error(), Some(error("first")));

        let (mut sending, _) = Sending::by_own_socket(group(), 2, 1);
        let refused = NetworkEvent::NotOpened {
            tag: 1,
            error: error("not opened"),
        };
        assert!(sending.handle_network(now, &refused));
        assert_eq!((sending.step(now), sending.close()), (Step::Done, None));
        assert_eq!(sending.into_error(), Some(error("not opened")));
    }
}
