//! Files over UDP.
//!
//! [`tftp`] reads and writes files as devices do that boot; one server serves many, each by itself
//! or all by multicast.

pub mod tftp;
