//! Routes by netlink (`rtnetlink(7)`): `RTM_GETROUTE`.

#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;

use super::netlink::{Connection, Message, Request, address, attributes, u32_at};
use crate::Route;

/// `struct rtmsg`: family, destination's and source's prefix length, TOS, table, protocol, scope,
/// type, flags (4).
const ROUTE_HEADER: usize = 12;
/// A gateway of another IP version than the route's: `struct rtvia`, family (2) and address.
const RTA_VIA: u16 = 18;

pub(crate) fn route_from(
    source: Option<IpAddr>,
    destination: IpAddr,
    interface: Option<u32>,
) -> io::Result<Option<Route>> {
    let family = match destination {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    };
    let mut header = [0; ROUTE_HEADER];
    header[0] = u8::try_from(family).expect("families of addresses are below 256");
    header[1] = if destination.is_ipv4() { 32 } else { 128 };
    if source.is_some() {
        header[2] = header[1];
    }
    let mut request =
        Request::new(libc::RTM_GETROUTE, &header).with(libc::RTA_DST, &octets(destination));
    if let Some(source) = source {
        request = request.with(libc::RTA_SRC, &octets(source));
    }
    if let Some(index) = interface {
        request = request.with(libc::RTA_OIF, &index.to_ne_bytes());
    }
    match Connection::open(libc::NETLINK_ROUTE)?.ask(&request, route) {
        Err(error) if is_no_way(&error) => Ok(None),
        answer => answer,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Reads one route. One that leads nowhere counts as none: no manual promises that the kernel
/// answers with an error in its place.
pub(crate) fn route(message: Message<'_>) -> Option<Route> {
    let leads_nowhere = [
        libc::RTN_BLACKHOLE,
        libc::RTN_UNREACHABLE,
        libc::RTN_PROHIBIT,
        libc::RTN_THROW,
    ];
    if message.kind != libc::RTM_NEWROUTE || leads_nowhere.contains(message.payload.get(7)?) {
        return None;
    }
    let (mut interface, mut source, mut gateway) = (None, None, None);
    for (kind, value) in attributes(message.payload, ROUTE_HEADER) {
        match kind {
            libc::RTA_OIF => interface = u32_at(value, 0),
            libc::RTA_PREFSRC => source = address(value).filter(|source| !source.is_unspecified()),
            libc::RTA_GATEWAY => gateway = address(value),
            RTA_VIA => gateway = address(value.get(2..)?),
            _ => {}
        }
    }
    Some(Route {
        interface: interface?,
        source,
        gateway,
    })
}

/// Whether the kernel says by this error that it knows no way: there is no route, the route is
/// one of those that lead nowhere (`ip-route(8)`: unreachable, prohibit, blackhole), or this
/// version of IP is switched off.
fn is_no_way(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ENETUNREACH
                | libc::ENETDOWN
                | libc::EHOSTUNREACH
                | libc::EACCES
                | libc::EINVAL
                | libc::EAFNOSUPPORT
                | libc::EOPNOTSUPP
        )
    )
}
