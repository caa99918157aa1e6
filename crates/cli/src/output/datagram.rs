//! A datagram that came, as a line or as an object.

use std::fmt;
use std::time::SystemTime;

use manycast::Received;
use serde::Serialize;

use super::payload::{Dump, Escaped, Payload};
use super::{named, rfc3339, time};

/// A datagram that came. The names and the order of the fields are part of what scripts rely on.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    event: &'static str,
    bytes: usize,
    source: String,
    destination: String,
    interface: String,
    hops: Option<u8>,
    #[serde(serialize_with = "utc")]
    time: SystemTime,
    truncated: bool,
    dropped: u64,
    #[serde(flatten)]
    payload: Payload<'a>,
    /// Whether the text has a dump below it.
    #[serde(skip)]
    dump: Option<&'a [u8]>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(event: &'static str, received: &Received<'a>) -> Self {
        let interface = received.interface;
        Self {
            event,
            bytes: received.payload.len(),
            source: named(received.source, interface),
            destination: named(received.destination, interface),
            interface: interface.to_string(),
            hops: received.hops,
            time: received.time.unwrap_or_else(SystemTime::now),
            truncated: received.truncated,
            dropped: received.dropped,
            payload: received.payload.into(),
            dump: None,
        }
    }

    /// Who sent it. The name of an interface is part of it, which may hold anything.
    pub(crate) const fn source(&self) -> Escaped<'_> {
        Escaped(self.source.as_str())
    }

    /// The same with its bytes in hexadecimal, whatever they are.
    pub(crate) fn in_hex(self, received: &Received<'a>) -> Self {
        Self {
            payload: Payload::Bytes(received.payload),
            dump: Some(received.payload),
            ..self
        }
    }
}

impl fmt::Display for Report<'_> {
    /// `12:04:05.123456 10.0.0.2:40000 > 239.192.0.100:1000 eth0 hops 1, 13 bytes: Hello, world!`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [source, destination, interface] =
            [&self.source, &self.destination, &self.interface].map(|name| Escaped(name));
        let clock = time::clock(self.time);
        write!(f, "{clock} {source} > {destination} {interface}")?;
        if let Some(hops) = self.hops {
            write!(f, " hops {hops}")?;
        }
        let plural = if self.bytes == 1 { "" } else { "s" };
        write!(f, ", {} byte{plural}", self.bytes)?;
        if self.truncated {
            f.write_str(", truncated")?;
        }
        if self.dropped > 0 {
            write!(f, ", {} dropped before", self.dropped)?;
        }
        match self.dump {
            Some(bytes) => Dump(bytes).fmt(f),
            None if self.bytes == 0 => Ok(()),
            None => write!(f, ": {}", self.payload),
        }
    }
}

fn utc<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use manycast::InterfaceId;

    use super::*;

    fn report(payload: &[u8], check: impl Fn(&Report<'_>, &Received<'_>)) {
        let interface = InterfaceId::new(2, "eth0");
        let source = ([10, 0, 0, 2], 40_000).into();
        let destination = ([239, 192, 0, 100], 1000).into();
        let mut received = Received::new(payload, source, destination, &interface);
        received.hops = Some(1);
        received.time =
            Some(SystemTime::UNIX_EPOCH + Duration::from_nanos(1_767_225_600_123_456_789));
        check(&Report::new("datagram", &received), &received);
    }

    #[test]
    fn the_object_is_as_the_contract_says() {
        report(b"Hello, world!", |report, _| {
            assert_eq!(
                serde_json::to_string(report).unwrap(),
                "{\"event\":\"datagram\",\"bytes\":13,\"source\":\"10.0.0.2:40000\",\
                 \"destination\":\"239.192.0.100:1000\",\"interface\":\"eth0\",\"hops\":1,\
                 \"time\":\"2026-01-01T00:00:00.123456789Z\",\"truncated\":false,\"dropped\":0,\
                 \"text\":\"Hello, world!\"}"
            );
        });
    }

    #[test]
    fn the_line_tells_all_that_is_to_tell() {
        report(b"Hello, world!", |report, received| {
            let (clock, rest) = (&report.to_string()[..15], &report.to_string()[15..]);
            assert!(clock.ends_with(":00.123456"), "{clock}");
            let ends = " 10.0.0.2:40000 > 239.192.0.100:1000 eth0 hops 1, 13 bytes";
            assert_eq!(rest, format!("{ends}: Hello, world!"));
            let mut cut = *received;
            cut.truncated = true;
            cut.dropped = 1_234;
            let cut = Report::new("datagram", &cut).to_string();
            assert!(cut.ends_with(", 13 bytes, truncated, 1234 dropped before: Hello, world!"));
        });
        report(b"", |report, _| {
            assert!(report.to_string().ends_with(" hops 1, 0 bytes"));
        });
    }

    #[test]
    fn in_hex_there_are_lines_below() {
        report(b"hi", |_, received| {
            let report = Report::new("datagram", received).in_hex(received);
            let text = report.to_string();
            let (line, dump) = text.split_once('\n').unwrap();
            assert!(line.ends_with(", 2 bytes"), "{line}");
            assert!(
                dump.starts_with("  0000  68 69 ") && dump.ends_with("|hi|"),
                "{dump}"
            );
            assert!(
                serde_json::to_string(&report)
                    .unwrap()
                    .ends_with("\"hex\":\"6869\"}")
            );
        });
    }
}
