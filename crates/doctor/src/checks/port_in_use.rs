//! A program that has the port for itself.

use manycast_net::ErrorKind;

use super::super::proof::Proof;
use super::super::{Code, Context, Finding};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let port = context.target.port;
    let obstacle = context.watched.as_ref()?.obstacle.as_ref()?;
    if obstacle.kind != ErrorKind::AddressInUse {
        return None;
    }
    let title = format!("another program has port {port} and does not share it");
    let finding = if context.program.is_some() {
        // It is the program that is examined, and it has what it wants.
        Finding::warning(Code::PortInUse, Proof::Kernel, title)
    } else {
        Finding::fault(Code::PortInUse, Proof::Kernel, title)
    };
    let holders = context
        .host
        .sockets
        .iter()
        .filter(|socket| socket.local.port() == port);
    let evidence = holders.map(|socket| {
        format!(
            "a socket of user {} is bound to {}",
            socket.user, socket.local
        )
    });
    let mut finding = finding.because(obstacle.text.clone());
    finding.evidence.extend(evidence);
    Some(finding.remedy(format!(
        "see whose it is with 'ss -uanp sport = :{port}', and stop it, or let it set SO_REUSEADDR \
         before it binds; to explain what it receives: manycast doctor {} --port",
        context.target.address
    )))
}
