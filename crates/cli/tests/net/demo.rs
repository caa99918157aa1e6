//! `manycast demo`

use manycast_lab::netns::{Hook, Lab};

use crate::{code, json, run};

pub(crate) fn without_any_network_all_is_right() {
    let lab = Lab::new();
    let host = lab.host("a");
    let demo = run(&host, &["demo"]);
    assert_eq!(code(&demo), 0, "{demo:?}");
    let right = demo
        .stdout
        .iter()
        .filter(|line| line.starts_with('✓'))
        .count();
    assert_eq!((right, demo.stdout.len()), (4, 5), "{demo:?}");
    assert!(
        demo.stdout[4].starts_with("All 4 are as they should be"),
        "{demo:?}"
    );

    let demo = run(&host, &["demo", "--json"]);
    let objects: Vec<_> = demo.stdout.iter().map(|line| json(line)).collect();
    assert!(
        objects.iter().all(|object| object["ok"] == true),
        "{demo:?}"
    );
    let received = ["Hello, world!", "Good-bye, world!"];
    assert_eq!(objects[0]["received"], serde_json::json!(received));
}

pub(crate) fn a_fault_is_seen_and_is_exit_1() {
    let lab = Lab::new();
    for (fault, wrong) in [
        ("ip daddr 239.192.0.101", "✗ listener 3"),
        ("ip daddr 127.0.0.1", "✗ echo server"),
    ] {
        let host = lab.host("a");
        host.drop_at(Hook::Input, fault);
        let demo = run(&host, &["demo"]);
        assert_eq!(code(&demo), 1, "{demo:?}");
        let lines: Vec<_> = demo
            .stdout
            .iter()
            .filter(|line| line.starts_with('✗'))
            .collect();
        assert_eq!(lines.len(), 1, "{demo:?}");
        assert!(
            lines[0].starts_with(wrong) && lines[0].contains("nothing, and should have"),
            "{demo:?}"
        );
        assert!(
            demo.stdout[4].starts_with("1 of 4 are not as they should be"),
            "{demo:?}"
        );
    }
}

pub(crate) fn without_loopback_it_says_what_to_do() {
    let host = Lab::new().host("a");
    host.output("ip link set lo down");
    let demo = run(&host, &["demo"]);
    assert_eq!(code(&demo), 2);
    let problem = "manycast: the loopback interface is down; bring it up with 'ip link set lo up'";
    assert_eq!(demo.stderr, [problem]);
}
