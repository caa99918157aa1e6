//! Compilers beside the one that runs this.

use std::process::{Command, Stdio};

use crate::root;

/// The name of an installed toolchain of rustup that begins with `prefix`, such as `nightly`.
pub(crate) fn find(prefix: &str) -> Option<String> {
    let output = Command::new("rustup")
        .args(["toolchain", "list"])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let list = String::from_utf8(output.stdout).ok()?;
    first(&list, prefix).map(str::to_owned)
}

/// A line is `nightly-x86_64-unknown-linux-gnu (active)`.
fn first<'a>(list: &'a str, prefix: &str) -> Option<&'a str> {
    let mut names = list.lines().filter_map(|line| line.split(' ').next());
    names.find(|name| {
        let rest = name.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
    })
}

/// The cargo of a toolchain, in the folder of the workspace; `arguments` are split at spaces.
pub(crate) fn cargo(toolchain: &str, arguments: &str) -> Command {
    let mut rustup = Command::new("rustup");
    rustup
        .args(["run", toolchain, "cargo"])
        .args(arguments.split_whitespace())
        // That of the toolchain that runs this.
        .env_remove("CARGO")
        .current_dir(root());
    rustup
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_is_found_by_its_beginning() {
        let list =
            "stable-x86_64-unknown-linux-gnu (active, default)\n1.88.0-x86_64\n1.8-x\nnightly";
        assert_eq!(first(list, "1.88"), Some("1.88.0-x86_64"));
        assert_eq!(first(list, "1.8"), Some("1.8-x"));
        assert_eq!(first(list, "nightly"), Some("nightly"));
        assert_eq!(first(list, "beta"), None);
        assert_eq!(first("", "1.88"), None);
    }
}
