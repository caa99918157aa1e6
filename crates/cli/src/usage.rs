//! Bad arguments: one sentence that says what is wrong, and an example of what is right.

use std::env;
use std::error::Error;
use std::io::{self, Write};

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use manycast::AddressError;

use crate::cli::Cli;
use crate::output::{self, is_unsafe};

/// Prints what `clap` has to say, in our words, or the help that was asked for.
pub(crate) fn explain(error: &clap::Error) -> u8 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let printed = error.print().and_then(|()| io::stdout().flush());
            return match printed {
                // Whoever has closed the pipe has read enough of it.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    crate::failed(format_args!("cannot write to standard output: {error}"))
                }
                _ => 0,
            };
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
        }
        _ => output::problem(format_args!(
            "{}\n  for example: {}",
            shortened(&sentence(error)),
            example()
        )),
    }
    2
}

fn sentence(error: &clap::Error) -> String {
    let argument = || list(error, ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => invalid_value(error),
        ErrorKind::UnknownArgument => {
            let argument = argument();
            if !argument.starts_with('-') {
                return format!(
                    "{argument:?} is one argument too many; quote what contains spaces"
                );
            }
            match list(error, ContextKind::SuggestedArg) {
                _ if ["--output", "--out", "-o"].contains(&argument.as_str()) => format!(
                    "there is no option {argument}; all goes to standard output: write > FILE, and \
                     --raw in front of it for the payloads of listen alone"
                ),
                none if none.is_empty() => {
                    format!("there is no option {argument}; '--help' lists those that there are")
                }
                similar => format!("there is no option {argument}; did you mean {similar}?"),
            }
        }
        ErrorKind::InvalidSubcommand => {
            let command = list(error, ContextKind::InvalidSubcommand);
            match list(error, ContextKind::SuggestedSubcommand) {
                none if none.is_empty() => {
                    format!("there is no command {command:?}; '--help' lists those that there are")
                }
                similar => format!("there is no command {command:?}; did you mean {similar}?"),
            }
        }
        ErrorKind::MissingSubcommand => {
            let (words, _) = meant();
            format!("a command is missing; '{words} --help' lists those that there are")
        }
        ErrorKind::MissingRequiredArgument => format!("{} is missing", argument()),
        ErrorKind::ArgumentConflict => {
            let other = list(error, ContextKind::PriorArg);
            if other == argument() {
                return format!("{other} is given twice");
            }
            format!("{} and {other} exclude each other", argument())
        }
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            first.trim_start_matches("error: ").to_owned()
        }
    }
}

fn invalid_value(error: &clap::Error) -> String {
    let argument = list(error, ContextKind::InvalidArg);
    let value = list(error, ContextKind::InvalidValue);
    if let Some(source) = error.source() {
        return match source.downcast_ref::<AddressError>() {
            Some(error) if error.text.parse::<u16>().is_ok() => format!(
                "{argument}: {0:?} is a port alone; write :{0} for this host, or HOST:{0}",
                error.text
            ),
            Some(error) => pointed_at(error),
            None => format!("{argument}: {source}"),
        };
    }
    let allowed = list(error, ContextKind::ValidValue);
    match (value.is_empty(), allowed.is_empty()) {
        (true, _) => format!("{argument} needs a value"),
        (false, true) => format!("{argument}: {value:?} is not allowed"),
        (false, false) => format!("{argument}: {value:?} is none of {allowed}"),
    }
}

/// The fault, the text and a caret below the place.
fn pointed_at(error: &AddressError) -> String {
    let column = error.column();
    let Some(before) = column.checked_sub(1).filter(|before| *before < WIDTH) else {
        // No line of a terminal is so long that a caret below it would be seen.
        return format!("{} (column {column})", shortened(&error.malformed.what));
    };
    let characters = error.text.chars().take(WIDTH);
    let shown: String = characters.map(one_column).collect();
    let more = if error.text.chars().nth(WIDTH).is_some() {
        "…"
    } else {
        ""
    };
    let space = " ".repeat(before);
    let what = shortened(&error.malformed.what);
    format!("{what}\n  {shown}{more}\n  {space}^")
}

/// So many characters of an argument are shown.
const WIDTH: usize = 200;

/// A text that may repeat an argument, which may be of any length.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(2 * WIDTH) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The character, or another for one that would move what stands behind it.
fn one_column(character: char) -> char {
    if is_unsafe(character) {
        '\u{fffd}'
    } else {
        character
    }
}

/// What `clap` knows of this kind, without the marks of its notation: `<ADDRESS>...` is `ADDRESS`.
fn list(error: &clap::Error, kind: ContextKind) -> String {
    let bare = |text: &str| {
        let name = text.split(' ').next().unwrap_or_default();
        name.trim_end_matches('.')
            .trim_matches(['<', '>', '[', ']'])
            .to_owned()
    };
    match error.get(kind) {
        Some(ContextValue::String(text))
            if [ContextKind::InvalidArg, ContextKind::PriorArg].contains(&kind) =>
        {
            bare(text)
        }
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts
            .iter()
            .map(|text| bare(text))
            .collect::<Vec<_>>()
            .join(" and "),
        _ => String::new(),
    }
}

/// The command that was meant, such as `measure send`: its words, and what it is.
fn meant() -> (String, clap::Command) {
    let mut command = Cli::command();
    let mut words = command.get_name().to_owned();
    for word in env::args_os().skip(1) {
        let word = word.to_string_lossy();
        if let Some(deeper) = command.find_subcommand(&*word).cloned() {
            words = format!("{words} {word}");
            command = deeper;
        }
    }
    (words, command)
}

/// The first example of the command that was meant, without its comment.
fn example() -> String {
    let (_, command) = meant();
    let help = command.get_before_help();
    let help = help.map(ToString::to_string).unwrap_or_default();
    let line = help.lines().nth(1).unwrap_or("manycast --help");
    line.split(" # ")
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}
