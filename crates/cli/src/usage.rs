//! Bad arguments: one sentence that says what is wrong, and an example of what is right.

use std::env;
use std::error::Error;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use manycast::AddressError;

use crate::cli::Cli;
use crate::output;

/// Prints what `clap` has to say, in our words, or the help that was asked for.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Whoever has closed the pipe has read enough of it.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
        }
        _ => output::problem(format_args!(
            "{}\n  for example: {}",
            sentence(error),
            example()
        )),
    }
    ExitCode::from(2)
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
    let shown: String = error
        .text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    let column = error.column();
    format!("{}\n  {shown}\n  {:>column$}", error.malformed.what, '^')
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
