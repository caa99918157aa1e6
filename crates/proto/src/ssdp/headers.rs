//! The lines of a message: a first one, and headers of which it reads the ones that are known.

use manycast_types::Malformed;

use super::{Deviation, Deviations, MAX_READ};

/// More headers than this are malformed; real messages have some 15.
const MAX_HEADERS: usize = 64;

/// The first line and the headers of a message.
#[derive(Debug)]
pub(super) struct Headers {
    pub(super) start: String,
    /// Names in lower case.
    fields: Vec<(String, String)>,
    pub(super) deviations: Deviations,
}

impl Headers {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        if payload.len() > MAX_READ {
            return Err(Malformed::new("the message is too long", MAX_READ));
        }
        let mut deviations = Deviations::default();
        let mut lines = Lines {
            payload,
            offset: 0,
            deviations: &mut deviations,
        };
        let start = loop {
            // RFC 9112 §2.2: empty lines before the first are passed over.
            match lines.next()? {
                Some((_, line)) if line.is_empty() => lines.deviations.note(Deviation::StartLine),
                Some((_, line)) => break line,
                None => return Err(Malformed::new("the message is empty", payload.len())),
            }
        };
        let mut fields: Vec<(String, String)> = Vec::new();
        loop {
            let Some((offset, line)) = lines.next()? else {
                lines.deviations.note(Deviation::NoEnd);
                break;
            };
            if line.is_empty() {
                if lines.offset < payload.len() {
                    lines.deviations.note(Deviation::Body);
                }
                break;
            }
            if line.starts_with([' ', '\t']) {
                lines.deviations.note(Deviation::Space);
                // RFC 9112 §5.2: a line that goes on in the next. Where there is a colon it is rather
                // a header that somebody has put in deeper.
                if !line.contains(':')
                    && let Some((_, value)) = fields.last_mut()
                {
                    value.push(' ');
                    value.push_str(line.trim());
                    continue;
                }
            }
            let Some((name, value)) = line.split_once(':') else {
                lines.deviations.note(Deviation::Line);
                continue;
            };
            if name.ends_with([' ', '\t']) {
                lines.deviations.note(Deviation::Space);
            }
            let name = name.trim().to_ascii_lowercase();
            if fields.iter().any(|(other, _)| *other == name) {
                lines.deviations.note(Deviation::Twice);
                continue;
            }
            if fields.len() == MAX_HEADERS {
                return Err(Malformed::new("there are too many headers", offset));
            }
            fields.push((name, value.trim().to_owned()));
        }
        Ok(Self {
            start,
            fields,
            deviations,
        })
    }

    /// The value of a header, by its name in lower case; `None` where it is missing or empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.fields.iter().find(|(other, _)| other == name)?;
        (!value.is_empty()).then_some(value)
    }

    /// The value of a header that is a number; one that is none, or too large, is left out.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        let number = text.parse::<u64>().ok().and_then(|it| it.try_into().ok());
        if number.is_none() {
            self.deviations.note(Deviation::Number);
        }
        number
    }

    /// Notes that a header is missing, if it is.
    pub(super) fn expect(&mut self, name: &str, missing: Deviation) {
        if self.text(name).is_none() {
            self.deviations.note(missing);
        }
    }
}

struct Lines<'a> {
    payload: &'a [u8],
    offset: usize,
    deviations: &'a mut Deviations,
}

impl Lines<'_> {
    /// The next line, and where it begins.
    fn next(&mut self) -> Result<Option<(usize, String)>, Malformed> {
        let begin = self.offset;
        let rest = self.payload.get(begin..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let line = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                self.offset = begin + end + 1;
                match &rest[..end] {
                    [line @ .., b'\r'] => line,
                    line => {
                        self.deviations.note(Deviation::LineFeed);
                        line
                    }
                }
            }
            None => {
                self.offset = self.payload.len();
                self.deviations.note(Deviation::NoEnd);
                rest
            }
        };
        let text = String::from_utf8_lossy(line);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            self.deviations.note(Deviation::Encoding);
        }
        // RFC 9110 §5.5: no control characters. Nobody needs them, and a terminal obeys them.
        match text.find(|c: char| c.is_control() && c != '\t') {
            Some(at) => {
                let what = "a control character stands in the message";
                Err(Malformed::new(what, begin + at))
            }
            None => Ok(Some((begin, text.into_owned()))),
        }
    }
}
