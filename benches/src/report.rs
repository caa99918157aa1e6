//! Tables: medians, and ratios to the limit.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::contestant::{Contestant, LIMIT, Workload};
use crate::round_trip;
use crate::trial::Outcome;
use crate::worker::Contender;

/// The outcomes of one contestant, one a round; or why there are none.
pub(crate) type Row = (Contestant, Result<Vec<Outcome>, String>);

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// What one contestant received to what another did: the middle of the ratios of the rounds, since
/// the machine changes more from round to round than contestants differ.
pub(crate) fn ratio(rows: &[Row], of: Contestant, to: Contestant) -> Option<f64> {
    let find = |wanted| {
        let (_, outcomes) = rows.iter().find(|(it, _)| *it == wanted)?;
        outcomes.as_ref().ok()
    };
    let pairs = find(of)?.iter().zip(find(to)?);
    Some(median(
        pairs
            .map(|(of, to)| of.received_rate / to.received_rate)
            .collect(),
    ))
}

/// What was received flat out.
pub(crate) fn throughput(load: &Workload, rows: &[Row]) -> String {
    let mut text = format!("### {}\n\n", title(load));
    text +=
        "| | received, datagrams/s | Gbit/s | of the limit | lost | processor, s per million |\n";
    text += "| --- | ---: | ---: | ---: | ---: | ---: |\n";
    for (contestant, outcomes) in rows {
        let name = contestant.name();
        let _ = match outcomes {
            Err(why) => writeln!(text, "| {name} | {} |  |  |  |  |", cell(why)),
            Ok(outcomes) => {
                let middle = |of: fn(&Outcome) -> f64| median(outcomes.iter().map(of).collect());
                let rate = middle(|it| it.received_rate);
                let gigabits = rate * load.size as f64 * 8.0 / 1e9;
                let of_limit = ratio(rows, *contestant, LIMIT).unwrap_or(f64::NAN) * 100.0;
                let (loss, cpu) = (middle(|it| it.loss) * 100.0, middle(|it| it.cpu));
                writeln!(
                    text,
                    "| {name} | {} | {gigabits:.2} | {of_limit:.0} % | {loss:.1} % | {cpu:.2} |",
                    thousands(rate)
                )
            }
        };
    }
    text + "\n"
}

/// The highest rates at which next to nothing was lost, in bits a second.
pub(crate) fn lossless(load: &Workload, rows: &[(Contestant, Result<Vec<f64>, String>)]) -> String {
    let limit = rows.iter().find_map(|(it, rates)| match rates {
        Ok(rates) if *it == LIMIT => Some(rates.as_slice()),
        _ => None,
    });
    let limit = limit.unwrap_or_default();
    let mut text = format!("### {}\n\n", title(load));
    text += "| | Gbit/s | of the limit |\n| --- | ---: | ---: |\n";
    for (contestant, rates) in rows {
        let name = contestant.name();
        let _ = match rates {
            Err(why) => writeln!(text, "| {name} | {} |  |", cell(why)),
            Ok(rates) => {
                let ratios = rates.iter().zip(limit).map(|(rate, limit)| rate / limit);
                let of_limit = median(ratios.collect()) * 100.0;
                let gigabits = median(rates.clone()) / 1e9;
                writeln!(text, "| {name} | {gigabits:.2} | {of_limit:.0} % |")
            }
        };
    }
    text + "\n"
}

/// Round trips in microseconds.
pub(crate) fn round_trips(load: &Workload, rows: &[round_trip::Row]) -> String {
    let mut text = format!("### {}\n\n", trip_title(load));
    text += "| | 50 % within, µs | 99 % | 99.9 % | median to the raw loop's | 99 % to the raw loop's |\n";
    text += "| --- | ---: | ---: | ---: | ---: | ---: |\n";
    let Some((_, limit)) = rows.first() else {
        return text;
    };
    for (contender, trips) in rows {
        let name = match contender {
            Contender::RawOffload => "raw loop",
            other => Contestant::Own(*other).name(),
        };
        let [p50, p99, p999] = [500, 990, 999].map(|it| trips.within(it));
        let median = trips.ratio(limit) * 100.0;
        let most = p99 / limit.within(990) * 100.0;
        let _ = writeln!(
            text,
            "| {name} | {p50:.1} | {p99:.1} | {p999:.1} | {median:.1} % | {most:.1} % |"
        );
    }
    text + "\n"
}

/// What the figures were taken on.
pub(crate) fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or_else(
            || "unknown".to_owned(),
            |(_, value)| value.trim().to_owned(),
        )
    };
    let cpu = read("/proc/cpuinfo");
    let cores = cpu
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let says = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok();
        let text = output
            .map(|it| [it.stdout, it.stderr].concat())
            .unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines()
            .next()
            .unwrap_or("not installed")
            .trim()
            .to_owned()
    };
    let mut text = String::new();
    let load = read("/proc/loadavg");
    let load = load
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    for (what, value) in [
        (
            "processor",
            format!("{}, {cores} cores", field(&cpu, "model name")),
        ),
        ("memory", field(&read("/proc/meminfo"), "MemTotal")),
        (
            "kernel",
            format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        ),
        (
            "receive buffer, at most",
            format!("{} bytes", read("/proc/sys/net/core/rmem_max").trim()),
        ),
        ("load before the first trial", load),
        ("Rust", says("rustc", "--version")),
        ("Python", says("python3", "--version")),
        ("iperf3", says("iperf3", "--version")),
        ("iperf", says("iperf", "--version")),
    ] {
        let _ = writeln!(text, "| {what} | {value} |");
    }
    format!("| | |\n| --- | --- |\n{text}\n")
}

pub(crate) fn title(load: &Workload) -> String {
    format!(
        "{}, {}, {} bytes{}",
        load.path.name(),
        if load.group { "group" } else { "unicast" },
        load.size,
        match load.listeners {
            1 => String::new(),
            listeners => format!(", {listeners} listeners, the slowest"),
        }
    )
}

/// The title of a table of round trips.
pub(crate) fn trip_title(load: &Workload) -> String {
    format!("{}, {} bytes, round trips", load.path.name(), load.size)
}

/// Puts a table where it belongs on a page that has more than it: between two comments.
pub(crate) fn write_to(page: &Path, title: &str, table: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
    let [begin, end] = ["begin", "end"]
        .map(|edge| format!("<!-- figures of cargo xtask bench, {title}: {edge} -->\n"));
    let parts = text.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some(format!("{before}{begin}\n{table}\n{end}{after}"))
    });
    let text = parts.with_context(|| format!("{} has no markers of {title}", page.display()))?;
    fs::write(page, text).with_context(|| format!("writing {}", page.display()))
}

/// Text that stands in a table.
pub(crate) fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "/")
}

fn thousands(rate: f64) -> String {
    format!("{:.0} k", rate / 1e3)
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    #[expect(clippy::float_cmp, reason = "nothing is computed but halves")]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }
}
