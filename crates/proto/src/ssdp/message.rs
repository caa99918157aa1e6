//! What stands in a datagram.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use manycast_types::Malformed;

use super::headers::Headers;
use super::{Deviation, Deviations, Version, date};

/// What `ssdp:discover` stands for in MAN.
const DISCOVER: &str = "ssdp:discover";

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Somebody searches.
    Search(Search),
    /// A device says what it is, or was.
    Advertisement(Advertisement),
}

/// A question (`M-SEARCH`, UDA 2.0 §1.3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// What is searched for (ST).
    pub target: String,
    /// Within how many seconds answers are wanted (MX); `None` where it is missing, as it is in a question to one host.
    pub max_wait: Option<u8>,
    /// The system and the program that asks (USER-AGENT).
    pub user_agent: Option<String>,
    /// The name of the client for people (CPFN.UPNP.ORG).
    pub friendly_name: Option<String>,
}

/// What an [`Advertisement`] is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The answer to a question (§1.3.3).
    #[default]
    Response,
    /// `ssdp:alive` (§1.2.2).
    Alive,
    /// `ssdp:update` (§1.2.4).
    Update,
    /// `ssdp:byebye` (§1.2.3).
    Byebye,
}

/// What a device says of one of its parts. Texts are what the device has sent, but without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertisement {
    /// What it is said for.
    pub kind: Kind,
    /// What the part is (NT), or of what it answers to (ST).
    pub target: String,
    /// Which part it is (USN): mostly `uuid:…`, or `uuid:…::` and the target.
    pub usn: Option<String>,
    /// Where its description is (LOCATION).
    pub location: Option<String>,
    /// The same by TLS (SECURELOCATION.UPNP.ORG).
    pub secure_location: Option<String>,
    /// Its system and program (SERVER).
    pub server: Option<String>,
    /// When it was said (DATE), to the second; in a response.
    pub date: Option<SystemTime>,
    /// How long it holds (CACHE-CONTROL: max-age).
    pub max_age: Option<Duration>,
    /// Rises with each start of the device, and when its addresses change (BOOTID.UPNP.ORG).
    pub boot_id: Option<u32>,
    /// What it rises to next (NEXTBOOTID.UPNP.ORG); in an update.
    pub next_boot_id: Option<u32>,
    /// Changes with the description (CONFIGID.UPNP.ORG).
    pub config_id: Option<u32>,
    /// The port at which questions to this host alone are answered (SEARCHPORT.UPNP.ORG); 1900 where it is missing.
    pub search_port: Option<u16>,
    /// Stands for the BOOTID where a device of UDA 1.0 is on IPv6 (01-NLS, Annex A); text, since it need be no number.
    pub network: Option<String>,
}

/// Reads a datagram, and says in which ways it is not what the standard asks for.
///
/// # Errors
///
/// It is no SSDP, or says nothing that can be used: what is searched for or advertised is missing. Also where a control
/// character stands in it, or it is longer than [`MAX_READ`](super::MAX_READ).
pub fn parse(payload: &[u8]) -> Result<(Message, Deviations), Malformed> {
    let mut headers = Headers::parse(payload)?;
    let start = headers.start.clone();
    let mut words = start.split_ascii_whitespace();
    let (first, second, third) = (words.next(), words.next(), words.next());
    let first = first.unwrap_or_default();
    let upper = first.to_ascii_uppercase();
    let message = match upper.as_str() {
        "M-SEARCH" | "NOTIFY" => {
            if first != upper {
                headers.deviations.note(Deviation::Case);
            }
            if (second, third) != (Some("*"), Some("HTTP/1.1")) || words.next().is_some() {
                headers.deviations.note(Deviation::StartLine);
            }
            headers.expect("host", Deviation::NoHost);
            if upper == "NOTIFY" {
                Message::Advertisement(notification(&mut headers)?)
            } else {
                Message::Search(search(&mut headers)?)
            }
        }
        _ if upper.starts_with("HTTP/1.") => {
            if second != Some("200") {
                return Err(Malformed::new("the answer is not 200 OK", 0));
            }
            if first != "HTTP/1.1" {
                headers.deviations.note(Deviation::StartLine);
            }
            Message::Advertisement(advertisement(&mut headers, Kind::Response, "st")?)
        }
        _ => return Err(Malformed::new("it is no message of SSDP", 0)),
    };
    Ok((message, headers.deviations))
}

fn search(headers: &mut Headers) -> Result<Search, Malformed> {
    match headers.text("man").map(str::to_owned) {
        None => headers.deviations.note(Deviation::NoMan),
        Some(man) => {
            let bare = man.trim_matches('"');
            if bare.len() == man.len() {
                headers.deviations.note(Deviation::Unquoted);
            }
            keyword(headers, bare, DISCOVER)?;
        }
    }
    Ok(Search {
        target: required(headers, "st")?,
        max_wait: headers
            .number::<u64>("mx")
            .map(|seconds| u8::try_from(seconds).unwrap_or(u8::MAX)),
        user_agent: owned(headers, "user-agent"),
        friendly_name: owned(headers, "cpfn.upnp.org"),
    })
}

fn notification(headers: &mut Headers) -> Result<Advertisement, Malformed> {
    let nts = required(headers, "nts")?;
    let kind = match nts.to_ascii_lowercase().as_str() {
        "ssdp:alive" => Kind::Alive,
        "ssdp:update" => Kind::Update,
        "ssdp:byebye" => Kind::Byebye,
        _ => return Err(Malformed::new("NTS is none that is known", 0)),
    };
    keyword(headers, &nts, kind.nts())?;
    advertisement(headers, kind, "nt")
}

fn advertisement(
    headers: &mut Headers,
    kind: Kind,
    target: &'static str,
) -> Result<Advertisement, Malformed> {
    let target = required(headers, target)?;
    headers.expect("usn", Deviation::NoUsn);
    if kind != Kind::Byebye {
        headers.expect("location", Deviation::NoLocation);
    }
    let max_age = max_age(headers);
    if max_age.is_none() && matches!(kind, Kind::Alive | Kind::Response) {
        headers.deviations.note(Deviation::NoMaxAge);
    }
    Ok(Advertisement {
        kind,
        target,
        usn: owned(headers, "usn"),
        location: owned(headers, "location"),
        secure_location: owned(headers, "securelocation.upnp.org"),
        server: owned(headers, "server"),
        date: headers.text("date").and_then(date::parse),
        max_age,
        boot_id: headers.number("bootid.upnp.org"),
        next_boot_id: headers.number("nextbootid.upnp.org"),
        config_id: headers.number("configid.upnp.org"),
        search_port: headers
            .number("searchport.upnp.org")
            .filter(|port| *port > 0),
        network: owned(headers, "01-nls"),
    })
}

/// The value of `max-age`, which may stand among other directives and with spaces (RFC 9111 §5.2).
fn max_age(headers: &mut Headers) -> Option<Duration> {
    let directives = owned(headers, "cache-control")?;
    let value = directives.split(',').find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        name.trim().eq_ignore_ascii_case("max-age").then_some(value)
    })?;
    match value.trim().trim_matches('"').parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            headers.deviations.note(Deviation::Number);
            None
        }
    }
}

fn owned(headers: &Headers, name: &str) -> Option<String> {
    headers.text(name).map(str::to_owned)
}

fn required(headers: &Headers, name: &'static str) -> Result<String, Malformed> {
    owned(headers, name).ok_or_else(|| {
        let what = format!("the header {} is missing", name.to_ascii_uppercase());
        Malformed::new(what, 0)
    })
}

/// Fails where a word is not the one that is meant, and notes where it is in another case.
fn keyword(headers: &mut Headers, word: &str, meant: &str) -> Result<(), Malformed> {
    if !word.eq_ignore_ascii_case(meant) {
        return Err(Malformed::new(format!("{meant} is not what it says"), 0));
    }
    if word != meant {
        headers.deviations.note(Deviation::Case);
    }
    Ok(())
}

impl Kind {
    const fn nts(self) -> &'static str {
        match self {
            Self::Response => "",
            Self::Alive => "ssdp:alive",
            Self::Update => "ssdp:update",
            Self::Byebye => "ssdp:byebye",
        }
    }
}

impl Search {
    /// The datagram that asks `destination` for it, a group or a host, in the words of a version of the standard.
    pub fn emit(&self, destination: SocketAddr, version: Version) -> Bytes {
        let mut lines = Lines::new("M-SEARCH * HTTP/1.1");
        lines.add("HOST", host(destination));
        lines.add("MAN", format_args!("\"{DISCOVER}\""));
        lines.add_some("MX", self.max_wait);
        lines.add("ST", &self.target);
        if version >= Version::V1_1 {
            lines.add_some("USER-AGENT", self.user_agent.as_ref());
        }
        if version >= Version::V2_0 {
            lines.add_some("CPFN.UPNP.ORG", self.friendly_name.as_ref());
        }
        lines.end()
    }
}

impl Advertisement {
    /// The datagram that says it to `destination`, in the words of a version of the standard.
    pub fn emit(&self, destination: SocketAddr, version: Version) -> Bytes {
        let is_response = self.kind == Kind::Response;
        let mut lines = Lines::new(if is_response {
            "HTTP/1.1 200 OK"
        } else {
            "NOTIFY * HTTP/1.1"
        });
        if !is_response {
            lines.add("HOST", host(destination));
        }
        if let Some(age) = self.max_age {
            lines.add("CACHE-CONTROL", format_args!("max-age={}", age.as_secs()));
        }
        if is_response {
            lines.add_some("DATE", self.date.map(date::text));
            lines.add("EXT", "");
        }
        lines.add_some("LOCATION", self.location.as_ref());
        lines.add_some("SECURELOCATION.UPNP.ORG", self.secure_location.as_ref());
        lines.add_some("SERVER", self.server.as_ref());
        if is_response {
            lines.add("ST", &self.target);
        } else {
            lines.add("NT", &self.target);
            lines.add("NTS", self.kind.nts());
        }
        lines.add_some("USN", self.usn.as_ref());
        if version >= Version::V1_1 {
            lines.add_some("BOOTID.UPNP.ORG", self.boot_id);
            lines.add_some("NEXTBOOTID.UPNP.ORG", self.next_boot_id);
            lines.add_some("CONFIGID.UPNP.ORG", self.config_id);
            lines.add_some("SEARCHPORT.UPNP.ORG", self.search_port);
        }
        if let Some(network) = &self.network {
            lines.add("OPT", "\"http://schemas.upnp.org/upnp/1/0/\"; ns=01");
            lines.add("01-NLS", network);
        }
        lines.end()
    }
}

/// What stands in HOST: without a zone, which means nothing on another host, and IPv6 in capitals as the standard has it.
fn host(destination: SocketAddr) -> String {
    match destination.ip() {
        IpAddr::V4(_) => destination.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]:{}", destination.port()).to_ascii_uppercase(),
    }
}

struct Lines(String);

impl Lines {
    fn new(start: &str) -> Self {
        Self(format!("{start}\r\n"))
    }

    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to a text cannot fail.
        let _ = write!(self.0, "{name}: {value}\r\n");
    }

    fn add_some(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    fn end(mut self) -> Bytes {
        self.0.push_str("\r\n");
        self.0.into()
    }
}
