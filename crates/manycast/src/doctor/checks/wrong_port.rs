//! The datagrams go to another port.

use super::super::{Code, Confidence, Context, Finding};

/// Of what this host receives.
pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.vain()?;
    let target = &context.target;
    let tally = context.tally();
    if tally.ignored == 0 || !watched.wide.is_empty() || !target.is_group() {
        return None;
    }
    let (group, port) = (target.ip, target.port);
    let mut others: Vec<_> = context
        .host
        .joined_by_programs(target.is_ipv4())
        .map(|joined| joined.group)
        .filter(|joined| *joined != group)
        .collect();
    others.dedup();
    let counter = if target.is_ipv4() {
        "Udp.IgnoredMulti"
    } else {
        "Udp6IgnoredMulti"
    };
    let finding = Finding::fault(
        Code::WrongPort,
        Confidence::proved_if(others.is_empty()),
        format!("datagrams to {group} arrive, but not for port {port}"),
    )
    .because(format!(
        "{counter} moved by {}: datagrams to joined groups that no socket wanted",
        tally.ignored
    ));
    let heard: Vec<String> = watched
        .heard
        .iter()
        .flat_map(|heard| &heard.senders)
        .map(|(source, port, count)| format!("{count} of {source} to port {port}"))
        .collect();
    let finding = if heard.is_empty() {
        finding
    } else {
        finding.because(format!("heard on the wire: {}", super::list(heard)))
    };
    let finding = if others.is_empty() {
        finding.because(format!("{group} is the only group that is joined here"))
    } else {
        finding.because(format!("also joined here: {}", super::list(others)))
    };
    Some(
        finding
            .remedy("ask for the port at the sender, and write it after the colon")
            .settle(format!("sudo tcpdump -ni any udp and dst host {group}")),
    )
}

/// Of a program that is examined.
pub(super) fn of_program(context: &Context) -> Option<Finding> {
    let program = context.program.as_ref()?;
    let port = context.target.port;
    let sockets = || program.sockets.iter().map(|found| &found.socket);
    // A sender has another port by nature.
    let sends = sockets().any(|socket| {
        socket
            .peer
            .is_some_and(|peer| peer.port() == port && peer.ip() == context.target.ip)
    });
    if sends || sockets().any(|socket| socket.local.port() == port) {
        return None;
    }
    let joins = program
        .sockets
        .iter()
        .flat_map(|found| found.memberships.iter().flatten())
        .any(|membership| membership.group == context.target.ip);
    Some(
        Finding::fault(
            Code::WrongPort,
            Confidence::proved_if(joins),
            format!("{} has no socket on port {port}", program.name),
        )
        .because(format!(
            "its UDP sockets are bound to {}",
            super::list(sockets().map(|socket| socket.local))
        ))
        .remedy(format!(
            "let it bind to port {port}, or let the sender use another"
        )),
    )
}
