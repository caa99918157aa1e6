//! Numbers in few bits: round-trip times, group sizes, rates and loss fractions.

use std::time::Duration;

/// The shortest round-trip time that can be said, in seconds.
const RTT_MIN: f64 = 1e-6;
/// The longest one.
const RTT_MAX: f64 = 1000.0;

/// A round-trip time in 8 bits, from 1 µs to 1,000 s, rounded up, so that no timer is too short.
///
/// ```
/// use std::time::Duration;
///
/// use manycast_proto::norm::message::{quantize_rtt, unquantize_rtt};
///
/// let quantized = quantize_rtt(Duration::from_millis(500));
/// assert_eq!(quantized, 157);
/// assert_eq!(unquantize_rtt(quantized).as_millis(), 532);
/// ```
// RFC 5740 §4.2: grtt.
pub fn quantize_rtt(rtt: Duration) -> u8 {
    let rtt = rtt.as_secs_f64().clamp(RTT_MIN, RTT_MAX);
    // Below 33 µs the scale is linear, above it is logarithmic. What lies between two codes is
    // said by the greater; what lies on one, but for what a nanosecond makes, by that one.
    let code = if rtt <= 31.0 * RTT_MIN {
        rtt / RTT_MIN - 1.0
    } else {
        (255.0 - 13.0 * (RTT_MAX / rtt).ln()).max(31.0)
    };
    octet((code - 1e-3).ceil())
}

/// The round-trip time that 8 bits say.
pub fn unquantize_rtt(code: u8) -> Duration {
    let seconds = if code < 31 {
        f64::from(code) * RTT_MIN + RTT_MIN
    } else {
        RTT_MAX / (f64::from(255 - code) / 13.0).exp()
    };
    Duration::from_secs_f64(seconds)
}

/// A number of receivers in 4 bits, rounded up: 10 to 500 million.
///
/// ```
/// use manycast_proto::norm::message::{quantize_group_size, unquantize_group_size};
///
/// assert_eq!(unquantize_group_size(quantize_group_size(300)), 500);
/// assert_eq!(unquantize_group_size(quantize_group_size(1_000)), 1_000);
/// ```
// RFC 5740 §4.2: gsize, one bit of mantissa (1 or 5) and three of exponent.
pub fn quantize_group_size(size: u64) -> u8 {
    let fits = |code: &u8| unquantize_group_size(*code) >= size;
    (0..16)
        .filter(fits)
        .min_by_key(|code| unquantize_group_size(*code))
        .unwrap_or(0x0f)
}

/// The number of receivers that the low 4 bits say.
pub const fn unquantize_group_size(code: u8) -> u64 {
    let mantissa = if code & 0x08 == 0 { 1 } else { 5 };
    mantissa * 10_u64.pow((code & 0x07) as u32 + 1)
}

/// A rate in bytes a second in 16 bits: 12 of mantissa, 4 of decimal exponent.
///
/// ```
/// use manycast_proto::norm::message::{quantize_rate, unquantize_rate};
///
/// let rate = unquantize_rate(quantize_rate(12_500_000.0));
/// assert!((rate / 12_500_000.0 - 1.0).abs() < 0.002);
/// ```
// RFC 5740 §4.2.3.4: send_rate.
pub fn quantize_rate(rate: f64) -> u16 {
    if rate.is_nan() || rate <= 0.0 {
        return 1;
    }
    let mut exponent = rate.log10().floor().clamp(0.0, 15.0);
    let mantissa = |exponent: f64| (409.6 * rate / 10_f64.powf(exponent)).round();
    if mantissa(exponent) > 4095.0 && exponent < 15.0 {
        exponent += 1.0;
    }
    word(mantissa(exponent).min(4095.0)) << 4 | word(exponent)
}

/// The rate that 16 bits say, in bytes a second.
pub fn unquantize_rate(code: u16) -> f64 {
    f64::from(code >> 4) / 409.6 * 10_f64.powi(i32::from(code & 0x0f))
}

/// A fraction of loss, from 0 to 1, in 16 bits.
// RFC 5740 §4.3.1: cc_loss.
pub fn quantize_loss(fraction: f64) -> u16 {
    word((fraction * 65_535.0).round())
}

/// The fraction of loss that 16 bits say.
pub fn unquantize_loss(code: u16) -> f64 {
    f64::from(code) / 65_535.0
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates at the ends of the integer's range"
)]
const fn octet(value: f64) -> u8 {
    value as u8
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates at the ends of the integer's range"
)]
const fn word(value: f64) -> u16 {
    value as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_code_is_that_of_what_it_says() {
        for code in 0..=255 {
            assert_eq!(quantize_rtt(unquantize_rtt(code)), code);
        }
        for code in 0..16 {
            assert_eq!(quantize_group_size(unquantize_group_size(code)), code);
        }
        for code in 0..=u16::MAX {
            assert_eq!(quantize_loss(unquantize_loss(code)), code);
            // Mantissas below a tenth of the greatest have another code too.
            if code >> 4 >= 410 {
                assert_eq!(quantize_rate(unquantize_rate(code)), code);
            }
        }
    }

    /// RFC 5740 §4.2 prints a table of them; some of its lines.
    #[test]
    fn codes_mean_what_the_rfc_says() {
        for (code, seconds) in [
            (0, 1e-6),
            (30, 31e-6),
            (31, 3.287e-5),
            (100, 6.635e-3),
            (255, 1e3),
        ] {
            let found = unquantize_rtt(code).as_secs_f64();
            assert!((found / seconds - 1.0).abs() < 1e-3, "{code}: {found}");
        }
    }

    #[test]
    fn ends_of_the_range_are_kept() {
        assert_eq!(quantize_rtt(Duration::ZERO), 0);
        assert_eq!(quantize_rtt(Duration::MAX), 255);
        assert_eq!(unquantize_group_size(quantize_group_size(0)), 10);
        assert_eq!(quantize_group_size(u64::MAX), 0x0f);
        assert_eq!(quantize_loss(-1.0), 0);
        assert_eq!(quantize_loss(f64::NAN), 0);
        assert_eq!(quantize_loss(2.0), u16::MAX);
        assert_eq!(quantize_rate(f64::INFINITY), u16::MAX);
        assert!(unquantize_rate(quantize_rate(f64::NAN)) < 1.0);
        assert!((unquantize_rate(quantize_rate(9.9999)) - 10.0).abs() < 0.02);
    }

    proptest! {
        #[test]
        fn a_round_trip_time_is_never_said_shorter(nanos in 1_000..1_000_000_000_000_u64) {
            let rtt = Duration::from_nanos(nanos);
            let said = unquantize_rtt(quantize_rtt(rtt));
            prop_assert!(said.as_secs_f64() >= rtt.as_secs_f64() * 0.9999);
            prop_assert!(said.as_secs_f64() <= rtt.as_secs_f64() * 1.09 + 1.1e-6);
        }

        #[test]
        fn a_rate_is_said_within_a_quarter_percent(rate in 1.0..1e15) {
            let said = unquantize_rate(quantize_rate(rate));
            prop_assert!((said / rate - 1.0).abs() < 0.0025, "{rate} {said}");
        }
    }
}
