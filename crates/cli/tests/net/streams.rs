//! Streams to many, with this command at both ends.

use std::fs;

use manycast_lab::netns::{Lab, Pick, Process};

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
        absent.stderr[0].contains("d did not answer; start 'manycast receive-stream'"),
        "{absent:?}"
    );
}
