//! Who breaks the contract of a protocol is caught, and who keeps it is tried in every way.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use manycast_proto::random::Random;
use manycast_proto::{NetworkEvent, Request};
use manycast_types::Run;

use super::*;

/// Breaks the contract in one way or the other.
#[derive(Clone, Copy)]
enum Broken {
    NeverWaits,
    WaitsInThePast,
    ActsTooEarly,
    ComesBack,
    SendsTooMuch,
    SendsFarTooFar,
    IgnoresStop,
    JoinsAHost,
    RequestsForEver,
}

struct Breaker {
    how: Broken,
    start: Option<Instant>,
    acted: bool,
    polls: usize,
}

impl Protocol for Breaker {
    type Event = ();

    fn start(&mut self, now: Instant) {
        self.start = Some(now);
    }

    fn handle_datagram(&mut self, _now: Instant, _datagram: Received<'_>) {}

    fn handle_timeout(&mut self, _now: Instant) {
        self.acted = true;
    }

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        self.polls += 1;
        let reason = "breaking the contract";
        let Some(start) = self.start else {
            return Output::Wait {
                until: None,
                reason,
            };
        };
        match self.how {
            Broken::NeverWaits => Output::Event(()),
            Broken::WaitsInThePast => Output::Wait {
                until: Some(start + MILLISECOND),
                reason,
            },
            Broken::ActsTooEarly if std::mem::take(&mut self.acted) => Output::Event(()),
            Broken::ActsTooEarly => Output::Wait {
                until: Some(start + MILLISECOND),
                reason,
            },
            Broken::ComesBack if self.polls.is_multiple_of(3) => Output::Event(()),
            Broken::ComesBack => Output::Finished,
            Broken::SendsTooMuch if self.polls == 2 => Output::Transmit(Transmit::new(
                ([10, 0, 0, 2], 7).into(),
                vec![0; 65_508].into(),
            )),
            Broken::SendsFarTooFar if self.polls == 2 => {
                let mut nowhere = Transmit::new(([10, 0, 0, 2], 7).into(), "".into());
                nowhere.hops = Some(0);
                Output::Transmit(nowhere)
            }
            Broken::SendsTooMuch | Broken::SendsFarTooFar => Output::Finished,
            Broken::IgnoresStop => {
                Output::Transmit(Transmit::new(([10, 0, 0, 2], 7).into(), "".into()))
            }
            Broken::JoinsAHost | Broken::RequestsForEver => Output::Request(Request::Join {
                group: Group::new(match self.how {
                    Broken::JoinsAHost => [10, 0, 0, 2].into(),
                    _ => GROUP.into(),
                }),
                port: 5000,
            }),
        }
    }
}

fn breaker(how: Broken) -> Breaker {
    Breaker {
        how,
        start: None,
        acted: false,
        polls: 0,
    }
}

/// What a panic says.
fn panic_of(run: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("it breaks the contract");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().expect("a text")).to_owned(),
    }
}

#[test]
fn who_breaks_the_contract_is_caught() {
    for (how, says) in [
        (Broken::NeverWaits, "more than"),
        (Broken::WaitsInThePast, "goes on after its deadline"),
        (Broken::ActsTooEarly, "nothing happened since"),
        (Broken::ComesBack, "nothing happened since"),
        (Broken::SendsTooMuch, "a datagram of 65508 bytes"),
        (Broken::SendsFarTooFar, "a hop limit of 0"),
        (Broken::IgnoresStop, "after a stop"),
        (Broken::JoinsAHost, "10.0.0.2 is no group"),
        (Broken::RequestsForEver, "more than"),
    ] {
        // Poll, start, time-out, time-out.
        let said = panic_of(|| any_order(&mut breaker(how), &[12, 0, 13, 13], &[]));
        assert!(said.contains(says), "{said}");
    }
    any_order(&mut Recorder::default(), &[0, 12, 13, 1, 13], &[]);
    // Always to have something to send breaks nothing.
    let mut flood = Flood::to(([10, 0, 0, 2], 5000));
    any_order(&mut flood, &[0, 13, 13, 12, 13, 8, 13], &[]);
    assert!(flood.sent >= 1_000, "{}", flood.sent);

    for (how, says) in [
        (Broken::NeverWaits, "in a row without waiting"),
        (Broken::WaitsInThePast, "goes on after its deadline"),
    ] {
        let said = panic_of(|| {
            let mut sim = Sim::new(1);
            let host = sim.add_host(["10.0.0.1"]);
            sim.bind(host, 5000, breaker(how));
            sim.run_for(MILLISECOND * 2);
        });
        assert!(said.contains(says), "{said}");
    }
}

/// Requests everything in turn, and counts what it is called with.
#[derive(Default)]
struct Recorder {
    calls: BTreeMap<&'static str, u32>,
    /// Requests that are not answered yet, and the next one.
    open: u32,
    next: Option<u32>,
}

impl Recorder {
    fn count(&mut self, call: &'static str) {
        *self.calls.entry(call).or_default() += 1;
    }
}

impl Protocol for Recorder {
    type Event = ();

    fn start(&mut self, _now: Instant) {
        self.count("start");
    }

    fn stop(&mut self, _now: Instant) {
        self.count("stop");
        self.next = None;
    }

    fn handle_datagram(&mut self, _now: Instant, _datagram: Received<'_>) {
        self.count("datagram");
        self.next = Some(0);
    }

    fn handle_run(&mut self, _now: Instant, run: Run<'_>) {
        self.count(if run.count() > 1 { "run" } else { "run of one" });
    }

    fn handle_network(&mut self, _now: Instant, event: NetworkEvent) {
        self.count(match event {
            NetworkEvent::Opened { .. } => "opened",
            NetworkEvent::NotOpened { .. } => "not opened",
            NetworkEvent::Joined(_) => "joined",
            NetworkEvent::NotJoined { .. } => "not joined",
            NetworkEvent::Left(_) => "left",
            NetworkEvent::Unreachable { .. } if event.refused_by().is_some() => "refused",
            NetworkEvent::Unreachable { .. } => "unreachable",
            NetworkEvent::NotSent { .. } => "not sent",
            _ => "something else",
        });
        self.open = self.open.saturating_sub(1);
    }

    fn handle_timeout(&mut self, _now: Instant) {
        self.count("timeout");
    }

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        if self.open > 0 {
            self.count("unanswered");
        }
        let group = Group::new(GROUP.into());
        let port = 5000;
        let request = match self.next {
            Some(0) => Request::Open {
                tag: 7,
                local: ":0".parse().unwrap(),
            },
            Some(1) => Request::Join { group, port },
            Some(2) => Request::Leave { group, port },
            _ => {
                let (until, reason) = (None, "datagrams");
                return Output::Wait { until, reason };
            }
        };
        self.open = 1;
        self.next = self.next.map(|next| next + 1);
        Output::Request(request)
    }
}

#[test]
fn every_call_is_tried_and_requests_are_answered() {
    let mut recorder = Recorder::default();
    let mut random = Random::new([1; 32]);
    for _ in 0..20 {
        let mut script = [0; 2_000];
        random.fill(&mut script);
        any_order(&mut recorder, &script, &[([10, 0, 0, 2], 5000).into()]);
    }
    let calls = recorder.calls.keys().copied().collect::<Vec<_>>();
    let all = [
        "datagram",
        "joined",
        "left",
        "not joined",
        "not opened",
        "not sent",
        "opened",
        "refused",
        "run",
        "run of one",
        "start",
        "stop",
        "timeout",
        "unanswered",
        "unreachable",
    ];
    assert_eq!(calls, all);

    // Unless the script says otherwise, a request is answered before the next poll.
    let mut recorder = Recorder::default();
    any_order(&mut recorder, &[0, 2, 0, 0, 0, 13], &[]);
    let answers = ["opened", "joined", "left"].map(|answer| recorder.calls[answer]);
    assert_eq!(answers, [1, 1, 1]);
    assert!(!recorder.calls.contains_key("unanswered"));
}
