//! What the command says of itself, and to bad arguments.
#![allow(clippy::unwrap_used, reason = "a failure ends the test either way")]

use std::io::{BufRead, BufReader};
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
    let mut waiting = vec![Vec::new()];
    let mut seen = 0;
    while let Some(command) = waiting.pop() {
        let help = help(&command);
        for deeper in commands_in(&help) {
            waiting.push([&command[..], &[deeper]].concat());
        }
        let words: Vec<_> = command.iter().map(String::as_str).collect();
        let mut instead = vec!["help"];
        instead.extend(&words);
        assert_eq!(text(manycast(&instead).stdout), help);
        insta::assert_snapshot!([&["manycast"][..], &words].concat().join("-"), help);
        seen += 1;
    }
    assert!(seen >= 12, "{seen} commands have a help");
}

fn help(command: &[String]) -> String {
    let mut words: Vec<_> = command.iter().map(String::as_str).collect();
    words.push("--help");
    let output = manycast(&words);
    assert!(output.status.success(), "{command:?}");
    text(output.stdout)
}

/// The commands that a help lists: clap writes one for each that there is.
fn commands_in(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  "))
        // What is indented further goes on with the line before.
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
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
        "listen 239.1.1.1-239.1.1.5:5000",
        "listen 127.0.0.1:9 -i a/b",
        "listen 127.0.0.1:9 --count many",
        "listen 127.0.0.1:9 --timeout soon",
        "listen 127.0.0.1:9 --timeout",
        "listen 127.0.0.1:9 --hex --raw",
        "listen 127.0.0.1:9 --cuont 5",
        "listen 127.0.0.1:9 --zzz",
        "send 127.0.0.1:9 Hello world",
        "send 127.0.0.1:9 x --hops 256",
        "send 127.0.0.1:9 x --rate 10m",
        "send 127.0.0.1:9 x --rate 50",
        "measure send 127.0.0.1:9 --burst 300y",
        "listen 127.0.0.1:9 --output x",
        "echo 8888",
        "send 127.0.0.1:9 x --from eth0",
        "send 127.0.0.1:9 x --file y",
        "send 127.0.0.1:9 x --size 5",
        "send 127.0.0.1:9 --file x --size 1M",
        "send 127.0.0.1:9 x --interval soon",
        "ask 127.0.0.1:9 x --retries -1",
        "ask 127.0.0.1:9 x -v -q",
        "sedn 127.0.0.1:9 x",
        "frobnicate",
        "help frobnicate",
        "-q",
        "measure --json",
        "measure frobnicate",
        "measure send 239.1.1.1 --rate 5M",
        "measure send 239.1.1.1:5001 --size 5",
        "measure receive",
        "doctor --with 10.0.0.1",
        "doctor --pid=1",
        "doctor --expect-rate 100",
        "measure receive :5001 --max-loss 1",
        "interfaces a/b",
        // From here on: what newcomers wrote.
        "send [ff15::1]%eth0:5000 x",
        "send 239.1.1.1 5000",
        "send 239.1.1.1:5000/udp x",
        "send udp:239.1.1.1:5000 x",
        "send 127.0.0.1:9 --hello",
        "send 127.0.0.1:9 -hello",
        "ask 127.0.0.1:9 -very",
        "ask 127.0.0.1:9 -item/one",
        "ask 127.0.0.1:9 --josn",
        "send 127.0.0.1:9 x -count 5",
        "send 127.0.0.1:9 x --ttl 5",
        "listen --port 5000",
        "--interface eth0 listen 239.1.1.1:5000",
        "recv 239.1.1.1:5000",
        "receive 239.1.1.1:5000",
        "join 239.1.1.1:5000",
        "version",
        "doctor srve",
        "measure 239.1.1.1:5000",
        "measure recv 239.1.1.1:5000",
        "tftp gte",
        "completions bsh",
        "man mesure",
    ] {
        let arguments: Vec<_> = line.split_whitespace().collect();
        let output = manycast(&arguments);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(output.stdout.is_empty(), "{line}");
        transcript += &format!("$ manycast {line}\n{}\n", text(output.stderr));
    }
    insta::assert_snapshot!(transcript);
}

/// Each is a word of its own for asking for help.
#[test]
fn help_is_asked_for_in_many_ways() {
    let help = text(manycast(&["measure", "--help"]).stdout);
    for line in [
        "help measure",
        "measure help",
        "measure -h",
        "measure -help",
        "measure -vh",
    ] {
        let arguments: Vec<_> = line.split_whitespace().collect();
        let output = manycast(&arguments);
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert_eq!(text(output.stdout), help, "{line}");
    }
    // A message is sent.
    let output = manycast(&["send", "127.0.0.1:9", "-5", "--wait", "0"]);
    assert!(text(output.stdout).starts_with("2 bytes to 127.0.0.1:9 "));
    let output = manycast(&["send", "127.0.0.1:9", "--wait", "0", "--", "-help"]);
    assert!(text(output.stdout).starts_with("5 bytes to 127.0.0.1:9 "));
}

/// Faults that only the command itself can see.
#[test]
fn what_cannot_be_meant_is_refused() {
    for (line, words) in [
        (
            "send :5000 x",
            "it names no host to send to; write HOST:5000\n  :5000\n  ^",
        ),
        (
            "send :0 x",
            "it names neither host nor port; write HOST:PORT\n  :0\n  ^",
        ),
        (
            "send 10.0.0.5:0 x",
            "nobody can be sent to at port 0; write 10.0.0.5:PORT\n  10.0.0.5:0\n           ^",
        ),
        (
            "ask :8888 x",
            "it names no host to send to; write HOST:8888",
        ),
        ("ask 0.0.0.0:8888 x", "names no destination"),
        ("listen lo", "behind the host: 239.192.0.100%lo:5000"),
        (
            "send lo:5000 x",
            "an interface stands behind the host: 239.192.0.100%lo:5000",
        ),
        ("send 0.0.0.0:5000 x", "names no destination"),
        ("send [::]:5000 x", "names no destination"),
        ("measure send 0.0.0.0:5000", "names no destination"),
        ("send 10.0.0.5@232.1.1.1:5000 x", "write --from ADDRESS"),
        ("ask 10.0.0.5@232.1.1.1:5000 x", "leave them out"),
        ("interfaces eth99", "there is no such interface"),
        (
            "tftp get 127.0.0.1/file - --json",
            "name a file to put it into",
        ),
        ("receive-stream 239.192.0.8:5014 --json", "leave out --json"),
    ] {
        let arguments: Vec<_> = line.split_whitespace().collect();
        let output = manycast(&arguments);
        assert_eq!(output.status.code(), Some(2), "{line}");
        let problem = text(output.stderr);
        assert!(problem.contains(words), "{line}: {problem}");
    }
}

#[test]
fn nothing_to_send_is_told() {
    for arguments in [
        &["send", "127.0.0.1:9"][..],
        &["send", "127.0.0.1:9", "--file", "/dev/null"],
    ] {
        let output = manycast(arguments);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(output.stderr), "nothing to send\n");
    }
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
    let page = text(manycast(&["man", "measure", "send"]).stdout);
    assert!(page.contains("burst") && page.contains("json"), "{page}");
    assert_eq!(manycast(&["man", "frobnicate"]).status.code(), Some(2));
}

/// In bash itself: what stands in the line, and what is offered.
#[test]
fn bash_completes_commands_options_interfaces_and_files() {
    let script = r#"
        source <("$0" completions bash)
        complete -p manycast >&2
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _manycast manycast "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let offered = |words: &[&str]| {
        let mut bash = Command::new("bash");
        bash.args([
            "--norc",
            "-c",
            script,
            env!("CARGO_BIN_EXE_manycast"),
            "manycast",
        ]);
        let output = bash.args(words).output().unwrap();
        let told = text(output.stderr);
        assert!(told.starts_with("complete "), "{told}");
        let offered: Vec<String> = text(output.stdout).lines().map(str::to_owned).collect();
        offered
    };
    for (words, wanted, unwanted) in [
        (&["lis"][..], "listen", "send"),
        (&["listen", "--ti"], "--timeout", "--hex"),
        (&["listen", ":5000", "-i", ""], "lo", "Cargo.toml"),
        (&["listen", ":5000", "--interface", "l"], "lo", "all"),
        (&["send", "239.1.1.1%l"], "239.1.1.1%lo", "lo"),
        (&["interfaces", ""], "lo", "--json"),
        (&["man", "se"], "send", "listen"),
        (&["measure", "re"], "receive", "send"),
        (&["send", ":5000", "--file", "Car"], "Cargo.toml", "lo"),
        (&["listen", ":5000", "--timeout", ""], "", "Cargo.toml"),
        (&["completions", ""], "bash", "Cargo.toml"),
        (&["receive-s"], "receive-stream", "receive-files"),
        (&["send-files", "--cong"], "--congestion-control", "--rate"),
        (&["receive-files", ":5013", "-i", ""], "lo", "Cargo.toml"),
        (&["send-stream", "239.1.1.1%l"], "239.1.1.1%lo", "lo"),
    ] {
        let offered = offered(words);
        assert!(
            offered.iter().any(|it| it == wanted),
            "{words:?}: {offered:?}"
        );
        assert!(
            offered.iter().all(|it| it != unwanted),
            "{words:?}: {offered:?}"
        );
    }
    for (shell, part) in [
        (
            "zsh",
            "-i+[Interface by name, index or address, or all; can be repeated]:IFACE:_net_interfaces",
        ),
        (
            "fish",
            "-l interface -d 'Interface by name, index or address, or all; can be repeated' -r -f -a 'all (command ls",
        ),
    ] {
        let script = text(manycast(&["completions", shell]).stdout);
        assert!(script.contains(part), "{script}");
    }
}

#[test]
fn each_manual_page_has_values_examples_and_the_exit_status() {
    let mut waiting = vec![Vec::new()];
    while let Some(command) = waiting.pop() {
        let help = help(&command);
        for deeper in commands_in(&help) {
            waiting.push([&command[..], &[deeper]].concat());
        }
        let words: Vec<_> = command.iter().map(String::as_str).collect();
        let page = text(manycast(&[&["man"], &words[..]].concat()).stdout);
        for section in ["SYNOPSIS", "EXAMPLES", "\"EXIT STATUS\"\n.TP\n\\fB0\\fR"] {
            assert!(
                page.contains(&format!(".SH {section}")),
                "{words:?}: {page}"
            );
        }
        let synopsis = page
            .split(".SH ")
            .find(|part| part.starts_with("SYNOPSIS"))
            .unwrap();
        assert!(!synopsis.contains("help"), "{synopsis}");
        let unit = help.contains("<TIME>");
        assert_eq!(
            page.contains("a number without a unit is seconds"),
            unit,
            "{words:?}"
        );
        let takes_address = help.contains("<ADDRESS>") || help.contains("[ADDRESS]");
        assert_eq!(
            page.contains(".SH ADDRESSES"),
            takes_address || words.is_empty(),
            "{words:?}"
        );
        // groff(7) has nothing to complain of.
        assert!(page.is_ascii() || !page.contains('…'), "{words:?}");
    }
}

#[test]
fn a_full_disk_is_seen_by_the_help_too() {
    for argument in ["--help", "--version"] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_manycast"));
        let output = command.arg(argument).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{argument}");
    }
}

#[test]
fn an_argument_of_any_length_is_explained_shortly() {
    let digits = "9".repeat(65_536);
    for address in [
        format!("{}!:1", "a".repeat(65_536)),
        format!("239.1.1.1:{digits}"),
        format!("{digits}:1"),
        "\u{1b}[2J".repeat(10_000),
    ] {
        let output = manycast(&["listen", &address]);
        assert_eq!(output.status.code(), Some(2));
        let problem = text(output.stderr);
        assert!(problem.len() < 4_000, "{} bytes", problem.len());
        assert!(
            problem.starts_with("manycast: ") && !problem.contains('\u{1b}'),
            "{problem}"
        );
    }
}

/// What is printed as an own address is taken as one.
#[test]
fn an_interface_may_be_named_twice_in_agreement() {
    for (address, interface, code) in [
        ("239.255.77.1%lo:57711", "lo", 1),
        ("239.255.77.1%lo:57711", "1", 1),
        ("239.255.77.1%lo:57711", "all", 2),
        ("239.255.77.1%lo:57711", "none", 2),
    ] {
        let output = manycast(&["listen", address, "-i", interface, "-t", "0"]);
        assert_eq!(output.status.code(), Some(code), "{address} -i {interface}");
    }
}

#[test]
fn the_last_object_of_listen_is_a_summary() {
    let output = manycast(&["listen", "127.0.0.1:0", "-t", "0.01", "--json"]);
    let stdout = text(output.stdout);
    let last = stdout.lines().last().unwrap();
    assert!(
        last.starts_with(r#"{"event":"summary","datagrams":0,"bytes":0,"#),
        "{last}"
    );
}

#[test]
fn who_nobody_answers_is_led_to_the_doctor() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let output = manycast(&["ask", &address, "hello", "-t", "0.05"]);
    assert_eq!(output.status.code(), Some(1));
    let problem = text(output.stderr);
    assert!(
        problem.contains(&format!("manycast doctor {address}")),
        "{problem}"
    );
}

/// `nohup` starts a command with SIGHUP ignored.
#[test]
fn a_hang_up_that_is_ignored_stays_ignored() {
    for (prefix, goes_on) in [("trap '' HUP; ", true), ("", false)] {
        let script = format!(
            "{prefix}exec {} listen 127.0.0.1:0 -t 30 --json",
            env!("CARGO_BIN_EXE_manycast")
        );
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().contains("listening"));
        // It has taken charge of its signals before it listens.
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let mask = |name: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap() & 1
        };
        assert_eq!(
            (mask("SigIgn:"), mask("SigCgt:")),
            if goes_on { (1, 0) } else { (0, 1) }
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// timeout(1) signals its command, and then the process group that it is in.
#[test]
fn two_signals_at_once_are_one_request() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_manycast"))
        .args(["listen", "127.0.0.1:0", "-t", "30", "--json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("listening"));
    let id = child.id();
    let twice = format!("kill -INT {id}; kill -INT {id}; kill -TERM {id}");
    assert!(
        Command::new("sh")
            .args(["-c", &twice])
            .status()
            .unwrap()
            .success()
    );
    let summary = lines.next().unwrap().unwrap();
    assert!(summary.contains("\"summary\""), "{summary}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// It hangs in writing to a pipe that nobody reads. SIGINT may be ignored where the tests run in the
/// background, and then stays so.
#[test]
fn a_later_signal_ends_it_at_once() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_manycast"))
        .args(["send", "127.0.0.1:9", "--file", "/dev/zero", "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("sent"));
    let id = child.id().to_string();
    let begin = std::time::Instant::now();
    let place = format!("/proc/{id}/wchan");
    while !std::fs::read_to_string(&place)
        .unwrap()
        .ends_with("pipe_write")
    {
        assert!(begin.elapsed().as_secs() < 10, "it does not hang");
    }
    let begin = std::time::Instant::now();
    let status = loop {
        Command::new("kill").args(["-TERM", &id]).status().unwrap();
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(begin.elapsed().as_secs() < 10, "it still runs");
    };
    assert_eq!(status.code(), Some(2));
    assert!(begin.elapsed().as_secs_f64() >= 1.0);
}

/// An installed program has no other page.
#[test]
fn each_code_of_the_doctor_is_explained() {
    let explained = manycast(&["doctor", "--explain", "nat-redirect"]);
    assert!(explained.status.success(), "{explained:?}");
    assert!(text(explained.stdout).starts_with("# `nat-redirect`\n\n"));
    let told_more = manycast(&["doctor", "--explain", "nat-redirect", "-v"]);
    assert!(told_more.status.success(), "{told_more:?}");
    for (other, problem) in [
        ("--json", "--explain is text for people; leave out --json"),
        ("--for=5s", "exclude each other"),
    ] {
        let refused = manycast(&["doctor", "--explain", "nat-redirect", other]);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(text(refused.stderr).contains(problem), "{other}");
    }
    let unknown = manycast(&["doctor", "--explain", "gremlins"]);
    assert_eq!(unknown.status.code(), Some(2));
    let error = text(unknown.stderr);
    assert!(
        error.contains("'manycast doctor --explain' lists all"),
        "{error}"
    );
    let slip = manycast(&["doctor", "--explain", "no-querrier"]);
    let error = text(slip.stderr);
    assert!(error.contains("did you mean no-querier?"), "{error}");
    let all = text(manycast(&["doctor", "--explain"]).stdout);
    assert!(all.lines().count() > 40, "{all}");
    assert!(
        all.contains("wrong-port                The datagrams go to another port."),
        "{all}"
    );
}
