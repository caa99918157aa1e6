use std::time::Duration;

use manycast_types::{
    ErrorKind, Group, InterfaceId, Membership, NetworkError, SourceFilter, Transmit,
};
use proptest::prelude::*;

use super::*;

const GROUP: ([u8; 4], u16) = ([239, 1, 2, 3], 5000);
const PEER: ([u8; 4], u16) = ([10, 0, 0, 5], 40_000);

/// Says what it is given to say, and keeps what it is told.
#[derive(Debug, Default)]
struct Scripted {
    outputs: VecDeque<Output<u8>>,
    told: Vec<NetworkEvent>,
    received: Vec<Vec<u8>>,
    runs: usize,
    greedy: bool,
    finished: bool,
    calls: [usize; 2],
}

impl Scripted {
    fn open(&mut self, tag: u64, local: &str) {
        let local = local.parse().unwrap();
        self.outputs
            .push_back(Output::Request(Request::Open { tag, local }));
    }

    fn join(&mut self, group: Group) {
        let port = GROUP.1;
        self.outputs
            .push_back(Output::Request(Request::Join { group, port }));
    }

    fn leave(&mut self) {
        let (group, port) = (Group::new(GROUP.0.into()), GROUP.1);
        self.outputs
            .push_back(Output::Request(Request::Leave { group, port }));
    }

    fn told(&mut self) -> Vec<NetworkEvent> {
        std::mem::take(&mut self.told)
    }
}

impl Protocol for Scripted {
    type Event = u8;

    fn start(&mut self, _now: Instant) {
        self.calls[0] += 1;
    }

    fn stop(&mut self, _now: Instant) {
        self.calls[1] += 1;
        self.finished = true;
        self.greedy = false;
    }

    fn handle_datagram(&mut self, _now: Instant, datagram: Received<'_>) {
        self.received.push(datagram.payload.to_vec());
    }

    fn handle_run(&mut self, now: Instant, run: Run<'_>) {
        self.runs += 1;
        run.datagrams().for_each(|it| self.handle_datagram(now, it));
    }

    fn handle_network(&mut self, _now: Instant, event: NetworkEvent) {
        self.told.push(event);
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<u8> {
        match self.outputs.pop_front() {
            Some(output) => output,
            None if self.greedy => transmit(PEER.into()),
            None if self.finished => Output::Finished,
            None => Output::Wait {
                until: None,
                reason: "its script",
            },
        }
    }
}

fn transmit<E>(to: SocketAddr) -> Output<E> {
    Output::Transmit(Transmit::new(to, "data".into()))
}

type Both = Combined<Scripted, Scripted, fn(&Received<'_>) -> bool>;

fn both() -> Both {
    Combined::new(Scripted::default(), Scripted::default(), |datagram| {
        datagram.payload.first().is_some_and(|byte| *byte < 4)
    })
}

/// Somewhere in time: a protocol needs an instant to begin with, and no other.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn eth0() -> InterfaceId {
    InterfaceId::new(2, "eth0")
}

fn datagram<'a>(payload: &'a [u8], socket: u64, interface: &'a InterfaceId) -> Received<'a> {
    let mut received = Received::new(
        payload,
        PEER.into(),
        ([10, 0, 0, 1], 5000).into(),
        interface,
    );
    received.socket = SocketId::new(socket);
    received
}

fn opened(tag: u64, socket: u64) -> NetworkEvent {
    NetworkEvent::Opened {
        tag,
        socket: SocketId::new(socket),
        local: ([10, 0, 0, 1], 50_000).into(),
    }
}

fn membership(interface: InterfaceId) -> Membership {
    Membership::new(GROUP.into(), interface, SourceFilter::any())
}

fn not_sent(to: SocketAddr) -> NetworkEvent {
    NetworkEvent::NotSent {
        destination: to,
        count: 1,
        error: NetworkError::new(ErrorKind::NetworkUnreachable, "no route"),
    }
}

/// The next request, past what is to be sent.
fn request(both: &mut Both) -> Request {
    for _ in 0..3 {
        match both.poll_output(start()) {
            Output::Request(request) => return request,
            Output::Transmit(_) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("there is none");
}

fn assert_waits(both: &mut Both) {
    let output = both.poll_output(start());
    assert!(matches!(output, Output::Wait { .. }), "{output:?}");
}

#[test]
fn a_datagram_goes_to_the_one_that_claims_it_or_that_has_opened_the_socket() {
    let (now, interface) = (start(), eth0());
    let mut both = both();
    both.handle_datagram(now, datagram(&[1, 9], 0, &interface));
    both.handle_datagram(now, datagram(&[9, 9], 0, &interface));
    both.second.open(7, "10.0.0.1:0");
    request(&mut both);
    both.handle_network(now, opened(7, 5));
    both.handle_datagram(now, datagram(&[1, 1], 5, &interface));
    assert_eq!(both.first.received, [[1, 9]]);
    assert_eq!(both.second.received, [[9, 9], [1, 1]]);
}

#[test]
fn a_run_is_handed_on_whole_where_it_is_of_one_and_else_divided() {
    let (now, interface) = (start(), eth0());
    let mut both = both();
    both.handle_run(now, Run::new(datagram(&[1, 1, 2, 2, 3], 0, &interface), 2));
    assert_eq!((both.first.runs, both.first.received.len()), (1, 3));
    both.handle_run(now, Run::new(datagram(&[1, 1, 9, 9, 3], 0, &interface), 2));
    assert_eq!((both.first.runs, both.second.runs), (1, 0));
    assert_eq!(both.first.received[3..], [vec![1, 1], vec![3]]);
    assert_eq!(both.second.received, [[9, 9]]);
}

#[test]
fn two_that_always_have_something_to_send_alternate_and_events_bear_a_name() {
    let mut both = both();
    (both.first.greedy, both.second.greedy) = (true, true);
    both.second.outputs.push_back(Output::Event(4));
    let outputs: Vec<_> = (0..6).map(|_| both.poll_output(start())).collect();
    assert_eq!(outputs[1], Output::Event(Either::Second(4)));
    // What came before the event is sent by now.
    let whose: Vec<Which> = both.latest.iter().map(|(_, which)| *which).collect();
    let [first, second] = Which::BOTH;
    assert_eq!(whose, [first, second, first, second]);
}

#[test]
fn it_waits_for_what_comes_first_of_both() {
    let now = start();
    let mut both = both();
    let first_wait = |both: &mut Both, waits: [(u64, &'static str); 2]| {
        for (one, (seconds, reason)) in [&mut both.first, &mut both.second].into_iter().zip(waits) {
            let until = Some(now + Duration::from_secs(seconds));
            one.outputs.push_back(Output::Wait { until, reason });
        }
        match both.poll_output(now) {
            Output::Wait { until, reason } => (until.unwrap() - now, reason),
            other => panic!("{other:?}"),
        }
    };
    let sooner = (Duration::from_secs(1), "sooner");
    assert_eq!(first_wait(&mut both, [(2, "later"), (1, "sooner")]), sooner);
    assert_eq!(first_wait(&mut both, [(1, "sooner"), (2, "later")]), sooner);
    // One that waits for datagrams alone hides no deadline.
    let until = Some(now);
    let reason = "a deadline";
    both.second
        .outputs
        .push_back(Output::Wait { until, reason });
    assert_eq!(both.poll_output(now), Output::Wait { until, reason });
}

#[test]
fn one_tag_of_two_protocols_is_two_requests() {
    let now = start();
    let mut both = both();
    both.first.open(1, "10.0.0.1:0");
    both.second.open(1, "10.0.0.2:0");
    both.first.open(1, "10.0.0.3:0");
    request(&mut both);
    // One name can have an address of each version of IP.
    both.handle_network(now, opened(1, 11));
    both.handle_network(now, opened(1, 12));
    request(&mut both);
    both.handle_network(now, opened(1, 13));
    request(&mut both);
    let error = NetworkError::new(ErrorKind::AddressNotAvailable, "it is not there");
    let refused = NetworkEvent::NotOpened { tag: 1, error };
    both.handle_network(now, refused.clone());
    assert_waits(&mut both);
    both.handle_network(now, opened(1, 14));
    assert_eq!(both.first.told(), [opened(1, 11), opened(1, 12), refused]);
    assert_eq!(both.second.told(), [opened(1, 13)]);

    // Nobody can close what is the other's.
    for (one, socket) in [(&mut both.first, 13), (&mut both.second, 13)] {
        let socket = SocketId::new(socket);
        one.outputs
            .push_back(Output::Request(Request::Close { socket }));
    }
    let socket = SocketId::new(13);
    assert_eq!(request(&mut both), Request::Close { socket });
    assert_waits(&mut both);
}

#[test]
fn a_group_that_both_have_joined_stays_until_both_have_left() {
    let now = start();
    let mut both = both();
    let group = Group::new(GROUP.0.into());
    let [one, two] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(std::net::IpAddr::from);
    both.first.join(group.clone().with_sources([one]));
    both.second.join(group.clone().with_sources([two]));
    let joined = |sources: &[std::net::IpAddr]| Request::Join {
        group: group.clone().with_sources(sources.to_vec()),
        port: GROUP.1,
    };
    assert_eq!(request(&mut both), joined(&[one]));
    both.handle_network(now, NetworkEvent::Joined(membership(eth0())));
    assert_eq!(request(&mut both), joined(&[one, two]));
    both.handle_network(now, NetworkEvent::Joined(membership(eth0())));
    for told in [both.first.told(), both.second.told()] {
        assert_eq!(told, [NetworkEvent::Joined(membership(eth0()))], "once");
    }

    // Both are told of an interface that comes.
    let eth1 = NetworkEvent::Joined(membership(InterfaceId::new(3, "eth1")));
    both.handle_network(now, eth1.clone());
    assert_eq!(
        (both.first.told(), both.second.told()),
        (vec![eth1.clone()], vec![eth1])
    );

    both.first.leave();
    assert_waits(&mut both);
    assert_eq!(both.first.told().len(), 2, "as if it was left on both");
    let gone = NetworkEvent::Left(membership(InterfaceId::new(3, "eth1")));
    both.handle_network(now, gone.clone());
    assert_eq!(
        (both.first.told(), both.second.told()),
        (vec![], vec![gone])
    );
    both.second.leave();
    assert!(matches!(request(&mut both), Request::Leave { .. }));
    let left = NetworkEvent::Left(membership(eth0()));
    both.handle_network(now, left.clone());
    assert_eq!(
        (both.first.told(), both.second.told()),
        (vec![], vec![left])
    );
}

#[test]
fn a_group_that_cannot_be_joined_is_told_to_the_one_that_asked() {
    let now = start();
    let mut both = both();
    both.second.join(Group::new(GROUP.0.into()));
    request(&mut both);
    let refused = NetworkEvent::NotJoined {
        group: Group::new(GROUP.0.into()),
        port: GROUP.1,
        error: NetworkError::new(ErrorKind::NoInterface, "there is none"),
    };
    both.handle_network(now, refused.clone());
    assert_eq!(
        (both.first.told(), both.second.told()),
        (vec![], vec![refused])
    );
    // It wants it no more, so the other one is alone.
    both.first.join(Group::new(GROUP.0.into()));
    request(&mut both);
    both.first.leave();
    assert!(matches!(request(&mut both), Request::Leave { .. }));
}

#[test]
fn what_was_not_sent_is_told_to_its_sender_and_what_both_may_have_sent_to_both() {
    let now = start();
    let mut both = both();
    let [near, far] = [([10, 0, 0, 8], 1), ([10, 0, 0, 9], 1)].map(SocketAddr::from);
    both.first.outputs.extend([transmit(near), transmit(far)]);
    both.second.outputs.push_back(transmit(far));
    for _ in 0..3 {
        assert!(matches!(both.poll_output(now), Output::Transmit(_)));
    }
    // First: near. Second: far. First: far.
    both.handle_network(now, not_sent(far));
    assert_eq!(
        (both.first.told(), both.second.told()),
        (vec![], vec![not_sent(far)])
    );
    both.handle_network(now, not_sent(far));
    assert_eq!(
        (both.first.told(), both.second.told()),
        (vec![not_sent(far)], vec![])
    );
    let refused = NetworkEvent::refused(SocketId::default(), far);
    both.handle_network(now, refused.clone());
    assert_eq!(
        (both.first.told(), both.second.told()),
        (vec![refused.clone()], vec![refused])
    );
}

#[test]
fn one_that_has_finished_gives_back_what_it_had_and_the_other_goes_on() {
    let (now, interface) = (start(), eth0());
    let mut both = both();
    both.start(now);
    both.first.open(1, "10.0.0.1:0");
    both.first.join(Group::new(GROUP.0.into()));
    request(&mut both);
    both.handle_network(now, opened(1, 5));
    request(&mut both);
    both.handle_network(now, NetworkEvent::Joined(membership(eth0())));
    both.first.finished = true;
    both.second.greedy = true;
    assert!(matches!(both.poll_output(now), Output::Transmit(_)));
    let socket = SocketId::new(5);
    assert_eq!(request(&mut both), Request::Close { socket });
    assert!(matches!(request(&mut both), Request::Leave { .. }));
    both.handle_network(now, NetworkEvent::Left(membership(eth0())));
    assert_eq!(both.second.told(), [], "it has never joined it");
    both.handle_datagram(now, datagram(&[1], 0, &interface));
    assert!(both.first.received.is_empty(), "it has finished");
    assert!(matches!(both.poll_output(now), Output::Transmit(_)));
    both.stop(now);
    assert_eq!(both.poll_output(now), Output::Finished);
    assert_eq!((both.first.calls, both.second.calls), ([1, 1], [1, 1]));
}

/// One that asks for sockets and groups at random, and fails if it is told what is not meant for it.
#[derive(Debug, Default)]
struct Careful {
    /// The address that it opens sockets on, which is its own.
    local: u8,
    outputs: VecDeque<Output<()>>,
    sockets: Vec<SocketId>,
    joined: Vec<SocketAddr>,
    sent: usize,
    unsent: usize,
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
            NetworkEvent::Joined(it) => assert!(self.joined.contains(&it.group), "{it}"),
            NetworkEvent::NotSent { .. } => self.unsent += 1,
            _ => {}
        }
        assert!(self.unsent <= self.sent, "it has not sent so much");
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        let output = self.outputs.pop_front();
        match &output {
            Some(Output::Transmit(_)) => self.sent += 1,
            Some(Output::Request(Request::Close { socket })) => {
                self.sockets.retain(|it| it != socket);
            }
            Some(Output::Request(Request::Join { group, port })) => {
                self.joined.push((group.address, *port).into());
            }
            Some(Output::Request(Request::Leave { group, port })) => {
                self.joined
                    .retain(|it| *it != (group.address, *port).into());
            }
            _ => {}
        }
        output.unwrap_or(Output::Wait {
            until: None,
            reason: "more to do",
        })
    }
}

/// A host that does what is requested, and which sockets and groups it has.
#[derive(Default)]
struct Kernel {
    sockets: u64,
    groups: Vec<SocketAddr>,
}

impl Kernel {
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
                let group = (group.address, port).into();
                self.groups.retain(|it| *it != group);
                self.groups.push(group);
                let membership = Membership::new(group, eth0(), SourceFilter::any());
                vec![NetworkEvent::Joined(membership)]
            }
            Request::Leave { group, port } => {
                let group = (group.address, port).into();
                self.groups.retain(|it| *it != group);
                let membership = Membership::new(group, eth0(), SourceFilter::any());
                vec![NetworkEvent::Left(membership)]
            }
            _ => Vec::new(),
        }
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
            let group = Group::new([239, 1, 1, detail % 3].into());
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
                    one.outputs.push_back(transmit(([10, 0, 0, detail % 3], 1).into()));
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
                            for answer in kernel.answer(request, detail % 4 > 0) {
                                both.handle_network(now, answer);
                            }
                        }
                        Output::Transmit(sent) if detail % 2 == 0 => {
                            both.handle_network(now, not_sent(sent.destination));
                        }
                        _ => {}
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
        for last in 0..3 {
            let group = ([239, 1, 1, last], 5000).into();
            let is_wanted = both.first.joined.contains(&group) || both.second.joined.contains(&group);
            prop_assert_eq!(kernel.groups.contains(&group), is_wanted);
        }
    }
}
