//! Programs that are run to their end, here and at once.

use std::io::Write;
use std::process::{Command, Stdio};

/// Runs `command` with `input` on its standard input, and gives what it printed, or what it was,
/// how it ended and what it complained of.
pub(super) fn output(command: &mut Command, input: &str) -> Result<String, String> {
    let line = line_of(command);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|error| format!("cannot start `{line}`: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends before it has read everything says why in its own words.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|error| format!("`{line}`: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let input = if input.is_empty() {
        String::new()
    } else {
        format!("\non the input:\n{input}")
    };
    Err(format!(
        "`{line}` failed ({}): {}{input}",
        output.status,
        complaint.trim_end()
    ))
}

/// Like [`output`], but a failure is a panic.
#[track_caller]
pub(super) fn must(command: &mut Command, input: &str) -> String {
    output(command, input).unwrap_or_else(|problem| panic!("{problem}"))
}

/// The command line as a person would type it.
pub(super) fn line_of(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}
