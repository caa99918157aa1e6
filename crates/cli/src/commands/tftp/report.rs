//! What is told of transfers.

use std::fmt;
use std::time::Duration;

use manycast::proto::tftp::{Agreed, Summary};
use manycast::transfer::tftp::{Location, Record, Report};
use serde::Serialize;

use crate::output::{Span, counted, grouped};

/// What was agreed on.
#[derive(Serialize)]
struct AgreedReport {
    block_size: u16,
    window: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
}

impl From<&Agreed> for AgreedReport {
    fn from(agreed: &Agreed) -> Self {
        Self {
            block_size: agreed.block_size,
            window: agreed.window,
            group: agreed.group.map(|group| group.to_string()),
        }
    }
}

impl fmt::Display for AgreedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocks of {}", grouped(self.block_size.into()))?;
        if self.window > 1 {
            write!(f, ", windows of {}", self.window)?;
        }
        match &self.group {
            Some(group) => write!(f, ", by {group}"),
            None => Ok(()),
        }
    }
}

/// What was counted.
#[derive(Serialize)]
struct Counters {
    bytes: u64,
    seconds: f64,
    bits_per_second: u64,
    /// Sent again, or found missing.
    lost_blocks: u64,
    duplicates: u64,
    timeouts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_seconds: Option<f64>,
    #[serde(skip)]
    elapsed: Duration,
}

impl From<&Summary> for Counters {
    fn from(summary: &Summary) -> Self {
        let seconds = summary.elapsed.as_secs_f64();
        let nanoseconds = summary.elapsed.as_nanos().max(1);
        let rate = u128::from(summary.bytes) * 8 * 1_000_000_000 / nanoseconds;
        Self {
            bytes: summary.bytes,
            seconds,
            bits_per_second: u64::try_from(rate).unwrap_or(u64::MAX),
            lost_blocks: summary.again,
            duplicates: summary.duplicates,
            timeouts: summary.timeouts,
            round_trip_seconds: summary.round_trip.map(|time| time.as_secs_f64()),
            elapsed: summary.elapsed,
        }
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = counted(self.bytes, "byte");
        let rate = self.bits_per_second as f64 / 1e6;
        write!(f, "{bytes} in {}, {rate:.1} Mbit/s", Span(self.elapsed))?;
        if self.lost_blocks > 0 {
            write!(f, "; {} lost", counted(self.lost_blocks, "block"))?;
        }
        if self.timeouts > 0 {
            write!(f, "; {}", counted(self.timeouts, "time-out"))?;
        }
        Ok(())
    }
}

/// A transfer of this command that is done.
#[derive(Serialize)]
pub(super) struct Done {
    event: &'static str,
    server: String,
    file: String,
    #[serde(flatten)]
    counters: Counters,
    #[serde(flatten)]
    agreed: Option<AgreedReport>,
}

impl Done {
    pub(super) fn new(verb: &'static str, location: &Location, report: &Report) -> Self {
        Self {
            event: verb,
            server: report.server.to_string(),
            file: location.name().to_owned(),
            counters: (&report.summary).into(),
            agreed: report.agreed.as_ref().map(AgreedReport::from),
        }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.event, self.file, self.counters)?;
        match &self.agreed {
            Some(agreed) => write!(f, " ({agreed})"),
            None => Ok(()),
        }
    }
}

/// A transfer of a server that has ended.
#[derive(Serialize)]
pub(super) struct Ended {
    event: &'static str,
    peer: String,
    operation: &'static str,
    file: String,
    #[serde(flatten)]
    counters: Counters,
    #[serde(flatten)]
    agreed: Option<AgreedReport>,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<&Record> for Ended {
    fn from(record: &Record) -> Self {
        Self {
            event: "transfer",
            peer: record.peer.to_string(),
            operation: if record.write { "write" } else { "read" },
            file: record.name.clone(),
            counters: (&record.summary).into(),
            agreed: record.agreed.as_ref().map(AgreedReport::from),
            result: if record.result.is_ok() {
                "done"
            } else {
                "failed"
            },
            error: record.result.as_ref().err().cloned(),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A name comes from outside, and may hold anything.
        let file = crate::output::Escaped(&self.file);
        write!(f, "{} {} {file}: ", self.peer, self.operation)?;
        match &self.error {
            Some(error) => write!(f, "failed: {}", crate::output::Escaped(error)),
            None => {
                self.counters.fmt(f)?;
                match &self.agreed {
                    Some(agreed) => write!(f, " ({agreed})"),
                    None => Ok(()),
                }
            }
        }
    }
}
