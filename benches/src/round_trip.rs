//! Round trips of one datagram in flight.
//!
//! They differ by less than what the machine does from one moment to the next. So all contenders
//! stand ready at the same time, and take turns of a few milliseconds.

use std::io;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use crate::contestant::{End, Workload, worker};
use crate::report::median;
use crate::trial::Process;
use crate::worker::{Contender, Job, print, ready};

/// How many turns each pair of processes has, and how many trips a turn.
pub(crate) const TURNS: usize = 20;
pub(crate) const TRIPS: usize = 100;

pub(crate) const CONTENDERS: [Contender; 6] = [
    Contender::RawOffload,
    Contender::RawMetadata,
    Contender::Library,
    Contender::Tokio,
    Contender::Std,
    Contender::TokioSocket,
];

/// What a contender has done.
pub(crate) type Row = (Contender, RoundTrips);

/// Round trips in microseconds, turn by turn, each turn in order.
#[derive(Default)]
pub(crate) struct RoundTrips(Vec<Vec<f64>>);

impl RoundTrips {
    /// Within how long so many thousandths of all trips came back.
    pub(crate) fn within(&self, thousandths: usize) -> f64 {
        let mut all = self.0.concat();
        all.sort_by(f64::total_cmp);
        let index = (all.len() * thousandths).div_ceil(1000).saturating_sub(1);
        all.get(index).copied().unwrap_or(f64::NAN)
    }

    /// The medians of the turns to those of the other's: the middle ratio.
    pub(crate) fn ratio(&self, other: &Self) -> f64 {
        let medians = |trips: &Self| -> Vec<f64> {
            trips.0.iter().map(|turn| median(turn.clone())).collect()
        };
        let pairs = medians(self).into_iter().zip(medians(other));
        median(pairs.map(|(this, other)| this / other).collect())
    }
}

/// Lets all contenders take turns, with processes anew for each of the `rounds`.
pub(crate) fn run(load: &Workload, rounds: usize) -> anyhow::Result<Vec<Row>> {
    let mut rows = CONTENDERS.map(|contender| (contender, RoundTrips::default()));
    for _ in 0..rounds {
        round(load, &mut rows)?;
    }
    Ok(rows.into())
}

fn round(load: &Workload, rows: &mut [Row]) -> anyhow::Result<()> {
    let mut pairs = Vec::new();
    for (port, (contender, trips)) in (5001..).zip(rows) {
        let [ours, theirs] = load.path.addresses();
        let to = SocketAddrV4::new(theirs, port);
        let echo = worker(*contender, "echo", to, theirs, load.size);
        let echo = Process::start(load.path.at_receiver(true).args(echo), "ready")?;
        let ping = worker(*contender, "ping", to, ours, load.size);
        let ping = Process::start(load.path.at_sender().args(ping), "ready")?;
        pairs.push((ping, echo, trips));
    }
    for _ in 0..TURNS {
        for (ping, _, trips) in &mut pairs {
            trips.0.push(serde_json::from_str(&ping.turn()?)?);
        }
    }
    for (ping, echo, _) in pairs {
        ping.finish(End::StandardInput)?;
        echo.finish(End::StandardInput)?;
    }
    Ok(())
}

/// In the process that pings: takes a turn for each line of standard input.
pub(crate) fn take_turns(
    job: &Job,
    mut turn: impl FnMut(usize) -> anyhow::Result<Vec<Duration>>,
) -> anyhow::Result<()> {
    turn(job.count)?;
    ready();
    for line in io::stdin().lines() {
        line?;
        let times = turn(job.count)?;
        print(
            &times
                .iter()
                .map(|it| it.as_secs_f64() * 1e6)
                .collect::<Vec<_>>(),
        )?;
    }
    Ok(())
}

/// How long each of `count` trips takes.
pub(crate) fn time(
    count: usize,
    mut trip: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        trip()?;
        times.push(begin.elapsed());
    }
    Ok(times)
}

/// The same of trips on a runtime.
pub(crate) async fn time_async(
    count: usize,
    mut trip: impl AsyncFnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begin = Instant::now();
        trip().await?;
        times.push(begin.elapsed());
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::RoundTrips;

    #[test]
    #[expect(clippy::float_cmp, reason = "the quotients are exact")]
    fn turns_are_compared_one_by_one() {
        let one = RoundTrips(vec![vec![10.0; 3], vec![40.0; 3], vec![9.0, 20.0, 99.0]]);
        let other = RoundTrips(vec![vec![5.0; 3], vec![20.0; 3], vec![5.0; 3]]);
        assert_eq!(one.ratio(&other), 2.0);
        assert_eq!(one.within(500), 20.0);
        assert_eq!(one.within(1000), 99.0);
        assert!(RoundTrips::default().within(500).is_nan());
    }
}
