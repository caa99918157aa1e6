//! What each exit code says, command by command: for the manual pages, and for the table in
//! `docs/json.md`, which a test compares with this one.

/// What 0 and 1 say of a command; `None`: it has no such answer.
pub(crate) struct Codes {
    /// The command's words, without `manycast`.
    pub(crate) command: &'static str,
    pub(crate) done: &'static str,
    pub(crate) no: Option<&'static str>,
}

/// What 2 says of every command.
pub(crate) const FAILED: &str = "bad arguments, or this machine does not let it";

const fn codes(command: &'static str, done: &'static str, no: Option<&'static str>) -> Codes {
    Codes { command, done, no }
}

pub(crate) const CODES: [Codes; 22] = [
    codes(
        "send",
        "the kernel took every datagram",
        Some("a host or a router said that it was not delivered, or some were not sent"),
    ),
    codes(
        "listen",
        "as many datagrams came as --count says, or a signal ended it",
        Some("fewer came within --timeout; without --count: none"),
    ),
    codes("echo", "a signal ended it", None),
    codes(
        "ask",
        "as many answers came as were wanted; of a group: one",
        Some("fewer came, nobody listens there, or the host was not reached"),
    ),
    codes("interfaces", "they are listed", None),
    codes(
        "measure send",
        "datagrams were sent, and the rate was held",
        Some("none was, the host refused them, or the rate was not held over a second or more"),
    ),
    codes(
        "measure receive",
        "senders came, and lost no more than --max-loss; or a signal ended it before any came",
        Some("none came, fewer than --expect, or one lost more"),
    ),
    codes("doctor", "healthy", Some("a fault was found")),
    codes("doctor serve", "a signal ended it", None),
    codes(
        "send-files",
        "every expected receiver has verified every file; where none is expected, each that was heard of, if any was",
        Some("one has not, the host refused, or a signal ended it"),
    ),
    codes(
        "receive-files",
        "each delivery that ended is complete",
        Some("one is not, or none ended"),
    ),
    codes(
        "send-stream",
        "it was sent to its end, and every expected receiver has all of it",
        Some("one has not, the host refused, or a signal ended it"),
    ),
    codes(
        "receive-stream",
        "all of the stream came",
        Some("a part is missing, or it did not end"),
    ),
    codes(
        "tftp get",
        "the file is there",
        Some("the server refused or did not answer, or a signal ended it"),
    ),
    codes(
        "tftp put",
        "the server has the file",
        Some("the server refused or did not answer, or a signal ended it"),
    ),
    codes("tftp serve", "a signal ended it", None),
    codes(
        "discover",
        "something is there at the end; with --watch: or a signal ended it",
        Some("nothing is there at the end"),
    ),
    codes("announce", "a signal ended it, and goodbye was said", None),
    codes("demo", "all came as expected", Some("something did not")),
    codes("completions", "the script is printed", None),
    codes("man", "the page is printed", None),
    codes("--help, --version", "it is printed", None),
];

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_has_its_codes() {
        fn check(command: &clap::Command, above: &str) {
            for deeper in command.get_subcommands() {
                let words = format!("{above} {}", deeper.get_name());
                let words = words.trim_start();
                // One that does nothing without a command below it has no codes of its own.
                let acts = !deeper.is_subcommand_required_set();
                let has = CODES.iter().any(|codes| codes.command == words);
                assert!(has || !acts, "{words} has no exit codes");
                check(deeper, words);
            }
        }
        check(&Cli::command(), "");
    }

    #[test]
    fn the_table_in_the_documents_is_this_one() {
        let mut table = String::new();
        for Codes { command, done, no } in CODES {
            let no = no.unwrap_or("–");
            writeln!(table, "| `{command}` | {done} | {no} |").unwrap();
        }
        let document = include_str!("../../../docs/json.md");
        assert!(document.contains(&table), "docs/json.md lacks:\n{table}");
    }
}
