//! Receive buffers: full ones, and those that are smaller than was asked for.

use super::super::proof::{Doubt, Grade, Proof};
use super::super::{Code, Context, Finding, Tally};

const LIMIT: &str = "net.core.rmem_max";

/// The command that lets programs ask for larger buffers: the same number, whatever it is told for.
fn more_room(context: &Context) -> String {
    let limit = context.host.number(LIMIT).unwrap_or(0);
    format!("sudo sysctl -w {LIMIT}={}", (limit * 8).max(16 << 20))
}

/// A buffer that was full while it was watched.
pub(super) fn overflow(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let moved = |name| watched.joining.get(name);
    // The socket counts what a filter refuses as well, and a wrong checksum; full buffers have a counter
    // of their own, of all sockets.
    let full = Tally::of(&watched.joining, context.target.is_ipv4()).overflow;
    let (who, dropped, size, was_full) = match &context.program {
        None => {
            // It has no filter.
            let otherwise = ["Udp.InCsumErrors", "Udp6InCsumErrors"].map(moved);
            let refused = Tally::of(&watched.joining, true).refused_by_ipsec;
            let otherwise = otherwise.iter().sum::<u64>() + refused;
            (
                "this listener".to_owned(),
                watched.dropped,
                watched.buffer.map_or(0, |buffer| buffer.granted as u64),
                watched.dropped > otherwise,
            )
        }
        Some(program) => {
            let found = program
                .sockets
                .iter()
                .filter(|found| found.socket.local.port() == context.target.port)
                .max_by_key(|found| found.dropped)?;
            let size = found.socket.receive_buffer.unwrap_or(0) / 2;
            // Where all that was dropped on this host was dropped for full buffers, so it was here. These
            // are not read at the same moments.
            let all = program.dropped_on_host;
            let full = ["Udp.RcvbufErrors", "Udp6RcvbufErrors"].map(moved);
            let full = full.iter().sum::<u64>().saturating_sub(watched.dropped);
            (
                program.name.clone(),
                found.dropped,
                u64::from(size),
                full + super::slack(all) >= all,
            )
        }
    };
    (dropped > 0 && full > 0).then(|| {
        Finding::fault(
            Code::ReceiveBufferOverflow,
            Grade::proved_if(was_full, Proof::Kernel),
            format!("{who} does not keep up: its receive buffer was full"),
        )
        .because(format!(
            "its socket dropped {} in {:.1} s",
            super::count(dropped, "datagram"),
            watched.lasted.as_secs_f64()
        ))
        .because(format!("the buffer has {size} bytes"))
        .remedy(format!(
            "let it receive faster; or ask for more with SO_RCVBUF, after: {}",
            more_room(context)
        ))
    })
}

/// Datagrams that the program's socket refused, though no buffer was full: a filter did.
pub(super) fn filter(context: &Context) -> Option<Finding> {
    let (program, watched) = (context.program.as_ref()?, context.watched.as_ref()?);
    let tally = Tally::of(&watched.joining, context.target.is_ipv4());
    let on_port = program.sockets.iter();
    let found = on_port
        .filter(|found| found.socket.local.port() == context.target.port)
        .max_by_key(|found| found.dropped)?;
    // The socket counts wrong checksums as well, and what a policy of IPsec refuses.
    let others = tally.overflow + tally.checksums + tally.refused_by_ipsec;
    (found.dropped > 0 && others == 0).then(|| {
        Finding::fault(
            Code::SocketFilter,
            Doubt::Likely,
            format!("a filter on the socket of {} drops datagrams", program.name),
        )
        .because(format!(
            "its socket {} dropped {}",
            found.socket.local,
            super::count(found.dropped, "datagram")
        ))
        .because(format!(
            "no receive buffer of this host was full meanwhile ({} did not move)",
            if context.target.is_ipv4() {
                "Udp.RcvbufErrors"
            } else {
                "Udp6RcvbufErrors"
            }
        ))
        .remedy(
            "look for SO_ATTACH_FILTER and SO_ATTACH_BPF in the program; a larger buffer does not help",
        )
        .confirm("sudo bpftool cgroup tree; sudo bpftool prog list")
    })
}

/// Buffers of other programs.
pub(super) fn overflow_elsewhere(context: &Context) -> Option<Finding> {
    let tally = context.tally();
    let own = context.watched.as_ref()?.dropped;
    (context.program.is_none() && tally.overflow > 0 && own == 0).then(|| {
        Finding::warning(
            Code::ReceiveBufferOverflow,
            Doubt::Possible,
            "a program of this host does not keep up with what it receives",
        )
        .because(format!(
            "{} dropped meanwhile for want of room in some receive buffer",
            super::count(tally.overflow, "datagram")
        ))
        .confirm("the last column of /proc/net/udp, or 'ss -uanm', tells which socket")
    })
}

/// A buffer that is smaller than was asked for.
pub(super) fn capped(context: &Context) -> Option<Finding> {
    let limit = context.host.number(LIMIT)?;
    let finding = match &context.program {
        None => {
            let buffer = context.watched.as_ref()?.buffer?;
            if !buffer.is_capped() {
                return None;
            }
            Finding::warning(
                Code::ReceiveBufferCapped,
                Proof::Kernel,
                format!(
                    "the kernel grants a receive buffer of {} bytes only",
                    buffer.granted
                ),
            )
            .because(format!(
                "{} were asked for, and {LIMIT} is {limit}",
                buffer.requested
            ))
        }
        Some(program) => {
            let usual = context.host.number("net.core.rmem_default")?;
            // The kernel grants twice the limit to whoever asks for more, and says nothing.
            let capped = |size: u32| u64::from(size) == 2 * limit && u64::from(size) != usual;
            let found = program.sockets.iter().find(|found| {
                found.socket.local.port() == context.target.port
                    && found.socket.receive_buffer.is_some_and(capped)
            })?;
            Finding::warning(
                Code::ReceiveBufferCapped,
                Doubt::Likely,
                format!(
                    "{} asked for a larger receive buffer than it got",
                    program.name
                ),
            )
            .because(format!(
                "the buffer of its socket {} is {limit} bytes, which is exactly {LIMIT}",
                found.socket.local
            ))
        }
    };
    Some(finding.remedy(more_room(context)))
}
