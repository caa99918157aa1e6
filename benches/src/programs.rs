//! The programs of contestants.

use std::path::PathBuf;

use anyhow::{Context, Error, ensure};

pub(crate) const OURS: &str = "manycast";

/// Where a program is: ours beside this one, others on the search path.
pub(crate) fn found(program: &str) -> anyhow::Result<PathBuf> {
    if program == OURS {
        let path = std::env::current_exe()?.with_file_name(program);
        ensure!(path.is_file(), "{} is not built", path.display());
        return Ok(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .with_context(|| format!("{program} is not installed"))
}

/// Tells why a contestant has no figure: ours has failed, and others may not be there.
pub(crate) fn tell(contestant: &str, is_ours: bool, why: &Error) {
    let what = if is_ours { "FAILED" } else { "MISSING" };
    eprintln!("{what}: {contestant}: {why:#}");
}
