//! Interfaces that have names of any kind, and that are named in several ways.

use std::process::Command;

use manycast_lab::netns::{Host, Lab};

use crate::{code, hosts_on, json, listen, manycast, run, send, start, texts};

pub(crate) fn one_that_is_named_in_several_ways_is_one() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let index = a.interface_index("eth0").to_string();
    let names = ["-i", "eth0", "-i", &index, "-i", "10.0.0.1"];
    let receiver = listen(&b, &["239.1.1.1:5000", "-c", "2"]);
    let words = [&["239.1.1.1:5000", "hi"], &names[..]].concat();
    assert_eq!(send(&a, &words).stdout.len(), 1);
    send(&a, &["239.1.1.1:5000", "end", "-i", "eth0"]);
    assert_eq!(texts(&receiver.finish().stdout), ["hi", "end"]);

    // The command is not in its own way.
    let listener = listen(&a, &[&[":5000", "-c", "1"], &names[..]].concat());
    send(&b, &["10.0.0.1:5000", "hi"]);
    assert_eq!(texts(&listener.finish().stdout), ["hi"]);
}

/// Addresses that overlap cannot be listened on by two sockets, and it is not another program that is in
/// the way.
pub(crate) fn a_port_that_is_listened_on_twice_is_told() {
    let lab = Lab::new();
    let [a] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    for (words, there) in [
        (&[":5000", ":5000"][..], "0.0.0.0:5000"),
        (&[":5000", "127.0.0.1:5000"], "0.0.0.0:5000"),
        (&["127.0.0.1:5000", ":5000"], "127.0.0.1:5000"),
        (&["%lo:5000", ":5000"], "0.0.0.0:5000"),
    ] {
        let told = run(&a, &[&["listen"], words].concat());
        assert_eq!(code(&told), 2, "{told:?}");
        let why = format!(
            ": {there} is listened on already, by this program itself (os error 98); leave out one"
        );
        assert!(told.stderr[0].contains(&why), "{told:?}");
    }
    // Each of these is another place.
    let words = ["%lo:5000", "%eth0:5000", "239.1.1.1:5001", ":5002"];
    drop(listen(&a, &words));
    let _other = listen(&a, &[":5000"]);
    let told = run(&a, &["listen", ":5001", ":5000"]);
    assert!(told.stderr[0].contains("another socket"), "{told:?}");
}

pub(crate) fn a_name_need_not_be_ascii() {
    let lab = Lab::new();
    let a = lab.host("a");
    a.connect(&lab.switch("sw"), "lan-kü", &["10.0.0.1/24"]);
    let address = "10.0.0.7@232.1.1.1%lan-kü:5000";
    let _listener = listen(&a, &[address]);
    let listed = run(&a, &["interfaces", "lan-kü"]);
    assert_eq!(code(&listed), 0, "{listed:?}");
    let joined = |line: &String| line.contains("10.0.0.7@232.1.1.1");
    assert!(listed.stdout.iter().any(joined), "{listed:?}");

    let listened = run(&a, &["listen", address, "-t", "0"]);
    assert_eq!(code(&listened), 1, "{listened:?}");
    let hint = format!("'manycast doctor {address}' tells why");
    assert_eq!(listened.stderr.last(), Some(&hint));
}

/// What it obeys stands in the name of an interface, and whoever made that may not be who looks at it.
pub(crate) fn a_name_cannot_drive_the_terminal() {
    const NAME: &str = "e\u{1b}[31m\u{202e}";
    const SHOWN: &str = r"e\u{1b}[31m\u{202e}";
    let lab = Lab::new();
    let a = lab.host("a");
    let ip = |words: &[&str]| {
        let mut ip: Command = a.command("ip");
        assert!(ip.args(words).status().unwrap().success());
    };
    ip(&["link", "add", "up", "name", NAME, "type", "bridge"]);
    ip(&["address", "add", "10.0.0.1/24", "dev", NAME]);
    let index = json(&run(&a, &["interfaces", "10.0.0.1", "--json"]).stdout[0]);
    assert_eq!(index["name"], NAME);

    let shows = |host: &Host, words: &[&str]| {
        let mut command = manycast(host, words);
        let shown = command.output().unwrap();
        let shown = [shown.stdout, shown.stderr].concat();
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.contains(SHOWN), "{words:?}: {shown}");
        assert!(
            !shown.contains(['\u{1b}', '\u{202e}']),
            "{words:?}: {shown:?}"
        );
    };
    let by = ["-i", "10.0.0.1"];
    shows(&a, &["interfaces"]);
    shows(&a, &[&["send", "239.1.1.1:5000", "x"], &by[..]].concat());
    let mut listener = start(
        &a,
        &[&["listen", "239.1.1.1:5000", "-c", "1"], &by[..]].concat(),
    );
    listener.wait_for_error_line("listening on ");
    send(&a, &[&["239.1.1.1:5000", "x"], &by[..]].concat());
    let line = listener.wait_for_line("1 byte");
    assert!(line.contains(SHOWN), "{line:?}");
    assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line:?}");
}
