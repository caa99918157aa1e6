//! What is aimed at, and what was reached in this run.

use std::fmt::Write;

use crate::contestant::{Contestant, LIMIT, Workload};
use crate::report::{self, Row, median};
use crate::worker::{Contender, RoundTrips};

type Trips = [(Workload, Vec<(Contestant, Result<Vec<RoundTrips>, String>)>)];

/// A table of the marks.
pub(crate) fn table(results: &[(Workload, Vec<Row>)], trips: &Trips) -> String {
    let library = Contestant::Own(Contender::Library);
    let mut text = "## Marks\n\n| mark | aimed at | reached |\n| --- | --- | ---: |\n".to_owned();
    let mut line = |mark: String, aim: &str, reached: Option<f64>, as_percent: bool| {
        let _ = match reached {
            None => writeln!(text, "| {mark} | {aim} | not measured |"),
            Some(it) if as_percent => writeln!(text, "| {mark} | {aim} | {:.0} % |", it * 100.0),
            Some(it) => writeln!(text, "| {mark} | {aim} | {it:.1} times |"),
        };
    };
    for (load, rows) in results {
        let ratio = |of, to| Some(report::rate(rows, of)? / report::rate(rows, to)?);
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
        if !load.group {
            line(
                format!("{title}: the command, of iperf3"),
                "8 times",
                ratio(Contestant::Manycast, Contestant::Iperf3),
                false,
            );
        }
    }
    for (load, rows) in trips {
        let at = |wanted: Contestant, of: fn(&RoundTrips) -> f64| {
            let (_, trips) = rows.iter().find(|(it, _)| *it == wanted)?;
            Some(median(trips.as_ref().ok()?.iter().map(of).collect()))
        };
        let ratio = |of: fn(&RoundTrips) -> f64| Some(at(library, of)? / at(LIMIT, of)?);
        let path = load.path.name();
        line(
            format!("round trip, {path}: the library, of the raw loop, median"),
            "103 %",
            ratio(|it| it.p50),
            true,
        );
        line(
            format!("round trip, {path}: the same, 99 %"),
            "110 %",
            ratio(|it| it.p99),
            true,
        );
    }
    text
}
