//! What a host tells that has examined itself.
//!
//! ```text
//! steps (1) · [ step · mark · detail ] … · findings (1) · [ code · severity · confidence · title
//!     · pieces of evidence (1) · [ evidence ] … · remedy · what would verify it ] …
//! ```
//!
//! Each text is its length in two bytes, and so many bytes of UTF-8; an empty one stands for none.

use bytes::Bytes;
use manycast_types::Malformed;

use crate::wire::{Reader, Writer};

/// What a host has found on itself, in words: names that the other end may not know are no
/// mistake, since it may be older.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The steps between the wire and the application, at most [`MAX_STEPS`].
    pub steps: Vec<Step>,
    /// What was found, the most important first, at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
}

/// How it stands with a step between the wire and the application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The name of the step.
    pub name: String,
    /// How it stands, by name.
    pub mark: String,
    /// What is known of it.
    pub detail: String,
}

/// Something that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Its name.
    pub code: String,
    /// Whether it is a fault or a warning, by name.
    pub severity: String,
    /// How sure it is, by name.
    pub confidence: String,
    /// One sentence.
    pub title: String,
    /// What it rests on, at most [`MAX_EVIDENCE`].
    pub evidence: Vec<String>,
    /// What mends it.
    pub remedy: Option<String>,
    /// What would show whether it is so.
    pub verify: Option<String>,
}

/// How many bytes a report has at most.
pub const MAX_REPORT: usize = 16 * 1024;

/// How many steps a report has at most.
pub const MAX_STEPS: usize = 16;

/// How many findings a report has at most.
pub const MAX_FINDINGS: usize = 32;

/// How many pieces of evidence a finding has at most.
pub const MAX_EVIDENCE: usize = 12;

/// How many bytes a text has at most.
pub const MAX_TEXT: usize = 1000;

impl Report {
    /// The report as bytes, no more than [`MAX_REPORT`] of them: what is too long or too much is
    /// left out, of findings the least important.
    pub fn emit(&self) -> Bytes {
        // Half of it is enough for the steps, and a byte each for the two numbers.
        let steps = gather(&self.steps, MAX_STEPS, MAX_REPORT / 2, Step::emit);
        let left = MAX_REPORT - 2 - steps.iter().map(Bytes::len).sum::<usize>();
        let findings = gather(&self.findings, MAX_FINDINGS, left, Finding::emit);
        let (before, between) = ([count(steps.len())], [count(findings.len())]);
        [
            &before[..],
            &steps.concat()[..],
            &between[..],
            &findings.concat()[..],
        ]
        .concat()
        .into()
    }

    /// Understands a report. Characters that could drive a terminal or turn the direction of
    /// writing are replaced.
    ///
    /// # Errors
    ///
    /// It is none, or longer than [`MAX_REPORT`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MAX_REPORT {
            return Err(Malformed::new("the report is too long", MAX_REPORT));
        }
        let mut reader = Reader::new(bytes);
        let steps = read_all(&mut reader, MAX_STEPS, Step::parse)?;
        let findings = read_all(&mut reader, MAX_FINDINGS, Finding::parse)?;
        reader.end()?;
        Ok(Self { steps, findings })
    }
}

impl Step {
    fn emit(&self) -> Bytes {
        let mut writer = Writer::new();
        for text in [&self.name, &self.mark, &self.detail] {
            write(&mut writer, text);
        }
        writer.finish()
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            name: read(reader)?,
            mark: read(reader)?,
            detail: read(reader)?,
        })
    }
}

impl Finding {
    fn emit(&self) -> Bytes {
        let mut writer = Writer::new();
        for text in [&self.code, &self.severity, &self.confidence, &self.title] {
            write(&mut writer, text);
        }
        let evidence = &self.evidence[..self.evidence.len().min(MAX_EVIDENCE)];
        writer.u8(count(evidence.len()));
        for text in evidence {
            write(&mut writer, text);
        }
        for text in [&self.remedy, &self.verify] {
            write(&mut writer, text.as_deref().unwrap_or_default());
        }
        writer.finish()
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            code: read(reader)?,
            severity: read(reader)?,
            confidence: read(reader)?,
            title: read(reader)?,
            evidence: read_all(reader, MAX_EVIDENCE, read)?,
            remedy: Some(read(reader)?).filter(|text| !text.is_empty()),
            verify: Some(read(reader)?).filter(|text| !text.is_empty()),
        })
    }
}

/// The first of many things, as many as there may be and as fit into so many bytes.
fn gather<T>(all: &[T], most: usize, room: usize, emit: impl Fn(&T) -> Bytes) -> Vec<Bytes> {
    let mut used = 0;
    let fits = |bytes: &Bytes| {
        used += bytes.len();
        used <= room
    };
    all.iter().take(most).map(emit).take_while(fits).collect()
}

/// A number of things that has a bound far below 256.
fn count(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// So many things as a byte says, if they are no more than allowed.
fn read_all<T>(
    reader: &mut Reader<'_>,
    most: usize,
    one: impl Fn(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let at = reader.offset();
    let number = reader.u8()?;
    if usize::from(number) > most {
        return Err(Malformed::new("there are too many of them", at));
    }
    (0..number).map(|_| one(reader)).collect()
}

fn write(writer: &mut Writer, text: &str) {
    let end = (0..=MAX_TEXT.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or_default();
    let text = &text[..end];
    writer
        .u16(u16::try_from(end).unwrap_or(u16::MAX))
        .bytes(text.as_bytes());
}

fn read(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let at = reader.offset();
    let length = usize::from(reader.u16()?);
    if length > MAX_TEXT {
        return Err(Malformed::new("a text is too long", at));
    }
    let text = String::from_utf8_lossy(reader.bytes(length)?);
    Ok(text
        .chars()
        .map(|character| {
            if is_harmful(character) {
                char::REPLACEMENT_CHARACTER
            } else {
                character
            }
        })
        .collect())
}

/// Whether a character drives terminals, turns the direction of writing (Unicode UAX #9 §2), ends
/// lines, or is not to be seen.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
