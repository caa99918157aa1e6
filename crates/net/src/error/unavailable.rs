//! Why an address is not available (EADDRNOTAVAIL, and EINVAL or ENETUNREACH of a source): the kernel
//! has one errno for several causes, of which the interfaces and two kernel parameters tell the true
//! one.

use std::net::{IpAddr, SocketAddr};

use super::{Error, Explanation, Operation};
use crate::{Interface, interfaces, sys};

impl Error {
    /// Explains EADDRNOTAVAIL by what this host looks like now; other errors stay as they are.
    /// `address` is the local address to bind to, or else the destination, and `interface` the one
    /// by which to reach it, where that is known.
    pub(crate) fn explained_by_host(self, address: SocketAddr, interface: Option<u32>) -> Self {
        if self.errno() != Some(libc::EADDRNOTAVAIL) {
            return self;
        }
        let Ok(interfaces) = interfaces() else {
            return self;
        };
        let host = Host {
            interfaces: &interfaces,
            is_off: &|name| sys::interfaces::is_ipv6_off(name),
        };
        match host.explain(self.operation, address, interface) {
            Some(explanation) => Self {
                explanation: Some(explanation),
                ..self
            },
            None => self,
        }
    }
}

impl Error {
    /// Explains the error of a send from an address that this host does not have, or has no more: Linux
    /// says of IPv4 no more than that it is invalid, or that no route leads there. Other errors stay as
    /// they are.
    pub(crate) fn explained_by_source(self, source: IpAddr) -> Self {
        let is_own = |interfaces: Vec<Interface>| interfaces.iter().any(|it| it.has(source));
        // All of 127.0.0.0/8 is the host's own, and none of it may leave the host.
        if !matches!(self.errno(), Some(libc::EINVAL | libc::ENETUNREACH))
            || source.is_loopback()
            || interfaces().map_or(true, is_own)
        {
            return self;
        }
        self.explained(
            format!("{source}, which it would leave from, is no address of this host"),
            "open the socket anew, from an address that 'manycast interfaces' lists",
        )
    }
}

/// What decides whether an address is available.
struct Host<'a> {
    interfaces: &'a [Interface],
    /// Whether IPv6 is switched off on an interface of this name (`disable_ipv6`), or on `all`.
    is_off: &'a dyn Fn(&str) -> bool,
}

impl Host<'_> {
    fn explain(
        &self,
        operation: Operation,
        address: SocketAddr,
        interface: Option<u32>,
    ) -> Option<Explanation> {
        let ip = address.ip();
        let index = interface
            .filter(|index| *index != 0)
            .or_else(|| zone(address));
        let on = if ip.is_loopback() {
            self.interfaces.iter().find(|it| it.loopback)
        } else {
            self.interfaces.iter().find(|it| Some(it.index) == index)
        };
        self.switched_off(ip, on)
            .or_else(|| loopback_down(ip, on))
            .or_else(|| match operation {
                Operation::Bind => self.unusable(ip),
                Operation::Send | Operation::Connect => self.no_source(ip, on),
                _ => None,
            })
    }

    fn switched_off(&self, ip: IpAddr, on: Option<&Interface>) -> Option<Explanation> {
        if ip.is_ipv4() {
            return None;
        }
        let has_any = |it: &Interface| it.addresses.iter().any(|own| own.address.is_ipv6());
        let everywhere = (self.is_off)("all") && !self.interfaces.iter().any(has_any);
        let name = match on {
            _ if everywhere => "all",
            Some(on) if (self.is_off)(&on.name) => &on.name,
            _ => return None,
        };
        let place = if everywhere { "this host" } else { name };
        Some(explanation(
            format!("IPv6 is switched off on {place}"),
            // The slashes stand for dots, which the name of an interface may have.
            format!(
                "use IPv4, or switch it on with 'sysctl -w net/ipv6/conf/{name}/disable_ipv6=0'"
            ),
        ))
    }

    /// A local address that cannot be bound to, not yet or never.
    fn unusable(&self, ip: IpAddr) -> Option<Explanation> {
        let mut all = self
            .interfaces
            .iter()
            .flat_map(|it| it.addresses.iter().map(|own| (&*it.name, own)));
        let (name, own) = all.find(|(_, own)| own.address == ip && !own.is_usable())?;
        Some(if own.duplicate {
            duplicate(format!(
                "{name} has the address, but must not use it: another host of the link has it too"
            ))
        } else {
            tentative(
                format!("{name} has the address, but must not use it yet: it is tentative"),
                name,
            )
        })
    }

    /// A destination to which no own address can send.
    fn no_source(&self, ip: IpAddr, on: Option<&Interface>) -> Option<Explanation> {
        let version = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
        let candidates: Vec<_> = match on {
            Some(on) => vec![on],
            None => self
                .interfaces
                .iter()
                .filter(|it| it.up && !it.loopback)
                .collect(),
        };
        let own = candidates.iter().flat_map(|it| {
            let addresses = it.addresses.iter();
            let of_version = addresses.filter(|own| own.address.is_ipv4() == ip.is_ipv4());
            of_version.map(|own| (&*it.name, own))
        });
        let own: Vec<_> = own.collect();
        if own.iter().any(|(_, own)| own.is_usable()) {
            return None;
        }
        let place = on.map_or("this host", |on| &on.name);
        let asked = own.iter().find(|(_, own)| own.tentative);
        Some(match asked {
            Some((name, _)) => tentative(
                format!("{place} must not use its {version} addresses yet: they are tentative"),
                name,
            ),
            None if !own.is_empty() => duplicate(format!(
                "{place} must not use its {version} addresses: other hosts of the link have them too"
            )),
            None => explanation(
                format!("{place} has no {version} address to send from"),
                "give it one, choose another interface, or use the other version of IP".to_owned(),
            ),
        })
    }
}

fn zone(address: SocketAddr) -> Option<u32> {
    match address {
        SocketAddr::V6(address) if address.scope_id() != 0 => Some(address.scope_id()),
        _ => None,
    }
}

fn loopback_down(ip: IpAddr, on: Option<&Interface>) -> Option<Explanation> {
    let on = on.filter(|on| ip.is_loopback() && !on.up)?;
    Some(explanation(
        format!("the loopback interface {} is down", on.name),
        format!("bring it up with 'ip link set {} up'", on.name),
    ))
}

/// What to do about a tentative address (RFC 4862 §5.4).
fn tentative(cause: String, name: &str) -> Explanation {
    let remedy = format!(
        "try again in two seconds, when the link has been asked whether another host has it; if one \
         has, 'ip address show dev {name}' says dadfailed"
    );
    Explanation {
        is_tentative: true,
        ..explanation(cause, remedy)
    }
}

/// What to do about an address that another host has (RFC 4862 §5.4.5).
fn duplicate(cause: String) -> Explanation {
    let remedy = "give one of the two hosts another address; 'ip -6 address show dadfailed' lists \
                  those of this one";
    explanation(cause, remedy.to_owned())
}

fn explanation(cause: String, remedy: String) -> Explanation {
    Explanation {
        cause: cause.into(),
        remedy: remedy.into(),
        is_tentative: false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::Host;
    use crate::interfaces::tests::interface;
    use crate::{Interface, Operation};

    /// The cause that is told on a host with `lo` (1) and `eth0` (2), where IPv6 is `off` there.
    fn cause(
        operation: Operation,
        address: &str,
        change: impl Fn(&mut [Interface]),
        off: &[&str],
    ) -> Option<String> {
        let mut lo = interface(1, "lo", &["127.0.0.1", "::1"]);
        (lo.loopback, lo.multicast) = (true, false);
        let mut interfaces = [lo, interface(2, "eth0", &["10.0.0.1", "fd00::1"])];
        change(&mut interfaces);
        let host = Host {
            interfaces: &interfaces,
            is_off: &|name| off.contains(&name),
        };
        let address: SocketAddr = address.parse().unwrap();
        let explanation = host.explain(operation, address, None)?;
        Some(explanation.cause.into_owned())
    }

    fn without_ipv6(interfaces: &mut [Interface]) {
        for it in interfaces {
            it.addresses.retain(|own| own.address.is_ipv4());
        }
    }

    fn tentative(interfaces: &mut [Interface]) {
        for own in &mut interfaces[1].addresses {
            own.tentative = own.address.is_ipv6();
        }
    }

    #[test]
    fn ipv6_that_is_switched_off_is_named() {
        let off = Some("IPv6 is switched off on this host".to_owned());
        for operation in [Operation::Bind, Operation::Send, Operation::Connect] {
            for address in ["[::1]:5", "[fd00::1]:5", "[ff15::1%2]:5"] {
                let all = &["all", "lo", "eth0"];
                assert_eq!(cause(operation, address, without_ipv6, all), off);
            }
        }
        let eth0 = |it: &mut [Interface]| without_ipv6(&mut it[1..]);
        assert_eq!(
            cause(Operation::Send, "[ff15::1%2]:5", eth0, &["eth0"]),
            Some("IPv6 is switched off on eth0".to_owned())
        );
        assert_eq!(
            cause(Operation::Bind, "10.0.0.9:5", without_ipv6, &["all"]),
            None
        );
    }

    #[test]
    fn a_tentative_address_is_not_one_that_is_missing() {
        let yet = |what: &str| Some(format!("{what}: it is tentative"));
        assert_eq!(
            cause(Operation::Bind, "[fd00::1]:5", tentative, &[]),
            yet("eth0 has the address, but must not use it yet")
        );
        assert_eq!(cause(Operation::Bind, "[fd00::2]:5", tentative, &[]), None);
        for (address, place) in [("[ff15::1%2]:5", "eth0"), ("[fd00::2]:5", "this host")] {
            let expected =
                format!("{place} must not use its IPv6 addresses yet: they are tentative");
            assert_eq!(
                cause(Operation::Send, address, tentative, &[]),
                Some(expected)
            );
        }
    }

    #[test]
    fn an_address_that_another_host_has_is_not_waited_for() {
        let duplicate = |interfaces: &mut [Interface]| {
            for own in &mut interfaces[1].addresses {
                own.duplicate = own.address.is_ipv6();
            }
        };
        for (operation, address, expected) in [
            (
                Operation::Bind,
                "[fd00::1]:5",
                "eth0 has the address, but must not use it: another host of the link has it too",
            ),
            (
                Operation::Send,
                "[ff15::1%2]:5",
                "eth0 must not use its IPv6 addresses: other hosts of the link have them too",
            ),
        ] {
            let cause = cause(operation, address, duplicate, &[]);
            assert_eq!(cause.as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_host_or_an_interface_without_an_address_of_the_version_is_named() {
        let eth0 = |it: &mut [Interface]| without_ipv6(&mut it[1..]);
        for (address, place) in [("[ff15::1%2]:5", "eth0"), ("[fd00::2]:5", "this host")] {
            let expected = format!("{place} has no IPv6 address to send from");
            assert_eq!(
                cause(Operation::Connect, address, eth0, &[]),
                Some(expected)
            );
        }
        assert_eq!(cause(Operation::Connect, "[fd00::2]:5", |_| (), &[]), None);
    }

    #[test]
    fn a_loopback_that_is_down_is_named() {
        let down = |it: &mut [Interface]| it[0].up = false;
        for operation in [Operation::Bind, Operation::Send] {
            assert_eq!(
                cause(operation, "[::1]:5", down, &[]),
                Some("the loopback interface lo is down".to_owned())
            );
        }
    }
}
