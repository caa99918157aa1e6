//! `manycast doctor`

use manycast_lab::netns::{Hook, Lab, Process};

use crate::{code, hosts_on, json, manycast, run, start};

pub(crate) fn a_stream_that_comes_is_exit_0() {
    let lab = Lab::new();
    let [a, b] = hosts_on(&lab, &lab.switch("sw"), ["a", "b"]);
    let arguments = [
        "send",
        "239.1.2.3%eth0:5000",
        "x",
        "--count",
        "100000",
        "--interval",
        "10ms",
    ];
    let _stream = start(&a, &arguments);
    let finished = run(&b, &["doctor", "239.1.2.3:5000", "--for", "2s"]);
    assert_eq!(code(&finished), 0, "{finished:?}");
    assert!(finished.stdout[0].starts_with("✓ 239.1.2.3:5000: delivered, "));
    // The marks of nine steps follow.
    let marks = finished
        .stdout
        .iter()
        .filter(|line| line.starts_with("  ✓"));
    assert_eq!(marks.count(), 9, "{finished:#?}");
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
    assert_eq!(first["confidence"], "proved");
    assert_eq!(first["page"], "docs/doctor/firewall-drops.md");
    assert!(first["remedy"].as_str().unwrap().contains("nft"));
    let broken = report["steps"].as_array().unwrap().iter();
    let broken: Vec<_> = broken.filter(|step| step["mark"] == "broken").collect();
    assert_eq!(broken[0]["step"], "firewall");

    // The same for people, on one screen.
    let finished = run(&b, &arguments);
    assert_eq!(code(&finished), 1);
    assert!(finished.stdout[0].starts_with("✗ 239.1.2.3:5000: a firewall of this host"));
    assert!(finished.stdout.len() <= 30, "{finished:#?}");
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
