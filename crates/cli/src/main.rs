//! The `manycast` command.
fn main() {}
