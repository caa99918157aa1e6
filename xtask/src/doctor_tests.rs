//! `docs/doctor-tests.md` names tests of the doctor: each must be there, each code must have a row, and
//! what the doctor tells to do about each must be done by a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context;

const PAGE: &str = "docs/doctor-tests.md";

/// The page that lists the codes.
const CODES: &str = "docs/doctor.md";

/// The file that lists the tests.
const TESTS: &str = "crates/manycast/tests/doctor/main.rs";

/// What stands at the end of a row whose tests do what the doctor tells to do.
const DONE: &str = "8";

/// By what a test shows that it reads the remedy.
const READS: [&str; 4] = ["mend", "remedy", "told(", "commands("];

/// The codes whose remedies no test does, and why.
const NOT_DONE: [(&str, &str); 2] = [
    ("delivered", "nothing is to be mended"),
    ("other", "this version does not know what it is"),
];

/// Each fault of the page, as `FILE:LINE: what is wrong`.
pub(crate) fn complaints(root: &Path) -> anyhow::Result<Vec<String>> {
    let read =
        |name| fs::read_to_string(root.join(name)).with_context(|| format!("reading {name}"));
    let (tests, codes, page) = (read(TESTS)?, read(CODES)?, read(PAGE)?);
    let mut complaints = complaints_on(&page, &listed(&tests), &coded(&codes));
    let folder = root.join(TESTS).with_file_name("");
    complaints.extend(remedies(&page, &coded(&codes), |test| {
        let (module, name) = test.split_once("::")?;
        let text = fs::read_to_string(folder.join(module).with_extension("rs")).ok()?;
        body(&text, name).map(str::to_owned)
    }));
    Ok(complaints)
}

/// Codes whose remedy no test does, though nothing keeps it from that.
fn remedies(
    page: &str,
    codes: &BTreeSet<&str>,
    body_of: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut done = BTreeSet::new();
    for (number, line) in (1..).zip(page.lines()) {
        let notes = line.trim_end_matches([' ', '|']).rsplit('`').next();
        let notes = notes.unwrap_or_default().split([' ', ',']);
        let quoted = || line.split('`').skip(1).step_by(2);
        let names_tests = line.starts_with("| ") && quoted().any(|word| word.contains("::"));
        if !names_tests || !notes.into_iter().any(|note| note == DONE) {
            continue;
        }
        let reads = |test: &str| {
            let body = body_of(test).unwrap_or_default();
            READS.iter().any(|read| body.contains(read))
        };
        if quoted().filter(|word| word.contains("::")).any(reads) {
            done.extend(quoted().filter(|word| codes.contains(word)));
        } else {
            complaints.push(format!(
                "{PAGE}:{number}: no test of this row reads the remedy"
            ));
        }
    }
    for code in codes {
        let reason = NOT_DONE.iter().find(|(known, _)| known == code);
        match (done.contains(code), reason) {
            (false, None) => complaints.push(format!(
                "{PAGE}:1: no test does what the doctor tells to do about {code} (footnote {DONE})"
            )),
            (true, Some((_, reason))) => complaints.push(format!(
                "xtask/src/doctor_tests.rs:1: a test does what is told about {code}, so it is no \
                 exception any more ({reason})"
            )),
            _ => {}
        }
    }
    complaints
}

/// The text of a test, up to its end.
fn body<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("fn {name}()"))?;
    rest.split("\n}\n").next()
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
    // How many run at once goes before them.
    let list = list.rsplit(';').next().unwrap_or_default();
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
        let tests = listed(
            "x\nnetns::tests!(\n    at_once: 8;\n    a::one,\n    b::two,\n);\nfn other() {}",
        );
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

    #[test]
    fn each_remedy_is_done_or_excused() {
        let codes = BTreeSet::from(["no-route", "loss", "delivered"]);
        let text = "fn one() {\n    mend(&b, &report);\n}\nfn two() {\n    wait();\n}\n";
        let body_of = |test: &str| body(text, test.split_once("::")?.1).map(str::to_owned);
        let on = |page: &str| remedies(page, &codes, body_of).join("\n");
        let whole =
            "| x | `no-route` | a | b | `a::one` 8 |\n| y | `loss` | `a::two`, `a::one` 2, 8 |\n";
        assert_eq!(on(whole), "");
        let idle = on("| x | `no-route` | `a::two` 8 |\n| y | `loss` | `a::one` |\n");
        assert!(
            idle.contains(":1: no test of this row reads the remedy"),
            "{idle}"
        );
        assert!(
            idle.contains("about no-route") && idle.contains("about loss"),
            "{idle}"
        );
        let excused = on(&format!("{whole}| z | `delivered` | `a::one` 8 |\n"));
        assert!(
            excused.contains("about delivered, so it is no exception"),
            "{excused}"
        );
    }
}
