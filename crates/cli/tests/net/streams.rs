//! Streams to many, with this command at both ends.

use std::fs;

use manycast_lab::netns::{Host, Lab, Pick, Process};

use crate::files::{Folder, GROUP, content};
use crate::{code, hosts_on, json, run};

/// A stream goes through pipes, in order and whole, where each receiver loses something.
pub(crate) fn a_stream_comes_whole_and_in_order() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let folder = Folder::new("stream");
    let bytes = content(3_000_000);
    let from = folder.text("from");
    fs::write(&from, &bytes).unwrap();
    let receivers = [(&b, "b"), (&c, "c")].map(|(host, name)| {
        host.lose("eth0", Pick::Percent(5));
        let into = folder.text(name);
        let line = format!(
            "exec {} receive-stream {GROUP} --name {name} -t 30 > {into}",
            crate::BINARY
        );
        let mut shell = host.command("sh");
        shell.args(["-c", &line]);
        let mut receiver = Process::start(&mut shell);
        receiver.wait_for_error_line("receiving as");
        (receiver, into)
    });
    let line = format!(
        "exec {} send-stream {GROUP} --receiver b --receiver c --rate 50M --json < {from}",
        crate::BINARY
    );
    let mut shell = a.command("sh");
    shell.args(["-c", &line]);
    let sent = Process::start(&mut shell).finish();
    assert_eq!(code(&sent), 0, "{sent:?}");
    let told = json(sent.stdout.last().unwrap());
    assert_eq!(
        (&told["complete"], &told["bytes"]),
        (&true.into(), &3_000_000.into())
    );
    assert!(told["repairs"].as_u64().unwrap() > 0);
    for (receiver, into) in receivers {
        let finished = receiver.finish();
        assert_eq!(code(&finished), 0, "{finished:?}");
        assert!(fs::read(into).unwrap() == bytes);
    }
    // Who is not there is waited for, and then named.
    let absent = run(
        &a,
        &["send-stream", GROUP, "--receiver", "d", "--wait", "300ms"],
    );
    assert_eq!(code(&absent), 1, "{absent:?}");
    assert!(
        absent.stderr[1].contains("d did not answer; start 'manycast receive-stream'"),
        "{absent:?}"
    );
}

/// So many receivers as are expected are waited for, whatever their names are, and each has all when
/// it ends. Where none is expected, that is told at once.
pub(crate) fn a_stream_waits_for_so_many() {
    let lab = Lab::new();
    let [a, b, c] = hosts_on(&lab, &lab.switch("sw"), ["a", "b", "c"]);
    let folder = Folder::new("count");
    let bytes = content(500_000);
    let from = folder.text("from");
    fs::write(&from, &bytes).unwrap();
    let receivers = [(&b, "b"), (&c, "c")].map(|(host, name)| {
        let into = folder.text(name);
        let line = format!(
            "exec {} receive-stream {GROUP} --name {name} -t 30 > {into}",
            crate::BINARY
        );
        let mut shell = host.command("sh");
        shell.args(["-c", &line]);
        let mut receiver = Process::start(&mut shell);
        receiver.wait_for_error_line("receiving as");
        (receiver, into)
    });
    let send = |options: &str| {
        let line = format!(
            "exec {} send-stream {GROUP} {options} < {from}",
            crate::BINARY
        );
        let mut shell = a.command("sh");
        shell.args(["-c", &line]);
        Process::start(&mut shell).finish()
    };
    let short = send("--receivers 3 --receiver b --wait 300ms");
    assert_eq!(code(&short), 1, "{short:?}");
    let waiting = "waiting for 3 receivers, among them b, for at most 300 ms";
    assert_eq!(short.stderr[0], waiting);
    let problem = "2 of 3 receivers answered; start 'manycast receive-stream'";
    assert!(short.stderr[1].contains(problem), "{short:?}");
    let sent = send("--receivers 2 --rate 50M --from :5015 --json");
    assert_eq!(code(&sent), 0, "{sent:?}");
    let told = json(sent.stdout.last().unwrap());
    let names = told["receivers"].as_array().unwrap().iter();
    let mut names: Vec<_> = names.map(|it| it["receiver"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["b", "c"]);
    for (receiver, into) in receivers {
        assert_eq!(code(&receiver.finish()), 0);
        assert!(fs::read(into).unwrap() == bytes);
    }
    let alone = send("--parity auto");
    assert_eq!(code(&alone), 0, "{alone:?}");
    assert!(alone.stderr[0].starts_with("no receiver is expected, so nobody is waited for"));
    // Nobody sends.
    let silent = run(&b, &["receive-stream", GROUP, "-t", "300ms"]);
    assert_eq!(code(&silent), 1, "{silent:?}");
    assert_eq!(silent.stderr[1], "no stream began within 300 ms");
    assert_eq!(
        silent.stderr[2],
        format!("'manycast doctor {GROUP}' tells why nothing comes")
    );
}

/// A receiver at one host that is not expected is there, also where it says nothing; that it leaves when it
/// has all, and the host refuses from then on, is no failure.
pub(crate) fn a_stream_comes_to_a_host() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let folder = Folder::new("host");
    let bytes = content(500_000);
    let (from, into) = (folder.text("from"), folder.text("into"));
    fs::write(&from, &bytes).unwrap();
    for options in ["", "--silent"] {
        let shell = |host: &Host, line: String| {
            let mut shell = host.command("sh");
            shell.args(["-c", &format!("exec {} {line}", crate::BINARY)]);
            Process::start(&mut shell)
        };
        let mut receiver = shell(&b, format!("receive-stream :5014 {options} -t 30 > {into}"));
        receiver.wait_for_error_line("receiving as");
        let sent = shell(&a, format!("send-stream 10.0.0.2:5014 --json < {from}")).finish();
        assert_eq!(code(&sent), 0, "{options}: {sent:?}");
        let told = json(sent.stdout.last().unwrap());
        assert_eq!(told["complete"], serde_json::Value::Null, "{options}");
        assert_eq!(code(&receiver.finish()), 0, "{options}");
        assert!(fs::read(&into).unwrap() == bytes, "{options}");
    }
}
