//! Arguments that are more than a word: durations, sizes, rates, interfaces.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::str::FromStr;
use std::time::Duration;

use manycast::{Address, Host, InterfaceSelector, MAX_PAYLOAD, Malformed};

/// Bits per second, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(u64);

impl Rate {
    /// The number.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }
}

/// What `-i` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Interfaces {
    All,
    One(InterfaceSelector),
}

impl FromStr for Interfaces {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        text.parse()
            .map(Self::One)
            .map_err(|Malformed { what, .. }| format!("{what}; write eth0, 2, 10.0.0.2 or all"))
    }
}

/// `500ms`, `2s`, `1m`, `1h 30m`; a number alone is seconds: `5`, `0.5`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write 500ms, 2s or 1m, or 5 for seconds");
    let of_number = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    if text.bytes().all(of_number) {
        let seconds = text.parse().map_err(|_| wrong())?;
        return Duration::try_from_secs_f64(seconds).map_err(|_| wrong());
    }
    humantime::parse_duration(text).map_err(|_| wrong())
}

/// The length of a datagram in bytes, from 1 to 65,507: `1316`, `64k`.
pub(crate) fn piece(text: &str) -> Result<usize, String> {
    match scaled(text).map(usize::try_from) {
        Some(Ok(size @ 1..=MAX_PAYLOAD)) => Ok(size),
        Some(_) => Err(format!(
            "{text:?} is not from 1 to {MAX_PAYLOAD}; write 1316 or 64k"
        )),
        None => Err(format!("{text:?} is not a size; write 1316 or 64k")),
    }
}

/// A size in bytes: `500k`, `100M`, `2G`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    scaled(text).ok_or_else(|| format!("{text:?} is not a size; write 500k, 100M or 2G"))
}

/// The longest burst in which a rate is held, from 0 to 1 s. A sender waits before a burst, so one
/// that takes years would never be sent.
pub(crate) fn burst(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        burst if burst <= Duration::from_secs(1) => Ok(burst),
        _ => Err(format!("{text:?} is longer than 1s; write 1ms or 100ms")),
    }
}

/// Bits per second, with a unit: `800b`, `500k`, `10M`, `2.5G`.
pub(crate) fn rate(text: &str) -> Result<Rate, String> {
    let bits = match text.strip_suffix('b') {
        Some(bits) if !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit()) => {
            bits.parse().ok()
        }
        _ => scaled(text),
    };
    match bits {
        Some(1..) if text.ends_with(|last: char| last.is_ascii_digit()) => Err(format!(
            "{text:?} has no unit; write {text}k or {text}M, or {text}b for single bits per second"
        )),
        Some(bits @ 1..) => Ok(Rate(bits)),
        _ => Err(format!(
            "{text:?} is not a rate; write 500k, 10M or 1G, in bits per second"
        )),
    }
}

/// A number of datagrams or answers, from 1.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(count @ 1..) => Ok(count),
        _ => Err(format!("{text:?} is not a number from 1; write 10")),
    }
}

/// A number of retries, from 0.
pub(crate) fn retries(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a number from 0; write 2"))
}

/// A hop limit, from 0 to 255.
pub(crate) fn hops(text: &str) -> Result<u8, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not a number from 0 to 255; write 8"))
}

/// `10.0.0.2`, `10.0.0.2:5000`, `fd00::2`, `[fd00::2]`, `[fe80::2%eth0]:5000`, `:5000`: each form in
/// which an own address is printed. Port 0 is as the kernel chooses it.
pub(crate) fn local(text: &str) -> Result<Address, String> {
    let address = text.parse().or_else(|_| Address::try_from((text, 0)));
    let address = address.ok().filter(|_| !text.is_empty());
    address.and_then(own).ok_or_else(|| {
        format!(
            "{text:?} is not a local address; write 10.0.0.2, 10.0.0.2:5000, \
             [fe80::2%eth0]:5000 or :5000"
        )
    })
}

/// An address of this host, of which the interface is the zone.
fn own(address: Address) -> Option<Address> {
    match (address.host(), address.interface()) {
        // Which version of IP it is of follows from the destination.
        (Host::Any, None) => Some(address),
        (Host::Ip(ip), _) if ip.is_multicast() || !address.sources().is_empty() => None,
        (Host::Ip(_), None) => Some(address),
        (Host::Ip(IpAddr::V6(ip)), Some(interface)) => {
            let scope = manycast::find_interface(interface).ok()?.index;
            Some(SocketAddr::from(SocketAddrV6::new(*ip, address.port(), 0, scope)).into())
        }
        _ => None,
    }
}

/// A number with an optional `k`, `M` or `G`, which are powers of a thousand, and with a fraction
/// as long as the result is whole.
fn scaled(text: &str) -> Option<u64> {
    let (number, factor): (_, u64) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (&text[..at], 1_000),
        (at, 'M') => (&text[..at], 1_000_000),
        (at, 'G') => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let parts = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction = fraction.parse::<u64>().ok()?.checked_mul(factor)?;
    if fraction % parts != 0 {
        return None;
    }
    whole.checked_mul(factor)?.checked_add(fraction / parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_and_whole() {
        for (text, size) in [
            ("1316", 1_316),
            ("64k", 64_000),
            ("1.5M", 1_500_000),
            ("2.25G", 2_250_000_000),
        ] {
            assert_eq!(scaled(text), Some(size));
        }
        for wrong in [
            "",
            "k",
            "-1",
            "1.",
            ".5k",
            "1m",
            "1KiB",
            "99999999999G",
            "1e3",
            "٣",
            "0.0005k",
        ] {
            assert_eq!(scaled(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_piece_fits_a_datagram() {
        assert_eq!(piece("65507"), Ok(MAX_PAYLOAD));
        for wrong in ["0", "65508", "1M"] {
            let error = piece(wrong).unwrap_err();
            assert_eq!(
                error,
                format!("{wrong:?} is not from 1 to 65507; write 1316 or 64k")
            );
        }
        assert_eq!(
            piece("x").unwrap_err(),
            "\"x\" is not a size; write 1316 or 64k"
        );
    }

    #[test]
    fn a_rate_is_a_number_from_1() {
        assert_eq!(rate("10M").map(Rate::bits), Ok(10_000_000));
        assert!(rate("0").is_err());
    }

    #[test]
    fn a_rate_needs_a_unit() {
        assert_eq!(rate("800b").map(Rate::bits), Ok(800));
        assert_eq!(
            rate("50").unwrap_err(),
            "\"50\" has no unit; write 50k or 50M, or 50b for single bits per second"
        );
        for wrong in ["b", "1.5b", "1kb", "0b"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_burst_is_a_second_at_most() {
        assert_eq!(burst("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(
            burst("300y").unwrap_err(),
            "\"300y\" is longer than 1s; write 1ms or 100ms"
        );
    }

    #[test]
    fn a_duration_without_a_unit_is_seconds() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["soon", "", ".", "1.2.3", "-1", "1e3", &"9".repeat(400)] {
            assert_eq!(
                duration(wrong).unwrap_err(),
                format!("{wrong:?} is not a duration; write 500ms, 2s or 1m, or 5 for seconds")
            );
        }
    }

    #[test]
    fn local_addresses_have_a_port_or_none() {
        for (text, address) in [
            ("10.0.0.2", "10.0.0.2:0"),
            ("10.0.0.2:5000", "10.0.0.2:5000"),
            ("fd00::2", "[fd00::2]:0"),
            ("[fd00::2]:5000", "[fd00::2]:5000"),
            ("[fe80::1]", "[fe80::1]:0"),
            ("[fe80::1%1]:6000", "[fe80::1%1]:6000"),
            ("[fe80::1%lo]:6000", "[fe80::1%1]:6000"),
            ("fe80::1%lo", "[fe80::1%1]:0"),
            ("[::ffff:10.0.0.2]:5000", "10.0.0.2:5000"),
            (":5000", ":5000"),
        ] {
            assert_eq!(local(text), Ok(address.parse().unwrap()));
        }
        for wrong in [
            "eth0",
            "239.1.1.1",
            "localhost:5000",
            "%lo:5000",
            "",
            "10.0.0.2%lo",
            "[fe80::1%none]",
        ] {
            assert!(local(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_is_a_word_for_interfaces() {
        assert_eq!("all".parse(), Ok(Interfaces::All));
        assert_eq!(
            "eth0".parse(),
            Ok(Interfaces::One(InterfaceSelector::Name("eth0".into())))
        );
        let error = "a/b".parse::<Interfaces>().unwrap_err();
        assert_eq!(
            error,
            "'/' cannot stand in the name of an interface; write eth0, 2, 10.0.0.2 or all"
        );
    }
}
