//! `manycast doctor`

use manycast_lab::netns::python::program;
use manycast_lab::netns::{Hook, Host, Lab, Process};
use serde_json::Value;

use crate::{code, hosts_on, json, manycast, run, start};

/// A hundred datagrams a second to the group.
fn stream(host: &Host) -> Process {
    let to = "239.1.2.3%eth0:5000";
    let arguments = ["send", to, "x", "--count", "100000", "--interval", "10ms"];
    start(host, &arguments)
}

pub(crate) fn a_stream_that_comes_is_exit_0() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let _stream = stream(&a);
    let finished = run(&b, &["doctor", "239.1.2.3:5000", "--for", "2s"]);
    assert_eq!(code(&finished), 0, "{finished:?}");
    assert!(finished.stdout[0].starts_with("✓ 239.1.2.3:5000: delivered, "));
    // The marks of nine steps follow.
    let marks = finished
        .stdout
        .iter()
        .filter(|line| line.starts_with("  ✓"));
    assert_eq!(marks.count(), 9, "{finished:#?}");
    // That there is no route to groups matters to nobody where it comes.
    let text = finished.stdout.join("\n");
    assert!(!text.contains("no-route"), "{text}");
}

/// Other groups bring more than 10,000 datagrams a second: each stream ends by itself, after as many
/// as fill the time that the examinations take.
pub(crate) fn a_busy_host_that_is_well_is_exit_0() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    for (group, others) in [
        ("239.1.2.3", ["239.9.9.1", "239.9.9.2"]),
        ("[ff15::1234]", ["[ff15::9:1]", "[ff15::9:2]"]),
    ] {
        let address = format!("{group}:5000");
        let noise = others.map(|other| {
            let to = format!("{other}:5000");
            let mut flood = manycast(&a, &["measure", "send", &to, "-i", "eth0"]);
            // 7,500 datagrams a second, for 20 seconds at most.
            flood.args(["--size", "100", "--rate", "6M", "--count", "150000"]);
            Process::start(flood.env("MANYCAST_OFFLOAD", "off"))
        });
        let stream = ["send", &address, "x", "-i", "eth0", "--interval", "10ms"];
        let stream = start(&a, &[&stream[..], &["--count", "3000"]].concat());

        let finished = run(&b, &["doctor", &address, "--for", "3s", "--json"]);
        assert_eq!(code(&finished), 0, "{finished:?}");
        let report = json(&finished.stdout[0]);
        assert_eq!(report["verdict"], "delivered", "{report}");
        assert!(report["received"].as_u64().unwrap() > 100, "{report}");
        // They are counted when memberships have settled, after 1.1 s.
        let came = report["interfaces"]["eth0"]["received"].as_f64().unwrap();
        assert!(came / 1.9 >= 10_000.0, "only {came} in 1.9 s");

        let finished = run(&b, &["doctor", &address, "--for", "2s"]);
        assert_eq!(code(&finished), 0, "{finished:?}");
        assert!(finished.stdout[0].starts_with(&format!("✓ {address}: delivered, ")));
        drop((stream, noise));
    }
}

pub(crate) fn a_fault_is_exit_1_and_one_object() {
    let lab = Lab::new();
    let [_a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    b.drop_at(Hook::Input, "ip daddr 239.1.2.3");
    let arguments = ["doctor", "239.1.2.3:5000", "--for", "2s"];
    let finished = run(&b, &[&arguments[..], &["--json"]].concat());
    assert_eq!(code(&finished), 1);
    assert_eq!(finished.stdout.len(), 1);
    let report = json(&finished.stdout[0]);
    assert_eq!(report["verdict"], "firewall-drops");
    assert_eq!(report["healthy"], false);
    let first = &report["findings"][0];
    assert_eq!(first["code"], "firewall-drops");
    assert_eq!(first["confidence"], "likely");
    assert_eq!(first["page"], "docs/doctor/firewall-drops.md");
    assert!(first["remedy"].as_str().unwrap().contains("nft"));
    let broken = report["steps"].as_array().unwrap().iter();
    let broken: Vec<_> = broken.filter(|step| step["mark"] == "broken").collect();
    assert_eq!(broken[0]["step"], "firewall");

    // The same for people, on one screen.
    let finished = run(&b, &arguments);
    assert_eq!(code(&finished), 1);
    assert!(finished.stdout[0].starts_with("✗ 239.1.2.3:5000: a firewall of this host"));
    assert!(finished.stdout.len() <= 31, "{finished:#?}");
    let last = finished.stdout.last().unwrap();
    assert_eq!(last, "read on: manycast doctor --explain firewall-drops");
}

/// A member answers, and then a rule drops what it answers.
pub(crate) fn answers_to_a_group_come_or_are_dropped() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let script = "import threading
s = udp(''); join(s, '239.1.2.3', 'eth0')
def answer():
    while True: s.sendto(b'here I am', s.recvfrom(2048)[1])
threading.Thread(target=answer, daemon=True).start()";
    let _member = program(&a, script);
    a.wait_for_group("eth0", "239.1.2.3".parse().unwrap());
    let group = "239.1.2.3%eth0:5000";
    let arguments = [
        "doctor",
        group,
        "--answers",
        "--question",
        "who?",
        "--for",
        "2s",
    ];
    let finished = run(&b, &arguments);
    assert_eq!(code(&finished), 0, "{finished:#?}");
    let first = &finished.stdout[0];
    assert!(
        first.starts_with(&format!("✓ answers to {group}: delivered, ")),
        "{first}"
    );
    b.drop_at(Hook::Input, "meta l4proto udp");
    let finished = run(&b, &[&arguments[..], &["--json"]].concat());
    assert_eq!(code(&finished), 1, "{finished:#?}");
    let report = json(&finished.stdout[0]);
    assert_eq!(report["verdict"], "firewall-drops", "{report}");
    assert_eq!(report["subject"], format!("answers to {group}"));

    // What to ask is known of few ports.
    let finished = run(&b, &["doctor", group, "--answers"]);
    assert_eq!(code(&finished), 2, "{finished:#?}");
    assert!(
        finished.stderr.join(" ").contains("--question"),
        "{finished:#?}"
    );
}

pub(crate) fn what_cannot_be_examined_is_exit_2() {
    let lab = Lab::new();
    let [_a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    for arguments in [
        &["doctor", "239.1.2.3%eth7:5000"][..],
        &["doctor", "10.0.0.1:5000"],
        &["doctor", "239.1.2.3:5000", "--pid", "1000000000"],
        &["doctor", "239.1.2.3:5000", "--with", "10.0.0.1:1"],
        &["doctor", "--port"],
    ] {
        assert_eq!(code(&run(&b, arguments)), 2, "{arguments:?}");
    }
}

/// What it watches is told at once, and how long, whatever was asked for.
pub(crate) fn any_local_address_is_watched() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let arguments = [
        "send",
        "10.0.0.2:5000",
        "x",
        "--count",
        "100000",
        "--interval",
        "10ms",
    ];
    let _stream = start(&a, &arguments);
    let mut watching = start(&b, &["doctor", ":5000", "--for", "1s"]);
    watching.wait_for_error_line("watching :5000 for 2 s");
    let finished = watching.finish();
    assert_eq!(code(&finished), 0, "{finished:?}");
    let text = finished.stdout.join("\n");
    assert!(text.starts_with("✓ :5000: delivered, "), "{text}");
    assert!(text.contains("watched for 2 s, the least"), "{text}");
}

/// Of several faults that are proved, each is told with what mends it.
pub(crate) fn a_second_fault_that_is_proved_is_told() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let _stream = stream(&a);
    let wrong = "s = udp('10.0.0.2'); join(s, '239.1.2.4', 'eth0')";
    let _program = program(&b, wrong);
    let finished = run(&b, &["doctor", "239.1.2.3:5000", "--port", "--for", "2s"]);
    assert_eq!(code(&finished), 1);
    let text = finished.stdout.join("\n");
    for (code, remedy) in [
        ("not-joined (proved)", "let it join 239.1.2.3"),
        ("bound-to-unicast (proved)", "let it bind to the group"),
    ] {
        assert!(text.contains(code) && text.contains(remedy), "{text}");
    }
}

pub(crate) fn two_ends_share_a_key() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let mut far = start(&a, &["doctor", "serve", "--key", "secret"]);
    far.wait_for_error_line("serving on :49366");
    let arguments = [
        "doctor",
        "239.1.2.3:5000",
        "--with",
        "10.0.0.1",
        "--for",
        "2s",
    ];
    let finished = run(
        &b,
        &[&arguments[..], &["--key", "secret", "--json"]].concat(),
    );
    assert_eq!(code(&finished), 1, "{finished:?}");
    let report = json(&finished.stdout[0]);
    assert_eq!(report["verdict"], "nothing-sent");
    assert!(!report["trials"].as_array().unwrap().is_empty());
    let finished = run(&b, &[&arguments[..], &["--key", "guess"]].concat());
    assert_eq!(code(&finished), 2);
    far.interrupt();
    assert_eq!(code(&far.finish()), 0);
}

/// Runs the doctor on `b` with the far end on `a`, and gives what it printed as an object.
fn with(b: &Host, group: &str, host: &str) -> (i32, Value) {
    let arguments = ["doctor", group, "--with", host, "--for", "2s", "--json"];
    let finished = run(b, &arguments);
    let told = finished
        .stdout
        .first()
        .unwrap_or_else(|| panic!("{finished:?}"));
    (code(&finished), json(told))
}

pub(crate) fn a_firewall_of_the_far_host_is_named_as_its() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    a.drop_at(Hook::Input, "udp dport 5000");
    let mut far = start(&a, &["doctor", "serve"]);
    far.wait_for_error_line("serving on :49366");
    for (group, host) in [
        ("239.1.2.3:5000", "10.0.0.1"),
        ("[ff15::1234]:5000", "fd00::1"),
    ] {
        let (exit, report) = with(&b, group, host);
        assert_eq!((exit, &report["healthy"]), (1, &false.into()), "{report:#}");
        assert_eq!(report["verdict"], "firewall-drops", "{report:#}");
        let first = &report["findings"][0];
        assert_eq!(first["host"], host, "{report:#}");
        assert_eq!(first["confidence"], "proved");
        assert_eq!(report["far"]["host"], host);
        let walk = report["far"]["steps"].as_array().unwrap();
        let broken = walk.iter().find(|step| step["mark"] == "broken");
        assert_eq!(broken.unwrap()["step"], "firewall");
        far.wait_for_error_line("examined this host for");
    }

    // The same for people, within the width of a terminal and on one screen.
    let arguments = [
        "doctor",
        "239.1.2.3:5000",
        "--with",
        "10.0.0.1",
        "--for",
        "2s",
    ];
    let finished = run(&b, &arguments);
    assert_eq!(code(&finished), 1);
    let text = finished.stdout.join("\n");
    assert!(
        text.contains("a firewall of 10.0.0.1 drops what comes to"),
        "{text}"
    );
    assert!(
        text.contains("firewall-drops (proved) of 10.0.0.1"),
        "{text}"
    );
    assert!(text.contains("to mend it, on 10.0.0.1:"), "{text}");
    assert!(!text.contains("this host sent to itself"), "{text}");
    assert!(finished.stdout.len() <= 40, "{text}");
    // The two walks stand side by side, under their names.
    let mut lines = finished.stdout.iter();
    assert!(
        lines.any(|line| line.trim() == "to this host   to 10.0.0.1"),
        "{text}"
    );
    let firewall = lines.find(|line| line.starts_with("  firewall "));
    let marks: Vec<_> = firewall.unwrap().split_whitespace().collect();
    assert_eq!(marks, ["firewall", "?", "✗"], "{text}");
    // Commands alone are not broken, so that they can be copied.
    let is_command = |line: &str| {
        ["sudo ", "ip ", "manycast "]
            .iter()
            .any(|c| line.trim_start().starts_with(c))
    };
    for line in finished.stdout.iter().filter(|line| !is_command(line)) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

pub(crate) fn a_reverse_path_filter_of_the_far_host() {
    let lab = Lab::new();
    let (switch, control) = (lab.switch("sw"), lab.switch("control"));
    let [a, b] = ["a", "b"].map(|name| lab.host(name));
    a.connect(&switch, "eth0", &["192.168.7.1/24"]);
    b.connect(&switch, "eth0", &["10.0.0.2/24"]);
    a.connect(&control, "eth1", &["10.1.0.1/24"]);
    b.connect(&control, "eth1", &["10.1.0.2/24"]);
    a.sysctl("net.ipv4.conf.eth0.rp_filter", "1");
    let mut far = start(&a, &["doctor", "serve"]);
    far.wait_for_error_line("serving on :49366");
    let (exit, report) = with(&b, "239.1.2.3%eth0:5000", "10.1.0.1");
    assert_eq!(exit, 1);
    assert_eq!(report["verdict"], "reverse-path-filter", "{report:#}");
    assert_eq!(report["findings"][0]["host"], "10.1.0.1");
    assert_eq!(report["findings"][0]["confidence"], "proved");
}

pub(crate) fn an_interrupt_tells_what_is_known() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let _stream = stream(&a);

    // One host: what has come until then was delivered.
    let arguments = ["doctor", "239.1.2.3:5000", "--for", "10m", "-v"];
    let mut watching = start(&b, &arguments);
    b.wait_for_group("eth0", [239, 1, 2, 3].into());
    watching.interrupt();
    let finished = watching.finish();
    let text = finished.stdout.join("\n");
    assert!(text.contains("cut short after"), "{finished:?}");

    let mut far = start(&a, &["doctor", "serve", "-v"]);
    far.wait_for_error_line("serving on :49366");
    // Two ends, in the middle of a soak.
    let arguments = [
        "doctor",
        "239.1.2.3:5000",
        "--with",
        "10.0.0.1",
        "--soak",
        "10m",
        "--json",
    ];
    let mut soaking = start(&b, &arguments);
    soaking.wait_for_error_line("two datagrams a second follow");
    // With the second pair, the first one has come.
    for _ in 0..2 {
        far.wait_for_error_line("2 datagrams to 239.1.2.3:5000");
    }
    soaking.interrupt();
    let finished = soaking.finish();
    assert_eq!(code(&finished), 0, "{finished:?}");
    let report = json(&finished.stdout[0]);
    assert!(report["cut_short_after"].as_f64().unwrap() > 0.0);
    assert!(report["soak"]["came"].as_u64().unwrap() > 0, "{report:#}");

    // Before there is anything to tell, it ends at once.
    let arguments = ["doctor", "239.1.2.3:5000", "--with", "10.0.0.99", "-v"];
    let mut asking = start(&b, &arguments);
    asking.wait_for_error_line("trying 239.1.2.3:5000");
    asking.interrupt();
    assert_eq!(code(&asking.finish()), 2);
}
