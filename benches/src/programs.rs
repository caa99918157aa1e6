//! The programs of contestants.

use std::path::PathBuf;

use anyhow::Context;

/// Where a program is: ours beside this one, others on the search path.
pub(crate) fn found(program: &str) -> anyhow::Result<PathBuf> {
    if program == "manycast" {
        return Ok(std::env::current_exe()?.with_file_name("manycast"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .with_context(|| format!("{program} is not installed"))
}
