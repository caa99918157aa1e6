//! Datagrams that come as one.

use manycast_types::Run;

use super::*;

/// Sends bursts of datagrams, given by their lengths, as segments where that is possible.
struct Bursting {
    to: SocketAddr,
    lengths: Vec<usize>,
}

impl Protocol for Bursting {
    type Event = ();

    fn handle_datagram(&mut self, _now: Instant, _datagram: Received<'_>) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        if self.lengths.is_empty() {
            return Output::Finished;
        }
        let length = self.lengths.remove(0);
        Output::Transmit(Transmit::new(self.to, vec![0; length].into()))
    }
}

/// Notes the lengths of what it receives, and how it came.
#[derive(Default)]
struct Lengths {
    received: Vec<usize>,
    runs: Vec<usize>,
    at: Vec<Instant>,
}

impl Protocol for Lengths {
    type Event = ();

    fn handle_datagram(&mut self, _now: Instant, datagram: Received<'_>) {
        self.received.push(datagram.payload.len());
    }

    fn handle_run(&mut self, now: Instant, run: Run<'_>) {
        self.runs.push(run.count());
        self.at.push(now);
        for datagram in run.datagrams() {
            self.handle_datagram(now, datagram);
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        Output::Wait {
            until: None,
            reason: "anything",
        }
    }
}

/// What becomes of a burst, with or without merging.
fn burst(merging: Option<Duration>, lengths: &[usize]) -> (Sim, Endpoint<Lengths>) {
    let mut sim = Sim::new(1);
    sim.set_merging(merging);
    let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|address| sim.add_host([address]));
    let received = sim.bind(b, 5000, Lengths::default());
    let source = Bursting {
        to: ([10, 0, 0, 2], 5000).into(),
        lengths: lengths.to_vec(),
    };
    sim.bind(a, 5000, source);
    sim.run_for(MILLISECOND * 100);
    assert_eq!(sim.protocol(received).received, lengths, "however it comes");
    (sim, received)
}

#[test]
fn equal_datagrams_come_as_a_run_and_a_shorter_one_ends_it() {
    let lengths = [100, 100, 100, 40, 100, 100, 200, 0, 0];
    let (sim, received) = burst(None, &lengths);
    assert!(sim.protocol(received).runs.is_empty());
    assert_eq!(sim.traffic().merged, 0);

    let (sim, received) = burst(Some(Duration::ZERO), &lengths);
    assert_eq!(sim.protocol(received).runs, [4, 2, 1, 1, 1]);
    assert_eq!(sim.traffic().merged, 6);
    assert_eq!(sim.traffic().delivered, 9);
}

#[test]
fn a_run_has_its_bounds() {
    let (sim, received) = burst(Some(Duration::ZERO), &[10; 130]);
    assert_eq!(sim.protocol(received).runs, [64, 64, 2]);
    let (sim, received) = burst(Some(Duration::ZERO), &[30_000; 5]);
    assert_eq!(sim.protocol(received).runs, [2, 2, 1]);
}

#[test]
fn what_comes_in_time_is_merged() {
    let mut sim = Sim::new(1);
    sim.set_merging(Some(MILLISECOND * 3));
    let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|address| sim.add_host([address]));
    let received = sim.bind(b, 5000, Lengths::default());
    sim.bind(a, 5000, Pulse::new(([10, 0, 0, 2], 5000), MILLISECOND, 11));
    sim.run_for(MILLISECOND * 100);
    let start = sim.start;
    let Lengths { runs, at, .. } = sim.protocol(received);
    // Twelve with the farewell: they come from the 2nd to the 12th millisecond, the last two at
    // once, and each run is handed over three milliseconds after its first.
    assert_eq!(*runs, [4, 4, 4]);
    let at: Vec<_> = at.iter().map(|at| at.duration_since(start)).collect();
    assert_eq!(at, [5, 9, 13].map(|at| MILLISECOND * at));
}

#[test]
fn segments_are_cut_and_merged_again() {
    for merging in [None, Some(Duration::ZERO)] {
        let mut sim = Sim::new(1);
        sim.set_merging(merging);
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|address| sim.add_host([address]));
        let received = sim.bind(b, 5000, Lengths::default());
        let mut transmit = Transmit::new(([10, 0, 0, 2], 5000).into(), vec![0; 1_050].into());
        transmit.segment_size = Some(100);
        let once = Once(Some(transmit));
        sim.bind(a, 5000, once);
        sim.run_for(MILLISECOND * 100);
        let mut expected = vec![100; 10];
        expected.push(50);
        assert_eq!(sim.protocol(received).received, expected);
        assert_eq!(sim.traffic().sent, 11);
        let runs: &[usize] = if merging.is_some() { &[11] } else { &[] };
        assert_eq!(sim.protocol(received).runs, runs);
    }
}

/// Sends one thing.
struct Once(Option<Transmit>);

impl Protocol for Once {
    type Event = ();

    fn handle_datagram(&mut self, _now: Instant, _datagram: Received<'_>) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Output<()> {
        self.0.take().map_or(Output::Finished, Output::Transmit)
    }
}
