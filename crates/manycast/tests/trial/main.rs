//! Faults drawn at random, and healthy hosts among them: nothing that was not made may be proved, no
//! healthy host is told to be broken, and an ordinary user and root do not contradict each other.
//!
//! A case is all that its seed draws; it is examined twice, without privileges and as root.
//! `cargo xtask doctor-trial` runs many of them, and `--cases 1 --seed SEED` one again.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

mod conditions;
mod draw;
mod judge;
mod known;
mod scene;
#[path = "../doctor/serving.rs"]
mod serving;
#[path = "../doctor/stream.rs"]
mod stream;

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

use manycast_lab::netns;

use self::draw::Case;
use self::judge::{Judgement, said, text};
use self::known::KNOWN;
use self::scene::Scene;

/// Names the seeds of a longer run: `FIRST COUNT`.
const SEEDS: &str = "MANYCAST_TRIAL_SEEDS";
/// Names a folder, to which each case writes a file with what came of it. Cases of a longer run that
/// have one are not run again.
const RECORDS: &str = "MANYCAST_TRIAL_RECORDS";

/// The test of those who judge.
const JUDGE: &str = "the_judge";

/// How many cases are run where nobody says how many.
const USUAL: u64 = 48;

/// How many run side by side for each processor: most of a case is waiting for what comes within two
/// seconds.
const AT_ONCE: usize = 3;

fn main() -> ExitCode {
    let name = |seed: u64| format!("seed_{seed}");
    let names = match env::var(SEEDS) {
        Ok(text) => {
            let (first, count) = text.split_once(' ').unwrap();
            let first: u64 = first.parse().unwrap();
            let count: u64 = count.parse().unwrap();
            let is_recorded = |seed: &u64| {
                let folder = env::var_os(RECORDS).map(PathBuf::from);
                folder.is_some_and(|folder| folder.join(seed.to_string()).exists())
            };
            let seeds = first..first + count;
            seeds.filter(|seed| !is_recorded(seed)).map(name).collect()
        }
        Err(_) => {
            let known = KNOWN.iter().map(|known| known.seed);
            let seeds = (1..=USUAL).chain(known.filter(|seed| *seed > USUAL));
            seeds.map(name).chain([JUDGE.to_owned()]).collect()
        }
    };
    netns::cases(names, AT_ONCE, |name| {
        if name == JUDGE {
            judge::tests::all();
        } else {
            run(name.strip_prefix("seed_").unwrap().parse().unwrap());
        }
    })
}

fn run(seed: u64) {
    let case = Case::draw(seed);
    println!("seed {seed}: {case}");
    let mut scene = Scene::of(&case);
    let (user, root) = scene.examine();
    let judgement = Judgement::of(&case, user.as_ref().ok().map(said).as_deref(), &said(&root));
    let breaches = judgement.breaches();
    let told = format!(
        "seed {seed}: {case}\n{}\nas an ordinary user:\n{}as root:\n{}",
        breaches.join("\n"),
        user.map_or_else(|error| format!("  refused: {error}\n"), |user| text(&user)),
        text(&root)
    );
    if let Some(folder) = env::var_os(RECORDS) {
        let path = PathBuf::from(folder).join(seed.to_string());
        fs::write(path, format!("{}\n{told}", record(&case, &judgement))).unwrap();
    }
    println!("{told}");

    let Some(known) = KNOWN.iter().find(|known| known.seed == seed) else {
        let again = format!("again: cargo xtask doctor-trial --cases 1 --seed {seed}");
        assert!(breaches.is_empty(), "{}\n{again}", breaches.join("\n"));
        return;
    };
    assert_eq!(known.case, case.to_string(), "known.rs names another case");
    assert!(
        !breaches.is_empty(),
        "it has come right: take it off known.rs ({})",
        known.why
    );
}

/// What came of a case, in words that `cargo xtask doctor-trial` sums up.
fn record(case: &Case, judgement: &Judgement) -> String {
    let kind = if case.faults.is_empty() {
        "healthy"
    } else {
        "faulty"
    };
    let [user, root] = judgement.outcomes;
    let proofs = |of: usize| u8::from(!judgement.false_proofs[of].is_empty());
    format!(
        "{} {kind} {user} {root} {} {} {}",
        case.seed,
        proofs(0),
        proofs(1),
        u8::from(judgement.contradiction.is_some())
    )
}
