//! The route that the kernel would take.

use std::net::IpAddr;

use crate::{Error, Operation, sys};

/// The route that the kernel would take to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Route {
    /// The index of the interface that it leaves by.
    pub interface: u32,
    /// The local address that it leaves from, where the kernel has one to choose.
    pub source: Option<IpAddr>,
    /// The router that it goes to first; `None` where the destination is on the link.
    pub gateway: Option<IpAddr>,
}

/// Asks the kernel for the route to a host or a group, by any interface or by the one of this
/// index. `None`: there is none, or one that forbids it.
///
/// By an interface there is a route to every group, whatever the routes are; without one, a group
/// needs a route like any host (often the default route).
///
/// # Errors
///
/// When there is no interface of this index, or the kernel cannot be asked.
///
/// ```
/// use manycast_net::route_to;
///
/// if let Some(route) = route_to([239, 1, 1, 1].into(), None)? {
///     println!("by interface {} from {:?}", route.interface, route.source);
/// }
/// # Ok::<(), manycast_net::Error>(())
/// ```
pub fn route_to(destination: IpAddr, interface: Option<u32>) -> Result<Option<Route>, Error> {
    route_from(None, destination, interface)
}

/// As [`route_to`], for what is sent from a local address: rules may send it another way
/// (`ip-rule(8)`).
///
/// # Errors
///
/// Those of [`route_to`].
pub fn route_from(
    source: Option<IpAddr>,
    destination: IpAddr,
    interface: Option<u32>,
) -> Result<Option<Route>, Error> {
    let source = source.filter(|source| !source.is_unspecified());
    let source = source.map(|source| source.to_canonical());
    sys::routes::route_from(source, destination.to_canonical(), interface).map_err(|error| {
        let target = match interface {
            Some(index) => format!("the route to {destination} by interface {index}"),
            None => format!("the route to {destination}"),
        };
        Error::new(Operation::Find, target, error)
    })
}
