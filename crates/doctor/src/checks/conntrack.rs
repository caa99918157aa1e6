//! The tracking of connections whose table is full: it drops what would be a new connection.

use super::super::proof::Grade;
use super::super::{Code, Context, Finding, Tally};

/// How many connections are tracked at most.
pub(crate) const LIMIT: &str = "net.netfilter.nf_conntrack_max";

pub(super) fn run(context: &Context) -> Option<Finding> {
    let watched = context.watched.as_ref()?;
    let drops = watched.conntrack_drops;
    let came = !watched.exact.is_empty() || !watched.wide.is_empty();
    if drops <= super::few(watched) || came || watched.obstacle.is_some() || context.is_silent() {
        return None;
    }
    let lost = context.lost_of_target();
    let since = Tally::of(&watched.joining, context.target.is_ipv4());
    if watched.captured.is_some() && drops * 2 < lost {
        return None;
    }
    let finding = Finding::fault(
        Code::ConntrackFull,
        Grade::or_likely(super::by_captured(watched, lost, drops, |moved| {
            moved.conntrack_drops
        })),
        "this host tracks as many connections as it may, and drops what would be a new one",
    )
    .because(format!(
        "the tracking of connections dropped {} (drop in /proc/net/stat/nf_conntrack), of {} that \
         came and were not delivered",
        super::count(drops, "packet"),
        since.lost()
    ))
    .remedy(format!(
        "let it track more: sudo sysctl -w {LIMIT}={}; or do not track these: sudo nft add table \
         inet untracked; sudo nft add chain inet untracked c '{{ type filter hook prerouting \
         priority raw; }}'; sudo nft add rule inet untracked c udp dport {} notrack",
        context
            .host
            .number(LIMIT)
            .unwrap_or(1 << 17)
            .saturating_mul(4),
        context.target.port
    ));
    Some(if watched.captured.is_some() {
        finding
    } else {
        finding
            .because("these may be other packets than those that were to arrive")
            .confirm(format!(
                "as root, the doctor sees how many there were: sudo manycast doctor {}",
                context.target.address
            ))
    })
}
