//! One file a command: its arguments and its `run`.

pub(crate) mod announce;
pub(crate) mod ask;
pub(crate) mod complete;
pub(crate) mod demo;
pub(crate) mod discover;
pub(crate) mod doctor;
pub(crate) mod echo;
pub(crate) mod input;
pub(crate) mod interfaces;
pub(crate) mod known;
pub(crate) mod listen;
pub(crate) mod man;
pub(crate) mod measure;
pub(crate) mod receive_files;
pub(crate) mod receive_stream;
pub(crate) mod send;
pub(crate) mod send_files;
pub(crate) mod send_stream;
pub(crate) mod tftp;

use anyhow::bail;
use manycast::{Address, AddressError, Host, InterfaceSelector, Malformed};

use crate::Outcome;
use crate::cli::Command;
use crate::output::Output;
use crate::usage;
use crate::values::Interfaces;

pub(crate) fn run(command: Command, output: &mut Output) -> anyhow::Result<Outcome> {
    match command {
        Command::Send(args) => send::run(args, output),
        Command::Listen(args) => listen::run(args, output),
        Command::Echo(args) => echo::run(args, output),
        Command::Ask(args) => ask::run(args, output),
        Command::Interfaces(args) => interfaces::run(args, output),
        Command::Measure(args) => measure::run(args, output),
        Command::Doctor(args) => doctor::run(args, output),
        Command::SendFiles(args) => send_files::run(args, output),
        Command::ReceiveFiles(args) => receive_files::run(args, output),
        Command::SendStream(args) => send_stream::run(args, output),
        Command::ReceiveStream(args) => receive_stream::run(args, output),
        Command::Tftp(args) => tftp::run(args, output),
        Command::Discover(args) => discover::run(args, output),
        Command::Announce(args) => announce::run(args, output),
        Command::Demo(args) => demo::run(args, output),
        Command::Completions(args) => complete::completions(args, output),
        Command::Man(args) => man::man(args, output),
    }
}

/// Which interfaces an address is to be used on, after the address itself and the options `-i`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Choice {
    /// None is named, or the address names one.
    AsIs,
    All,
    These(Vec<InterfaceSelector>),
}

fn choice(address: &Address, interfaces: &[Interfaces]) -> anyhow::Result<Choice> {
    if interfaces.is_empty() {
        return Ok(Choice::AsIs);
    }
    if let Some(named) = address.interface() {
        let agrees = |interface: &Interfaces| match interface {
            Interfaces::All => false,
            Interfaces::One(selector) => is_same(named, selector),
        };
        if interfaces.iter().all(agrees) {
            return Ok(Choice::AsIs);
        }
        bail!("{address} names {named} already; leave out one of %{named} and -i");
    }
    let mut these = Vec::new();
    for interface in interfaces {
        match interface {
            Interfaces::All => return Ok(Choice::All),
            // By whatever name, each once.
            Interfaces::One(selector) if these.iter().any(|known| is_same(known, selector)) => {}
            Interfaces::One(selector) => these.push(selector.clone()),
        }
    }
    Ok(Choice::These(these))
}

/// Whether both name one interface, such as `eth0` and its index.
fn is_same(one: &InterfaceSelector, other: &InterfaceSelector) -> bool {
    let index = |selector| manycast::find_interface(selector).ok().map(|it| it.index);
    one == other || index(one).is_some_and(|one| index(other) == Some(one))
}

/// Refuses an address that nothing can be sent to.
fn must_be_a_destination(address: &Address) -> anyhow::Result<()> {
    let text = address.to_string();
    let before_port = text.rfind(':').unwrap_or_default();
    let host = &text[..before_port];
    let (what, offset) = match (address.host(), address.port()) {
        (Host::Any, 0) => (
            "it names neither host nor port; write HOST:PORT".to_owned(),
            0,
        ),
        (Host::Any, port) => (format!("it names no host to send to; write HOST:{port}"), 0),
        // Linux takes the unspecified address for this host.
        (Host::Ip(ip), _) if ip.is_unspecified() => {
            ("it names no destination; write HOST:PORT".to_owned(), 0)
        }
        (_, 0) => (
            format!("nobody can be sent to at port 0; write {host}:PORT"),
            before_port + 1,
        ),
        _ => return Ok(()),
    };
    let malformed = Malformed::new(what, offset);
    bail!(usage::pointed_at(&AddressError { text, malformed }))
}

/// The addresses to listen on. To listen on all interfaces is what an address without one means.
fn to_listen_on(addresses: &[Address], interfaces: &[Interfaces]) -> anyhow::Result<Vec<Address>> {
    let mut chosen = Vec::new();
    for address in addresses {
        match choice(address, interfaces)? {
            Choice::AsIs | Choice::All => chosen.push(address.clone()),
            Choice::These(these) => {
                chosen.extend(these.into_iter().map(|on| address.clone().on(on)));
            }
        }
    }
    Ok(chosen)
}
