//! The tracking of connections: what it dropped, which anybody may read, and whose addresses are
//! translated, which needs `CAP_NET_ADMIN`.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};

use manycast_net::netlink::{Connection, Request, address, attributes};

/// Datagrams whose destination is translated before UDP has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Translation {
    /// Who sends them.
    pub source: SocketAddr,
    /// What they were sent to.
    pub from: SocketAddr,
    /// What they are translated to.
    pub to: SocketAddr,
}

/// `/proc/net` would be that of the first thread's network namespace.
const STATISTICS: &str = "/proc/thread-self/net/stat/nf_conntrack";

/// `<linux/netfilter/nfnetlink_conntrack.h>`: `IPCTNL_MSG_CT_GET` of `NFNL_SUBSYS_CTNETLINK`.
const GET: u16 = (1 << 8) | 1;
/// `struct nfgenmsg`: family, version, resource (2).
const HEADER: usize = 4;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_ADDRESSES: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const SOURCE_4: u16 = 1;
const DESTINATION_4: u16 = 2;
const SOURCE_6: u16 = 3;
const DESTINATION_6: u16 = 4;
const PROTOCOL_NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
const UDP: u8 = 17;

/// How many are told of.
const MOST: usize = 8;

/// How many packets were dropped since the table was full; 0 where connections are not tracked.
pub(crate) fn drops() -> u64 {
    fs::read_to_string(STATISTICS).map_or(0, |table| drops_in(&table))
}

/// The column `drop` of all processors, whose numbers are hexadecimal.
pub(crate) fn drops_in(table: &str) -> u64 {
    let mut lines = table.lines();
    let names = lines.next().unwrap_or_default();
    let Some(column) = names.split_whitespace().position(|name| name == "drop") else {
        return 0;
    };
    lines
        .filter_map(|line| line.split_whitespace().nth(column))
        .filter_map(|count| u64::from_str_radix(count, 16).ok())
        .fold(0, u64::saturating_add)
}

/// What is sent to this address and is translated to another one; an error without the privilege.
pub(crate) fn translations(of: SocketAddr) -> io::Result<Vec<Translation>> {
    let mut netfilter = Connection::open(libc::NETLINK_NETFILTER)?;
    let family = if of.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let mut fixed = [0; HEADER];
    fixed[0] = u8::try_from(family).expect("families have one byte");
    let mut left = MOST;
    netfilter.list(&Request::new(GET, &fixed), |message| {
        let found = translation(message.payload).filter(|found| found.from == of && left > 0)?;
        left -= 1;
        Some(found)
    })
}

/// Reads one connection, where its destination is translated: who answers it is then another one than
/// was asked.
pub(crate) fn translation(payload: &[u8]) -> Option<Translation> {
    let (mut original, mut reply) = (None, None);
    for (kind, value) in attributes(payload, HEADER) {
        match kind {
            TUPLE_ORIGINAL => original = tuple(value),
            TUPLE_REPLY => reply = tuple(value),
            _ => {}
        }
    }
    let ((source, from), (to, _)) = (original?, reply?);
    // Of what is not translated, the answer comes from where it was sent to.
    (from != to).then_some(Translation { source, from, to })
}

/// Source and destination of UDP.
fn tuple(value: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (mut addresses, mut ports) = ([None::<IpAddr>; 2], [None::<u16>; 2]);
    for (kind, value) in attributes(value, 0) {
        match kind {
            TUPLE_ADDRESSES => {
                for (kind, value) in attributes(value, 0) {
                    match kind {
                        SOURCE_4 | SOURCE_6 => addresses[0] = address(value),
                        DESTINATION_4 | DESTINATION_6 => addresses[1] = address(value),
                        _ => {}
                    }
                }
            }
            TUPLE_PROTOCOL => {
                let port = |value: &[u8]| value.first_chunk().map(|two| u16::from_be_bytes(*two));
                for (kind, value) in attributes(value, 0) {
                    match kind {
                        PROTOCOL_NUMBER if value.first() != Some(&UDP) => return None,
                        SOURCE_PORT => ports[0] = port(value),
                        DESTINATION_PORT => ports[1] = port(value),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some((
        SocketAddr::new(addresses[0]?, ports[0]?),
        SocketAddr::new(addresses[1]?, ports[1]?),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_those_of_all_processors() {
        let table = "entries  clashres found drop early_drop\n\
                     00000002  00000000 00000000 00000010 00000001\n\
                     00000002  00000000 00000000 00000002 00000000\n";
        assert_eq!(drops_in(table), 18);
        assert_eq!(drops_in(""), 0);
        assert_eq!(drops_in("entries\n00000002\n"), 0);
    }
}
