//! Payloads on a terminal and in JSON. A peer chose them, so they must not drive the terminal.

use std::fmt::{self, Write};
use std::io;

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
            if is_unsafe(character) {
                character.escape_default().fmt(f)?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Whether a character drives a terminal (C0, DEL, C1), breaks lines, changes the direction in
/// which they are read (Unicode Standard Annex 9), or is not seen at all (the code points of
/// `Default_Ignorable_Code_Point`, Unicode Standard §5.21, and the other format characters).
///
/// The joiner of emoji and Indic scripts (U+200D) and variation selectors are among these: a text
/// that must be compared by eye is worth more than a family in one picture.
pub(crate) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// JSON in which nothing is left that a terminal obeys or hides. Within JSON's strings, and only
/// there can such characters stand, `\uXXXX` means the same (RFC 8259 §7).
pub(super) struct SafeJson;

impl serde_json::ser::Formatter for SafeJson {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut plain = 0;
        for (at, character) in fragment.char_indices().filter(|(_, c)| is_unsafe(*c)) {
            writer.write_all(&fragment.as_bytes()[plain..at])?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain = at + character.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[plain..])
    }
}

/// A text of ours that may hold names that others chose: only the ends of lines stay as they are.
pub(crate) fn safe_lines(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) && character != '\n' {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    safe
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
        assert_eq!(
            shown("a\u{200b}b\u{ad}c\u{e0041}d\u{feff}\u{3164}".as_bytes()),
            r"a\u{200b}b\u{ad}c\u{e0041}d\u{feff}\u{3164}"
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
    fn json_does_not_drive_the_terminal_either() {
        let text = "a\u{9b}2J\u{7f}\u{202e}\u{200b}\u{e0041}\u{1b}\"ü";
        let mut json = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut json, SafeJson);
        text.serialize(&mut serializer).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert_eq!(
            json,
            r#""a\u009b2J\u007f\u202e\u200b\udb40\udc41\u001b\"ü""#
        );
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
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
