//! Measures manycast beside its peers: in one run, in alternating rounds, as ratios.
//!
//! `cargo xtask bench` builds and runs it. Each end of each trial is a process of its own, in
//! network namespaces that are made for it.

mod arena;
mod beside_tcp;
mod codes;
mod contender;
mod contestant;
mod files;
mod marks;
mod programs;
mod report;
mod round_trip;
mod stopping;
mod tftp;
mod trial;
mod worker;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use arena::Path;
use contestant::{ALL, Contestant, Workload};
use report::Row;

/// Rounds for the others, and for what takes several trials.
const FEW: usize = 5;

/// Measures manycast beside its peers
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    worker: Option<Role>,
    /// A short run that shows that everything works; its figures mean little
    #[arg(long)]
    quick: bool,
    /// Alternating rounds, of which the median is taken, for those that a mark depends on
    #[arg(long, default_value_t = 17)]
    rounds: usize,
    /// How long each trial sends
    #[arg(long, default_value_t = 0.1)]
    seconds: f64,
    /// Only the work whose title contains this, such as "group, 1316"
    #[arg(long, value_name = "TEXT")]
    work: Option<String>,
    /// Where to write the report, beside standard output
    #[arg(long, conflicts_with_all = ["quick", "work"])]
    report: Option<PathBuf>,
    /// The page whose tables of NORM are written anew, where they are measured
    #[arg(long, conflicts_with = "quick")]
    norm_page: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// One end of one trial
    #[command(hide = true)]
    Worker(worker::Job),
}

/// How a run is made.
struct Plan {
    rounds: usize,
    seconds: f64,
    throughput: Vec<Workload>,
    lossless: Vec<Workload>,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if let Some(Role::Worker(job)) = &cli.worker {
        return worker::run(job);
    }
    arena::enter()?;
    let plan = Plan::new(&cli);
    let mut text = introduction(&plan);
    print!("{text}");
    for contestant in ALL {
        if let Some(why) = contestant.missing() {
            eprintln!("MISSING: {} takes no part: {why}", contestant.name());
        }
    }
    let mut part = |more: String| {
        print!("{more}");
        text += &more;
    };
    let mut results = Vec::new();
    part("## Flat out\n\n".to_owned());
    let wanted = |title: &str| cli.work.as_ref().is_none_or(|text| title.contains(text));
    for load in plan
        .throughput
        .iter()
        .filter(|load| wanted(&report::title(load)))
    {
        let rows = throughput(&plan, load);
        part(report::throughput(load, &rows));
        results.push((*load, rows));
    }
    part("## The highest rate at which under 0.01 % is lost\n\n".to_owned());
    for load in plan
        .lossless
        .iter()
        .filter(|load| wanted(&report::title(load)))
    {
        part(report::lossless(load, &lossless(&plan, load)));
    }
    part("## Round trips of one datagram in flight\n\n".to_owned());
    let small = |path| Workload {
        path,
        group: false,
        size: 64,
        listeners: 1,
    };
    let mut trips = Vec::new();
    let loads = [Path::Loopback, Path::Veth].map(small);
    for load in loads
        .into_iter()
        .filter(|load| wanted(&report::trip_title(load)))
    {
        match round_trip::run(&load, plan.rounds) {
            Ok(rows) => {
                part(report::round_trips(&load, &rows));
                trips.push((load, rows));
            }
            Err(error) => eprintln!("FAILED: {}: {error:#}", report::trip_title(&load)),
        }
    }
    if wanted(stopping::TITLE) {
        match stopping::table(if cli.quick { 3 } else { 100 }) {
            Ok(table) => part(format!("## {}\n\n{table}", stopping::TITLE)),
            Err(error) => eprintln!("FAILED: {}: {error:#}", stopping::TITLE),
        }
    }
    part(format!("## Files by TFTP\n\n{}\n\n", tftp::introduction()));
    let megabytes = if cli.quick { 1 } else { 100 };
    for path in [tftp::NetworkPath::Loopback, tftp::NetworkPath::Lossy] {
        if !wanted(tftp::title(path)) {
            continue;
        }
        // Most peers take as long as they may where datagrams are lost.
        let rounds = if path == tftp::NetworkPath::Lossy {
            1
        } else {
            FEW
        };
        match tftp::table(path, megabytes, plan.rounds.min(rounds)) {
            Ok(table) => part(table),
            Err(error) => eprintln!("FAILED: {}: {error:#}", tftp::title(path)),
        }
    }
    if wanted(tftp::MANY) {
        // A file to a group has 65,535 blocks at most.
        match tftp::many(megabytes.min(50)) {
            Ok(table) => part(table),
            Err(error) => eprintln!("FAILED: {}: {error:#}", tftp::MANY),
        }
    }
    let mut of_files = Vec::new();
    if files::titles().any(|title| wanted(&title)) {
        match files::tables(cli.quick, wanted) {
            Ok((tables, marks)) => {
                part(format!("## {}\n\n{tables}", files::TITLE));
                of_files = marks;
            }
            Err(error) => eprintln!("FAILED: {}: {error:#}", files::TITLE),
        }
    }
    if wanted(codes::TITLE) {
        let milliseconds = if cli.quick { 1 } else { 20 };
        let table = codes::table(plan.rounds, Duration::from_millis(milliseconds));
        if let Some(page) = &cli.norm_page {
            report::write_to(page, codes::TITLE, &table)?;
        }
        part(format!("## {}\n\n{table}\n", codes::TITLE));
    }
    let first = beside_tcp::titles().next();
    let beside = |title: &str| wanted(title) && (!cli.quick || first.as_deref() == Some(title));
    if beside_tcp::titles().any(|title| beside(&title)) {
        let steady = Duration::from_secs(if cli.quick { 1 } else { 20 });
        match beside_tcp::table(beside, steady) {
            Ok(table) => {
                let all = cli
                    .work
                    .as_ref()
                    .is_none_or(|work| work == beside_tcp::TITLE);
                if let Some(page) = cli.norm_page.as_ref().filter(|_| all) {
                    report::write_to(page, beside_tcp::TITLE, &table)?;
                }
                part(format!("## {}\n\n{table}\n", beside_tcp::TITLE));
            }
            Err(error) => eprintln!("FAILED: {}: {error:#}", beside_tcp::TITLE),
        }
    }
    part(marks::table(&results, &trips, &of_files));
    if let Some(path) = &cli.report {
        fs::write(path, text)?;
    }
    Ok(())
}

impl Plan {
    fn new(cli: &Cli) -> Self {
        let load = |path, group, size, listeners| Workload {
            path,
            group,
            size,
            listeners,
        };
        if cli.quick {
            return Self {
                rounds: 1,
                seconds: 0.1,
                throughput: vec![
                    load(Path::Loopback, true, 1316, 1),
                    load(Path::Veth, false, 1316, 1),
                    load(Path::Loopback, true, 1316, 4),
                ],
                lossless: vec![load(Path::Loopback, true, 1316, 1)],
            };
        }
        let mut throughput = Vec::new();
        for path in [Path::Loopback, Path::Veth] {
            for group in [false, true] {
                throughput.extend([64, 1316, 8900].map(|size| load(path, group, size, 1)));
            }
            throughput.push(load(path, true, 1316, 4));
        }
        Self {
            rounds: cli.rounds,
            seconds: cli.seconds,
            throughput,
            lossless: vec![
                load(Path::Loopback, false, 1316, 1),
                load(Path::Loopback, true, 1316, 1),
            ],
        }
    }
}

fn introduction(plan: &Plan) -> String {
    format!(
        "# Benchmarks\n\n\
         All of this page is written by `cargo xtask bench`; no figure is typed by hand. Each \
         contestant's sender and receivers are processes of their own on one machine, the sender on the \
         first core and a receiver that is the only one on the second. Figures are \
         medians of {} rounds, in which the contestants take turns, of {} s each, and of {FEW} for \
         those that no mark depends on; round trips are \
         taken by all that stand ready at once, in turns of {} each. What counts are \
         the ratios: \"of the limit\" compares with a bare loop over the system calls with GSO and \
         GRO, round by round or turn by turn, and is the median of these ratios. Rates are what \
         arrived by the time that the sender took or, where that is longer, that a receiver took from the \
         first datagram to the last, as it tells itself. The processor's time of both ends is that since \
         each was ready; of manycast measure and iperf, which do not tell it, it is that of the whole program, \
         some thousandths of a second more. iperf3 counts whole seconds, so it sends for 1 s where the \
         others send for less. A contestant that is not there is named with the reason.\n\n\
         The limit depends on the size. One send takes at most 64 datagrams and 64 KiB: with 64 bytes \
         it is full at 4 KiB, and the limit is how often the kernel can be called and a receiver be \
         woken; with 1316 bytes and more it is how fast memory is copied. So all that is sent was \
         written before, since the kernel copies fresh memory, which is one page of zeros again and \
         again, in a fifth less time; and the buffers of the bare loop begin where pages do, which \
         saves 5 to 7 % of the copy to the receiver.\n\n{}",
        plan.rounds,
        plan.seconds,
        round_trip::TRIPS,
        report::machine()
    )
}

/// Runs `trial` for each contestant in turn, round after round.
fn rounds<T>(
    rounds: usize,
    contestants: impl Iterator<Item = Contestant>,
    mut trial: impl FnMut(Contestant) -> anyhow::Result<T>,
) -> Vec<(Contestant, Result<Vec<T>, String>)> {
    let mut rows: Vec<_> = contestants
        .map(|contestant| (contestant, contestant.missing().map_or(Ok(Vec::new()), Err)))
        .collect();
    for round in 0..rounds {
        for (contestant, row) in &mut rows {
            let Ok(outcomes) = row else { continue };
            if round >= FEW && !contestant.has_mark() {
                continue;
            }
            match trial(*contestant) {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => {
                    eprintln!("FAILED: {}: {error:#}", contestant.name());
                    *row = Err(format!("failed: {error}"));
                }
            }
        }
    }
    rows
}

fn throughput(plan: &Plan, load: &Workload) -> Vec<Row> {
    let contestants = ALL.into_iter().filter(|it| it.takes_part(load));
    rounds(plan.rounds, contestants, |contestant| {
        trial::run(contestant, load, plan.seconds, None)
    })
}

/// Finds the highest rate at which under 0.01 % is lost, in steps of a tenth.
fn lossless(plan: &Plan, load: &Workload) -> Vec<(Contestant, Result<Vec<f64>, String>)> {
    let contestants = ALL
        .into_iter()
        .filter(|it| it.takes_part(load) && it.has_rate());
    rounds(plan.rounds.min(FEW), contestants, |contestant| {
        // It is no higher than what comes flat out, or not much.
        let flat = trial::run(contestant, load, plan.seconds, None)?;
        let bits = flat.received_rate * load.size as f64 * 8.0;
        let (mut good, mut bad) = (0.0, 1.3);
        while bad - good > 0.1 {
            let middle = f64::midpoint(good, bad);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rate in bits is whole and small enough"
            )]
            let rate = (bits * middle) as u64;
            let outcome = trial::run(contestant, load, plan.seconds, Some(rate))?;
            // Nothing is won by asking for more than can be sent.
            let asked = rate as f64 / (load.size as f64 * 8.0);
            if outcome.loss < 1e-4 && outcome.sent_rate > asked * 0.95 {
                good = middle;
            } else {
                bad = middle;
            }
        }
        Ok(bits * good)
    })
}
