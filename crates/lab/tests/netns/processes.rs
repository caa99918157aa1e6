//! Programs in the background.

use std::env;
use std::fs;
use std::os::unix::process::parent_id;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::Command;

use manycast_lab::netns::{self, Lab, Process, wait_until};

use crate::hosts_on;

pub(crate) fn a_line_is_found_once() {
    let mut process = Process::start(Command::new("sh").args([
        "-c",
        "echo one; echo two; echo problem >&2; read line; echo \"one $line\"; cat",
    ]));
    assert_eq!(process.wait_for_line("one"), "one");
    assert_eq!(process.wait_for_error_line("problem"), "problem");
    process.write_line("more");
    assert_eq!(process.wait_for_line("one"), "one more");
    process.write_line("last");
    let finished = process.finish();
    assert!(finished.status.success());
    assert_eq!(finished.stdout, ["one", "two", "one more", "last"]);
    assert_eq!(finished.stderr, ["problem"]);
}

pub(crate) fn a_missing_line_shows_what_was_printed() {
    let mut process =
        Process::start(Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"]));
    let payload = panic::catch_unwind(AssertUnwindSafe(|| process.wait_for_line("three")));
    let payload = payload.unwrap_err();
    let message = payload.downcast_ref::<String>().unwrap();
    for part in ["sh -c echo one", "\"three\"", "one\n", "two"] {
        assert!(message.contains(part), "{part:?} is missing in: {message}");
    }
}

/// A wait lasts as long as its test may, and then tells what it waited for.
pub(crate) fn a_wait_in_vain_is_told_of_before_the_test_is_killed() {
    if env::var_os("IN_VAIN").is_some() {
        wait_until("nothing", || false);
    }
    // The same test once more, for two seconds.
    let mut again = Command::new(env::current_exe().unwrap());
    again.envs([("IN_VAIN", "yes"), ("MANYCAST_LAB_LIMIT", "2")]);
    let finished = Process::start(&mut again).finish();
    assert!(!finished.status.success());
    let told = finished.stderr.join("\n");
    assert!(told.contains("waited 2s in vain for nothing"), "{told}");
}

pub(crate) fn a_process_ends_at_an_interrupt() {
    let host = Lab::new().host("a");
    let script = "
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    print('ready', flush=True)
    signal.pause()
except KeyboardInterrupt:
    print('interrupted')
";
    let mut process = Process::start(host.command("python3").args(["-c", script]));
    process.wait_for_line("ready");
    assert!(process.is_running());
    process.interrupt();
    assert_eq!(process.finish().stdout, ["ready", "interrupted"]);
}

pub(crate) fn a_process_is_killed_on_drop() {
    let host = Lab::new().host("a");
    let process = host.start("cat");
    let path = format!("/proc/{}", process.id());
    assert!(Path::new(&path).exists());
    drop(process);
    assert!(!Path::new(&path).exists());
}

/// Whether it ends by itself, or is killed.
pub(crate) fn what_a_test_leaves_behind_ends_with_it() {
    const LEAVES: &str = "LEAVES";
    let name = "processes::what_a_test_leaves_behind_ends_with_it";
    if let Some(how) = env::var_os(LEAVES) {
        let script = "tail -f /dev/null left-behind >/dev/null 2>&1 & echo started; wait";
        let mut process = Process::start(Command::new("sh").args(["-c", script]));
        process.wait_for_line("started");
        fs::write(env::temp_dir().join("left-behind"), "").unwrap();
        if how == "by a kill" {
            loop {
                std::thread::park();
            }
        }
        // This kills the shell, and not what the shell has started.
        return;
    }
    // A test is started by the first process of its namespace, where it has one. Elsewhere nothing is promised.
    if parent_id() != 1 {
        eprintln!("processes have no namespace of their own here");
        return;
    }
    let left_behind = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let mut lines = processes.filter_map(|it| fs::read(it.path().join("cmdline")).ok());
        lines.any(|line| line.starts_with(b"tail\0") && line.ends_with(b"\0left-behind\0"))
    };
    for how in ["by itself", "by a kill"] {
        // The same test once more, as a user runs it.
        let mut again = Command::new(env::current_exe().unwrap());
        again
            .args(["--exact", name])
            .env_remove("MANYCAST_LAB_TEST");
        again.envs([(LEAVES, how), ("MANYCAST_LAB_LIMIT", "2")]);
        let finished = Process::start(&mut again).finish();
        let told = finished.stdout.join("\n");
        assert_eq!(finished.status.success(), how == "by itself", "{told}");
        assert_eq!(
            told.contains("killed after 2s"),
            how == "by a kill",
            "{told}"
        );
        wait_until("the end of what was left behind", || !left_behind());
        // It has written to a folder of its own.
        let folder = fs::read_dir(env::temp_dir()).unwrap();
        assert_eq!(folder.count(), 0);
    }
}

pub(crate) fn ncat_and_socat_talk_across_a_switch() {
    netns::require(&["ncat", "socat"]);
    let lab = Lab::new();
    let switch = lab.switch("sw");
    let [a, b] = hosts_on(&lab, &switch, ["a", "b"]);

    let mut server = b.start("socat -u UDP4-RECV:5000 -");
    b.wait_for_udp_port(5000);
    let mut client = a.start("ncat --udp 10.0.0.2 5000");
    client.write_line("hello from ncat");
    assert_eq!(server.wait_for_line("hello"), "hello from ncat");

    let group = "239.1.2.3".parse().unwrap();
    let mut member = b.start("socat -u UDP4-RECV:5001,ip-add-membership=239.1.2.3:eth0 -");
    b.wait_for_udp_port(5001);
    b.wait_for_group("eth0", group);
    let mut sender = a.start("socat -u - UDP4-DATAGRAM:239.1.2.3:5001,ip-multicast-if=10.0.0.1");
    sender.write_line("hello, group");
    assert_eq!(member.wait_for_line("hello"), "hello, group");
}
