//! `cargo xtask docs`: the documentation, with warnings denied.

use crate::{cargo, succeeds};

/// Builds the documentation of all crates.
pub(crate) fn run() -> anyhow::Result<bool> {
    let mut doc = cargo("doc --workspace --no-deps --all-features");
    succeeds(doc.env("RUSTDOCFLAGS", "-D warnings"))
}
