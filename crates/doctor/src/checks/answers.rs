//! No answer of a group came to who asked it.

use std::net::SocketAddr;

use super::super::answers::QUIET;
use super::super::proof::Doubt;
use super::super::{Code, Context, Finding, Tally, Watched};

/// That no answer came; `asked` is the group.
pub(super) fn run(context: &Context, watched: &Watched, asked: SocketAddr) -> Finding {
    let target = &context.target;
    let seconds = watched.lasted.as_secs_f64();
    let waited = format!(
        "no answer of another host came to {} in {seconds:.1} s",
        target.address
    );
    let as_root = format!(
        "as root, the doctor sees whether answers come in by the wire: sudo manycast doctor {asked} --answers"
    );
    let tally = context.tally();
    if watched.captured.is_none() && lost_answers(watched, &tally) > super::FEW {
        return Finding::fault(
            Code::FirewallDrops,
            Doubt::Likely,
            format!("a firewall of this host seems to drop the answers to questions to {asked}"),
        )
        .because(waited)
        .because(format!(
            "meanwhile {} came to IP and went no further; in the {} s before the questions it were {}",
            super::count(tally.lost(), "packet"),
            QUIET.as_secs(),
            watched.quiet.lost()
        ))
        .because(WHY)
        .remedy(format!(
            "let pass what comes from port {}, where its chain is '{family} filter INPUT': sudo nft \
             insert rule {family} filter INPUT udp sport {} accept",
            asked.port(),
            asked.port(),
            family = if target.is_ipv4() { "ip" } else { "ip6" }
        ))
        .confirm(as_root);
    }
    let came = context.lost_of_target();
    let finding = if came > 0 {
        Finding::fault(
            Code::NotArriving,
            Doubt::CannotSee,
            format!("answers to {asked} come in by the wire and are not received, and why cannot be seen"),
        )
        .because(waited)
        .because(format!(
            "{} to the port that asked came in by the wire",
            super::count(came, "datagram")
        ))
        .confirm("sudo nft list ruleset; sudo bpftool net")
    } else if watched.captured.is_some() {
        Finding::fault(
            Code::NotArriving,
            Doubt::Likely,
            format!("nobody answers to {asked}"),
        )
        .because(waited)
        .because("none was captured on the wire")
    } else {
        Finding::fault(
            Code::NotArriving,
            Doubt::CannotSee,
            format!("no answer to {asked} was received, and whether any arrives cannot be seen"),
        )
        .because(waited)
        .confirm(as_root)
    };
    if came > 0 {
        return finding;
    }
    finding.remedy(format!(
        "see whether a member runs, and whether the question reaches it: on its host, manycast doctor \
         {asked}"
    ))
}

/// Why a firewall that lets in what belongs to a connection does not know answers to a group.
pub(super) const WHY: &str = "a rule that lets in what is established does not match answers to a group: \
                              the question went there, and they come from elsewhere";

/// About how many packets to this host alone, as answers are, came and went no further, beyond what is
/// usual as the time before tells.
fn lost_answers(watched: &Watched, tally: &Tally) -> u64 {
    let quiet = &watched.quiet;
    // Of what came to groups before, so much was lost at most. Of what came now it was the same part; or
    // all, where nothing came before: what hosts say to all others now and then.
    let (came, lost) = (quiet.multicast, quiet.lost().min(quiet.multicast));
    let to_groups = (u128::from(tally.multicast) * u128::from(lost))
        .checked_div(came.into())
        .map_or(tally.multicast, |lost| {
            u64::try_from(lost).unwrap_or(u64::MAX)
        });
    let before = u128::from(quiet.lost() - lost) * watched.lasted.as_millis();
    let usual = u64::try_from(before.div_ceil(QUIET.as_millis())).unwrap_or(u64::MAX);
    let alone = tally.lost().saturating_sub(to_groups);
    alone.saturating_sub(usual)
}
