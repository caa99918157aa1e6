mod at_random;

use std::time::Duration;

use manycast_types::{
    ErrorKind, Group, InterfaceId, InterfaceSelector, Membership, NetworkError, SourceFilter,
    Transmit,
};

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
        self.leave_on(None);
    }

    fn leave_on(&mut self, interface: Option<&str>) {
        let (group, port) = (on(interface), GROUP.1);
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

/// The group on one interface, or on all.
fn on(interface: Option<&str>) -> Group {
    Group {
        interface: interface.map(|name| InterfaceSelector::Name(name.into())),
        ..Group::new(GROUP.0.into())
    }
}

fn leave_of(group: Group) -> Request {
    let port = GROUP.1;
    Request::Leave { group, port }
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
fn whose_a_datagram_of_a_run_is_is_asked_once() {
    let (now, interface) = (start(), eth0());
    let mut asked = Vec::new();
    let mut both = Combined::new(
        Scripted::default(),
        Scripted::default(),
        |datagram: &Received<'_>| {
            asked.push(datagram.payload[0]);
            datagram.payload[0] < 4
        },
    );
    both.handle_run(now, Run::new(datagram(&[1, 2, 9, 3, 8], 0, &interface), 1));
    assert_eq!(both.first.received, [[1], [2], [3]]);
    assert_eq!(both.second.received, [[9], [8]]);
    assert_eq!(asked, [1, 2, 9, 3, 8]);
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
    // First: near. Second: far. First: far. A driver may have sent each of them at once.
    both.handle_network(now, not_sent(far));
    both.handle_network(now, not_sent(near));
    assert_eq!(
        (both.first.told(), both.second.told()),
        (vec![not_sent(far), not_sent(near)], vec![not_sent(far)])
    );
    // What comes after a wait is sent after all that came before it.
    assert_waits(&mut both);
    both.second.outputs.push_back(transmit(near));
    assert!(matches!(both.poll_output(now), Output::Transmit(_)));
    both.handle_network(now, not_sent(near));
    both.handle_network(now, not_sent(far));
    assert_eq!(
        (both.first.told(), both.second.told()),
        (vec![not_sent(far)], vec![not_sent(near), not_sent(far)]),
        "of what is not known, both are told"
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

/// Has the first one finish with a socket and a group, and gives the two.
fn finished(now: Instant) -> Both {
    let mut both = both();
    both.first.open(1, "10.0.0.1:0");
    both.first.join(on(None));
    request(&mut both);
    both.handle_network(now, opened(1, 5));
    request(&mut both);
    both.handle_network(now, NetworkEvent::Joined(membership(eth0())));
    both.first.finished = true;
    both
}

#[test]
fn what_one_had_is_given_back_while_the_other_waits() {
    let now = start();
    let mut both = finished(now);
    let socket = SocketId::new(5);
    assert_eq!(request(&mut both), Request::Close { socket });
    assert_eq!(request(&mut both), leave_of(on(None)));
    assert_waits(&mut both);
}

#[test]
fn what_both_had_is_given_back_before_the_end() {
    let now = start();
    let mut both = finished(now);
    both.second.finished = true;
    let socket = SocketId::new(5);
    assert_eq!(request(&mut both), Request::Close { socket });
    assert_eq!(request(&mut both), leave_of(on(None)));
    for _ in 0..3 {
        assert_eq!(both.poll_output(now), Output::Finished);
    }
}

#[test]
fn a_group_on_two_interfaces_is_two_groups() {
    let now = start();
    let mut both = both();
    let [eth0, eth1] = [eth0(), InterfaceId::new(3, "eth1")].map(membership);
    let joined = |it: &Membership| NetworkEvent::Joined(it.clone());
    both.first.join(on(Some("eth0")));
    both.second.join(on(Some("eth1")));
    request(&mut both);
    both.handle_network(now, joined(&eth0));
    request(&mut both);
    // Drivers tell of all memberships of the group.
    both.handle_network(now, joined(&eth0));
    both.handle_network(now, joined(&eth1));
    assert_eq!(both.first.told(), [joined(&eth0)]);
    assert_eq!(both.second.told(), [joined(&eth1)]);

    both.first.leave();
    assert_eq!(request(&mut both), leave_of(on(Some("eth0"))));
    both.handle_network(now, NetworkEvent::Left(eth0.clone()));
    assert_eq!(both.first.told(), [NetworkEvent::Left(eth0)]);
    both.second.finished = true;
    assert_eq!(request(&mut both), leave_of(on(Some("eth1"))));
    assert_eq!(both.second.told(), []);
}

#[test]
fn a_group_on_all_interfaces_is_that_on_each() {
    let now = start();
    let mut both = both();
    let [eth0, eth1] = [eth0(), InterfaceId::new(3, "eth1")].map(membership);
    both.first.join(on(None));
    both.second.join(on(Some("eth0")));
    for _ in 0..2 {
        request(&mut both);
        for it in [&eth0, &eth1] {
            both.handle_network(now, NetworkEvent::Joined(it.clone()));
        }
    }
    assert_eq!((both.first.told().len(), both.second.told().len()), (2, 1));
    both.first.leave();
    assert_waits(&mut both);
    assert_eq!(both.first.told().len(), 2);
    // Nothing of what the first one wanted is forgotten.
    both.second.leave_on(Some("eth0"));
    assert_eq!(request(&mut both), leave_of(on(None)));
    for it in [&eth0, &eth1] {
        both.handle_network(now, NetworkEvent::Left(it.clone()));
    }
    assert_eq!(both.second.told(), [NetworkEvent::Left(eth0)]);
    assert_eq!(both.first.told(), []);
    assert_waits(&mut both);
}

#[test]
fn a_group_that_cannot_be_joined_with_other_sources_stays_as_it_was() {
    let now = start();
    let mut both = both();
    both.first.join(on(None));
    request(&mut both);
    both.handle_network(now, NetworkEvent::Joined(membership(eth0())));
    let group = on(None).with_sources([[10, 0, 0, 1].into()]);
    both.first.join(group.clone());
    request(&mut both);
    let error = NetworkError::new(ErrorKind::LimitReached, "too many sources");
    let port = GROUP.1;
    both.handle_network(now, NetworkEvent::NotJoined { group, port, error });
    assert_eq!(both.first.told().len(), 2);
    both.first.finished = true;
    assert_eq!(request(&mut both), leave_of(on(None)));
}
