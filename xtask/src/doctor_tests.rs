//! `docs/doctor-tests.md` names tests of the doctor: each must be there, and each code must have a
//! row.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context;

const PAGE: &str = "docs/doctor-tests.md";

/// The page that lists the codes.
const CODES: &str = "docs/doctor.md";

/// The file that lists the tests.
const TESTS: &str = "crates/manycast/tests/doctor/main.rs";

/// Each fault of the page, as `FILE:LINE: what is wrong`.
pub(crate) fn complaints(root: &Path) -> anyhow::Result<Vec<String>> {
    let read =
        |name| fs::read_to_string(root.join(name)).with_context(|| format!("reading {name}"));
    let (tests, codes) = (read(TESTS)?, read(CODES)?);
    Ok(complaints_on(&read(PAGE)?, &listed(&tests), &coded(&codes)))
}

fn complaints_on(page: &str, tests: &BTreeSet<&str>, codes: &BTreeSet<&str>) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut rows = BTreeSet::new();
    for (number, line) in (1..).zip(page.lines()) {
        let quoted = || line.split('`').skip(1).step_by(2);
        let missing = quoted().filter(|word| word.contains("::") && !tests.contains(word));
        complaints.extend(missing.map(|test| format!("{PAGE}:{number}: there is no test {test}")));
        if line.starts_with("| ") {
            rows.extend(quoted().filter(|word| codes.contains(word)));
        }
    }
    let without = codes.difference(&rows);
    complaints.extend(without.map(|code| format!("{PAGE}:1: {code} has no row")));
    complaints
}

/// The tests that `netns::tests!` lists.
fn listed(text: &str) -> BTreeSet<&str> {
    let list = text.split("netns::tests!(").nth(1).unwrap_or_default();
    let list = list.split(");").next().unwrap_or_default();
    list.split(',').map(str::trim).collect()
}

/// The codes that have a page: ``| [`CODE`](doctor/CODE.md) |``.
fn coded(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| [`")?.split('`').next())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_test_is_there_and_each_code_has_its_row() {
        let tests = listed("x\nnetns::tests!(\n    a::one,\n    b::two,\n);\nfn other() {}");
        let codes =
            coded("| [`no-route`](doctor/no-route.md) | No route. |\n| [`wireless`](w) | |");
        assert_eq!(codes, BTreeSet::from(["no-route", "wireless"]));
        let on = |page: &str| complaints_on(page, &tests, &codes);
        let whole = "| none | `no-route` | `a::one`, `b::two` |\n| air | `wireless` | |\n";
        assert_eq!(on(whole), [""; 0]);
        assert_eq!(
            on("`wireless`\n| none | `no-route` | `b::one` |\n"),
            [
                "docs/doctor-tests.md:2: there is no test b::one",
                "docs/doctor-tests.md:1: wireless has no row"
            ]
        );
    }
}
