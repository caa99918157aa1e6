//! The delays of a stream, drawn.

use std::fmt;
use std::time::Duration;

use manycast::proto::measure::{Histogram, StreamReport};

use super::report::{Exact, ends};
use crate::output::grouped;

/// How many rows there are at most, and how long the longest bar is.
const ROWS: usize = 20;
const WIDTH: u64 = 50;

/// Delays beyond the least one, in rows of equal ratio.
pub(super) struct Drawing {
    stream: String,
    title: &'static str,
    rows: Vec<(Duration, u64)>,
}

impl Drawing {
    pub(super) fn new(report: &StreamReport) -> Self {
        // Where the clocks do not agree, only the distance from the least delay says something.
        let (title, base) = if report.clocks_agree() {
            ("delay up to", 0)
        } else {
            (
                "delay variation up to",
                report.delays.min().unwrap_or_default(),
            )
        };
        Self {
            stream: ends(report),
            title,
            rows: rows(&report.delays, base),
        }
    }
}

/// The upper ends of the rows, and how many values are in each.
fn rows(delays: &Histogram, base: i64) -> Vec<(Duration, u64)> {
    let (Some(least), Some(most)) = (delays.min(), delays.max()) else {
        return Vec::new();
    };
    // From a microsecond on: the sender's stamps are no finer.
    let least = (least.saturating_sub(base) as f64).max(1e3);
    let most = (most.saturating_sub(base) as f64).max(least * 1.01);
    let ratio = (most / least).powf(1.0 / ROWS as f64).max(1.02);
    let mut rows: Vec<(Duration, u64)> = Vec::new();
    let mut end = least;
    while rows.len() < ROWS && end < most {
        end *= ratio;
        rows.push((Duration::from_secs_f64(end / 1e9), 0));
    }
    for bucket in delays.buckets() {
        let value = bucket
            .to
            .min(delays.max().unwrap_or(bucket.to))
            .saturating_sub(base);
        let value = Duration::from_nanos(u64::try_from(value).unwrap_or(0));
        let row = rows
            .partition_point(|(end, _)| *end < value)
            .min(rows.len() - 1);
        rows[row].1 += bucket.count;
    }
    rows
}

impl fmt::Display for Drawing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self
            .rows
            .iter()
            .map(|(_, count)| *count)
            .max()
            .unwrap_or(1)
            .max(1);
        let all: u64 = self.rows.iter().map(|(_, count)| count).sum();
        write!(f, "{}\n  {}", self.stream, self.title)?;
        let mut seen = 0;
        for (end, count) in &self.rows {
            seen += count;
            let length = (count * WIDTH).div_ceil(most);
            let bar = "█".repeat(usize::try_from(length).unwrap_or(0));
            let part = seen as f64 * 100.0 / all.max(1) as f64;
            write!(
                f,
                "\n  {:>10}  {part:>7.3} %  {:>12}  {bar}",
                Exact(*end).to_string(),
                grouped(*count)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_row() {
        for values in [
            vec![5_000],
            vec![0, 1],
            (1..10_000).map(|n| n * 997).collect(),
        ] {
            let mut delays = Histogram::new();
            values.iter().for_each(|value| delays.record(*value));
            let rows = rows(&delays, 0);
            assert!(rows.len() <= ROWS);
            let count: u64 = rows.iter().map(|(_, count)| count).sum();
            assert_eq!(count, values.len() as u64);
        }
        assert!(rows(&Histogram::new(), 0).is_empty());
    }
}
