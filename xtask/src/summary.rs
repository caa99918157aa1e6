//! What the output of `cargo test` says in sum.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

/// Counts of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

/// What ran, read from the output line by line.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    /// The package of each binary, by the binary's file name.
    packages: BTreeMap<String, String>,
    /// The binary that runs now, and its package.
    current: String,
    package: String,
    /// Each binary that has run, with its counts.
    binaries: Vec<(String, Counts)>,
    /// The tests that did not run, each with its binary.
    skipped: Vec<String>,
    /// The tests that failed, each with its package.
    failed: Vec<String>,
    /// Why some tests were left out by their names.
    why_left_out: Option<String>,
}

impl Summary {
    /// One of a run that leaves out tests by their names. They count as skipped, and are told with this
    /// reason.
    pub(crate) fn leaving_out(why: impl Into<String>) -> Self {
        Self {
            why_left_out: Some(why.into()),
            ..Self::default()
        }
    }

    /// Takes in one line of what cargo says of a build with `--message-format=json`.
    pub(crate) fn read_artifact(&mut self, line: &str) {
        if let (Some(id), Some(path)) = (field(line, "package_id"), field(line, "executable")) {
            let name = path.rsplit('/').next().unwrap_or(path);
            self.packages
                .insert(name.to_owned(), package(id).to_owned());
        }
    }

    /// Takes in one line of what cargo and the test binaries print.
    pub(crate) fn read(&mut self, line: &str) {
        let line = line.trim();
        if let Some(binary) = line.strip_prefix("Running ") {
            // "tests/netns.rs (target/debug/deps/netns-0bf0eb3157c7c76b)"
            let (source, path) = binary.split_once(" (").unwrap_or((binary, ""));
            let name = path
                .rsplit('/')
                .next()
                .unwrap_or(path)
                .trim_end_matches(')');
            self.package = self.packages.get(name).cloned().unwrap_or_default();
            let name = name.rsplit_once('-').map_or(name, |(name, _hash)| name);
            self.current = match self.package.as_str() {
                "" => format!("{name} ({source})"),
                package => format!("{name} ({package}, {source})"),
            };
        } else if let Some(package) = line.strip_prefix("Doc-tests ") {
            self.current = format!("{package} (documentation)");
            package.clone_into(&mut self.package);
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            let (mut counts, left_out) = Counts::parse(counts);
            if let Some(why) = &self.why_left_out
                && left_out > 0
            {
                counts.skipped += left_out;
                self.skipped
                    .push(format!("{}: {left_out} {why}", self.current));
            }
            self.binaries.push((self.current.clone(), counts));
        } else if let Some((test, outcome)) = line.split_once(" ... ") {
            let test = test.strip_prefix("test ").unwrap_or(test).trim_end();
            if outcome.starts_with("ignored") {
                self.skipped
                    .push(format!("{}: {test}: {outcome}", self.current));
            } else if outcome == "FAILED" {
                self.failed.push(format!("{test} ({})", self.package));
            }
        }
    }

    /// Takes in what ran beside cargo.
    pub(crate) fn add(&mut self, what: &str, counts: Counts) {
        match self.binaries.iter_mut().find(|(binary, _)| binary == what) {
            Some((_, sum)) => *sum += counts,
            None => self.binaries.push((what.to_owned(), counts)),
        }
    }

    /// Takes in one that failed beside cargo.
    pub(crate) fn fail(&mut self, what: &str, test: &str) {
        let failed = Counts {
            failed: 1,
            ..Counts::default()
        };
        self.add(what, failed);
        self.failed.push(format!("{test} ({what})"));
    }

    /// Takes in what could not run beside cargo, which counts as one, and why.
    pub(crate) fn skip(&mut self, what: &str, why: &str) {
        let skipped = Counts {
            skipped: 1,
            ..Counts::default()
        };
        self.add(what, skipped);
        self.skipped.push(format!("{what}: {why}"));
    }

    /// The counts of all binaries together.
    pub(crate) fn total(&self) -> Counts {
        let mut total = Counts::default();
        for (_, counts) in &self.binaries {
            total += *counts;
        }
        total
    }
}

impl fmt::Display for Summary {
    /// A line for each binary with tests, one for each test that did not run, and at the end one
    /// for each that failed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (binary, counts) in &self.binaries {
            if *counts != Counts::default() {
                writeln!(f, "{binary}: {counts}")?;
            }
        }
        for skipped in &self.skipped {
            writeln!(f, "SKIPPED {skipped}")?;
        }
        for failed in &self.failed {
            writeln!(f, "failed: {failed}")?;
        }
        Ok(())
    }
}

/// The text in a field of a line of JSON. Cargo escapes nothing in those that are asked for.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}

/// The name in `path+file:///…/crates/cli#manycast-cli@0.1.0`, or in `path+file:///…/xtask#0.0.0`.
fn package(id: &str) -> &str {
    let (path, name) = id.split_once('#').unwrap_or((id, ""));
    match name.split_once('@') {
        Some((name, _version)) => name,
        None => path.rsplit('/').next().unwrap_or(path),
    }
}

impl Counts {
    /// Reads `ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`, and how
    /// many were filtered out.
    fn parse(text: &str) -> (Self, u64) {
        let (mut counts, mut left_out) = (Self::default(), 0);
        let words: Vec<_> = text.split([' ', ';']).collect();
        for pair in words.windows(2) {
            if let Ok(number) = pair[0].parse() {
                match pair[1] {
                    "passed" => counts.passed = number,
                    "failed" => counts.failed = number,
                    "ignored" => counts.skipped = number,
                    "filtered" => left_out = number,
                    _ => {}
                }
            }
        }
        (counts, left_out)
    }
}

impl Counts {
    /// Reads the last line of pytest, `1 failed, 188 passed, 2 skipped in 16.82s`. An error, which is
    /// a test that could not be set up, counts as failed.
    pub(crate) fn of_pytest(line: &str) -> Self {
        let mut counts = Self::default();
        let words: Vec<_> = line
            .split([' ', ',', '='])
            .filter(|word| !word.is_empty())
            .collect();
        for pair in words.windows(2) {
            if let Ok(number) = pair[0].parse::<u64>() {
                match pair[1] {
                    "passed" => counts.passed += number,
                    "failed" | "error" | "errors" => counts.failed += number,
                    "skipped" => counts.skipped += number,
                    _ => {}
                }
            }
        }
        counts
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pytest_is_counted() {
        let line = "==== 1 failed, 188 passed, 2 skipped, 1 error in 16.82s ====";
        let counts = Counts::of_pytest(line);
        assert_eq!(counts.to_string(), "188 passed, 2 failed, 2 skipped");
    }

    #[test]
    fn what_runs_beside_cargo_is_added_up() {
        let mut summary = Summary::default();
        let passed = Counts {
            passed: 1,
            ..Counts::default()
        };
        summary.add("fuzz", passed);
        summary.add("fuzz", passed);
        summary.fail("fuzz", "wire");
        summary.skip("others", "they are not there");
        assert_eq!(
            summary.to_string(),
            "\
fuzz: 2 passed, 1 failed, 0 skipped
others: 0 passed, 0 failed, 1 skipped
SKIPPED others: they are not there
failed: wire (fuzz)
"
        );
    }

    #[test]
    fn what_is_left_out_is_told() {
        let output = "
     Running tests/net.rs (target/debug/deps/net-0bf0eb3157c7c76b)
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.05s
";
        let mut meant = Summary::leaving_out("need a cat");
        output.lines().for_each(|line| meant.read(line));
        assert_eq!(
            meant.to_string(),
            "net (tests/net.rs): 3 passed, 0 failed, 3 skipped\n\
             SKIPPED net (tests/net.rs): 2 need a cat\n"
        );
        // Whoever asks for some tests does not miss the others.
        let mut asked = Summary::default();
        output.lines().for_each(|line| asked.read(line));
        assert_eq!(asked.total().to_string(), "3 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn the_counts_of_all_binaries_are_added_up() {
        let mut summary = Summary::default();
        for (id, binary) in [
            (
                "crates/net#manycast-net@0.1.0",
                "manycast_net-b1e590ed3b32ca86",
            ),
            ("xtask#0.0.0", "netns-0bf0eb3157c7c76b"),
        ] {
            summary.read_artifact(&format!(
                r#"{{"reason":"compiler-artifact","package_id":"path+file:///{id}","executable":"/t/{binary}"}}"#
            ));
        }
        let output = "
     Running unittests src/lib.rs (target/debug/deps/manycast_net-b1e590ed3b32ca86)

running 2 tests
test error::tests::one ... ok
test error::tests::two ... FAILED
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.05s
     Running tests/netns.rs (/elsewhere/debug/deps/netns-0bf0eb3157c7c76b)
test hosts::one   ... ignored (install socat to run this test)
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.05s
   Doc-tests manycast_net
test result: ok. 13 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
        output.lines().for_each(|line| summary.read(line));
        assert_eq!(
            summary.total().to_string(),
            "17 passed, 1 failed, 1 skipped"
        );
        assert_eq!(
            summary.to_string(),
            "\
manycast_net (manycast-net, unittests src/lib.rs): 1 passed, 1 failed, 0 skipped
netns (xtask, tests/netns.rs): 3 passed, 0 failed, 1 skipped
manycast_net (documentation): 13 passed, 0 failed, 0 skipped
SKIPPED netns (xtask, tests/netns.rs): hosts::one: ignored (install socat to run this test)
failed: error::tests::two (manycast-net)
"
        );
    }
}
