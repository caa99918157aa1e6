//! Datagrams that come in pieces and are never put together.

use super::super::{Code, Confidence, Context, Finding};

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
            Confidence::proved_if(tally.fragments == tally.lost()),
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
