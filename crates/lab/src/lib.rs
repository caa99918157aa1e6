//! Test support for manycast: networks of the real kernel, and simulated ones in virtual time.

mod link;
#[cfg(target_os = "linux")]
pub mod netns;
pub mod sim;

pub use link::{Bursts, Link};
