//! Bad arguments: one sentence that says what is wrong, and an example of what is right.

pub(crate) mod similar;

use std::env;
use std::error::Error;
use std::io;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use manycast::{Address, AddressError, InterfaceSelector, Malformed};

use crate::cli::Cli;
use crate::output::{self, is_unsafe};

/// Prints what `clap` has to say, in our words, or the help that was asked for.
pub(crate) fn explain(error: &clap::Error) -> u8 {
    let problem = |sentence: &str| {
        output::problem(format_args!(
            "{}{}\n  for example: {}",
            shortened(sentence),
            message_behind_dashes(error.kind()).unwrap_or_default(),
            example(error)
        ));
        2
    };
    match error.kind() {
        ErrorKind::DisplayHelp if !is_help_asked_for() => {
            // clap found a -h in a word such as -hello.
            return problem("what begins with a dash is an option");
        }
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            return match output::help(&error.render().ansi().to_string()) {
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
        _ => return problem(&sentence(error)),
    }
    2
}

/// Whether help was asked for by one of its own words, rather than by a letter within another.
fn is_help_asked_for() -> bool {
    let flags = |word: &str| {
        let letters = word.strip_prefix('-').unwrap_or_default();
        letters.ends_with('h')
            && letters
                .trim_end_matches('h')
                .chars()
                .all(|c| "vq".contains(c))
    };
    typed_words().any(|word| ["help", "--help", "-help"].contains(&&*word) || flags(&word))
}

/// How a message is sent that begins with a dash, where one was probably meant.
fn message_behind_dashes(kind: ErrorKind) -> Option<String> {
    let (words, command) = meant();
    let mut positionals = command.get_positionals();
    if !positionals.any(|argument| argument.get_id() == "message") {
        return None;
    }
    let options = options_of(&command);
    let is_option = |word: &str| {
        let name = word.split('=').next().unwrap_or_default();
        similar::option(word, &options).is_some() || options.iter().any(|option| option == name)
    };
    // `-item one` is read as `-i "tem one"`.
    let is_several =
        |word: &str| word.len() > 2 && !word.starts_with("--") && word.parse::<f64>().is_err();
    let might_be = |word: &str| match kind {
        ErrorKind::UnknownArgument | ErrorKind::DisplayHelp => word.len() > 1,
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => is_several(word),
        _ => false,
    };
    let message =
        typed_words().find(|word| word.starts_with('-') && might_be(word) && !is_option(word))?;
    let quoted = if message.contains(char::is_whitespace) {
        format!("'{message}'")
    } else {
        message
    };
    Some(format!(
        "; a message that begins with a dash stands behind --: {words} ADDRESS -- {}",
        shortened(&quoted)
    ))
}

/// The words behind the command's own name, up to `--`.
fn typed_words() -> impl Iterator<Item = String> {
    env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .take_while(|word| word != "--")
}

/// The options that a command has, with their dashes; of help one is told anyway.
fn options_of(command: &clap::Command) -> Vec<String> {
    let mut options: Vec<String> = Vec::new();
    for argument in command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set() && argument.get_id() != "help")
    {
        options.extend(argument.get_long().map(|long| format!("--{long}")));
        options.extend(argument.get_short().map(|short| format!("-{short}")));
    }
    options
}

/// The commands that a command has.
fn commands_of(command: &clap::Command) -> Vec<String> {
    let visible = command
        .get_subcommands()
        .filter(|deeper| !deeper.is_hide_set());
    visible.map(|deeper| deeper.get_name().to_owned()).collect()
}

/// What is said of an option that there is not.
fn unknown_option(argument: &str) -> String {
    let (words, command) = meant();
    if ["--output", "--out", "-o"].contains(&argument) {
        return format!(
            "there is no option {argument}; all goes to standard output: write > FILE, and --raw in \
             front of it for the payloads of listen alone"
        );
    }
    let options = options_of(&command);
    let exact = options.iter().any(|option| option == argument);
    let takes_address = command.get_positionals().any(|it| it.get_id() == "address");
    if exact {
        return format!("{argument} stands behind the command: {words} … {argument}");
    }
    if let Some(similar) = similar::option(argument, &options) {
        return format!("there is no option {argument}; did you mean {similar}?");
    }
    match similar::part_of_the_address(argument).filter(|_| takes_address) {
        Some(form) => format!("there is no option {argument}; it is a part of the address: {form}"),
        None => {
            format!("there is no option {argument}; '{words} --help' lists those that there are")
        }
    }
}

/// Of `-count 5`, which is read as `-c ount`.
fn one_dash_too_few() -> Option<String> {
    let options = options_of(&meant().1);
    let word = typed_words().find(|word| {
        word.len() > 2 && options.iter().any(|option| *option == format!("-{word}"))
    })?;
    Some(format!("there is no option {word}; did you mean -{word}?"))
}

fn unknown_command(typed: &str) -> String {
    let (words, command) = meant();
    no_such_command(&words, &command, typed)
}

/// What is said of a command that `command`, of these words, does not have.
pub(crate) fn no_such_command(words: &str, command: &clap::Command, typed: &str) -> String {
    let commands = commands_of(command);
    if typed == "version" {
        return "there is no command \"version\"; did you mean --version?".to_owned();
    }
    if let Some(similar) = similar::command(typed, &commands) {
        return format!("there is no command {typed:?}; did you mean {similar}?");
    }
    if command.get_name() != "manycast" && typed.contains(['.', ':', '/']) {
        let ways: Vec<String> = commands
            .iter()
            .map(|deeper| format!("{words} {deeper}"))
            .collect();
        return format!("a command stands before {typed:?}: {}", ways.join(", or "));
    }
    format!("there is no command {typed:?}; '{words} --help' lists those that there are")
}

fn sentence(error: &clap::Error) -> String {
    let argument = || list(error, ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            one_dash_too_few().unwrap_or_else(|| invalid_value(error))
        }
        ErrorKind::UnknownArgument => {
            let argument = argument();
            if !argument.starts_with('-') {
                return format!(
                    "{argument:?} is one argument too many; quote what contains spaces"
                );
            }
            unknown_option(&argument)
        }
        ErrorKind::InvalidSubcommand => {
            unknown_command(&list(error, ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingSubcommand => {
            let (words, _) = meant();
            format!("a command is missing; '{words} --help' lists those that there are")
        }
        ErrorKind::MissingRequiredArgument => {
            let argument = argument();
            let verb = if argument.contains(" and ") {
                "are"
            } else {
                "is"
            };
            format!("{argument} {verb} missing")
        }
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
            Some(error) => pointed_at(&with_what_follows(error)),
            None => format!("{argument}: {source}"),
        };
    }
    let allowed = list(error, ContextKind::ValidValue);
    match (value.is_empty(), allowed.is_empty()) {
        (true, _) => format!("{argument} needs a value"),
        (false, true) => format!("{argument}: {value:?} is not allowed"),
        (false, false) => {
            let allowed = allowed.replace(" and ", ", ");
            format!("{argument}: {value:?} is none of {allowed}")
        }
    }
}

/// The error, told with what only the whole line shows: that the port came as an argument of its own,
/// or that the word is a command rather than an address.
fn with_what_follows(error: &AddressError) -> AddressError {
    let mut error = error.clone();
    let text = &error.text;
    let next = typed_words().skip_while(|word| word != text).nth(1);
    let joined = next.filter(|next| next.parse::<u16>().is_ok());
    let joined = joined.and_then(|port| Address::try_from((&**text, port.parse().ok()?)).ok());
    if let Some(joined) = joined {
        let what = format!("host and port are one argument; write {joined}");
        error.malformed = Malformed::new(what, text.len());
        return error;
    }
    let selector = InterfaceSelector::Name(text.clone());
    if manycast::find_interface(&selector).is_ok() {
        let what =
            format!("it is an interface, which stands behind the host: 239.192.0.100%{text}:5000");
        error.malformed = Malformed::new(what, 0);
        return error;
    }
    let (words, command) = meant();
    if let Some(similar) = similar::command(text, &commands_of(&command)) {
        let what =
            format!("it is neither an address nor a command; did you mean '{words} {similar}'?");
        error.malformed = Malformed::new(what, 0);
    }
    error
}

/// The fault, the text and a caret below the place.
pub(crate) fn pointed_at(error: &AddressError) -> String {
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
        // The last one is the most similar.
        Some(ContextValue::Strings(texts)) if kind == ContextKind::SuggestedSubcommand => {
            texts.last().map(|text| bare(text)).unwrap_or_default()
        }
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
    // So that each command has the options of all.
    command.build();
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

/// The first example of the command that was meant that has what was missing, without its comment.
fn example(error: &clap::Error) -> String {
    let (words, command) = meant();
    let help = command.get_before_help();
    let help = help.map(ToString::to_string).unwrap_or_default();
    let of_line = |line: &str| {
        line.split(" # ")
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let lines: Vec<String> = help.lines().skip(1).map(of_line).collect();
    let first = lines.first().cloned();
    // Of a command that needs no arguments by itself, one that has them, and those that were typed.
    let is_missing = error.kind() == ErrorKind::MissingRequiredArgument;
    let mut longer: Vec<String> = lines.into_iter().filter(|line| *line != words).collect();
    longer.retain(|_| is_missing);
    let typed: Vec<String> = typed_words().filter(|word| word.starts_with('-')).collect();
    let has_typed = |line: &&String| {
        let mut words = line.split_whitespace();
        words.any(|word| {
            typed
                .iter()
                .any(|typed| typed.split('=').next() == Some(word))
        })
    };
    let best = longer.iter().find(has_typed).or_else(|| longer.first());
    let example = best.cloned().or(first);
    example.unwrap_or_else(|| "manycast --help".to_owned())
}
