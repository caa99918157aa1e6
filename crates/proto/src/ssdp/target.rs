//! What is searched for, and what it matches.

/// The search target of everything (UDA 2.0 §1.3.2).
pub const ALL: &str = "ssdp:all";

/// The search target of root devices.
pub const ROOT_DEVICE: &str = "upnp:rootdevice";

/// Whether what a part of a device is (its NT) is what was searched for (the ST).
///
/// UDA 2.0 §1.3.2: a type in a newer version is what the older one is too. UUIDs and types are compared
/// without case, since devices do not agree on it.
///
/// ```
/// use manycast_proto::ssdp::matches;
///
/// let server = "urn:schemas-upnp-org:device:MediaServer:4";
/// assert!(matches("ssdp:all", server));
/// assert!(matches("urn:schemas-upnp-org:device:MediaServer:1", server));
/// assert!(!matches("urn:schemas-upnp-org:device:MediaServer:5", server));
/// assert!(!matches("upnp:rootdevice", server));
/// ```
pub fn matches(searched: &str, part: &str) -> bool {
    if searched.eq_ignore_ascii_case(ALL) || searched.eq_ignore_ascii_case(part) {
        return true;
    }
    match (versioned(searched), versioned(part)) {
        (Some((one, least)), Some((other, version))) => {
            one.eq_ignore_ascii_case(other) && least <= version
        }
        _ => false,
    }
}

/// A type and its version: what follows the last colon of a URN.
pub(super) fn versioned(target: &str) -> Option<(&str, u32)> {
    let is_urn = target
        .get(..4)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("urn:"));
    let (name, version) = target.rsplit_once(':').filter(|_| is_urn)?;
    Some((name, version.parse().ok()?))
}

/// What a part of a device is known by: its USN in lower case and without the version of its type. A device answers in the
/// version that was searched for, and says unasked which one it has (UDA 2.0 §1.3.3).
///
/// ```
/// use manycast_proto::ssdp::unversioned;
///
/// let usn = "uuid:AB-1::urn:schemas-upnp-org:device:MediaRenderer:2";
/// assert_eq!(unversioned(usn), "uuid:ab-1::urn:schemas-upnp-org:device:mediarenderer");
/// assert_eq!(unversioned("uuid:ab-1::upnp:rootdevice"), "uuid:ab-1::upnp:rootdevice");
/// ```
pub fn unversioned(usn: &str) -> String {
    let (id, part) = usn.rsplit_once("::").unwrap_or(("", usn));
    match versioned(part) {
        Some((name, _)) if id.is_empty() => name.to_ascii_lowercase(),
        Some((name, _)) => format!("{id}::{name}").to_ascii_lowercase(),
        None => usn.to_ascii_lowercase(),
    }
}

/// The UUID in a USN or a search target such as `uuid:2f40…::upnp:rootdevice`, in lower case and without
/// what stands around it.
///
/// ```
/// use manycast_proto::ssdp::uuid_of;
///
/// assert_eq!(uuid_of("uuid:ABCD-1::upnp:rootdevice").as_deref(), Some("abcd-1"));
/// assert_eq!(uuid_of("upnp:rootdevice"), None);
/// ```
pub fn uuid_of(usn: &str) -> Option<String> {
    let (scheme, rest) = usn.split_at_checked(5)?;
    let uuid = rest.split("::").next().unwrap_or(rest);
    (scheme.eq_ignore_ascii_case("uuid:") && !uuid.is_empty()).then(|| uuid.to_ascii_lowercase())
}
