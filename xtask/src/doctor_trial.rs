//! `cargo xtask doctor-trial`: the doctor on faults that are drawn at random, and its figures.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::{cargo, programs, root, succeeds};

/// The page with the figures, between two markers.
const PAGE: &str = "docs/doctor-tests.md";
const BEGIN: &str = "<!-- figures of cargo xtask doctor-trial: begin -->\n";
const END: &str = "<!-- figures of cargo xtask doctor-trial: end -->\n";

/// How many cases the figures have to rest on.
const ENOUGH: u64 = 500;

/// Of a hundred faults, how many the doctor is to name first: for an ordinary user, for root.
const AIMS: [u64; 2] = [70, 85];

/// What is asked for on the command line.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    cases: u64,
    seed: u64,
    jobs: u64,
    /// Goes on with a run that was broken off: what has a record is not run again.
    goes_on: bool,
}

/// Runs the cases, and sums them up; a run that is long enough rewrites the figures of the page.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<bool> {
    let asked = Asked::parse(arguments)?;
    programs::ensure_installed()?;
    let records = root().join("target/doctor-trial");
    if records.exists() && !asked.goes_on {
        fs::remove_dir_all(&records).context("emptying target/doctor-trial")?;
    }
    fs::create_dir_all(&records).context("making target/doctor-trial")?;

    let mut test = cargo("test --package manycast --features doctor --test trial --");
    test.args(["--test-threads", &asked.jobs.to_string()])
        .env(
            "MANYCAST_TRIAL_SEEDS",
            format!("{} {}", asked.seed, asked.cases),
        )
        .env("MANYCAST_TRIAL_RECORDS", &records);
    if asked.cases == 1 {
        test.arg("--nocapture");
    }
    let passed = succeeds(&mut test)?;

    let figures = Figures::read(&records, &asked)?;
    print!("\n{figures}");
    println!("what was said of each: target/doctor-trial/SEED");
    let missing = asked.cases.saturating_sub(figures.cases);
    if missing > 0 {
        println!(
            "FAILED {missing} of {} cases did not come to their end",
            asked.cases
        );
    }
    if asked.cases >= ENOUGH && missing == 0 {
        let path = root().join(PAGE);
        let page = fs::read_to_string(&path).with_context(|| format!("reading {PAGE}"))?;
        let section = format!(
            "{} cases, drawn with the seeds {} to {}:\n\n{figures}",
            figures.cases,
            asked.seed,
            asked.seed + asked.cases - 1
        );
        fs::write(&path, with_section(&page, &section)?)
            .with_context(|| format!("writing {PAGE}"))?;
        println!("written to {PAGE}");
    }
    // Of a few cases, shares tell nothing.
    let reached = asked.cases < ENOUGH || figures.reach_the_aims();
    if !reached {
        println!(
            "FAILED the doctor is to name {AIMS:?} in a hundred faults first: as an ordinary user, as root"
        );
    }
    Ok(passed && missing == 0 && reached)
}

impl Asked {
    fn parse(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut asked = Self {
            cases: ENOUGH,
            seed: 1,
            jobs: 4,
            goes_on: false,
        };
        let mut words = arguments.iter();
        while let Some(option) = words.next() {
            if *option == "--go-on" {
                asked.goes_on = true;
                continue;
            }
            let value = words
                .next()
                .with_context(|| format!("{option} is to be followed by a number"))?;
            let number: u64 = value
                .parse()
                .with_context(|| format!("{option} {value}: that is no number"))?;
            let place = match *option {
                "--cases" => &mut asked.cases,
                "--seed" => &mut asked.seed,
                "--jobs" => &mut asked.jobs,
                _ => bail!(
                    "there is no option {option}; there are --cases, --seed, --jobs and --go-on"
                ),
            };
            *place = number;
        }
        ensure!(asked.cases > 0, "--cases 0: nothing would be tried");
        ensure!(asked.jobs > 0, "--jobs 0: nothing would be tried");
        ensure!(
            asked.seed.checked_add(asked.cases).is_some(),
            "--seed {}: the seeds of {} cases would be above 2^64",
            asked.seed,
            asked.cases
        );
        Ok(asked)
    }
}

/// What came of all cases: for an ordinary user, and for root.
#[derive(Debug, Default)]
struct Figures {
    cases: u64,
    /// With something that is broken; the others are healthy.
    faulty: u64,
    /// Of faulty cases, and of healthy ones, by the name of the outcome.
    outcomes: BTreeMap<(bool, String), [u64; 2]>,
    false_proofs: [u64; 2],
    contradictions: u64,
}

impl Figures {
    /// Reads what each case has written: the first line is `SEED KIND USER ROOT PROOF PROOF
    /// CONTRADICTION`.
    fn read(folder: &Path, asked: &Asked) -> anyhow::Result<Self> {
        let mut figures = Self::default();
        for seed in asked.seed..asked.seed + asked.cases {
            let path = folder.join(seed.to_string());
            if !path.exists() {
                continue;
            }
            let text =
                fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let line = text.lines().next().unwrap_or_default();
            figures
                .add(line)
                .with_context(|| format!("{}: {line:?}", path.display()))?;
        }
        Ok(figures)
    }

    fn add(&mut self, line: &str) -> anyhow::Result<()> {
        let words: Vec<_> = line.split(' ').collect();
        let [
            _seed,
            kind,
            user,
            root,
            user_proof,
            root_proof,
            contradiction,
        ] = words[..]
        else {
            bail!("a record has seven words");
        };
        let faulty = match kind {
            "faulty" => true,
            "healthy" => false,
            _ => bail!("{kind} is no kind of case"),
        };
        self.cases += 1;
        self.faulty += u64::from(faulty);
        for (who, outcome) in [user, root].into_iter().enumerate() {
            self.outcomes
                .entry((faulty, outcome.to_owned()))
                .or_default()[who] += 1;
        }
        for (who, proofs) in [user_proof, root_proof].into_iter().enumerate() {
            self.false_proofs[who] += proofs.parse::<u64>()?;
        }
        self.contradictions += contradiction.parse::<u64>()?;
        Ok(())
    }

    fn of(&self, faulty: bool, outcome: &str) -> [u64; 2] {
        let counts = self.outcomes.get(&(faulty, outcome.to_owned()));
        counts.copied().unwrap_or_default()
    }

    fn reach_the_aims(&self) -> bool {
        let right = self.of(true, "right");
        let shares = right.iter().zip(AIMS);
        shares
            .into_iter()
            .all(|(right, aim)| right * 100 >= aim * self.faulty)
    }
}

impl fmt::Display for Figures {
    /// As a table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let healthy = self.cases - self.faulty;
        writeln!(f, "| | of | as an ordinary user | as root |")?;
        writeln!(f, "| --- | --- | --- | --- |")?;
        for (what, counts, of, kind) in [
            ("right first", self.of(true, "right"), self.faulty, "faulty"),
            (
                "right, but weak",
                self.of(true, "weak"),
                self.faulty,
                "faulty",
            ),
            (
                "cannot see",
                self.of(true, "cannot-see"),
                self.faulty,
                "faulty",
            ),
            ("wrong", self.of(true, "wrong"), self.faulty, "faulty"),
            (
                "false alarm",
                self.of(false, "false-alarm"),
                healthy,
                "healthy",
            ),
            ("false proof", self.false_proofs, self.cases, "all"),
        ] {
            let [user, root] = counts.map(|count| share(count, of));
            writeln!(f, "| {what} | {of} {kind} | {user} | {root} |")?;
        }
        let both = share(self.contradictions, self.cases);
        writeln!(f, "| contradiction | {} all | {both} | |", self.cases)
    }
}

/// `12 (34.5 %)`
fn share(count: u64, of: u64) -> String {
    let tenths = (count * 1000 + of / 2).checked_div(of).unwrap_or(0);
    format!("{count} ({}.{} %)", tenths / 10, tenths % 10)
}

/// The page with another section between its markers.
fn with_section(page: &str, section: &str) -> anyhow::Result<String> {
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.with_context(|| format!("{PAGE} has no markers"))?;
    Ok(format!("{before}{BEGIN}\n{section}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_summed_up() {
        let mut figures = Figures::default();
        for line in [
            "1 faulty right right 0 0 0",
            "2 faulty wrong right 1 0 1",
            "3 healthy right false-alarm 0 1 0",
        ] {
            figures.add(line).unwrap();
        }
        assert_eq!(
            (figures.cases, figures.faulty, figures.contradictions),
            (3, 2, 1)
        );
        assert_eq!(figures.of(true, "right"), [1, 2]);
        assert_eq!(figures.of(false, "false-alarm"), [0, 1]);
        assert_eq!(figures.false_proofs, [1, 1]);
        assert!(!figures.reach_the_aims());
        assert!(
            figures
                .to_string()
                .contains("| right first | 2 faulty | 1 (50.0 %) | 2 (100.0 %) |")
        );
        assert!(figures.add("4 odd right right 0 0 0").is_err());
        assert!(figures.add("4 faulty right").is_err());
    }

    #[test]
    fn the_section_between_the_markers_is_replaced() {
        let page = format!("a\n{BEGIN}old\n{END}z\n");
        let new = with_section(&page, "new\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\nnew\n\n{END}z\n"));
        assert_eq!(with_section(&new, "new\n").unwrap(), new);
        assert!(with_section("a\n", "new").is_err());
    }

    #[test]
    fn options_have_numbers() {
        let asked = Asked::parse(&["--seed", "7", "--cases", "1"]).unwrap();
        assert_eq!((asked.cases, asked.seed, asked.goes_on), (1, 7, false));
        assert!(Asked::parse(&["--go-on"]).unwrap().goes_on);
        for wrong in [
            &["--seed"][..],
            &["--seed", "x"],
            &["--cases", "0"],
            &["--far", "1"],
        ] {
            Asked::parse(wrong).unwrap_err();
        }
    }
}
