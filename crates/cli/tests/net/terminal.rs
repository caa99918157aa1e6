//! What is shown on a narrow terminal.

use manycast_lab::netns::Lab;

use crate::{hosts_on, run, start_on_terminal};

/// Lines break between words, and the words are those that a pipe gets.
pub(crate) fn no_word_is_broken_on_a_narrow_terminal() {
    let lab = Lab::new();
    let [host] = hosts_on(&lab, &lab.switch("sw"), ["a"]);
    for line in [
        "--help",
        "send --help",
        "listen --help",
        "ask --help",
        "measure receive --help",
        "doctor",
        "doctor --help",
        "doctor --explain no-querier",
        "doctor --explain reverse-path-filter",
        "doctor --explain gremlins",
        "interfaces",
        "send 239.1.1.1:99999 x",
        "send 127.0.0.1:9 --hello",
        "send 127.0.0.1:9 hello --rate 50",
        "listen 239.1.1.1:0",
        "ask 127.0.0.1:9 hello",
        "frobnicate",
    ] {
        let arguments: Vec<_> = line.split(' ').collect();
        let piped = run(&host, &arguments);
        let mut wanted: Vec<_> = piped.stdout.iter().chain(&piped.stderr).collect();
        wanted.retain(|line| !line.is_empty());
        let words = |lines: &[&String]| -> Vec<String> {
            let words = lines.iter().flat_map(|line| line.split_whitespace());
            // Times differ.
            words
                .filter(|word| word.parse::<f64>().is_err())
                .map(str::to_owned)
                .collect()
        };
        for columns in [40, 80] {
            let shown = start_on_terminal(&host, columns, &arguments).finish();
            let lines: Vec<_> = shown
                .stdout
                .iter()
                .filter(|line| !line.is_empty())
                .collect();
            assert_eq!(words(&lines), words(&wanted), "{line} at {columns}");
            let fits = |line: &&String| {
                line.chars().count() <= usize::from(columns) || !line.trim().contains(' ')
            };
            assert!(lines.iter().all(fits), "{line} at {columns}: {lines:#?}");
        }
    }
}
