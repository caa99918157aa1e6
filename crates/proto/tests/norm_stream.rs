//! Streams: bytes come in order, each once, and what is missing is told.

mod norm_group;

use std::time::Duration;

use manycast_lab::sim::{Link, seeds};
use manycast_proto::norm::{
    EnqueueError, FeedbackTo, ReceiverConfig, ReceiverEvent, SenderConfig, SenderEvent, WriteError,
};
use norm_group::choice::choice;
use norm_group::stream::{Writer, assert_whole, delivered, taken, taken_of};
use norm_group::{MILLISECOND, SECOND, Session, config, rough};
use proptest::prelude::*;

/// 100 kB: five blocks of 20 segments of 1,000 bytes.
const WINDOW: usize = 100_000;

#[test]
fn what_is_lost_is_repaired_up_to_half_of_all() {
    for loss in [0.0, 0.01, 0.1, 0.3, 0.5] {
        for seed in seeds(2) {
            let link = Link {
                loss,
                delay: MILLISECOND * 5,
                ..Link::default()
            };
            let config = SenderConfig {
                receivers: vec![1, 2, 3],
                robust: 100,
                ..config()
            };
            let mut session = Session::new(seed, link, config, 3);
            let mut writer = Writer::new(&mut session, WINDOW, 500_777);
            assert!(writer.write_all(&mut session, SECOND * 120), "{loss}");
            writer.close(&mut session);
            session.finish();
            assert!(session.run(SECOND * 240), "{loss}");
            assert_whole(&session, &writer.bytes);
            assert!(delivered(&session, writer.stream));
            let stats = session.sim.protocol(session.sender).stats();
            assert!(loss > 0.0 || stats.repairs == 0, "{stats:?}");
        }
    }
}

/// The window never holds back who has no losses: it is asked for acknowledgements before it is full.
#[test]
fn a_window_does_not_slow_down() {
    let config = SenderConfig {
        receivers: vec![1, 2],
        ..config()
    };
    let mut session = Session::new(1, Link::default(), config, 2);
    let mut writer = Writer::new(&mut session, 400_000, 5_000_000);
    assert!(writer.write_all(&mut session, SECOND * 120));
    // 20 Mbit/s are 2.5 MB in a second.
    let ideal = Duration::from_secs_f64(4_600_000.0 / 2_500_000.0);
    assert!(
        session.sim.elapsed() < ideal.mul_f64(1.1),
        "{:?}",
        session.sim.elapsed()
    );
}

#[test]
fn bursts_duplicates_and_reordering_change_nothing() {
    for seed in seeds(3) {
        // A burst is as long in datagrams where few are sent.
        let config = SenderConfig {
            receivers: vec![1, 2, 3],
            robust: 200,
            ..config()
        };
        let mut session = Session::new(seed, rough(), config, 3);
        let mut writer = Writer::new(&mut session, WINDOW, 500_000);
        assert!(writer.write_all(&mut session, SECOND * 120));
        session.finish();
        assert!(session.run(SECOND * 120), "finishing closes the stream");
        assert_whole(&session, &writer.bytes);
    }
}

/// Who is named and slow holds the writer back: no more is taken than the window holds beyond what it
/// has.
#[test]
fn a_slow_receiver_that_is_named_slows_the_writer() {
    for seed in seeds(2) {
        let config = SenderConfig {
            receivers: vec![1, 2],
            ..config()
        };
        let mut session = Session::new(seed, Link::default(), config, 2);
        let slow = Link {
            rate: Some(5_000_000),
            queue: 64_000,
            ..Link::default()
        };
        let host = session.hosts[1];
        session.sim.set_access(host, "eth0", Link::default(), slow);
        let mut writer = Writer::new(&mut session, WINDOW, 1_000_000);
        writer.write(&mut session, 1_000_000);
        let mut most = 0;
        while writer.written < writer.bytes.len() {
            assert!(session.sim.step() && session.sim.elapsed() < SECOND * 120);
            if writer.has_room(&session) {
                writer.write(&mut session, 1_000_000);
                most = most.max(writer.written - taken(&session, 1, &writer.bytes).bytes);
            }
        }
        session.finish();
        assert!(session.run(SECOND * 120));
        assert_whole(&session, &writer.bytes);
        assert!(most <= WINDOW, "{most}");
    }
}

/// Where nobody is waited for, who is cut off for longer than the window holds is told what it misses,
/// and the others are not held back.
#[test]
fn a_gap_is_told() {
    for seed in seeds(3) {
        let mut session = Session::new(seed, Link::default(), config(), 2);
        let mut writer = Writer::new(&mut session, WINDOW, 2_000_000);
        writer.write(&mut session, 2_000_000);
        let cut_off = session.hosts[1];
        let (mut cut, mut healed) = (false, false);
        while writer.written < writer.bytes.len() {
            assert!(session.sim.step() && session.sim.elapsed() < SECOND * 30);
            if writer.has_room(&session) {
                writer.write(&mut session, 2_000_000);
            }
            if !cut && session.sim.elapsed() > MILLISECOND * 200 {
                session.sim.partition([cut_off]);
                cut = true;
            }
            if !healed && session.sim.elapsed() > MILLISECOND * 500 {
                session.sim.heal();
                healed = true;
            }
        }
        assert!(healed);
        assert!(session.sim.elapsed() < SECOND, "nobody is waited for");
        session.finish();
        assert!(session.run(SECOND * 60));
        let (first, second) = (
            taken(&session, 0, &writer.bytes),
            taken(&session, 1, &writer.bytes),
        );
        assert_eq!((first.gaps.len(), first.completed), (0, 1), "{first:?}");
        assert_eq!((second.gaps.len(), second.completed), (1, 1), "{second:?}");
        // 300 ms are 750 kB, of which the window still held a part.
        let (from, to) = second.gaps[0];
        assert!((500_000..800_000).contains(&(to - from)), "{second:?}");
        let receiver = session.sim.protocol(session.receivers[1]);
        assert_eq!(receiver.stats().gaps, 1);
    }
}

#[test]
fn who_comes_late_is_told_what_was_before() {
    for seed in seeds(3) {
        let mut session = Session::new(seed, Link::default(), config(), 1);
        let mut writer = Writer::new(&mut session, 1_000_000, 1_000_000);
        writer.write(&mut session, 1_000_000);
        session.sim.run_for(MILLISECOND * 150);
        session.add_receiver(2, |config| ReceiverConfig {
            earlier: 0,
            ..config
        });
        session.add_receiver(3, |config| config);
        session.finish();
        assert!(session.run(SECOND * 60));
        let all = taken(&session, 0, &writer.bytes);
        assert_eq!((all.gaps.len(), all.completed), (0, 1));
        let late = taken(&session, 1, &writer.bytes);
        assert_eq!((late.gaps.len(), late.completed), (1, 1), "{late:?}");
        assert_eq!((late.gaps[0].0, late.infos), (0, 1), "{late:?}");
        assert!((350_000..400_000).contains(&late.gaps[0].1), "{late:?}");
        let asked = taken(&session, 2, &writer.bytes);
        assert_eq!((asked.gaps.len(), asked.completed), (0, 1), "all is kept");
    }
}

/// A few bytes now and then come through at once, though they fill no segment and no block.
#[test]
fn what_is_pushed_comes_without_waiting_for_more() {
    for (loss, longest) in [(0.0, MILLISECOND * 2), (0.3, SECOND * 3)] {
        for seed in seeds(3) {
            let link = Link {
                loss,
                ..Link::default()
            };
            let config = SenderConfig {
                receivers: vec![1],
                ..config()
            };
            let mut session = Session::new(seed, link, config, 1);
            let mut writer = Writer::new(&mut session, WINDOW, 30 * 7);
            let stream = writer.stream;
            for end in (1..=30).map(|count| count * 7) {
                let length = end;
                session
                    .sim
                    .command(session.sender, |sender, _| sender.begin_message(stream));
                writer.write(&mut session, length);
                session
                    .sim
                    .command(session.sender, |sender, _| sender.push(stream));
                let before = session.sim.elapsed();
                let receiver = session.receivers[0];
                let came = session.sim.run_until(before + longest, |sim| {
                    let events = sim.events(receiver).iter();
                    let data = events.filter_map(|(_, event)| match event {
                        ReceiverEvent::Data { bytes, .. } => Some(bytes.len()),
                        _ => None,
                    });
                    data.sum::<usize>() == length
                });
                assert!(came, "{loss}: {length} bytes");
                session.sim.run_for(MILLISECOND * 100);
            }
            session.finish();
            assert!(session.run(SECOND * 120));
            assert_whole(&session, &writer.bytes);
            let messages: Vec<_> = (0..30).map(|count| count * 7).collect();
            assert_eq!(taken(&session, 0, &writer.bytes).messages, messages);
        }
    }
}

/// A writer may pause for as long as it likes: receivers know that the sender is there.
#[test]
fn a_pause_does_not_end_a_stream() {
    for receivers in [vec![1], Vec::new()] {
        let config = SenderConfig {
            receivers,
            ..config()
        };
        let mut session = Session::new(1, Link::default(), config, 1);
        let mut writer = Writer::new(&mut session, 100_000, 2000);
        for end in [1000, 2000] {
            writer.write(&mut session, end);
            session.sim.run_for(SECOND * 60);
        }
        writer.close(&mut session);
        session.finish();
        assert!(session.run(SECOND * 200));
        let unheard = |event: &SenderEvent| matches!(event, SenderEvent::Unacknowledged { .. });
        let told = session.sim.events(session.sender);
        assert!(!told.iter().any(|(_, event)| unheard(event)), "{told:?}");
        let told = session.sim.events(session.receivers[0]).iter();
        let ends = told.filter(|(_, event)| {
            matches!(
                event,
                ReceiverEvent::Gone { .. } | ReceiverEvent::Completed(_)
            )
        });
        let first = ends.map(|(_, event)| event).next();
        assert!(
            matches!(first, Some(ReceiverEvent::Completed(_))),
            "{first:?}"
        );
    }
}

/// Who is named and dies is waited for as often as was chosen, and no longer.
#[test]
fn a_receiver_that_dies_is_given_up() {
    for seed in seeds(2) {
        let config = SenderConfig {
            receivers: vec![1, 2],
            robust: 5,
            ..config()
        };
        let mut session = Session::new(seed, Link::default(), config, 2);
        let mut writer = Writer::new(&mut session, WINDOW, 1_000_000);
        session.sim.run_for(MILLISECOND * 20);
        let dead = session.hosts[1];
        session.sim.partition([dead]);
        assert!(
            writer.write_all(&mut session, SECOND * 120),
            "{}",
            writer.written
        );
        session.finish();
        assert!(session.run(SECOND * 120));
        let alive = taken(&session, 0, &writer.bytes);
        assert_eq!((alive.gaps.len(), alive.completed), (0, 1));
        let events = session.sim.events(session.sender).iter();
        let given_up = events
            .filter(|(_, event)| matches!(event, SenderEvent::Unacknowledged { node: 2, .. }));
        assert!(given_up.count() > 0);
    }
}

/// Parity that goes along serves those who cannot ask; what it does not make up for is a gap.
#[test]
fn the_silent_are_told_what_is_missing() {
    for seed in seeds(3) {
        let link = Link {
            loss: 0.1,
            ..Link::default()
        };
        let config = SenderConfig {
            proactive: 3,
            ..config()
        };
        let change = |config| ReceiverConfig {
            feedback: FeedbackTo::Nobody,
            ..config
        };
        let mut session = Session::with(seed, link, config, 3, change);
        let mut writer = Writer::new(&mut session, WINDOW, 1_000_000);
        assert!(writer.write_all(&mut session, SECOND * 120));
        session.finish();
        assert!(session.run(SECOND * 60));
        for receiver in 0..3 {
            let taken = taken(&session, receiver, &writer.bytes);
            assert!((900_000..1_000_000).contains(&taken.bytes), "{taken:?}");
            assert!(!taken.gaps.is_empty());
            assert_eq!(taken.completed, 1, "the end has parity too");
        }
    }
}

#[test]
fn memory_has_a_bound() {
    for seed in seeds(2) {
        let link = Link {
            loss: 0.2,
            ..Link::default()
        };
        let config = SenderConfig {
            receivers: vec![1],
            robust: 100,
            ..config()
        };
        let memory = 200_000;
        let change = |config| ReceiverConfig { memory, ..config };
        let mut session = Session::with(seed, link, config, 1, change);
        let mut writer = Writer::new(&mut session, WINDOW * 4, 1_000_000);
        let receiver = session.receivers[0];
        writer.write(&mut session, 1_000_000);
        let mut most = 0;
        while writer.written < writer.bytes.len() {
            assert!(session.sim.step() && session.sim.elapsed() < SECOND * 120);
            most = most.max(session.sim.protocol(receiver).stats().memory);
            if writer.has_room(&session) {
                writer.write(&mut session, 1_000_000);
            }
        }
        session.finish();
        assert!(session.run(SECOND * 120));
        assert_whole(&session, &writer.bytes);
        assert!(most <= memory / 2, "{most}");
    }
}

#[test]
fn nothing_follows_a_stream_that_is_open() {
    let config = SenderConfig {
        receivers: vec![1],
        ..config()
    };
    let mut session = Session::new(1, Link::default(), config, 1);
    let mut writer = Writer::new(&mut session, WINDOW, 10_000);
    let again = session
        .sim
        .command(session.sender, |sender, _| sender.open_stream(WINDOW, None));
    assert_eq!(again, Err(EnqueueError::StreamOpen));
    assert!(writer.write_all(&mut session, SECOND));
    writer.close(&mut session);
    let late = session.sim.command(session.sender, |sender, _| {
        sender.write(writer.stream, b"late")
    });
    assert_eq!(late, Err(WriteError::Closed));
    let mut second = Writer::new(&mut session, WINDOW, 10_000);
    assert!(second.write_all(&mut session, SECOND));
    session.finish();
    assert!(session.run(SECOND * 60));
    let receiver = session.sim.protocol(session.receivers[0]);
    assert_eq!(receiver.stats().completed, 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the network does and whatever was chosen, bytes come in order and each once, and all
    /// come where everybody is waited for.
    #[test]
    fn what_comes_is_what_was_sent(
        choice in choice(),
        (window, length) in (0..200_000_usize, 0..200_000_usize),
        pushes in prop::collection::vec(0..200_000_usize, 0..20),
        named: bool,
    ) {
        let choice = if named { choice } else { choice.unnamed() };
        let mut session = choice.session();
        let mut writer = Writer::new(&mut session, window, length);
        let stream = writer.stream;
        for end in pushes {
            if end >= writer.written && end <= length {
                writer.write(&mut session, end);
                session.sim.command(session.sender, |sender, _| sender.push(stream));
            }
        }
        prop_assert!(writer.write_all(&mut session, SECOND * 600));
        session.finish();
        prop_assert!(session.run(SECOND * 1200));
        for receiver in 0..session.receivers.len() {
            taken(&session, receiver, &writer.bytes);
        }
        if named {
            assert_whole(&session, &writer.bytes);
        }
    }

    /// A sender that dies in the middle of a stream and is started again writes another one: of both
    /// come the right bytes, and all of the second.
    #[test]
    fn a_stream_of_a_sender_that_was_started_again_is_another_one(
        choice in choice(),
        lengths in (1..200_000_usize, 1..100_000_usize),
        killed in 0..400_u64,
    ) {
        let mut session = choice.session();
        let mut first = Writer::new(&mut session, 200_000, lengths.0);
        first.write(&mut session, lengths.0);
        session.sim.run_for(Duration::from_millis(killed));
        let before = session.instance();
        session.restart_sender(choice.config());
        let mut second = Writer::new(&mut session, 50_000, lengths.1);
        prop_assert!(second.write_all(&mut session, SECOND * 600));
        session.finish();
        prop_assert!(session.run(SECOND * 1200));
        for receiver in 0..session.receivers.len() {
            taken_of(&session, receiver, &first.bytes, |it| it.instance == before);
            let taken = taken_of(&session, receiver, &second.bytes, |it| it.instance != before);
            prop_assert!(taken.completed == 1 && taken.gaps.is_empty(), "{taken:?}");
        }
    }
}
