//! The command `manycast`, which the package brings along.

use std::ffi::OsString;
use std::io::Write;

use pyo3::prelude::*;

/// Runs the command ``manycast`` with the words that were typed, of which the first is its name, and
/// returns its exit code. Once a process, which it takes charge of: its signals, input and output.
#[pyfunction]
#[pyo3(signature = (words, /))]
pub(crate) fn run_command(py: Python<'_>, words: Vec<OsString>) -> u8 {
    py.detach(|| {
        let code = manycast_cli::main(words);
        // A program of Rust would do so by itself at its end.
        let _ = std::io::stdout().flush();
        code
    })
}
