//! Joined groups by the tables of `/proc/net` (`proc_pid_net(5)`).
//!
//! They are read under `/proc/thread-self/net`: `/proc/net` shows the network namespace of the
//! first thread of the process, which is not always that of this one.
//!
//! The name of an interface holds any bytes but white space of ASCII.

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use manycast_types::{InterfaceId, Malformed};

use crate::joined::{JoinedGroup, JoinedSource, TARGET};
use crate::{Error, Operation};

/// The tables of the kernel that tell which groups are joined, as text.
///
/// Reading and understanding are apart, so that the tables of one host can be looked at on
/// another.
///
/// ```
/// use manycast_net::JoinedTables;
///
/// let tables = JoinedTables {
///     igmp6: "2    eth0            ff150000000000000000000000000007     1 00000004 0\n".into(),
///     ..JoinedTables::default()
/// };
/// let joined = tables.groups()?;
/// assert_eq!(joined[0].interface.to_string(), "eth0");
/// assert_eq!(joined[0].group.to_string(), "ff15::7");
/// # Ok::<(), manycast_types::Malformed>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinedTables {
    /// `/proc/net/igmp`: IPv4 groups.
    pub igmp: String,
    /// `/proc/net/igmp6`: IPv6 groups.
    pub igmp6: String,
    /// `/proc/net/mcfilter`: sources of IPv4 groups.
    pub mcfilter: String,
    /// `/proc/net/mcfilter6`: sources of IPv6 groups.
    pub mcfilter6: String,
}

/// Where the tables are.
const TABLES: &str = "/proc/thread-self/net";

impl JoinedTables {
    /// Reads the tables of the network namespace of this thread. One that this kernel does not
    /// have, since that version of IP is switched off, is empty.
    ///
    /// # Errors
    ///
    /// When `/proc` is not there or may not be read.
    pub fn read() -> Result<Self, Error> {
        let read = |name| match fs::read(Path::new(TABLES).join(name)) {
            // Names of interfaces need not be text, and some tables cut them within a character.
            Ok(table) => Ok(String::from_utf8_lossy(&table).into_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && Path::new(TABLES).is_dir() => {
                Ok(String::new())
            }
            Err(error) => Err(Error::new(Operation::List, TARGET, error)),
        };
        Ok(Self {
            igmp: read("igmp")?,
            igmp6: read("igmp6")?,
            mcfilter: read("mcfilter")?,
            mcfilter6: read("mcfilter6")?,
        })
    }

    /// Understands the tables: the groups, by interface and address.
    ///
    /// # Errors
    ///
    /// When a line is not as it should be. The offset is where the line begins in its table.
    pub fn groups(&self) -> Result<Vec<JoinedGroup>, Malformed> {
        let mut groups = igmp(&self.igmp)?;
        groups.extend(igmp6(&self.igmp6)?);
        groups.sort_by_key(|joined| (joined.interface.index, joined.group));

        let mut sources = mcfilter("mcfilter", &self.mcfilter)?;
        sources.extend(mcfilter("mcfilter6", &self.mcfilter6)?);
        for (index, group, source) in sources {
            let place =
                groups.binary_search_by_key(&(index, group), |j| (j.interface.index, j.group));
            // A group that was joined after the first table was read is left for the next time.
            if let Ok(place) = place {
                groups[place].sources.push(source);
            }
        }
        Ok(groups)
    }
}

/// Understands `igmp`: a line for each interface, and after it one for each of its groups.
fn igmp(table: &str) -> Result<Vec<JoinedGroup>, Malformed> {
    let mut groups = Vec::new();
    let mut interface = None;
    for_each_line("igmp", table, |line| {
        if !line.starts_with('\t') {
            interface = Some(igmp_interface(line)?);
            return Some(());
        }
        let (interface, version) = interface.clone()?;
        let mut words = line.split_ascii_whitespace();
        // The kernel writes the four bytes as one number in its own byte order.
        let group = u32::from_str_radix(words.next()?, 16).ok()?.to_ne_bytes();
        groups.push(JoinedGroup {
            interface,
            group: group.into(),
            users: words.next()?.parse().ok()?,
            igmp_version: Some(version),
            sources: Vec::new(),
        });
        Some(())
    })?;
    Ok(groups)
}

/// Index, name, and the version of IGMP: `7⇥e0        :     3      V3`.
fn igmp_interface(line: &str) -> Option<(InterfaceId, u8)> {
    let (interface, rest) = line.split_once(':')?;
    let (index, name) = interface.split_once('\t')?;
    let version = rest
        .split_ascii_whitespace()
        .nth(1)?
        .strip_prefix('V')?
        .parse()
        .ok()?;
    Some((
        InterfaceId::new(index.parse().ok()?, name.trim_ascii()),
        version,
    ))
}

/// Understands `igmp6`: a line for each group.
fn igmp6(table: &str) -> Result<Vec<JoinedGroup>, Malformed> {
    let mut groups = Vec::new();
    for_each_line("igmp6", table, |line| {
        let mut words = line.split_ascii_whitespace();
        groups.push(JoinedGroup {
            interface: InterfaceId::new(words.next()?.parse().ok()?, words.next()?),
            group: address(words.next()?)?,
            users: words.next()?.parse().ok()?,
            igmp_version: None,
            sources: Vec::new(),
        });
        Some(())
    })?;
    Ok(groups)
}

/// Understands `mcfilter` and `mcfilter6`: a line for each source of a group. They cut the name of
/// the interface at six bytes, so only its index counts.
fn mcfilter(
    name: &'static str,
    table: &str,
) -> Result<Vec<(u32, IpAddr, JoinedSource)>, Malformed> {
    let mut sources = Vec::new();
    for_each_line(name, table, |line| {
        let mut words = line.split_ascii_whitespace();
        let index = words.next()?.parse().ok()?;
        let _name = words.next()?;
        let group = address(words.next()?)?;
        let source = JoinedSource {
            address: address(words.next()?)?,
            included: words.next()?.parse().ok()?,
            excluded: words.next()?.parse().ok()?,
        };
        sources.push((index, group, source));
        Some(())
    })?;
    Ok(sources)
}

/// An address in network byte order: `0xe8010101`, or 32 digits.
fn address(word: &str) -> Option<IpAddr> {
    match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16)
            .ok()
            .map(|n| Ipv4Addr::from(n).into()),
        None if word.len() == 32 => u128::from_str_radix(word, 16)
            .ok()
            .map(|n| Ipv6Addr::from(n).into()),
        None => None,
    }
}

/// Hands each line but the headings to `take`, which says by `None` that it makes no sense.
fn for_each_line(
    name: &'static str,
    table: &str,
    mut take: impl FnMut(&str) -> Option<()>,
) -> Result<(), Malformed> {
    let mut offset = 0;
    for line in table.split_inclusive('\n') {
        let text = line.trim_end();
        if !text.is_empty() && !text.starts_with("Idx") && take(text).is_none() {
            return Err(Malformed::new(
                format!("{text:?} is no line of {name}"),
                offset,
            ));
        }
        offset += line.len();
    }
    Ok(())
}
