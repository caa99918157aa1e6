//! `manycast man`

use std::fmt::Write;

use anyhow::bail;
use clap::CommandFactory;

use crate::Outcome;
use crate::cli::{ADDRESSES, Cli, HELP};
use crate::exit::{CODES, FAILED};
use crate::output::Output;
use crate::usage;

const EXAMPLES: &str = "\
Examples:
  manycast man | man -l -                          # the command as a whole
  manycast man send | man -l -                     # one command, with all its options
  manycast man measure send > manycast-measure-send.1";

/// Print a manual page, of manycast or of one of its commands
#[derive(clap::Args, Debug)]
#[command(before_help = EXAMPLES, help_template = HELP)]
pub(crate) struct Man {
    /// The command, such as send or measure send [default: manycast itself]
    command: Vec<String>,
}

pub(crate) fn man(args: Man, output: &mut Output) -> anyhow::Result<Outcome> {
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    let mut command = &cli;
    for word in &args.command {
        let Some(deeper) = command.find_subcommand(word) else {
            let words = command.get_bin_name().unwrap_or("manycast");
            bail!(usage::no_such_command(words, command, word));
        };
        command = deeper;
    }
    output.bytes(&page(command)?)?;
    Ok(Outcome::Done)
}

/// What stands in the options for a value, and how it is written.
const VALUES: [(&str, &str); 7] = [
    (
        "IFACE",
        "An interface by its name (eth0), its index (2) or an address of its own (10.0.0.2); all, where \
         it can be repeated, means each that is up and can multicast.",
    ),
    (
        "TIME",
        "A duration: 500ms, 2s, 1m, 1h 30m; a number without a unit is seconds.",
    ),
    (
        "BITRATE",
        "Bits of payload per second, with a unit: 800b, 500k, 10M, 2.5G, powers of a thousand.",
    ),
    (
        "ADDR[:PORT]",
        "An address of this host: 10.0.0.2, 10.0.0.2:5000, [fe80::2%eth0]:5000 or :5000.",
    ),
    ("SIZE", "Bytes: 1316, 500k, 100M, 2G, powers of a thousand."),
    ("PERCENT", "A part of a hundred, with its sign: 0.1%."),
    ("N", "A whole number."),
];

/// A command's page: what clap_mangen makes of its options, and the sections that it does not know.
fn page(command: &clap::Command) -> anyhow::Result<Vec<u8>> {
    let words = command.get_bin_name().unwrap_or("manycast").to_owned();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let is_root = words == "manycast";
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    // That of manycast itself is a table, which has a section of its own.
    let more = command.get_after_help().filter(|_| !is_root);
    let more = more.map(|text| format!("\n\n{text}")).unwrap_or_default();
    let shown = command
        .clone()
        .override_usage(usage)
        .after_help("")
        .long_about(format!("{about}.{more}"));
    let mut page = Vec::new();
    clap_mangen::Man::new(shown)
        .source(format!("manycast {}", env!("CARGO_PKG_VERSION")))
        .manual("manycast")
        .render(&mut page)?;
    let mut page = ascii(&String::from_utf8(page)?.replace(".SH EXTRA\n", ""));

    let takes = |name: &str| {
        let mut arguments = command.get_arguments();
        arguments.any(|argument| {
            let names = argument.get_value_names().unwrap_or_default();
            names.iter().any(|it| it.as_str() == name)
        })
    };
    let values: Vec<_> = VALUES.iter().filter(|(name, _)| takes(name)).collect();
    if !values.is_empty() {
        page += ".SH VALUES\n";
        for (name, text) in values {
            item(&mut page, name, text);
        }
    }
    if is_root || takes("ADDRESS") {
        page += ".SH ADDRESSES\n";
        verbatim(&mut page, ADDRESSES.lines().skip(1));
    }
    if let Some(examples) = command.get_before_help() {
        page += ".SH EXAMPLES\n";
        verbatim(&mut page, examples.to_string().lines().skip(1));
    }
    page += ".SH \"EXIT STATUS\"\n";
    let own = CODES
        .iter()
        .find(|codes| words == format!("manycast {}", codes.command));
    let (done, no) = own.map_or(("Done.", Some("The answer is \"no\".")), |codes| {
        (codes.done, codes.no)
    });
    item(&mut page, "0", &sentence(done));
    if let Some(no) = no {
        item(&mut page, "1", &sentence(no));
    }
    item(&mut page, "2", &sentence(FAILED));
    see_also(&mut page, command, &words);
    Ok(page.into_bytes())
}

/// The pages of the commands above and below.
fn see_also(page: &mut String, command: &clap::Command, words: &str) {
    let name = words.replace(' ', "-");
    let below = command
        .get_subcommands()
        .map(|deeper| format!("{name}-{}", deeper.get_name()));
    let above = name.rsplit_once('-').map(|(above, _)| above.to_owned());
    let pages: Vec<String> = above.into_iter().chain(below).collect();
    if !pages.is_empty() {
        let pages: Vec<String> = pages
            .iter()
            .map(|page| format!("\\fB{}\\fR(1)", escaped(page)))
            .collect();
        let _ = writeln!(page, ".SH \"SEE ALSO\"\n{}", pages.join(", "));
    }
}

/// A word and what it means.
fn item(page: &mut String, name: &str, text: &str) {
    let _ = writeln!(page, ".TP\n\\fB{}\\fR\n{}", escaped(name), escaped(text));
}

/// Lines that stay as they are.
fn verbatim<'a>(page: &mut String, lines: impl Iterator<Item = &'a str>) {
    *page += ".nf\n";
    for line in lines {
        let _ = writeln!(page, "{}", escaped(line.strip_prefix("  ").unwrap_or(line)));
    }
    *page += ".fi\n";
}

/// Text in which groff(7) finds no request and no escape.
fn escaped(line: &str) -> String {
    let line = line
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq");
    let begin = if line.starts_with('.') { "\\&" } else { "" };
    begin.to_owned() + &ascii(&line)
}

/// What is not ASCII as groff(7) reads it.
fn ascii(line: &str) -> String {
    let mut text = String::new();
    for character in line.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            let _ = write!(text, "\\[u{:04X}]", u32::from(character));
        }
    }
    text
}

/// With a capital letter and a full stop.
fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!(
        "{}{}.",
        first.unwrap_or_default(),
        letters.as_str().trim_end_matches('.')
    )
}
