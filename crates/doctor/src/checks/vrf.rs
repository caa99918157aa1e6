//! The interface is in a VRF, and sockets outside receive nothing that comes by it.

use manycast_net::Interface;

use super::super::proof::Doubt;
use super::super::{Code, Context, Finding};

/// The kernel parameter that lets sockets outside receive what comes into a VRF: of IPv4 by its name,
/// and of IPv6 too (vrf.rst in the kernel's documentation).
pub(crate) const ACCEPT: &str = "net.ipv4.udp_l3mdev_accept";

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.vain()?;
    if context.host.number(ACCEPT) != Some(0) {
        return None;
    }
    let interfaces = &context.host.interfaces;
    let by_index = |index: u32| interfaces.iter().find(|found| found.index == index);
    let vrf_of = |index: u32| -> Option<&Interface> {
        let master = by_index(by_index(index)?.master?)?;
        (master.kind == "vrf").then_some(master)
    };
    let mut joined = watched.joined.iter();
    let (on, vrf) = joined.find_map(|on| Some((on, vrf_of(on.index)?)))?;
    let vrf = &vrf.name;
    let title = format!("{on} is in the VRF {vrf}, and a socket outside receives nothing by it");
    let is_lost = match &watched.captured {
        Some(captured) => captured.count(context.target.port) > 0,
        // What comes for a socket that is not of the VRF is counted as what no socket wanted.
        None => context.tally().lost() + context.tally().ignored > super::FEW,
    };
    let finding = if is_lost {
        Finding::fault(Code::InVrf, Doubt::Likely, title)
    } else {
        Finding::warning(Code::InVrf, Doubt::Possible, title)
    };
    Some(
        finding
            .because(format!("{on} has the master {vrf}, of the kind vrf"))
            .because(format!("{ACCEPT} is 0"))
            .remedy(format!(
                "run the receiver in the VRF: sudo ip vrf exec {vrf} …; or let sockets outside \
                 receive it: sudo sysctl -w {ACCEPT}=1"
            )),
    )
}
