//! Rules of the house that no compiler knows.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The one folder where the lint against unsafe code may be lifted. Elsewhere the compiler denies
/// it, as long as each crate takes the lints of the workspace.
const UNSAFE_FOLDER: &str = "crates/net/src/sys";

/// What unsafe code, and the lifting of the lint against it, look like. Each is written in two
/// parts, so that this file does not match itself.
const UNSAFE: [&str; 5] = [
    concat!("unsafe", "_code"),
    concat!("unsafe", " {"),
    concat!("unsafe", " fn "),
    concat!("unsafe", " impl "),
    concat!("unsafe", " extern "),
];

/// Each breach of a rule below `root`, as `FILE:LINE: what is wrong`.
pub(crate) fn complaints(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut complaints = Vec::new();
    for path in files(root)? {
        let name = path.strip_prefix(root).unwrap_or(&path);
        if matches!(
            name.extension().and_then(|e| e.to_str()),
            Some("rs" | "py" | "toml")
        ) {
            let text =
                fs::read_to_string(&path).with_context(|| format!("reading {}", name.display()))?;
            complaints.extend(complaints_on(name, &text));
        }
    }
    Ok(complaints)
}

fn complaints_on(name: &Path, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let is_crate = name.ends_with("Cargo.toml") && name.components().count() > 1;
    // The fuzzers are a workspace of their own.
    let is_bound = is_crate && !text.contains("[workspace]");
    if is_bound && !text.contains("[lints]\nworkspace = true") {
        complaints.push(format!(
            "{}:1: add [lints] workspace = true",
            name.display()
        ));
    }
    if name
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        return complaints;
    }

    let mut in_tests = is_test(name);
    // From crates/NAME/src/FILE, one step up is still in the folder of the crate.
    let steps = name.components().count().saturating_sub(3);
    // The line before, and the one before that.
    let mut above = ["", ""];
    for (number, line) in (1..).zip(text.lines()) {
        let mut complain =
            |what: &str| complaints.push(format!("{}:{number}: {what}", name.display()));
        in_tests |= line.starts_with("mod tests {");
        if in_tests && line.contains("sleep(") {
            complain("a test waits for what it can be told of, and never sleeps");
        }
        let has_include = |line: &str| {
            let mut macros = ["include_str!(", "include_bytes!("].iter();
            macros.any(|it| line.contains(it))
        };
        // A long path stands on a line of its own.
        let (includes, attribute) = match has_include(line) {
            true => (true, above[0]),
            false => (above[0].ends_with('(') && has_include(above[0]), above[1]),
        };
        let is_beyond = name.starts_with("crates") && line.matches("../").count() > steps;
        // Who builds a package runs no tests of its documentation.
        if includes && is_beyond && !in_tests && attribute != "#[cfg(doctest)]" {
            complain("a package has the files of its own folder alone; link this one into that");
        }
        if UNSAFE.iter().any(|form| line.contains(form)) && !name.starts_with(UNSAFE_FOLDER) {
            complain(&format!("unsafe code belongs into {UNSAFE_FOLDER}"));
        }
        above = [line, above[0]];
    }
    complaints
}

/// Whether all of the file is tests: `tests.rs`, or anything in a folder `tests`.
pub(crate) fn is_test(name: &Path) -> bool {
    name.iter()
        .any(|part| part == "tests" || part == "tests.rs")
}

/// All files below a folder but those that are hidden or built.
pub(crate) fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if name == "target" || name.to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            files.extend(self::files(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(name: &str, text: &str) -> Vec<String> {
        complaints_on(Path::new(name), text)
    }

    #[test]
    fn unsafety_stands_in_one_folder() {
        let text = format!("//! Words.\n#![allow({})]\n", UNSAFE[0]);
        assert!(on("crates/net/src/sys/linux.rs", &text).is_empty());
        assert_eq!(on("crates/net/src/lib.rs", &text).len(), 1);
        assert!(on("crates/net/src/lib.rs", &text)[0].starts_with("crates/net/src/lib.rs:2: "));
        let block = format!("fn f() {{ {} g() }} }}", UNSAFE[1]);
        assert_eq!(on("fuzz/fuzz_targets/wire.rs", &block).len(), 1);
    }

    #[test]
    fn what_no_package_would_have_is_found() {
        let text = |path: &str| format!("const TEXT: &str = include_str!(\"{path}\");");
        for (name, path, count) in [
            ("crates/net/src/a.rs", "../docs/a.md", 0),
            ("crates/net/src/a.rs", "../../../docs/a.md", 1),
            ("crates/net/src/a/b.rs", "../../docs/a.md", 0),
            ("crates/net/tests/a.rs", "../../../docs/a.md", 0),
            ("xtask/src/a.rs", "../../docs/a.md", 0),
        ] {
            assert_eq!(on(name, &text(path)).len(), count, "{name}: {path}");
        }
        let guide = "#[doc = include_str!(\"../../../docs/a.md\")]\nmod guide {}";
        assert_eq!(on("crates/net/src/a.rs", guide).len(), 1);
        let wrapped = guide.replace("(\"", "(\n    \"");
        assert_eq!(on("crates/net/src/a.rs", &wrapped).len(), 1);
        for guide in [guide, &wrapped] {
            let tested = format!("#[cfg(doctest)]\n{guide}");
            assert!(on("crates/net/src/a.rs", &tested).is_empty());
        }
    }

    #[test]
    fn a_test_that_sleeps_is_found() {
        let text = concat!("fn f() { thread::", "sleep", "(SECOND) }");
        assert!(on("crates/net/src/retry.rs", text).is_empty());
        for name in [
            "crates/net/tests/a.rs",
            "crates/net/src/a/tests.rs",
            "python/tests/a.py",
        ] {
            assert_eq!(on(name, text).len(), 1, "{name}");
        }
        let below = format!("mod tests {{\n    {text}\n}}");
        assert_eq!(on("crates/net/src/retry.rs", &below).len(), 1);
    }

    #[test]
    fn crates_take_the_lints_of_the_workspace() {
        assert_eq!(on("crates/net/Cargo.toml", "[package]\n").len(), 1);
        assert!(
            on(
                "crates/net/Cargo.toml",
                "[package]\n\n[lints]\nworkspace = true\n"
            )
            .is_empty()
        );
        assert!(on("Cargo.toml", "[workspace]\n").is_empty());
        assert!(on("fuzz/Cargo.toml", "[package]\n\n[workspace]\n").is_empty());
    }
}
