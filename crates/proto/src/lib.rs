//! Protocols of `manycast` as state machines: no I/O and no clock.

mod protocol;

pub use protocol::{Output, Protocol};
