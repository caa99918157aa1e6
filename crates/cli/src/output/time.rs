//! Times of the day, and spans of time.

use std::fmt;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A span of time as people write it: `350 µs`, `1.4 ms`, `2.5 s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(duration) = self;
        let (number, unit) = if *duration < Duration::from_millis(1) {
            return write!(f, "{} µs", duration.as_micros());
        } else if *duration < Duration::from_secs(1) {
            (duration.as_secs_f64() * 1e3, "ms")
        } else {
            (duration.as_secs_f64(), "s")
        };
        let text = format!("{number:.1}");
        write!(f, "{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
    }
}

/// RFC 3339, in UTC, with nanoseconds.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    format!("{:.9}", timestamp(time))
}

/// The time of the day here, with microseconds.
pub(crate) fn clock(time: SystemTime) -> impl fmt::Display {
    timestamp(time)
        .to_zoned(TimeZone::system())
        .strftime("%H:%M:%S%.6f")
        .to_string()
}

fn timestamp(time: SystemTime) -> Timestamp {
    // Only a clock that stands in another epoch is out of its range.
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        for (microseconds, text) in [
            (0, "0 µs"),
            (350, "350 µs"),
            (1_449, "1.4 ms"),
            (500_000, "500 ms"),
            (1_000_000, "1 s"),
            (1_000_420, "1 s"),
            (12_340_000, "12.3 s"),
        ] {
            assert_eq!(Span(Duration::from_micros(microseconds)).to_string(), text);
        }
    }

    #[test]
    fn times_have_nine_digits_and_a_z() {
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_767_225_600, 1_000);
        assert_eq!(rfc3339(time), "2026-01-01T00:00:00.000001000Z");
    }
}
