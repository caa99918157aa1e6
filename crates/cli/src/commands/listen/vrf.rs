//! Interfaces that are in a VRF, from which a socket outside receives nothing.

use manycast::{Interface, InterfaceId};

/// The kernel parameter that lets sockets outside hear what comes into a VRF: of IPv4 by its name, and
/// of IPv6 too.
pub(super) const ACCEPT: &str = "net.ipv4.udp_l3mdev_accept";

/// Why nothing reaches a socket from those of the interfaces, which it has joined groups on, that are
/// in a VRF; `accept` is the value of [`ACCEPT`], where the kernel has it.
///
/// Linux compares the interface that a socket is bound to, and so finds none that is bound to none
/// (`udp_sk_bound_dev_eq`, vrf.rst in the kernel's documentation).
pub(super) fn warnings(
    joined: &[InterfaceId],
    interfaces: &[Interface],
    accept: Option<&str>,
) -> Vec<String> {
    if accept.is_none_or(|accept| accept != "0") {
        return Vec::new();
    }
    let by_index = |index| interfaces.iter().find(|found| found.index == index);
    let mut warnings = Vec::new();
    for on in joined {
        let master = by_index(on.index).and_then(|found| by_index(found.master?));
        let Some(vrf) = master.filter(|master| master.kind == "vrf") else {
            continue;
        };
        let vrf = &vrf.name;
        let warning = format!(
            "{on} is in the VRF {vrf}, and {ACCEPT} is 0, so nothing that comes in by it reaches this; \
             listen in the VRF with 'sudo ip vrf exec {vrf} manycast …', or allow it with 'sudo \
             sysctl -w {ACCEPT}=1'"
        );
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str, kind: &str, master: Option<u32>) -> Interface {
        let mut interface = Interface::new(index, name);
        (interface.kind, interface.master) = (kind.to_owned(), master);
        interface
    }

    #[test]
    fn an_interface_in_a_vrf_is_explained() {
        let interfaces = [
            interface(2, "eth0", "ethernet", Some(9)),
            interface(3, "eth1", "ethernet", Some(8)),
            interface(4, "eth2", "ethernet", None),
            interface(8, "br0", "bridge", None),
            interface(9, "red", "vrf", None),
        ];
        let joined = ["eth0", "eth1", "eth2", "eth0"].map(|name| {
            let found = interfaces.iter().find(|found| *found.name == *name);
            found.unwrap().id()
        });
        let told = warnings(&joined, &interfaces, Some("0"));
        let [told] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert!(told.starts_with("eth0 is in the VRF red, and net.ipv4.udp_l3mdev_accept is 0, "));
        // Where it is allowed, and on a kernel without VRFs.
        for accept in [Some("1"), None] {
            assert!(warnings(&joined, &interfaces, accept).is_empty());
        }
    }
}
