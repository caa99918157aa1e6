//! Kernel parameters, read and never written.

use crate::sys;

/// The value of a kernel parameter of the network namespace of this thread, by its name in
/// `sysctl(8)`; `None` where there is none of this name, or it may not be read.
///
/// Where the name of an interface has a dot, write slashes between the parts.
///
/// ```
/// use manycast_net::sysctl;
///
/// let limit = sysctl("net.ipv4.igmp_max_memberships");
/// println!("a socket joins at most {limit:?} groups");
/// ```
pub fn sysctl(name: &str) -> Option<String> {
    sys::sysctl::sysctl(name)
}
