//! Dependencies that no line of their package needs.

use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::guard;
use crate::packages::{self, Package};

/// Each dependency that is not named, as `FILE:1: what is wrong`.
pub(crate) fn complaints(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut complaints = Vec::new();
    // The fuzzers take in sources of other packages.
    for package in packages::all(root)?
        .iter()
        .filter(|package| package.is_of_workspace())
    {
        let mut all = String::new();
        let mut code = String::new();
        for path in guard::files(&package.folder)? {
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let name = path.strip_prefix(&package.folder).unwrap_or(&path);
            let text =
                fs::read_to_string(&path).with_context(|| format!("reading {}", name.display()))?;
            if !["tests", "examples", "benches"]
                .iter()
                .any(|folder| name.starts_with(folder))
            {
                code.extend(
                    text.lines()
                        .filter(|line| !is_comment(line))
                        .flat_map(|line| [line, "\n"]),
                );
            }
            all += &text;
        }
        let manifest = package
            .folder
            .strip_prefix(root)
            .unwrap_or(root)
            .join("Cargo.toml");
        let unused = unused(package, &code, &all);
        complaints
            .extend(unused.map(|name| format!("{}:1: {name} is not used", manifest.display())));
    }
    Ok(complaints)
}

/// What the package depends on, and its code does not name; what its tests depend on may be named by
/// an example in a comment.
fn unused<'a>(package: &'a Package, code: &'a str, all: &'a str) -> impl Iterator<Item = &'a str> {
    let of = |section, text| {
        package
            .dependencies(section)
            .filter(move |name| !names(text, name))
    };
    of("dependencies", code).chain(of("dev-dependencies", all))
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Whether a path begins with the crate of this name, or `use` takes it whole.
fn names(text: &str, dependency: &str) -> bool {
    let name = dependency.replace('-', "_");
    text.match_indices(&name).any(|(at, _)| {
        let before = &text[..at];
        let after = &text[at + name.len()..];
        let begins = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        begins
            && (after.starts_with("::")
                || (before.ends_with("use ") && after.starts_with([';', ' '])))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_named_by_a_path() {
        assert!(names("use manycast_net::Socket;", "manycast-net"));
        assert!(names("fn f() -> anyhow::Result<()>", "anyhow"));
        assert!(names("pub use libc;", "libc"));
        assert!(!names("use my_bytes::Bytes; let bytes = 7;", "bytes"));
        assert!(!names("", "bytes"));
    }

    #[test]
    fn only_tests_may_name_theirs_in_a_comment() {
        let package = Package {
            name: "p".into(),
            folder: "p".into(),
            manifest: "[dependencies]\na = \"1\"\nb = \"1\"\n\n[dev-dependencies]\nc = \"1\"\n"
                .into(),
        };
        let code = "use a::A;\n";
        let all = "/// b::B, c::C\nuse a::A;\n";
        assert_eq!(unused(&package, code, all).collect::<Vec<_>>(), ["b"]);
        assert_eq!(unused(&package, code, code).collect::<Vec<_>>(), ["b", "c"]);
    }
}
