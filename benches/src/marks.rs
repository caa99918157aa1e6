//! What is aimed at, and what was reached in this run.

use std::fmt::Write;

use crate::contestant::{Contestant, LIMIT, Workload};
use crate::files::Mark;
use crate::report::{self, Row};
use crate::round_trip::{self, RoundTrips};
use crate::worker::Contender;

/// A table of the marks.
pub(crate) fn table(
    results: &[(Workload, Vec<Row>)],
    trips: &[(Workload, Vec<round_trip::Row>)],
    files: &[Mark],
) -> String {
    let library = Contestant::Own(Contender::Library);
    let mut text = "## Marks\n\n| mark | aimed at | reached |\n| --- | --- | ---: |\n".to_owned();
    let mut line = |mark: String, aim: &str, reached: Option<f64>, as_percent: bool| {
        let _ = match reached {
            None => writeln!(text, "| {mark} | {aim} | not measured |"),
            Some(it) if as_percent => writeln!(text, "| {mark} | {aim} | {:.1} % |", it * 100.0),
            Some(it) => writeln!(text, "| {mark} | {aim} | {it:.1} times |"),
        };
    };
    for (load, rows) in results {
        let ratio = |of, to| report::ratio(rows, of, to);
        let title = report::title(load);
        line(
            format!("{title}: the command, of the raw limit"),
            "85 %",
            ratio(Contestant::Manycast, LIMIT),
            true,
        );
        let aim = if load.listeners == 1 { "90 %" } else { "85 %" };
        line(
            format!("{title}: the library, of the raw limit"),
            aim,
            ratio(library, LIMIT),
            true,
        );
        line(
            format!("{title}: the library, of quinn-udp"),
            "100 %",
            ratio(library, Contestant::Own(Contender::Quinn)),
            true,
        );
        let plain = Contestant::Plain(Contender::Library);
        for peer in [
            Contestant::Own(Contender::TokioSocket),
            Contestant::Plain(Contender::Quinn),
        ] {
            if plain.takes_part(load) {
                line(
                    format!("{title}: the library with offload off, of {}", peer.name()),
                    "100 %",
                    ratio(plain, peer),
                    true,
                );
            }
        }
        // Of larger ones iperf3 needs so few calls that there is less to win.
        if !load.group && load.size <= 1316 {
            line(
                format!("{title}: the command, of iperf3"),
                "8 times",
                ratio(Contestant::Manycast, Contestant::Iperf3),
                false,
            );
        }
    }
    for (load, rows) in trips {
        let of = |wanted| Some(&rows.iter().find(|(it, _)| *it == wanted)?.1);
        let path = load.path.name();
        let library = of(Contender::Library);
        let most = |trips: &RoundTrips| trips.within(990);
        for (loop_, name) in [
            (Contender::RawOffload, "the raw loop"),
            (
                Contender::RawMetadata,
                "the raw loop that asks for the same",
            ),
        ] {
            let pair = library.zip(of(loop_));
            line(
                format!("round trip, {path}: the library, of {name}, median"),
                "103 %",
                pair.map(|(this, other)| this.ratio(other)),
                true,
            );
            line(
                format!("round trip, {path}: the same, 99 %"),
                "110 %",
                pair.map(|(this, other)| most(this) / most(other)),
                true,
            );
        }
        let pair = of(Contender::Tokio).zip(of(Contender::TokioSocket));
        line(
            format!("round trip, {path}: the library on Tokio, of Tokio's own socket, median"),
            "105 %",
            pair.map(|(this, other)| this.ratio(other)),
            true,
        );
    }
    for mark in files {
        line(mark.what.clone(), mark.aim, Some(mark.reached), true);
    }
    text
}
