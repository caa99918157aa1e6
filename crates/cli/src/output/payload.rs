//! Payloads on a terminal and in JSON. A peer chose them, so they must not drive the terminal.

use std::fmt::{self, Write};

use serde::{Serialize, Serializer};

/// A payload: text where it is UTF-8, and otherwise bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Payload<'a> {
    #[serde(rename = "text")]
    Text(&'a str),
    #[serde(rename = "hex", serialize_with = "hex")]
    Bytes(&'a [u8]),
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        std::str::from_utf8(bytes).map_or(Self::Bytes(bytes), Self::Text)
    }
}

/// So many bytes are shown of what is no text.
const SHOWN: usize = 32;

impl fmt::Display for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => Escaped(text).fmt(f),
            Self::Bytes(bytes) => {
                let shown = &bytes[..bytes.len().min(SHOWN)];
                for (index, byte) in shown.iter().enumerate() {
                    let space = if index == 0 { "" } else { " " };
                    write!(f, "{space}{byte:02x}")?;
                }
                if shown.len() < bytes.len() {
                    f.write_str(" …")?;
                }
                Ok(())
            }
        }
    }
}

/// A text in which nothing is left that a terminal obeys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() || turns_lines(character) {
                character.escape_default().fmt(f)?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Whether a character breaks lines, or changes the direction in which they are read (Unicode
/// Standard Annex 9).
const fn turns_lines(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// Lines of offset, bytes and text, each with a line's end before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dump<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, bytes) in self.0.chunks(16).enumerate() {
            write!(f, "\n  {:04x} ", line * 16)?;
            for index in 0..16 {
                if index == 8 {
                    f.write_char(' ')?;
                }
                match bytes.get(index) {
                    Some(byte) => write!(f, " {byte:02x}")?,
                    None => f.write_str("   ")?,
                }
            }
            f.write_str("  |")?;
            for byte in bytes {
                let printable = byte.is_ascii_graphic() || *byte == b' ';
                f.write_char(if printable { char::from(*byte) } else { '.' })?;
            }
            f.write_char('|')?;
        }
        Ok(())
    }
}

fn hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            text.extend(char::from_digit(digit.into(), 16));
        }
    }
    serializer.serialize_str(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_drive_the_terminal() {
        let shown = |payload: &[u8]| Payload::from(payload).to_string();
        assert_eq!(shown("Grüße, 世界 👋".as_bytes()), "Grüße, 世界 👋");
        assert_eq!(shown(b"a\x1b[2J\r\n\x07\x7f"), r"a\u{1b}[2J\r\n\u{7}\u{7f}");
        assert_eq!(
            shown("\u{9b}2J \u{202e}txt\u{2028}".as_bytes()),
            r"\u{9b}2J \u{202e}txt\u{2028}"
        );
        assert_eq!(shown(b""), "");
    }

    #[test]
    fn what_is_no_text_is_shown_in_part() {
        assert_eq!(Payload::from(&[0xff, 0][..]).to_string(), "ff 00");
        let long = Payload::from(&[0xff; 33][..]).to_string();
        assert_eq!(long, format!("{}…", "ff ".repeat(32)));
    }

    #[test]
    fn json_has_text_or_hex() {
        let json = |payload: &[u8]| serde_json::to_string(&Payload::from(payload)).unwrap();
        assert_eq!(json(b"hi\n"), r#"{"text":"hi\n"}"#);
        assert_eq!(json(&[0, 0xff, 0x1b]), r#"{"hex":"00ff1b"}"#);
        assert_eq!(json(b""), r#"{"text":""}"#);
    }

    #[test]
    fn a_dump_has_offset_bytes_and_text() {
        let bytes: Vec<u8> = (b'A'..=b'Z').chain([0, 0x1b, 0xff]).collect();
        assert_eq!(
            Dump(&bytes).to_string(),
            "\n  0000  41 42 43 44 45 46 47 48  49 4a 4b 4c 4d 4e 4f 50  |ABCDEFGHIJKLMNOP|\
             \n  0010  51 52 53 54 55 56 57 58  59 5a 00 1b ff           |QRSTUVWXYZ...|"
        );
        assert_eq!(Dump(b"").to_string(), "");
    }
}
