//! From an [`Address`] to what a socket takes.

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use manycast_net::Operation;
use manycast_types::{Address, Host, InterfaceSelector, with_zone};

use crate::Error;

/// The socket addresses of a host, each with its zone. [`Host::Any`] gives both unspecified ones.
///
/// Of a name, those of IPv4 come first, against RFC 6724: many a UDP service listens on IPv4 alone,
/// and there is no connection whose failure would tell.
///
/// It blocks while a name is looked up.
pub(crate) fn socket_addrs(address: &Address) -> Result<Vec<SocketAddr>, Error> {
    let port = address.port();
    let mut found: Vec<SocketAddr> = match address.host() {
        Host::Any => vec![
            (Ipv4Addr::UNSPECIFIED, port).into(),
            (Ipv6Addr::UNSPECIFIED, port).into(),
        ],
        Host::Ip(ip) => vec![(*ip, port).into()],
        Host::Name(name) => look_up(name, port)?,
    };
    if let Some(selector) = address.interface() {
        let interface = manycast_net::find_interface(selector)?;
        for address in &mut found {
            *address = with_zone(*address, interface.index);
        }
    }
    Ok(found)
}

/// The first of them, with no detour where it is a number.
pub(crate) fn first(address: &Address) -> Result<SocketAddr, Error> {
    if let (Host::Ip(ip), None) = (address.host(), address.interface()) {
        return Ok((*ip, address.port()).into());
    }
    let found = socket_addrs(address)?.into_iter().next();
    found.ok_or_else(|| Error::unsuitable(address, "its name has no address"))
}

/// The local address of this text, of the version of IP that `destination` is of.
pub(crate) fn local(from: &Address, destination: SocketAddr) -> Result<SocketAddr, Error> {
    let found = socket_addrs(from)?;
    let fitting = found
        .into_iter()
        .find(|from| from.is_ipv4() == destination.is_ipv4());
    fitting.ok_or_else(|| {
        let why = if destination.is_ipv4() {
            "the destination is of IPv4; send from an address of IPv4"
        } else {
            "the destination is of IPv6; send from an address of IPv6"
        };
        Error::unsuitable(from, why)
    })
}

thread_local! {
    /// What this thread has looked up, each by name and port; `None` where it is not to remember.
    static REMEMBERED: RefCell<Option<Vec<Known>>> = const { RefCell::new(None) };
}

type Known = (String, u16, Vec<SocketAddr>);

/// Makes this thread look up each name once for as long as what is returned is kept: whoever tries
/// something again then waits for no name server again.
pub(crate) fn remember() -> Remembered {
    Remembered(REMEMBERED.replace(Some(Vec::new())))
}

/// Forgets what was looked up when it is dropped.
pub(crate) struct Remembered(Option<Vec<Known>>);

impl Drop for Remembered {
    fn drop(&mut self) {
        REMEMBERED.set(self.0.take());
    }
}

fn look_up(name: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let known = REMEMBERED.with_borrow(|known| {
        let mut known = known.iter().flatten();
        known
            .find(|(known, its, _)| known == name && *its == port)
            .map(|(_, _, found)| found.clone())
    });
    if let Some(found) = known {
        return Ok(found);
    }
    let found = ask_for(name, port)?;
    REMEMBERED.with_borrow_mut(|known| {
        if let Some(known) = known {
            known.push((name.to_owned(), port, found.clone()));
        }
    });
    Ok(found)
}

fn ask_for(name: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let failed = |error| {
        let why = Unresolved::of(&error);
        let (kind, cause, remedy) = match why {
            Unresolved::Unknown => (
                io::ErrorKind::NotFound,
                "no host has this name",
                "check the spelling, or give the address in numbers",
            ),
            Unresolved::Unanswered => (
                io::ErrorKind::TimedOut,
                "no name server answers",
                "check the network and /etc/resolv.conf, or give the address in numbers",
            ),
            Unresolved::Other => (
                io::ErrorKind::Other,
                "no name server knows the name, or none answers",
                "check the spelling, or give the address in numbers",
            ),
        };
        let error = manycast_net::Error::new(Operation::Resolve, name, io::Error::new(kind, error));
        let selector = InterfaceSelector::Name(name.to_owned());
        if manycast_net::find_interface(&selector).is_ok() {
            return error.explained(
                "it is an interface and no host",
                format!("an interface stands behind the host: 239.192.0.100%{name}:{port}"),
            );
        }
        error.explained(cause, remedy)
    };
    let mut found: Vec<SocketAddr> = Vec::new();
    for address in (name, port).to_socket_addrs().map_err(failed)? {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found.sort_by_key(SocketAddr::is_ipv6);
    if found.is_empty() {
        return Err(failed(io::Error::from(io::ErrorKind::NotFound)).into());
    }
    Ok(found)
}

/// Why a name has no address.
enum Unresolved {
    /// Whoever was asked says that there is no such name, or that it has no address.
    Unknown,
    /// Nobody answered in time.
    Unanswered,
    Other,
}

impl Unresolved {
    /// Reads it from the text of `getaddrinfo(3)`: the standard library keeps no more of its error. A
    /// text that is not known, such as one in another language, is none of the two.
    fn of(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            return Self::Unknown;
        }
        let text = error.to_string();
        let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
        // EAI_NONAME, EAI_NODATA of glibc; of musl.
        if has(&[
            "Name or service not known",
            "No address associated with hostname",
            "Name does not resolve",
            "Name has no usable address",
        ]) {
            Self::Unknown
        // EAI_AGAIN of glibc; of musl.
        } else if has(&["Temporary failure in name resolution", "Try again"]) {
            Self::Unanswered
        } else {
            Self::Other
        }
    }
}

/// A seed for a protocol, from the system's randomness.
///
/// ```
/// assert_ne!(manycast::seed(), manycast::seed());
/// ```
pub fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    // Without randomness transaction identifiers can be guessed, but everything else works.
    if let Err(error) = getrandom::fill(&mut seed) {
        tracing::warn!(%error, "the system gives no randomness");
    }
    seed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_once_for_as_long_as_it_is_remembered() {
        let address = ["192.0.2.7:5000".parse().unwrap()];
        let remembered = remember();
        REMEMBERED.with_borrow_mut(|known| {
            let known = known.as_mut().expect("it remembers");
            known.push(("nobody.invalid".to_owned(), 5000, address.to_vec()));
        });
        let look_up = || socket_addrs(&"nobody.invalid:5000".parse().unwrap());
        assert_eq!(look_up().unwrap(), address);
        drop(remembered);
        assert!(REMEMBERED.with_borrow(Option::is_none));
    }

    #[test]
    fn a_name_that_is_unknown_is_told_from_a_server_that_does_not_answer() {
        let of = |text: &str| {
            let text = format!("failed to lookup address information: {text}");
            Unresolved::of(&io::Error::other(text))
        };
        for unknown in ["Name or service not known", "Name does not resolve"] {
            assert!(matches!(of(unknown), Unresolved::Unknown), "{unknown}");
        }
        for unanswered in ["Temporary failure in name resolution", "Try again"] {
            assert!(
                matches!(of(unanswered), Unresolved::Unanswered),
                "{unanswered}"
            );
        }
        assert!(matches!(of("Der Name ist unbekannt"), Unresolved::Other));
    }
}
