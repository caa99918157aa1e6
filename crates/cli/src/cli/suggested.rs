//! Each command line that is suggested anywhere is one that the command takes: in errors, in hints, in
//! examples of the help, in the documents.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::{Cli, typed};

#[test]
fn what_errors_hints_and_documents_suggest_is_taken() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = vec![root.join("README.md")];
    for folder in ["crates", "docs"] {
        gather(&root.join(folder), &mut files);
    }
    let mut seen = 0;
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        for line in quoted(&text).into_iter().chain(in_blocks(&text)) {
            check(&line, &file.display().to_string());
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen} were found");
}

#[test]
fn each_example_of_the_help_is_taken() {
    let mut cli = Cli::command();
    cli.build();
    let mut seen = 0;
    examples(&cli, &mut seen);
    assert!(seen > 50, "{seen} were found");
}

fn examples(command: &clap::Command, seen: &mut usize) {
    let help = command.get_before_help().map(ToString::to_string);
    for line in help.unwrap_or_default().lines().skip(1) {
        let part = line
            .split(" | ")
            .find(|part| part.trim().starts_with("manycast "));
        if let Some(line) = part {
            check(line, command.get_bin_name().unwrap_or_default());
            *seen += 1;
        }
    }
    for deeper in command.get_subcommands() {
        examples(deeper, seen);
    }
}

/// Sources and documents, but no tests.
fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["tests", "target"].contains(&&*name) {
            gather(&path, files);
        } else if name.ends_with(".md") || name.ends_with(".rs") && !name.ends_with("tests.rs") {
            files.push(path);
        }
    }
}

/// What stands in quotes or backticks, as in `'manycast doctor serve'`.
fn quoted(text: &str) -> Vec<String> {
    let mut joined = String::new();
    for line in text.lines() {
        match line.trim_end().strip_suffix('\\') {
            Some(begin) => joined.push_str(begin.trim_start()),
            None => {
                joined.push_str(
                    line.trim_start()
                        .trim_start_matches("//!")
                        .trim_start_matches("///"),
                );
                joined.push('\n');
            }
        }
    }
    let mut found = Vec::new();
    for quote in ['\'', '`'] {
        for piece in joined.split(&format!("{quote}manycast ")).skip(1) {
            let line = piece.split([quote, '\n']).next().unwrap();
            if line.starts_with(|first: char| first.is_ascii_lowercase()) {
                found.push(format!("manycast {line}"));
            }
        }
    }
    found
}

/// The lines of shell blocks in documents.
fn in_blocks(text: &str) -> Vec<String> {
    let mut within = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            within = !within && ["```sh", "```console"].contains(&line);
        } else if within {
            let line = line.trim_start_matches("$ ");
            let part = line.split(" | ").find(|part| part.starts_with("manycast "));
            found.extend(part.map(str::to_owned));
        }
    }
    found
}

/// A name alone is none that lacks its arguments.
fn check(line: &str, place: &str) {
    let words = split(line);
    let name_alone = [
        ErrorKind::DisplayHelp,
        ErrorKind::DisplayVersion,
        ErrorKind::MissingRequiredArgument,
        ErrorKind::MissingSubcommand,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
    ];
    match Cli::try_parse_from(typed(words.iter().map(Into::into))) {
        Err(error) if !name_alone.contains(&error.kind()) => {
            panic!("{place}: {line:?}, read as {words:?}: {error}")
        }
        _ => {}
    }
}

/// The words of a line of the shell, with something in the place of what stands for something.
fn split(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap_or((quoted, "")),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        rest = after.trim_start();
        if word.starts_with('#') || [">", "&", "…", "|"].contains(&word) {
            break;
        }
        // `[--key TEXT]` may be left out, and `send\|receive` is one of them.
        let word = word.trim_matches(['[', ']', '…']);
        let word = word.split(['\\', '|']).next().unwrap_or_default();
        let before = words.last().map_or("", String::as_str);
        words.push(match (before, word) {
            ("--pid", _) => "4711".to_owned(),
            ("--hops" | "--count", word) if word.parse::<u32>().is_err() => "8".to_owned(),
            ("--with", _) => "10.0.0.5".to_owned(),
            ("--explain", _) => "no-querier".to_owned(),
            (_, "SHELL") => "bash".to_owned(),
            (_, "ADDRESS" | "GROUP:PORT" | "HOST:PORT") => "239.192.0.100:5000".to_owned(),
            (_, word) if word.starts_with('{') => "239.192.0.100:5000".to_owned(),
            // The brackets of an IPv6 address belong to it.
            _ if line.contains(&format!("[{word}")) && word.contains("]:") => format!("[{word}"),
            _ => word.to_owned(),
        });
    }
    words
}
