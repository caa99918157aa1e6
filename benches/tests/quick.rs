//! The benchmark itself works; what it measures is not judged here.

use std::process::Command;

use manycast_lab::netns;

#[test]
fn a_quick_run_has_a_figure_for_each_contestant() {
    if let Err(why) = netns::unshare() {
        assert!(!netns::is_ci(), "{why}");
        eprintln!("SKIPPED: no benchmark can run: {why}");
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_manycast-bench"))
        .arg("--quick")
        .output()
        .expect("it was built with this test");
    let text = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{complaints}");
    assert!(!complaints.contains("FAILED"), "{text}{complaints}");
    for part in [
        "## Flat out",
        "## The highest rate",
        "## Round trips",
        "## Erasure code of NORM",
        "## Marks",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    for own in [
        "raw loop, GSO and GRO",
        "**manycast library**",
        "quinn-udp",
        "std UdpSocket",
    ] {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| {own} |")));
        let row = row.unwrap_or_else(|| panic!("{own} is missing in:\n{text}"));
        assert!(row.contains(" % |"), "{row}");
    }
}
