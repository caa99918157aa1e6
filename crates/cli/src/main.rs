//! The program; see the library beside it.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(manycast_cli::main(env::args_os()))
}
