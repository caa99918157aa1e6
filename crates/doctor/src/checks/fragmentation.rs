//! Datagrams that come in pieces and are never put together.

use super::super::proof::{Grade, Proof};
use super::super::{Code, Context, Finding};

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.vain()?;
    let tally = context.tally();
    if context.is_silent()
        || tally.fragments == 0
        || tally.reassembled > 0
        || !watched.wide.is_empty()
    {
        return None;
    }
    let ours = watched
        .captured
        .as_ref()
        .map_or(0, |captured| captured.count(context.target.port));
    let mtu = context
        .host
        .interfaces
        .iter()
        .filter(|interface| !interface.loopback)
        .map(|interface| interface.mtu)
        .min()
        .unwrap_or(1500);
    let headers = if context.target.is_ipv4() { 28 } else { 48 };
    Some(
        Finding::fault(
            Code::Fragmentation,
            // They may be of others; who captures on the wire knows whose they are.
            Grade::proved_if(ours > super::FEW, Proof::Seen),
            "datagrams come in pieces, and some of the pieces are lost",
        )
        .because(format!(
            "{} came, and no datagram could be put together of them",
            super::count(tally.fragments, "fragment")
        ))
        .remedy(format!(
            "let the sender write at most {} bytes at once, or let fragments pass on the way",
            mtu.saturating_sub(headers)
        ))
        .confirm("which sizes pass: 'manycast doctor serve' at the sender's host, and --with here"),
    )
}
