//! Every command in surroundings that are not as it would like: wrong arguments, no privileges, a full
//! disk, a reader that has gone, no standard input, a terminal without colours, too little memory.
#![allow(clippy::unwrap_used, reason = "a failure ends the test either way")]

use std::fs::File;
use std::net::UdpSocket;
use std::process::{Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_manycast");

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The commands that can be run, found as a user finds them.
fn commands() -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![String::new()];
    while let Some(command) = waiting.pop() {
        let words = command.split_whitespace();
        let help = Command::new(BINARY)
            .args(words)
            .arg("--help")
            .output()
            .unwrap();
        let help = text(&help.stdout);
        let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        let below = lines
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
            .filter(|name| !name.is_empty());
        let below: Vec<_> = below.map(|name| format!("{command} {name}")).collect();
        if below.is_empty() || help.contains("[ADDRESS]") {
            found.push(command.trim().to_owned());
        }
        waiting.extend(below);
    }
    assert!(found.len() >= 15, "{found:?}");
    found
}

/// Arguments with which a command ends by itself, or at once where it cannot print; and the exit code.
/// Nothing of it leaves this host.
fn quick(command: &str) -> Option<(Vec<&'static str>, i32)> {
    let (arguments, code) = match command {
        "send" => ("239.255.77.7%lo:57777 hello", 0),
        "listen" => ("127.0.0.1:0 --json -t 0", 1),
        "ask" => ("127.0.0.1:9 hello --json", 1),
        "interfaces" => ("lo", 0),
        "measure send" => ("239.255.77.7%lo:57778 --count 3 --json", 0),
        "measure receive" => ("127.0.0.1:0 --duration 0 --json", 1),
        // What is wrong with the host that this runs on is not known.
        "doctor" => ("--explain no-querier", 0),
        "demo" => ("--json", 0),
        // Nobody has to be there.
        "send-files" => ("Cargo.toml 239.255.77.7%lo:57779 --wait 0s --json", 0),
        "receive-files" => ("127.0.0.1:0 -t 0 --json", 1),
        "send-stream" => ("127.0.0.1:9 --receiver nobody --wait 0s", 1),
        "receive-stream" => ("127.0.0.1:0 -t 0", 1),
        "completions" => ("bash", 0),
        "man" => ("send", 0),
        _ => return None,
    };
    Some((arguments.split(' ').collect(), code))
}

/// Those that print nothing where nobody is at the other end: what `receive-stream` prints is the stream.
const SILENT: [&str; 2] = ["send-stream", "receive-stream"];

/// Those that run until they are asked to end; they begin with an object.
const SERVERS: [(&str, &str); 2] = [("echo", "127.0.0.1:0 --json"), ("tftp serve", "--json")];

fn run(command: &str, arguments: &[&str], set_up: impl FnOnce(&mut Command)) -> Output {
    let mut process = Command::new(BINARY);
    process.args(command.split_whitespace()).args(arguments);
    process.stdin(Stdio::null());
    set_up(&mut process);
    process.stderr(Stdio::piped());
    process.spawn().unwrap().wait_with_output().unwrap()
}

#[test]
fn a_wrong_argument_is_exit_2_and_one_sentence() {
    for command in commands() {
        for wrong in ["--zzz", "--json=yes"] {
            let output = run(&command, &[wrong], |process| {
                process.stdout(Stdio::piped());
            });
            assert_eq!(output.status.code(), Some(2), "{command} {wrong}");
            assert!(output.stdout.is_empty(), "{command} {wrong}");
            let told = text(&output.stderr);
            assert!(told.starts_with("manycast: "), "{command} {wrong}: {told}");
            assert!(
                told.contains("\n  for example: "),
                "{command} {wrong}: {told}"
            );
        }
    }
}

#[test]
fn no_command_needs_privileges() {
    for command in commands() {
        let Some((arguments, code)) = quick(&command) else {
            continue;
        };
        let mut process = Command::new("setpriv");
        process.args(["--bounding-set=-all", "--inh-caps=-all", BINARY]);
        process.args(command.split_whitespace()).args(arguments);
        let output = process.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{command}: {output:?}");
    }
}

/// The lines of all commands whose first output meets what is wrong with standard output.
fn printing() -> Vec<(String, Vec<String>)> {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let mut found = Vec::new();
    for command in commands() {
        let own = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect::<Vec<_>>();
        if SILENT.contains(&&*command) {
            continue;
        }
        if let Some((arguments, _)) = quick(&command) {
            found.push((command, own(arguments)));
        } else if let Some((_, arguments)) = SERVERS.iter().find(|(name, _)| *name == command) {
            let mut arguments = own(arguments.split(' ').collect());
            if command == "tftp serve" {
                arguments.push(folder.to_owned());
                arguments.push("127.0.0.1:0".to_owned());
            }
            found.push((command, arguments));
        }
    }
    assert!(found.len() >= 12, "{found:?}");
    found
}

#[test]
fn a_full_disk_is_exit_2_and_told() {
    for (command, arguments) in printing() {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let output = run(&command, &arguments, |process| {
            process.stdout(File::create("/dev/full").unwrap());
        });
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}: {told}");
        assert!(
            told.contains("manycast: cannot write to standard output: No space left on device"),
            "{command}: {told}"
        );
    }
}

/// What is told beside the matter, and traced, changes nothing where it cannot be written.
#[test]
fn no_command_fails_where_standard_error_is_full() {
    for command in commands() {
        let (arguments, code) = quick(&command).unwrap_or_else(|| (vec!["--zzz"], 2));
        let mut process = Command::new(BINARY);
        process.args(command.split_whitespace()).args(&arguments);
        // It stands alone.
        if !arguments.contains(&"--explain") {
            process.arg("-vv");
        }
        process.stdin(Stdio::null()).stdout(Stdio::null());
        process.stderr(File::create("/dev/full").unwrap());
        let status = process.status().unwrap();
        assert_eq!(status.code(), Some(code), "{command}");
    }
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    for (command, arguments) in printing() {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = run(&command, &arguments, |process| {
            process.stdout(writer);
        });
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{command}: {told}");
        assert!(
            !told.contains("Broken pipe") && !told.contains("panicked"),
            "{command}: {told}"
        );
    }
}

/// As services and cron start programs.
#[test]
fn no_command_needs_its_standard_streams() {
    let answering = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = answering.local_addr().unwrap().to_string();
    let reading = [
        ("send".to_owned(), vec![address.clone()], 0),
        ("ask".to_owned(), vec![address.clone()], 0),
        (
            "send".to_owned(),
            vec![address, "--file".to_owned(), "-".to_owned()],
            0,
        ),
    ];
    let own = |(words, code): (Vec<&str>, i32)| {
        (
            words.into_iter().map(str::to_owned).collect::<Vec<_>>(),
            code,
        )
    };
    let others = commands().into_iter().filter_map(|command| {
        let (arguments, code) = own(quick(&command)?);
        Some((command, arguments, code))
    });
    for (command, arguments, code) in reading.into_iter().chain(others) {
        for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("exec \"$0\" \"$@\" {closed}"), BINARY]);
            shell.args(command.split_whitespace()).args(&arguments);
            let output = shell.output().unwrap();
            assert_eq!(
                output.status.code(),
                Some(code),
                "{command} {arguments:?} {closed}: {output:?}"
            );
        }
    }
}

/// https://no-color.org, and terminals that know no colours.
#[test]
fn colours_are_for_terminals_that_have_them() {
    let script = "
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:])
try:
    while read := os.read(terminal, 65536):
        sys.stdout.buffer.write(read)
except OSError:
    pass
";
    let on_terminal = |line: &str, (name, value): (&str, &str)| {
        let mut python = Command::new("python3");
        python.args(["-c", script, BINARY]).args(line.split(' '));
        // Continuous integration is taken for a terminal with colours, whatever TERM says.
        python
            .env("TERM", "xterm")
            .env_remove("CI")
            .env_remove("NO_COLOR")
            .env(name, value);
        python.output().unwrap().stdout.contains(&0x1b)
    };
    for line in [
        "--help",
        "send --help",
        "frobnicate",
        "demo",
        "send 239.1.1.1:99999 x",
    ] {
        assert!(on_terminal(line, ("TERM", "xterm")), "{line}");
        assert!(!on_terminal(line, ("TERM", "dumb")), "{line}");
        assert!(!on_terminal(line, ("NO_COLOR", "1")), "{line}");
    }
}

/// Each object is one line of JSON, and nothing else is on standard output.
#[test]
fn with_json_each_line_is_an_object() {
    for command in commands() {
        let Some((mut arguments, code)) = quick(&command) else {
            continue;
        };
        let prints_none = ["completions", "man"].contains(&&*command);
        if prints_none || SILENT.contains(&&*command) || arguments.contains(&"--explain") {
            continue;
        }
        if !arguments.contains(&"--json") {
            arguments.push("--json");
        }
        let output = run(&command, &arguments, |process| {
            process.stdout(Stdio::piped());
        });
        assert_eq!(output.status.code(), Some(code), "{command}");
        let stdout = text(&output.stdout);
        assert!(!stdout.is_empty(), "{command}");
        let document = include_str!("../../../docs/json.md");
        for line in stdout.lines() {
            let (event, _) = line
                .strip_prefix("{\"event\":\"")
                .unwrap()
                .split_once('"')
                .unwrap();
            assert!(line.ends_with('}'), "{command}: {line}");
            assert!(
                document.contains(&format!("\"event\":\"{event}\"")),
                "{event}"
            );
        }
    }
}

#[test]
fn the_documents_tell_of_each_command() {
    let document = include_str!("../../../docs/json.md");
    for command in commands() {
        let has = [
            "send",
            "listen",
            "ask",
            "echo",
            "interfaces",
            "doctor",
            "doctor serve",
            "demo",
            "send-files",
            "receive-files",
            "send-stream",
            "receive-stream",
        ]
        .contains(&&*command);
        if has || command.starts_with("measure") || command.starts_with("tftp") {
            assert!(document.contains(&format!("| `{command}` | ")), "{command}");
        }
    }
}

/// Where the process may not have the memory, it says so, and is not aborted in the middle.
#[test]
fn too_little_memory_is_told() {
    let group = "239.192.0.100%lo:5000";
    let commands = [
        &["doctor"][..],
        &["doctor", group],
        &["doctor", "serve", "127.0.0.1:0"],
        &["listen", group],
        &["send", group, "x"],
        &["echo", ":0"],
        &["ask", group, "x"],
        &["measure", "send", group, "--count", "3"],
        &["measure", "receive", group],
        &["interfaces"],
        &["demo"],
    ];
    for words in commands {
        let mut shell = Command::new("sh");
        let limited = "ulimit -c 0; ulimit -v 32000; exec \"$0\" \"$@\"";
        shell.args(["-c", limited, BINARY]);
        let output = shell.args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?} {output:?}");
        let told = text(&output.stderr);
        assert!(
            told.starts_with("manycast: cannot get 48 MB of memory: "),
            "{words:?} {told}"
        );
    }
}
