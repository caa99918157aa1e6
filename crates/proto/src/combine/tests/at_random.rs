//! Whatever two protocols ask for, in whatever order.

use manycast_types::{
    ErrorKind, Group, InterfaceId, InterfaceSelector, Membership, NetworkError, SourceFilter,
    Transmit,
};
use proptest::prelude::*;

use super::super::*;
use super::{datagram, eth0, not_sent, start};

/// One that asks for sockets and groups at random, and fails if it is told what is not meant for it.
#[derive(Debug, Default)]
struct Careful {
    /// The address that it opens sockets on, which is its own.
    local: u8,
    outputs: VecDeque<Output<()>>,
    sockets: Vec<SocketId>,
    wanted: Vec<(Group, u16)>,
    /// What it was told that is joined and not left.
    joined: Vec<Membership>,
    sent_to: Vec<SocketAddr>,
    unsent: usize,
}

impl Careful {
    fn wants(&self, membership: &Membership) -> bool {
        self.wanted.iter().any(|it| covers(it, membership))
    }
}

/// Whether a membership is one of a group that was joined.
fn covers((group, port): &(Group, u16), membership: &Membership) -> bool {
    let is_there = match &group.interface {
        Some(InterfaceSelector::Name(name)) => **name == *membership.interface.name,
        Some(InterfaceSelector::Index(index)) => *index == membership.interface.index,
        _ => true,
    };
    membership.group == (group.address, *port).into() && is_there
}

/// The groups that are left: on all interfaces unless one is named.
fn leave(wanted: &mut Vec<(Group, u16)>, group: &Group, port: u16) {
    wanted.retain(|(it, at)| {
        let is_there = group.interface.is_none() || it.interface == group.interface;
        (it.address, *at) != (group.address, port) || !is_there
    });
}

fn join(wanted: &mut Vec<(Group, u16)>, group: Group, port: u16) {
    wanted.retain(|(it, at)| {
        (it.address, &it.interface, *at) != (group.address, &group.interface, port)
    });
    wanted.push((group, port));
}

impl Protocol for Careful {
    type Event = ();

    fn handle_datagram(&mut self, _now: Instant, datagram: Received<'_>) {
        let is_own = self.sockets.contains(&datagram.socket);
        let is_claimed = datagram.payload == [self.local];
        assert!(is_own || is_claimed, "{datagram:?} is not for {self:?}");
    }

    fn handle_network(&mut self, _now: Instant, event: NetworkEvent) {
        match event {
            NetworkEvent::Opened { socket, local, .. } => {
                assert_eq!(local.port(), self.local.into(), "it is the other one's");
                self.sockets.push(socket);
            }
            NetworkEvent::NotOpened { error, .. } => {
                assert_eq!(error.message, self.local.to_string());
            }
            NetworkEvent::Joined(it) => {
                assert!(self.wants(&it), "{it}");
                self.joined
                    .retain(|other| (other.group, &other.interface) != (it.group, &it.interface));
                self.joined.push(it);
            }
            NetworkEvent::Left(it) => {
                let index = self
                    .joined
                    .iter()
                    .position(|other| (other.group, &other.interface) == (it.group, &it.interface));
                self.joined
                    .swap_remove(index.expect("it was told that it is joined"));
            }
            NetworkEvent::NotSent { destination, .. } => {
                assert!(self.sent_to.contains(&destination), "it has not sent there");
                self.unsent += 1;
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        let output = self.outputs.pop_front();
        match &output {
            Some(Output::Transmit(transmit)) => self.sent_to.push(transmit.destination),
            Some(Output::Request(Request::Close { socket })) => {
                self.sockets.retain(|it| it != socket);
            }
            Some(Output::Request(Request::Join { group, port })) => {
                join(&mut self.wanted, group.clone(), *port);
            }
            Some(Output::Request(Request::Leave { group, port })) => {
                leave(&mut self.wanted, group, *port);
            }
            _ => {}
        }
        output.unwrap_or(Output::Wait {
            until: None,
            reason: "more to do",
        })
    }
}

/// A host that does what is requested, as the driver does it.
#[derive(Default)]
struct Kernel {
    sockets: u64,
    wanted: Vec<(Group, u16)>,
    joined: Vec<Membership>,
    /// Datagrams that it has taken and not sent yet.
    outgoing: Vec<Transmit>,
}

impl Kernel {
    /// Joins and leaves what follows from what is wanted, and gives what it has left.
    fn reconcile(&mut self) -> Vec<Membership> {
        let mut goal: Vec<Membership> = Vec::new();
        for wanted in &self.wanted {
            for interface in [eth0(), InterfaceId::new(3, "eth1")] {
                let group = (wanted.0.address, wanted.1).into();
                let membership = Membership::new(group, interface, SourceFilter::any());
                if covers(wanted, &membership) && !goal.contains(&membership) {
                    goal.push(membership);
                }
            }
        }
        let mut left = std::mem::replace(&mut self.joined, goal);
        left.retain(|it| !self.joined.contains(it));
        left
    }

    fn answer(&mut self, request: Request, grants: bool) -> Vec<NetworkEvent> {
        match request {
            Request::Open { tag, local } if grants => (0..=tag % 2)
                .map(|_| {
                    self.sockets += 1;
                    NetworkEvent::Opened {
                        tag,
                        socket: SocketId::new(self.sockets),
                        local: ([10, 0, 0, 1], local.port()).into(),
                    }
                })
                .collect(),
            Request::Open { tag, local } => {
                let error = NetworkError::new(ErrorKind::Other, local.port().to_string());
                vec![NetworkEvent::NotOpened { tag, error }]
            }
            Request::Join { group, port } => {
                let address = SocketAddr::new(group.address, port);
                join(&mut self.wanted, group, port);
                self.reconcile();
                let joined = self.joined.iter().filter(|it| it.group == address);
                joined.cloned().map(NetworkEvent::Joined).collect()
            }
            Request::Leave { group, port } => {
                leave(&mut self.wanted, &group, port);
                self.reconcile()
                    .into_iter()
                    .map(NetworkEvent::Left)
                    .collect()
            }
            Request::Close { .. } => Vec::new(),
        }
    }
}

type Two<C> = Combined<Careful, Careful, C>;

/// Sends what was taken, or fails to send one of it.
fn flush<C>(both: &mut Two<C>, kernel: &mut Kernel, refused: Option<usize>)
where
    C: FnMut(&Received<'_>) -> bool,
{
    let outgoing = std::mem::take(&mut kernel.outgoing);
    if let Some(refused) = refused.and_then(|index| outgoing.get(index)) {
        let unsent = |both: &Two<C>| [both.first.unsent, both.second.unsent];
        let before = unsent(both);
        both.handle_network(start(), not_sent(refused.destination));
        let sender = usize::from(refused.payload[0]) - 1;
        assert!(unsent(both)[sender] > before[sender], "its sender is told");
    }
}

proptest! {
    /// Whatever two ask for, and in whatever order, neither is told what is the other's, and a group
    /// is joined exactly while one of them wants it.
    #[test]
    fn neither_is_told_what_is_the_others(script in prop::collection::vec(any::<[u8; 3]>(), 0..300)) {
        let (now, interface) = (start(), eth0());
        let careful = |local| Careful { local, ..Careful::default() };
        let mut both = Combined::new(careful(1), careful(2), |datagram: &Received<'_>| {
            datagram.payload == [1]
        });
        let mut kernel = Kernel::default();
        for [what, which, detail] in script {
            let one = if which % 2 == 0 { &mut both.first } else { &mut both.second };
            let local = one.local;
            let group = Group {
                interface: match detail / 3 % 4 {
                    0 | 1 => None,
                    2 => Some(InterfaceSelector::Name("eth0".into())),
                    _ => Some(InterfaceSelector::Name("eth1".into())),
                },
                ..Group::new([239, 1, 1, detail % 3].into())
            };
            let request = match what % 8 {
                0 => Request::Open {
                    tag: (detail % 2).into(),
                    local: format!("10.0.0.1:{local}").parse().unwrap(),
                },
                1 => match one.sockets.last().copied() {
                    Some(socket) => Request::Close { socket },
                    None => continue,
                },
                2 => Request::Join { group, port: 5000 },
                3 => Request::Leave { group, port: 5000 },
                4 => {
                    let to = ([10, 0, 0, detail % 3], 1).into();
                    one.outputs.push_back(Output::Transmit(Transmit::new(to, vec![local].into())));
                    continue;
                }
                5 => {
                    let payload = [1 + detail % 2];
                    let socket = u64::from(which) % (kernel.sockets + 1);
                    both.handle_datagram(now, datagram(&payload, socket, &interface));
                    continue;
                }
                _ => {
                    match both.poll_output(now) {
                        Output::Request(request) => {
                            flush(&mut both, &mut kernel, None);
                            for answer in kernel.answer(request, detail % 4 > 0) {
                                both.handle_network(now, answer);
                            }
                        }
                        Output::Transmit(sent) => {
                            kernel.outgoing.push(sent);
                            match detail % 4 {
                                0 => flush(&mut both, &mut kernel, None),
                                1 => flush(&mut both, &mut kernel, Some(usize::from(which) % 4)),
                                _ => {}
                            }
                        }
                        _ => flush(&mut both, &mut kernel, Some(usize::from(which))),
                    }
                    continue;
                }
            };
            one.outputs.push_back(Output::Request(request));
        }
        loop {
            match both.poll_output(now) {
                Output::Request(request) => {
                    for answer in kernel.answer(request, true) {
                        both.handle_network(now, answer);
                    }
                }
                Output::Wait { .. } => break,
                _ => {}
            }
        }
        // Each is told of all that is joined and that it wants, and of nothing else.
        for one in [&both.first, &both.second] {
            for it in &kernel.joined {
                prop_assert_eq!(one.wants(it), one.joined.contains(it), "{}", it);
            }
            prop_assert!(one.joined.iter().all(|it| kernel.joined.contains(it)));
            for wanted in &one.wanted {
                prop_assert!(kernel.joined.iter().any(|it| covers(wanted, it)));
            }
        }
        // Nothing stays that has no interface in common with what one of them wants.
        for wish in &kernel.wanted {
            let in_common = |it: &Membership| covers(wish, it) && (both.first.wants(it) || both.second.wants(it));
            prop_assert!(kernel.joined.iter().any(in_common), "{:?}", wish);
        }
    }
}
