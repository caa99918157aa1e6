//! What an interface is a port of: IP takes what comes in there, and not at the port.

use manycast_net::Interface;

use super::Snapshot;

impl Snapshot {
    /// The interface whose IP takes what comes in by this one: of a port, its bridge or bond.
    pub(super) fn at_ip(&self, index: u32) -> u32 {
        // In a VRF it is the interface that filters and is routed by (`ip_rcv_finish` of the kernel).
        let is_vrf = |index: &u32| self.interface(*index).is_some_and(|it| it.kind == "vrf");
        let within = self.with_masters(index).take_while(|index| !is_vrf(index));
        within.last().unwrap_or(index)
    }

    /// An interface, what it is a port of, and what that is in: a bond may be the port of a bridge, and
    /// that one in a VRF.
    pub(super) fn with_masters(&self, index: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(index), |index| self.interface(*index)?.master).take(8)
    }

    /// Whether what comes in by this interface is taken there, and not by another one.
    pub(super) fn takes(&self, interface: &Interface) -> bool {
        self.at_ip(interface.index) == interface.index
    }
}
