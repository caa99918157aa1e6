//! What the kernel has counted: by version of IP, by protocol, by interface.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use manycast_types::Malformed;

use manycast_net::{Error, Operation};

/// Where the tables are. `/proc/net` would be those of the first thread's network namespace.
const TABLES: &str = "/proc/thread-self/net";

/// How often the tables are read anew because packets came between two of them. On a host that
/// never rests, the last attempt is as good as any.
const ATTEMPTS: usize = 8;

/// The tables of the kernel's counters, as text (`proc_pid_net(5)`).
///
/// Reading and understanding are apart, so that the tables of one host can be looked at on
/// another.
///
/// ```
/// use manycast_doctor::CounterTables;
///
/// let mut tables = CounterTables::default();
/// tables.snmp = "Udp: InDatagrams NoPorts\nUdp: 17 4\n".into();
/// assert_eq!(tables.counters()?.get("Udp.NoPorts"), 4);
/// # Ok::<(), manycast_types::Malformed>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CounterTables {
    /// `/proc/net/snmp`: IPv4, and what is above it.
    pub snmp: String,
    /// `/proc/net/snmp6`: IPv6, and what is above it.
    pub snmp6: String,
    /// `/proc/net/netstat`: what the standards do not know of.
    pub netstat: String,
    /// `/proc/net/xfrm_stat`: what policies of IPsec refused.
    pub xfrm_stat: String,
    /// `/proc/net/dev`: interfaces.
    pub dev: String,
}

/// What the kernel has counted since it started, or between two moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// By the kernel's names: `Ip.InReceives`, `IpExt.InMcastPkts`, `Ip6InReceives`.
    pub values: BTreeMap<String, u64>,
    /// By the name of the interface.
    pub interfaces: BTreeMap<String, InterfaceCounters>,
}

/// What an interface has counted, in packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterfaceCounters {
    /// Packets that came in.
    pub received: u64,
    /// Packets that came in and were thrown away by the driver or for want of memory.
    pub dropped: u64,
    /// Packets to groups that came in; few drivers count them apart.
    pub multicast: u64,
    /// Packets that went out.
    pub sent: u64,
}

impl CounterTables {
    /// Reads the tables of the network namespace of this thread. One that this kernel does not
    /// have, since that version of IP is switched off, is empty.
    ///
    /// # Errors
    ///
    /// When `/proc` is not there or may not be read.
    pub fn read() -> Result<Self, Error> {
        let mut tables = Self::default();
        for _ in 0..ATTEMPTS {
            tables = Self {
                snmp: read("snmp")?,
                snmp6: read("snmp6")?,
                netstat: read("netstat")?,
                xfrm_stat: read("xfrm_stat")?,
                dev: read("dev")?,
            };
            // What came in between is in one table and not in the other.
            if read("snmp")? == tables.snmp {
                break;
            }
        }
        Ok(tables)
    }

    /// Reads those alone that tell what IP and IPsec do with packets of one version of IP, which takes a
    /// fraction of the time.
    pub(crate) fn read_of_ip(ipv4: bool) -> Result<Self, Error> {
        let [snmp, snmp6] = if ipv4 {
            [read("snmp")?, String::new()]
        } else {
            [String::new(), read("snmp6")?]
        };
        Ok(Self {
            snmp,
            snmp6,
            xfrm_stat: read("xfrm_stat")?,
            ..Self::default()
        })
    }

    /// Understands the tables. Numbers below zero, which are limits and no counts, are left out.
    ///
    /// # Errors
    ///
    /// When a line is not as it should be. The offset is where the line begins in its table.
    pub fn counters(&self) -> Result<Counters, Malformed> {
        let mut values = BTreeMap::new();
        pairs_of_lines("snmp", &self.snmp, &mut values)?;
        pairs_of_lines("netstat", &self.netstat, &mut values)?;
        for (table, text) in [("snmp6", &self.snmp6), ("xfrm_stat", &self.xfrm_stat)] {
            for (offset, line) in lines(text) {
                let (name, value) = line
                    .split_once(char::is_whitespace)
                    .ok_or_else(|| no_line(table, line, offset))?;
                let value = value.trim().parse();
                values.insert(
                    name.to_owned(),
                    value.map_err(|_| no_line(table, line, offset))?,
                );
            }
        }
        let mut interfaces = BTreeMap::new();
        for (offset, line) in lines(&self.dev) {
            // The two lines of headings have bars between their columns.
            if !line.contains('|') {
                let (name, counters) =
                    interface(line).ok_or_else(|| no_line("dev", line, offset))?;
                interfaces.insert(name.to_owned(), counters);
            }
        }
        Ok(Counters { values, interfaces })
    }

    /// The same of what was just read.
    pub(crate) fn understood(&self) -> Result<Counters, Error> {
        self.counters().map_err(|malformed| {
            let error = io::Error::new(io::ErrorKind::InvalidData, malformed);
            Error::new(Operation::List, "the counters", error)
        })
    }
}

/// One of the tables.
fn read(name: &str) -> Result<String, Error> {
    match fs::read_to_string(Path::new(TABLES).join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && Path::new(TABLES).is_dir() => {
            Ok(String::new())
        }
        read => read.map_err(|error| Error::new(Operation::List, "the counters", error)),
    }
}

impl Counters {
    /// Reads the counters of the network namespace of this thread.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read, or are not as they are known to be.
    ///
    /// ```
    /// use manycast_doctor::Counters;
    ///
    /// let before = Counters::read()?;
    /// let moved = Counters::read()?.since(&before);
    /// println!("{} datagrams came meanwhile", moved.get("Udp.InDatagrams"));
    /// # Ok::<(), manycast_net::Error>(())
    /// ```
    pub fn read() -> Result<Self, Error> {
        CounterTables::read()?.understood()
    }

    /// The count of this name; 0 where the kernel does not have it.
    pub fn get(&self, name: &str) -> u64 {
        self.values.get(name).copied().unwrap_or_default()
    }

    /// By how much each has grown since `earlier`. What has shrunk, as the counters of an
    /// interface that was made anew, has not grown.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let values = self.values.iter().map(|(name, now)| {
            let before = earlier.get(name);
            (name.clone(), now.saturating_sub(before))
        });
        let interfaces = self.interfaces.iter().map(|(name, now)| {
            let before = earlier.interfaces.get(name).copied().unwrap_or_default();
            let grown = InterfaceCounters {
                received: now.received.saturating_sub(before.received),
                dropped: now.dropped.saturating_sub(before.dropped),
                multicast: now.multicast.saturating_sub(before.multicast),
                sent: now.sent.saturating_sub(before.sent),
            };
            (name.clone(), grown)
        });
        Self {
            values: values.collect(),
            interfaces: interfaces.collect(),
        }
    }
}

/// Understands tables in which a line of names is followed by a line of numbers, both with the
/// name of the protocol before them.
fn pairs_of_lines(
    table: &'static str,
    text: &str,
    values: &mut BTreeMap<String, u64>,
) -> Result<(), Malformed> {
    let mut lines = lines(text);
    while let Some((offset, names)) = lines.next() {
        let broken = || no_line(table, names, offset);
        let (_, numbers) = lines.next().ok_or_else(broken)?;
        let (protocol, names) = names.split_once(':').ok_or_else(broken)?;
        let (same, numbers) = numbers.split_once(':').ok_or_else(broken)?;
        if protocol != same {
            return Err(broken());
        }
        for (name, number) in names.split_whitespace().zip(numbers.split_whitespace()) {
            let number: i128 = number.parse().map_err(|_| broken())?;
            if let Ok(number) = u64::try_from(number) {
                values.insert(format!("{protocol}.{name}"), number);
            }
        }
    }
    Ok(())
}

/// Name, and 16 numbers: eight of receiving, eight of sending.
fn interface(line: &str) -> Option<(&str, InterfaceCounters)> {
    let (name, numbers) = line.rsplit_once(':')?;
    let numbers: Vec<u64> = numbers
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let counters = InterfaceCounters {
        received: *numbers.get(1)?,
        dropped: *numbers.get(3)?,
        multicast: *numbers.get(7)?,
        sent: *numbers.get(9)?,
    };
    Some((name.trim(), counters))
}

/// The lines that are not empty, and where each begins.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut offset = 0;
    text.split_inclusive('\n').filter_map(move |line| {
        let start = offset;
        offset += line.len();
        let line = line.trim_end();
        (!line.is_empty()).then_some((start, line))
    })
}

fn no_line(table: &str, line: &str, offset: usize) -> Malformed {
    Malformed::new(format!("{line:?} is no line of {table}"), offset)
}
