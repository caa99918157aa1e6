//! The groups of discovery by their names, with the question that each takes.

use std::str::FromStr;

use manycast::proto::ssdp::{self, Search};
use manycast::proto::ws_discovery::{Body, Message, Probe, Version, device_type};
use manycast::{Address, AddressError};

/// What `ask` and `listen` take: an address, or the name of a group that everybody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Address(Address),
    Known(Known),
}

/// A group that is known by a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Ssdp,
    WsDiscovery,
    Mdns,
}

impl Known {
    const ALL: [Self; 3] = [Self::Ssdp, Self::WsDiscovery, Self::Mdns];

    const fn name(self) -> &'static str {
        match self {
            Self::Ssdp => "ssdp",
            Self::WsDiscovery => "ws-discovery",
            Self::Mdns => "mdns",
        }
    }

    /// Its groups of IPv4 and IPv6.
    fn addresses(self) -> [Address; 2] {
        let (v4, v6, port) = match self {
            Self::Ssdp => ([239, 255, 255, 250], 0xc, ssdp::PORT),
            Self::WsDiscovery => (
                [239, 255, 255, 250],
                0xc,
                manycast::proto::ws_discovery::PORT,
            ),
            // RFC 6762 §3.
            Self::Mdns => ([224, 0, 0, 251], 0xfb, 5353),
        };
        let v6 = std::net::SocketAddr::from(([0xff02, 0, 0, 0, 0, 0, 0, v6], port));
        [std::net::SocketAddr::from((v4, port)).into(), v6.into()]
    }

    /// Who or what is there? In the words of each.
    pub(crate) fn question(self) -> Vec<u8> {
        match self {
            Self::Ssdp => {
                let search = Search {
                    target: ssdp::ALL.to_owned(),
                    max_wait: Some(1),
                    ..Search::default()
                };
                let to = ([239, 255, 255, 250], ssdp::PORT).into();
                search.emit(to, ssdp::Version::default()).to_vec()
            }
            Self::WsDiscovery => {
                // RFC 9562 §5.4: version 4.
                let mut id =
                    u128::from_be_bytes(manycast::seed()[..16].try_into().unwrap_or([0; 16]));
                id = id & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
                let hex = format!("{id:032x}");
                let parts = [
                    &hex[..8],
                    &hex[8..12],
                    &hex[12..16],
                    &hex[16..20],
                    &hex[20..],
                ];
                let id = format!("urn:uuid:{}", parts.join("-"));
                let probe = Body::Probe(Probe::of(device_type()));
                Message::new(Version::V2005_04, id, probe).emit().to_vec()
            }
            // RFC 1035 §4.1.1: one question; RFC 6763 §9: which types of services there are.
            Self::Mdns => {
                let mut question = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
                for label in ["_services", "_dns-sd", "_udp", "local"] {
                    question.push(u8::try_from(label.len()).unwrap_or_default());
                    question.extend_from_slice(label.as_bytes());
                }
                // The root, PTR, IN.
                question.extend_from_slice(&[0, 0, 12, 0, 1]);
                question
            }
        }
    }
}

impl Place {
    /// Where to listen.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        match self {
            Self::Address(address) => vec![address.clone()],
            Self::Known(known) => known.addresses().to_vec(),
        }
    }

    /// Whom to ask, and by which question unless another one is typed.
    pub(crate) fn asked(&self) -> (Address, Option<Vec<u8>>) {
        match self {
            Self::Address(address) => (address.clone(), None),
            Self::Known(known) => {
                let [v4, _] = known.addresses();
                (v4, Some(known.question()))
            }
        }
    }
}

impl FromStr for Place {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let known = Known::ALL.into_iter().find(|known| known.name() == text);
        known.map_or_else(
            || text.parse().map(Self::Address),
            |known| Ok(Self::Known(known)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_is_one_of_its_protocol() {
        let (address, question) = "ssdp".parse::<Place>().unwrap().asked();
        assert_eq!(address.to_string(), "239.255.255.250:1900");
        assert!(ssdp::parse(&question.unwrap()).is_ok());
        let (address, question) = "ws-discovery".parse::<Place>().unwrap().asked();
        assert_eq!(address.to_string(), "239.255.255.250:3702");
        assert!(manycast::proto::ws_discovery::parse(&question.unwrap()).is_ok());
        let place: Place = "mdns".parse().unwrap();
        let addresses: Vec<_> = place.addresses().iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["224.0.0.251:5353", "[ff02::fb]:5353"]);
        assert_eq!(Known::Mdns.question().len(), 12 + 30 + 4);
    }
}
