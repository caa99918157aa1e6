//! UUIDs, by which all protocols but DNS-SD name a device.

use manycast_io::seed;

/// A UUID as all protocols are compared by it.
pub(crate) fn plain(text: &str) -> String {
    let lower = text.trim().to_ascii_lowercase();
    let bare = lower.strip_prefix("urn:").unwrap_or(&lower);
    bare.strip_prefix("uuid:").unwrap_or(bare).to_owned()
}

/// Whether a plain text is a UUID (RFC 9562 §4).
pub(crate) fn is_one(text: &str) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let groups = text.split('-').map(|group| {
        let is_hex = group.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex { group.len() } else { 0 }
    });
    groups.eq(GROUPS)
}

/// A random one (RFC 9562 §5.4).
pub(crate) fn random() -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&seed()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Announcement;

    #[test]
    fn all_protocols_mean_the_same_one() {
        for text in ["urn:uuid:ABCD-1", " uuid:abcd-1", "abcd-1"] {
            assert_eq!(plain(text), "abcd-1");
        }
    }

    #[test]
    fn only_a_uuid_is_announced() {
        let check = |uuid: &str| {
            let mut announcement = Announcement::new("Web", "_http._tcp", 80);
            announcement.uuid = Some(uuid.to_owned());
            announcement.check()
        };
        for uuid in [
            "9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c11",
            "uuid:9F3C6A52-7A61-4A56-B7A1-3D8B9D7A1C11",
            "urn:uuid:9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c11",
            &random(),
        ] {
            check(uuid).unwrap();
        }
        for uuid in [
            "",
            "abc",
            "9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c1",
            "9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c11-",
            "9f3c6a527a614a56b7a13d8b9d7a1c11",
            "9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1cxx",
        ] {
            let told = check(uuid).unwrap_err().to_string();
            assert!(told.contains(" is no UUID; write one such as "), "{told}");
        }
    }
}
