//! Groups that are asked, and whose members answer by unicast.

use std::net::IpAddr;

use super::{Program, Target};

/// Protocols that ask a group and are answered to the port that asked: port and name, and by which
/// standard.
const ASKED: [(u16, &str); 5] = [
    // RFC 2608 §6.1.
    (427, "SLP"),
    // UPnP Device Architecture 2.0 §1.3.
    (1900, "SSDP"),
    // WS-Discovery 1.1 §3.1.
    (3702, "WS-Discovery"),
    // RFC 4795 §2.3.
    (5355, "LLMNR"),
    // RFC 7252 §8.
    (5683, "CoAP"),
];

/// That the answers to a question are not watched here, and what does that.
pub(super) fn note(target: &Target, program: Option<&Program>) -> Option<String> {
    let (port, name) = ASKED.into_iter().find(|(port, _)| *port == target.port)?;
    if !target.is_group() {
        return None;
    }
    let address = &target.address;
    let version = |ip: IpAddr| ip.is_ipv4() == target.is_ipv4();
    let asks = program.into_iter().flat_map(|program| &program.sockets);
    let asks = asks.map(|found| found.socket.local);
    let asks = asks.filter(|local| ![0, port].contains(&local.port()) && version(local.ip()));
    let ports: Vec<String> = asks.map(|local| local.port().to_string()).collect();
    let to = if ports.is_empty() {
        "the port that asked".to_owned()
    } else {
        format!("the port that asked (here {})", ports.join(", "))
    };
    Some(format!(
        "members of {address} ({name}) answer by unicast, to {to}, and that is not watched here: a \
         firewall that lets the group in may drop the answers. To see whether they come: manycast ask \
         {address} QUESTION"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::target;
    use super::*;

    #[test]
    fn who_asks_a_group_is_told_of_the_answers() {
        let note = |address: &str| note(&target(&address.parse().unwrap()).unwrap(), None);
        for asked in ["239.255.255.250:1900", "[ff15::c]:3702", "224.0.0.252:5355"] {
            assert!(
                note(asked).is_some_and(|note| note.contains("manycast ask")),
                "{asked}"
            );
        }
        for other in ["239.1.2.3:5000", "127.0.0.1:1900"] {
            assert_eq!(note(other), None);
        }
    }
}
