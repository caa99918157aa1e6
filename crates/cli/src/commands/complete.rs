//! `manycast completions`

use clap::{Args, CommandFactory, ValueHint};
use clap_complete::Shell;

use crate::Outcome;
use crate::cli::{Cli, HELP};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  manycast completions bash > ~/.local/share/bash-completion/completions/manycast
  manycast completions zsh > ~/.zfunc/_manycast   # with ~/.zfunc in $fpath
  manycast completions fish > ~/.config/fish/completions/manycast.fish";

/// Print a script that completes arguments in a shell
#[derive(Args, Debug)]
#[command(before_help = EXAMPLES, help_template = HELP)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

pub(crate) fn completions(args: Completions, output: &mut Output) -> anyhow::Result<Outcome> {
    let mut cli = hinted(Cli::command());
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli, "manycast", &mut script);
    let script = String::from_utf8(script)?;
    output.text(match args.shell {
        Shell::Bash => in_bash(&script, &cli),
        Shell::Zsh => script.replace(":IFACE:_default", ":IFACE:_net_interfaces"),
        Shell::Fish => in_fish(&script),
        _ => script,
    })?;
    Ok(Outcome::Done)
}

/// The command, with what says which values are files. For a value that is not known, a shell would
/// offer files.
fn hinted(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| {
        let names = argument.get_value_names().unwrap_or_default();
        let hint = match names.first().map(|name| name.as_str()) {
            Some("PATH" | "FILE" | "LOCAL") => ValueHint::FilePath,
            Some("FOLDER") => ValueHint::DirPath,
            // Completed below.
            Some("IFACE") => return argument,
            _ => ValueHint::Other,
        };
        if argument.get_action().takes_values() && argument.get_possible_values().is_empty() {
            argument.value_hint(hint)
        } else {
            argument
        }
    });
    command.mut_subcommands(hinted)
}

/// Lists the names of interfaces, in any shell.
const INTERFACES: &str = "$(command ls /sys/class/net 2>/dev/null)";

/// Interfaces behind -i, behind the % of an address and behind `interfaces`, and commands behind `man`.
fn in_bash(script: &str, cli: &clap::Command) -> String {
    let commands: Vec<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
    let behind_words = format!(
        r#"    if [[ ${{cur}} == *%* ]] ; then
        compopt -o nospace 2>/dev/null
        COMPREPLY=( $(compgen -P "${{cur%%\%*}}%" -W "{INTERFACES}" -- "${{cur#*%}}") )
        return 0
    fi
    if [[ ${{COMP_CWORD}} -gt 1 && ${{cur}} != -* ]] ; then
        case "${{COMP_WORDS[1]}}" in
            interfaces)
                COMPREPLY=( $(compgen -W "{INTERFACES}" -- "${{cur}}") )
                return 0
                ;;
            man)
                COMPREPLY=( $(compgen -W "{}" -- "${{cur}}") )
                return 0
                ;;
        esac
    fi
"#,
        commands.join(" ")
    );
    let mut text = String::new();
    let mut is_interface = false;
    for line in script.lines() {
        if is_interface {
            text += &line.replace(
                r#"compgen -f "${cur}""#,
                &format!(r#"compgen -W "all {INTERFACES}" -- "${{cur}}""#),
            );
        } else {
            text += line;
        }
        text.push('\n');
        is_interface = ["--interface)", "-i)"].contains(&line.trim());
        if line == r#"    prev="$3""# {
            text += &behind_words;
        }
    }
    text
}

fn in_fish(script: &str) -> String {
    let names = " -r -f -a 'all (command ls /sys/class/net 2>/dev/null)'";
    let lines = script.lines().map(|line| match line.strip_suffix(" -r") {
        Some(begin) if line.contains("-l interface ") => format!("{begin}{names}\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}
