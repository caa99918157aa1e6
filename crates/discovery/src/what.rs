//! What is looked for.

use std::str::FromStr;

use manycast_proto::ssdp;
use manycast_proto::ws_discovery::{Probe, device_type};
use manycast_types::Malformed;

use crate::DiscoveryProtocol;

/// What is looked for, in the words of each protocol. A protocol that has none is not asked.
///
/// It is read from a text ([`FromStr`]):
///
/// | text | what | asks by |
/// | --- | --- | --- |
/// | `_http._tcp` | a service type (RFC 6763 §7); with a subtype `_printer._sub._http._tcp` | DNS-SD |
/// | `ssdp:all`, `upnp:rootdevice`, `uuid:…`, `urn:…` | a search target (UDA 2.0 §1.3.2) | SSDP |
/// | `wsdp:Device`, `dn:NetworkVideoTransmitter`, `{NAMESPACE}NAME` | a type (WS-Discovery 1.1 §5.2) | WS-Discovery |
/// | `printer`, `camera` … | a [word](What::WORDS) for what people look for | all that have a name for it |
///
/// ```
/// use manycast::discovery::{DiscoveryProtocol, What};
///
/// let what: What = "_http._tcp".parse()?;
/// assert!(what.asks(DiscoveryProtocol::DnsSd) && !what.asks(DiscoveryProtocol::Ssdp));
/// let what: What = "printer".parse()?;
/// assert!(what.dns_sd.contains(&"_ipp._tcp".to_owned()));
/// assert!("http".parse::<What>().is_err());
/// # Ok::<(), manycast::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct What {
    /// Types of DNS-SD, such as `_http._tcp`, without a domain; [`ALL_TYPES`](Self::ALL_TYPES) asks which types there
    /// are, and then for each of them.
    pub dns_sd: Vec<String>,
    /// Targets of SSDP, such as `ssdp:all`.
    pub ssdp: Vec<String>,
    /// Questions of WS-Discovery: types, and scopes.
    pub ws_discovery: Vec<Probe>,
}

impl Default for What {
    /// Everything.
    fn default() -> Self {
        Self {
            dns_sd: vec![Self::ALL_TYPES.to_owned()],
            ssdp: vec![ssdp::ALL.to_owned()],
            // Some answer to those alone who ask for their type.
            ws_discovery: vec![Probe::default(), Probe::of(device_type())],
        }
    }
}

/// A word, and what the protocols call that.
struct Word {
    word: &'static str,
    dns_sd: &'static [&'static str],
    ssdp: &'static [&'static str],
    ws_discovery: &'static [&'static str],
}

/// The names of UPnP that are no URNs of other standards all begin so.
const UPNP: &str = "urn:schemas-upnp-org:device:";

const WORDS: [Word; 8] = [
    Word {
        word: "camera",
        dns_sd: &["_axis-video._tcp", "_rtsp._tcp"],
        ssdp: &["DigitalSecurityCamera:1"],
        ws_discovery: &["dn:NetworkVideoTransmitter"],
    },
    Word {
        word: "files",
        dns_sd: &[
            "_smb._tcp",
            "_nfs._tcp",
            "_afpovertcp._tcp",
            "_sftp-ssh._tcp",
            "_webdav._tcp",
        ],
        ssdp: &[],
        ws_discovery: &["pub:Computer"],
    },
    Word {
        word: "media-server",
        dns_sd: &["_daap._tcp", "_dpap._tcp"],
        ssdp: &["MediaServer:1"],
        ws_discovery: &[],
    },
    Word {
        word: "printer",
        dns_sd: &[
            "_ipp._tcp",
            "_ipps._tcp",
            "_printer._tcp",
            "_pdl-datastream._tcp",
        ],
        ssdp: &["Printer:1"],
        ws_discovery: &["wprt:PrintDeviceType"],
    },
    Word {
        word: "router",
        dns_sd: &[],
        ssdp: &["InternetGatewayDevice:1"],
        ws_discovery: &[],
    },
    Word {
        word: "scanner",
        dns_sd: &["_uscan._tcp", "_uscans._tcp", "_scanner._tcp"],
        ssdp: &["Scanner:1"],
        ws_discovery: &["wscn:ScanDeviceType"],
    },
    Word {
        word: "speaker",
        dns_sd: &[
            "_raop._tcp",
            "_airplay._tcp",
            "_googlecast._tcp",
            "_spotify-connect._tcp",
            "_sonos._tcp",
        ],
        ssdp: &["MediaRenderer:1"],
        ws_discovery: &[],
    },
    Word {
        word: "web",
        dns_sd: &["_http._tcp", "_https._tcp"],
        ssdp: &[],
        ws_discovery: &[],
    },
];

impl What {
    /// The question which types of services there are (RFC 6763 §9).
    pub const ALL_TYPES: &str = "_services._dns-sd._udp";

    /// The words for what people look for.
    pub const WORDS: [&str; WORDS.len()] = {
        let mut words = [""; WORDS.len()];
        let mut index = 0;
        while index < WORDS.len() {
            words[index] = WORDS[index].word;
            index += 1;
        }
        words
    };

    const NOTHING: Self = Self {
        dns_sd: Vec::new(),
        ssdp: Vec::new(),
        ws_discovery: Vec::new(),
    };

    /// Whether a protocol has something to ask for.
    pub const fn asks(&self, protocol: DiscoveryProtocol) -> bool {
        match protocol {
            DiscoveryProtocol::DnsSd => !self.dns_sd.is_empty(),
            DiscoveryProtocol::Ssdp => !self.ssdp.is_empty(),
            DiscoveryProtocol::WsDiscovery => !self.ws_discovery.is_empty(),
        }
    }
}

impl FromStr for What {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let begins = |with: &str| {
            let start = text.get(..with.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(with))
        };
        if let Some(word) = WORDS.iter().find(|word| word.word == text) {
            let owned = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect();
            return Ok(Self {
                dns_sd: owned(word.dns_sd),
                ssdp: word.ssdp.iter().map(|it| format!("{UPNP}{it}")).collect(),
                ws_discovery: (word.ws_discovery.iter())
                    .filter_map(|it| Some(Probe::of(crate::ws_discovery::name(it)?)))
                    .collect(),
            });
        }
        if text.starts_with('_') {
            return Ok(Self {
                dns_sd: vec![service_type(text)?],
                ..Self::NOTHING
            });
        }
        if ["ssdp:", "upnp:", "uuid:", "urn:"].into_iter().any(begins) {
            if text
                .chars()
                .any(|letter| letter.is_control() || letter == ' ')
            {
                return Err(Malformed::new("a search target holds no spaces", 0));
            }
            return Ok(Self {
                ssdp: vec![text.to_owned()],
                ..Self::NOTHING
            });
        }
        if let Some(name) = crate::ws_discovery::name(text) {
            return Ok(Self {
                ws_discovery: vec![Probe::of(name)],
                ..Self::NOTHING
            });
        }
        let words = Self::WORDS.join(", ");
        Err(Malformed::new(
            format!(
                "{text:?} is nothing that can be looked for; write a type such as _http._tcp, a target such as \
                 urn:schemas-upnp-org:device:MediaServer:1, or one of {words}"
            ),
            0,
        ))
    }
}

/// A type of DNS-SD, without its domain.
///
/// # Errors
///
/// It is none: RFC 6763 §7 wants `_NAME._tcp` or `_NAME._udp`, and RFC 6335 §5.1 names of 1 to 15 letters, digits and
/// hyphens.
pub(crate) fn service_type(text: &str) -> Result<String, Malformed> {
    let text = text.trim_end_matches('.');
    let bare = text.strip_suffix(".local").unwrap_or(text);
    let wrong = |what: &'static str| Err(Malformed::new(what, 0));
    let labels: Vec<&str> = bare.split('.').collect();
    let [rest @ .., name, transport] = &labels[..] else {
        return wrong("a type has two parts; write _http._tcp");
    };
    if !["_tcp", "_udp"].contains(transport) {
        return wrong("a type ends with _tcp or _udp; write _http._tcp");
    }
    let is_name = |name: &str| {
        let name = name.strip_prefix('_').unwrap_or_default();
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !name.is_empty() && name.bytes().all(known)
    };
    if !is_name(name) {
        return wrong("the name of a type is _ and letters, digits and hyphens; write _http._tcp");
    }
    // The library that asks takes up to 30; RFC 6335 §5.1 allows 15, and some real types are longer.
    if name.len() > 31 {
        return wrong("the name of a type has 30 letters at most");
    }
    match rest {
        [] => {}
        [subtype, "_sub"] if is_name(subtype) => {}
        // RFC 6763 §9: it names no service.
        _ if bare == What::ALL_TYPES => {}
        _ => {
            return wrong("before a type only a subtype can stand; write _printer._sub._http._tcp");
        }
    }
    Ok(bare.to_owned())
}
