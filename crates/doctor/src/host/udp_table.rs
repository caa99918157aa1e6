//! The UDP sockets of all programs of this host, as text (`/proc/net/udp` and `/proc/net/udp6`,
//! `proc_pid_net(5)`): for kernels whose module `udp_diag` is not loaded.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::{fs, io};

use super::open_sockets::OpenSocket;

/// Lists them. Options of a socket and its buffer are not in these tables.
pub(crate) fn list() -> io::Result<Vec<OpenSocket>> {
    let mut sockets = sockets(&fs::read_to_string("/proc/thread-self/net/udp")?);
    // Without IPv6 the second is not there.
    match fs::read_to_string("/proc/thread-self/net/udp6") {
        Ok(table) => sockets.extend(self::sockets(&table)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(sockets)
}

/// Reads a table. Lines that are not as they are known to be are passed over.
pub(crate) fn sockets(table: &str) -> Vec<OpenSocket> {
    table.lines().skip(1).filter_map(socket).collect()
}

fn socket(line: &str) -> Option<OpenSocket> {
    let mut columns = line.split_ascii_whitespace().skip(1);
    let text = columns.next()?;
    let local = address(text)?;
    let peer = address(columns.next()?)?;
    let (_, waiting) = columns.nth(1)?.split_once(':')?;
    let user = columns.nth(2)?.parse().ok()?;
    let inode = columns.nth(1)?.parse().ok()?;
    Some(OpenSocket {
        local,
        peer: (peer.port() != 0).then_some(peer),
        user,
        waiting: u32::from_str_radix(waiting, 16).ok()?,
        drops: columns.nth(2).and_then(|drops| drops.parse().ok()),
        ipv6: text.len() > IPV4,
        only_v6: false,
        ..OpenSocket::unbound(inode, local.is_ipv4())
    })
}

/// How long an address of IPv4 is there, with its port.
const IPV4: usize = "0100007F:1388".len();

/// Reads `0100007F:1388`: words of the address in the machine's order, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let word = u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}
