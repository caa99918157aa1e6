//! The one entrance for people and CI.
fn main() {}
