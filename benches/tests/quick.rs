//! The benchmark itself works; what it measures is not judged here.

use std::env;
use std::path::Path;
use std::process::Command;

use manycast_lab::netns;

const BENCH: &str = env!("CARGO_BIN_EXE_manycast-bench");

netns::tests!(
    datagrams_have_a_figure_for_each_contestant,
    a_stop_has_a_figure,
    files_by_tftp_have_a_figure,
    files_to_many_have_a_figure,
    norm_has_figures,
);

fn datagrams_have_a_figure_for_each_contestant() {
    // The titles of throughput, lossless rates and round trips name the size.
    let text = quick("bytes");
    let flat_out = part(&text, "Flat out");
    have_figures(
        flat_out,
        &[
            "raw loop, GSO and GRO",
            "raw loop that asks for the same metadata",
            "raw loop, sendmmsg and recvmmsg",
            "**manycast measure**",
            "**manycast library**",
            "**manycast library, tokio**",
            "**manycast library, offload off**",
            "std UdpSocket",
            "Tokio UdpSocket",
            "quinn-udp",
            "quinn-udp, offload off",
            "mctx-core, mcrx-core",
        ],
    );
    for row in flat_out.lines().filter(|line| line.ends_with(" |")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, rate, _, of_limit, ..] = cells[..] else {
            panic!("{row} in:\n{text}");
        };
        if ["", "---"].contains(&name) || rate.contains("not installed") {
            continue;
        }
        let figure = of_limit.strip_suffix(" %").unwrap_or_default();
        assert!(is_figure(figure), "{row} in:\n{text}");
    }
    let highest = part(&text, "The highest rate");
    have_figures(highest, &["**manycast measure**", "**manycast library**"]);
    let own = ["**manycast library**", "**manycast library, tokio**"];
    have_figures(part(&text, "Round trips"), &own);
    part(&text, "Marks");
}

fn a_stop_has_a_figure() {
    have_figures(&quick("A stop"), &["blocking", "on a runtime"]);
}

fn files_by_tftp_have_a_figure() {
    let text = quick("TFTP");
    // Beside peers, and to one client and eight.
    let own = ["**manycast**", "1", "8"];
    have_figures(part(&text, "Files by TFTP"), &own);
}

fn files_to_many_have_a_figure() {
    let text = quick("Files to many");
    have_figures(part(&text, "Files to many"), &["bare loop", "**manycast**"]);
}

fn norm_has_figures() {
    let text = quick("NORM");
    part(&text, "Erasure code of NORM");
    part(&text, "NORM beside TCP");
}

/// What a quick run of the work of this title prints, by an ordinary user's search path.
fn quick(work: &str) -> String {
    if !Path::new(BENCH).with_file_name("manycast").is_file() {
        netns::skip("the command is not built; build it: cargo build --package manycast-cli");
    }
    let path = env::var_os("PATH").expect("the lab has set it");
    let folders = env::split_paths(&path).filter(|folder| !folder.ends_with("sbin"));
    let path = env::join_paths(folders).expect("they were joined before");
    let output = Command::new(BENCH)
        .args(["--quick", "--work", work])
        .env("PATH", path)
        .output()
        .expect("it was built with this test");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{complaints}");
    assert!(!complaints.contains("FAILED"), "{text}{complaints}");
    text
}

/// What stands below a title that begins so.
fn part<'a>(text: &'a str, title: &str) -> &'a str {
    let (_, rest) = text
        .split_once(&format!("## {title}"))
        .unwrap_or_else(|| panic!("{title} is missing in:\n{text}"));
    rest.split("\n## ").next().unwrap_or_default()
}

/// Each of these has rows in the tables, all with a figure.
fn have_figures(tables: &str, contestants: &[&str]) {
    for contestant in contestants {
        let start = format!("| {contestant} | ");
        let rows = tables.lines().filter_map(|line| line.strip_prefix(&start));
        let figures: Vec<_> = rows.map(|row| row.split([' ', ',']).next()).collect();
        assert!(!figures.is_empty(), "{contestant} is missing in:\n{tables}");
        assert!(
            figures.into_iter().flatten().all(is_figure),
            "{contestant} in:\n{tables}"
        );
    }
}

fn is_figure(text: &str) -> bool {
    text.parse().is_ok_and(f64::is_finite)
}
