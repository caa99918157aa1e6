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
    let (_, rest) = text.split_once("## Flat out").expect("it is there");
    let (flat_out, _) = rest.split_once("\n## ").expect("more follows");
    for own in [
        "raw loop, GSO and GRO",
        "raw loop that asks for the same metadata",
        "raw loop, sendmmsg and recvmmsg",
        "**manycast library**",
        "**manycast library, tokio**",
        "**manycast library, offload off**",
        "std UdpSocket",
        "Tokio UdpSocket",
        "quinn-udp",
        "quinn-udp, offload off",
        "mctx-core, mcrx-core",
    ] {
        let row = format!("\n| {own} | ");
        assert!(flat_out.contains(&row), "{own} is missing in:\n{text}");
    }
    for row in flat_out.lines().filter(|line| line.ends_with(" |")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, rate, _, of_limit, ..] = cells[..] else {
            panic!("{row} in:\n{text}");
        };
        let is_head = ["", "---"].contains(&name);
        if is_head
            || ["not installed", "not built"]
                .iter()
                .any(|why| rate.contains(why))
        {
            continue;
        }
        let figure = of_limit.strip_suffix(" %");
        let figure = figure.and_then(|it| it.parse::<f64>().ok());
        assert!(figure.is_some_and(f64::is_finite), "{row} in:\n{text}");
    }
}
