//! Protocols of `manycast` as state machines: no I/O and no clock.

pub mod random;
pub mod timers;
pub mod wire;

mod protocol;

pub use protocol::{Output, Protocol};
