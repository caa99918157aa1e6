//! How large the frames of the links of two hosts may be.
//!
//! What a host sends whole, since its own link takes it, is dropped where another link does not, and is not
//! sent in pieces. The far host tells its MTU in words, at the step where datagrams arrive.

use manycast_net::Interface;

use super::{Code, Confidence, Finding, Step, StepState};

const MTU: &str = "MTU ";

/// Adds the MTU of the link to what is told of what arrives by it.
pub(super) fn tell(steps: &mut [StepState], link: &Interface) {
    for state in steps.iter_mut().filter(|state| state.step == Step::Arrived) {
        let before = if state.detail.is_empty() { "" } else { ", " };
        state.detail += &format!("{before}{} has {MTU}{}", link.name, link.mtu);
    }
}

/// The MTU that the other host has told.
fn told(steps: &[StepState]) -> Option<u32> {
    let state = steps.iter().find(|state| state.step == Step::Arrived)?;
    state.detail.rsplit_once(MTU)?.1.parse().ok()
}

/// Datagrams above a size do not arrive, and the sender's link takes larger frames than that of who
/// receives them.
pub(super) fn compare(link: &Interface, far: &str, steps: &[StepState], between: &mut [Finding]) {
    let Some(there) = told(steps).filter(|there| *there != link.mtu) else {
        return;
    };
    let here = link.mtu;
    for finding in between
        .iter_mut()
        .filter(|found| found.code == Code::Fragmentation)
    {
        let to_here = finding.host.is_none();
        if to_here != (there > here) {
            continue;
        }
        let (sender, large, receiver, small) = if to_here {
            (far, there, "this host", here)
        } else {
            ("this host", here, far, there)
        };
        finding.title = format!(
            "what {sender} sends in large frames does not arrive: its MTU is {large}, and that of \
             {receiver} is {small}"
        );
        // Pieces may be dropped as well.
        finding.confidence = finding.confidence.max(Confidence::Likely);
        finding.evidence.push(format!(
            "the link of {sender} takes up to {large} bytes in one frame, so that less is not sent in pieces"
        ));
        finding.remedy = Some(format!(
            "give all hosts on the link, and the switches, one MTU: on {sender} sudo ip link set dev \
             INTERFACE mtu {small}; or send at most {} bytes at once",
            small.saturating_sub(48)
        ));
    }
}
