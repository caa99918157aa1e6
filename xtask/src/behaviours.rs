//! `docs/behaviours.md` names tests: each must be there, and each test that names a row must be named.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::guard;

const PAGE: &str = "docs/behaviours.md";

/// How many rows the page has, numbered from 1.
const ROWS: usize = 71;

/// Each fault of the page, as `FILE:LINE: what is wrong`.
pub(crate) fn complaints(root: &Path) -> anyhow::Result<Vec<String>> {
    let page = fs::read_to_string(root.join(PAGE)).with_context(|| format!("reading {PAGE}"))?;
    let mut tests = BTreeSet::new();
    for path in guard::files(root)? {
        let name = path.strip_prefix(root).unwrap_or(&path);
        let is_source = name
            .extension()
            .is_some_and(|end| end == "rs" || end == "py");
        if is_source && guard::is_test(name) {
            let text =
                fs::read_to_string(&path).with_context(|| format!("reading {}", name.display()))?;
            let functions = functions(&text);
            tests.extend(functions.map(|function| format!("{}::{function}", name.display())));
        }
    }
    Ok(complaints_on(&page, &tests))
}

fn complaints_on(page: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(page.lines()) {
        let is_test = |word: &&str| word.contains('/') && word.contains("::");
        let named: Vec<_> = line.split('`').filter(is_test).collect();
        for test in named.iter().filter(|test| !tests.contains(**test)) {
            complaints.push(format!("{PAGE}:{number}: there is no test {test}"));
        }
        let cells = line.strip_prefix("| ").and_then(|row| row.split_once(" |"));
        let Some(Ok(row)) = cells.map(|(row, _)| row.parse::<usize>()) else {
            continue;
        };
        rows.push(row);
        if line.contains("| works: ") && named.is_empty() {
            complaints.push(format!("{PAGE}:{number}: row {row} works by no test"));
        }
        let of_row = format!("::row_{row:02}_");
        let missing = tests
            .iter()
            .filter(|test| test.contains(&of_row) && !named.contains(&test.as_str()));
        complaints.extend(missing.map(|test| format!("{PAGE}:{number}: add {test} to row {row}")));
    }
    if !rows.into_iter().eq(1..=ROWS) {
        complaints.push(format!("{PAGE}:1: the rows are not those from 1 to {ROWS}"));
    }
    complaints
}

/// The names of all functions without arguments in a source, as tests are.
fn functions(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let (before, rest) = line.split_once("fn ").or_else(|| line.split_once("def "))?;
        let is_start = before
            .split_whitespace()
            .all(|word| ["pub", "pub(crate)", "async", "const"].contains(&word));
        is_start.then(|| rest.split('(').next().unwrap_or(rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rows: impl Iterator<Item = usize>, first: &str) -> String {
        let rows = rows.map(|row| {
            format!(
                "| {row} | a wish | {} |\n",
                if row == 1 { first } else { "later" }
            )
        });
        format!("| row | |\n| --- | --- |\n{}", rows.collect::<String>())
    }

    fn on(page: &str) -> Vec<String> {
        let tests = ["a/tests/b.rs::row_01_it_works", "a/tests/b.rs::else"];
        complaints_on(page, &tests.map(str::to_owned).into())
    }

    #[test]
    fn each_test_is_there_and_each_row_has_its_own() {
        let works = "works: `a/tests/b.rs::row_01_it_works`, `a/tests/b.rs::else`";
        assert_eq!(on(&page(1..=ROWS, works)), [""; 0]);
        let missing = "works: `a/tests/b.rs::row_01_it_works`, `a/tests/b.rs::gone`";
        assert_eq!(
            on(&page(1..=ROWS, missing)),
            ["docs/behaviours.md:3: there is no test a/tests/b.rs::gone"]
        );
        assert_eq!(
            on(&page(1..=ROWS, "works: `a/tests/b.rs::else`")),
            ["docs/behaviours.md:3: add a/tests/b.rs::row_01_it_works to row 1"]
        );
        assert_eq!(on(&page(1..=ROWS, "works: somehow")).len(), 2);
        assert_eq!(on(&page(1..ROWS, works)).len(), 1);
    }

    #[test]
    fn functions_are_found_in_both_languages() {
        let text = "pub(crate) fn one() {}\n    fn two() {\n// fn three()\nasync def four():\n";
        assert_eq!(functions(text).collect::<Vec<_>>(), ["one", "two", "four"]);
    }
}
