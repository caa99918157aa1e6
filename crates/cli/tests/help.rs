//! What the command says of itself, and to bad arguments.
#![allow(clippy::unwrap_used, reason = "a failure ends the test either way")]

use std::process::{Command, Output};

fn manycast(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_manycast"));
    command
        .args(arguments)
        .env_remove("COLUMNS")
        .output()
        .unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_help_is_as_it_was_reviewed() {
    for command in [
        "",
        "send",
        "listen",
        "echo",
        "ask",
        "interfaces",
        "doctor",
        "demo",
    ] {
        let words: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
        let output = manycast(&words);
        assert!(output.status.success());
        insta::assert_snapshot!(
            format!("manycast {command}").trim().replace(' ', "-"),
            text(output.stdout)
        );
    }
}

#[test]
fn without_arguments_there_is_help_and_exit_2() {
    let output = manycast(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(output.stderr).starts_with("Examples:\n  manycast "));
}

#[test]
fn a_version_is_told() {
    let output = manycast(&["--version"]);
    assert_eq!(
        text(output.stdout),
        format!("manycast {}\n", env!("CARGO_PKG_VERSION"))
    );
}

/// One sentence that says what is wrong, and an example of what is right.
#[test]
fn row_46_bad_arguments_are_explained() {
    let mut transcript = String::new();
    for line in [
        "send",
        "send 239.1.1.1:99999 x",
        "send 239.1.1 x",
        "send 239.1.1.1 x",
        "send 239.1.1.1%:5000 x",
        "send ff15::1:5000 x",
        "listen 10.0.0.5@10.0.0.6:5000",
        "listen http://239.1.1.1:80",
        "listen 127.0.0.1:9 -i a/b",
        "listen 127.0.0.1:9 --count many",
        "listen 127.0.0.1:9 --timeout 5",
        "listen 127.0.0.1:9 --timeout",
        "listen 127.0.0.1:9 --hex --raw",
        "listen 127.0.0.1:9 --cuont 5",
        "listen 127.0.0.1:9 --zzz",
        "send 127.0.0.1:9 Hello world",
        "send 127.0.0.1:9 x --hops 256",
        "send 127.0.0.1:9 x --rate 10m",
        "send 127.0.0.1:9 x --from eth0",
        "send 127.0.0.1:9 x --file y",
        "send 127.0.0.1:9 x --size 5",
        "send 127.0.0.1:9 --file x --size 1M",
        "send 127.0.0.1:9 x --interval soon",
        "ask 127.0.0.1:9 x --retries -1",
        "ask 127.0.0.1:9 x -v -q",
        "sedn 127.0.0.1:9 x",
        "frobnicate",
    ] {
        let arguments: Vec<_> = line.split_whitespace().collect();
        let output = manycast(&arguments);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(output.stdout.is_empty(), "{line}");
        transcript += &format!("$ manycast {line}\n{}\n", text(output.stderr));
    }
    insta::assert_snapshot!(transcript);
}

#[test]
fn colours_are_for_terminals_alone() {
    let output = manycast(&["send", "239.1.1.1:99999", "x"]);
    assert!(!output.stderr.contains(&0x1b));
    let mut forced = Command::new(env!("CARGO_BIN_EXE_manycast"));
    forced
        .args(["send", "239.1.1.1:99999", "x"])
        .env("CLICOLOR_FORCE", "1");
    assert!(forced.output().unwrap().stderr.contains(&0x1b));
    // https://no-color.org
    forced.env_remove("CLICOLOR_FORCE").env("NO_COLOR", "1");
    assert!(!forced.output().unwrap().stderr.contains(&0x1b));
}

#[test]
fn the_demo_runs_on_this_machine_whoever_runs_it() {
    let output = manycast(&["demo"]);
    let stdout = text(output.stdout);
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    assert_eq!(
        stdout.lines().filter(|line| line.starts_with('✓')).count(),
        4,
        "{stdout}"
    );
}

#[test]
fn a_full_disk_is_explained() {
    let full = std::fs::File::create("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_manycast"));
    let output = command.arg("interfaces").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let problem = text(output.stderr);
    assert!(
        problem.starts_with("manycast: cannot write to standard output: "),
        "{problem}"
    );
}

#[test]
fn packagers_get_completions_and_a_manual_page() {
    assert!(text(manycast(&["completions", "bash"]).stdout).contains("interfaces"));
    assert!(text(manycast(&["man"]).stdout).starts_with(".ie"));
}
