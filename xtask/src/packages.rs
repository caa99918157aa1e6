//! The packages of the workspace, as far as their manifests tell without a parser.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::guard;

/// A package, by its folder.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    /// The text of its `Cargo.toml`.
    pub(crate) manifest: String,
}

impl Package {
    /// Whether others can use it as a library.
    pub(crate) fn is_library(&self) -> bool {
        self.folder.join("src/lib.rs").is_file()
    }

    /// Whether it is of the workspace, and not of one of its own as the fuzzers are.
    pub(crate) fn is_of_workspace(&self) -> bool {
        !self.manifest.contains("\n[workspace]")
    }

    /// The dependencies in a section of its manifest, such as `dev-dependencies`.
    pub(crate) fn dependencies(&self, section: &str) -> impl Iterator<Item = &str> {
        let begin = format!("[{section}]");
        self.manifest
            .lines()
            .skip_while(move |line| *line != begin)
            .skip(1)
            .take_while(|line| !line.starts_with('['))
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .filter(|name| !name.is_empty())
    }
}

/// All packages below `root`, those of other workspaces too.
pub(crate) fn all(root: &Path) -> anyhow::Result<Vec<Package>> {
    let mut packages = Vec::new();
    for path in guard::files(root)? {
        if !path.ends_with("Cargo.toml") {
            continue;
        }
        let manifest =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let name = manifest
            .split("[package]\nname = \"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        if let (Some(name), Some(folder)) = (name, path.parent()) {
            packages.push(Package {
                name: name.to_owned(),
                folder: folder.to_owned(),
                manifest,
            });
        }
    }
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_those_of_their_section() {
        let package = Package {
            name: "p".into(),
            folder: PathBuf::new(),
            manifest: "[package]\nname = \"p\"\n\n[dependencies]\n# why\na.workspace = true\n\
                       b-c = { version = \"1\" }\nd = \"1\"\n\n[dev-dependencies]\ne = \"1\"\n"
                .into(),
        };
        let dependencies = |section| package.dependencies(section).collect::<Vec<_>>();
        assert_eq!(dependencies("dependencies"), ["a", "b-c", "d"]);
        assert_eq!(dependencies("dev-dependencies"), ["e"]);
        assert_eq!(dependencies("build-dependencies"), [""; 0]);
    }
}
