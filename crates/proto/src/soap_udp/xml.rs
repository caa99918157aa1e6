//! XML as SOAP has it, of what anybody may have sent: within bounds, and with names by their URI.

use std::borrow::Cow;
use std::fmt;

use manycast_types::Malformed;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, QName, ResolveResult};
use quick_xml::reader::NsReader;

use super::MAX_READ;

/// How deep elements may lie in one another; those of real messages lie 7 deep.
const MAX_DEPTH: usize = 16;

/// How many elements there may be. One that a discovery proxy answers for has some 8.
const MAX_ELEMENTS: usize = 1_024;

/// How many attributes an element may have. Programs made by gSOAP declare all namespaces that they know, some 60.
const MAX_ATTRIBUTES: usize = 128;

/// How many qualified names of a list are read; each keeps the URI of its namespace.
const MAX_NAMES: usize = 256;

/// How long the URI of a namespace may be; one that is longer is none. Those of the standards have some 60 bytes.
const MAX_URI: usize = 256;

/// A name and the namespace that it is of: what XML calls a qualified name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The URI of the namespace; empty where there is none.
    pub namespace: String,
    /// The name in it.
    pub local: String,
}

impl Name {
    /// A name of a namespace.
    pub fn new(namespace: impl Into<String>, local: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            local: local.into(),
        }
    }
}

/// As in `{http://schemas.xmlsoap.org/ws/2006/02/devprof}Device`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.local)
        } else {
            write!(f, "{{{}}}{}", self.namespace, self.local)
        }
    }
}

/// An element with all that is in it.
///
/// Texts hold no control characters: white space is one space each, and others are malformed.
///
/// ```
/// use manycast_proto::soap_udp::Element;
///
/// let element = Element::parse(b"<a xmlns='urn:x'><b c='1'>two &amp; two</b></a>", "")?;
/// let inner = element.child("urn:x", "b").unwrap();
/// assert_eq!(inner.text, "two & two");
/// assert_eq!(inner.attribute("c"), Some("1"));
///
/// assert!(Element::parse(b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "").is_err());
/// # Ok::<(), manycast_types::Malformed>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// What it is.
    pub name: Name,
    /// Its attributes without a namespace: name and value.
    pub attributes: Vec<(String, String)>,
    /// The text in it, without white space at its ends.
    pub text: String,
    /// The names in it, where its text is qualified names.
    pub names: Vec<Name>,
    /// The elements in it.
    pub children: Vec<Self>,
}

impl Element {
    /// An empty element.
    pub fn new(namespace: impl Into<String>, local: impl Into<String>) -> Self {
        Self {
            name: Name::new(namespace, local),
            ..Self::default()
        }
    }

    /// The same with a text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// The same with one more element in it.
    #[must_use]
    pub fn with(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// Whether it is the one of this name.
    pub fn is(&self, namespace: &str, local: &str) -> bool {
        self.name.local == local && self.name.namespace == namespace
    }

    /// The first element of a name in it.
    pub fn child(&self, namespace: &str, local: &str) -> Option<&Self> {
        self.children
            .iter()
            .find(|child| child.is(namespace, local))
    }

    /// The value of an attribute that has no namespace.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let (_, value) = self.attributes.iter().find(|(other, _)| other == name)?;
        Some(value)
    }

    /// Reads a document. `names` is the local name of the elements whose text is a list of qualified names, which are
    /// resolved into [`names`](Self::names); a name whose prefix nobody declared has no namespace.
    ///
    /// # Errors
    ///
    /// It is no XML in UTF-8, is longer than [`MAX_READ`], has a document type declaration or an entity
    /// but the five of XML, a control character, or more elements, attributes or depth than any message needs.
    pub fn parse(payload: &[u8], names: &str) -> Result<Self, Malformed> {
        let text = text_of(payload)?;
        let mut reader = NsReader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        reader
            .resolver_mut()
            .set_max_namespace_bindings(MAX_ATTRIBUTES);
        let mut open: Vec<Self> = Vec::new();
        let (mut root, mut elements) = (None, 0);
        loop {
            let (of, event) = match reader.read_resolved_event() {
                Ok(read) => read,
                Err(error) => {
                    let at = usize::try_from(reader.error_position()).unwrap_or(0);
                    return Err(Malformed::new(shown(&error.to_string()), at));
                }
            };
            let namespace = namespace(&of);
            let at = usize::try_from(reader.buffer_position()).unwrap_or(0);
            let fault = |what: &'static str| Malformed::new(what, at);
            match event {
                Event::Start(start) => {
                    elements += 1;
                    if elements > MAX_ELEMENTS || open.len() >= MAX_DEPTH {
                        return Err(fault("there are too many elements, or they lie too deep"));
                    }
                    if root.is_some() {
                        return Err(fault("something follows the message"));
                    }
                    open.push(Self {
                        name: Name::new(namespace, start.local_name().into_inner()),
                        attributes: attributes(&start).map_err(fault)?,
                        ..Self::default()
                    });
                }
                Event::End(_) => {
                    let Some(mut element) = open.pop() else {
                        return Err(fault("an element ends that has not begun"));
                    };
                    element.text = element.text.trim().to_owned();
                    if element.name.local == names {
                        element.names = element
                            .text
                            .split_ascii_whitespace()
                            .take(MAX_NAMES)
                            .map(|word| resolve(&reader, word))
                            .collect();
                    }
                    match open.last_mut() {
                        Some(parent) => parent.children.push(element),
                        None => root = Some(element),
                    }
                }
                Event::Text(text) => add(&mut open, &text.xml10_content()).map_err(fault)?,
                Event::CData(text) => add(&mut open, &text.xml10_content()).map_err(fault)?,
                Event::GeneralRef(reference) => {
                    let text = referred(&reference).ok_or_else(|| fault("an entity is unknown"))?;
                    add(&mut open, &text).map_err(fault)?;
                }
                Event::Decl(declaration) => {
                    // The others that are a part of UTF-8 are ASCII's names.
                    let known = |it: &str| {
                        ["utf-8", "us-ascii", "ascii"]
                            .iter()
                            .any(|name| it.eq_ignore_ascii_case(name))
                    };
                    match declaration.encoding() {
                        Some(Ok(encoding)) if !known(&encoding) => {
                            let what = format!("the encoding {} is not UTF-8", shown(&encoding));
                            return Err(Malformed::new(what, 0));
                        }
                        _ => {}
                    }
                }
                // SOAP 1.2 part 1 §5: no document type declaration.
                Event::DocType(_) => return Err(fault("there is a document type declaration")),
                Event::Comment(_) | Event::PI(_) | Event::Empty(_) => {}
                Event::Eof => break,
            }
        }
        match root {
            Some(root) if open.is_empty() => Ok(root),
            _ => Err(Malformed::new("the message ends too early", payload.len())),
        }
    }

    /// The document, with the prefixes that are given for these namespaces, and made-up ones for others. All are declared
    /// at the root.
    pub fn emit(&self, prefixes: &[(&str, &str)]) -> String {
        let mut namespaces = Vec::new();
        self.namespaces(&mut namespaces);
        let prefix = |namespace: &str| {
            let known = prefixes.iter().find(|(other, _)| *other == namespace);
            known.map_or_else(
                || {
                    let at = namespaces.iter().position(|other| *other == namespace);
                    format!("n{}", at.unwrap_or(0))
                },
                |(_, prefix)| (*prefix).to_owned(),
            )
        };
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>");
        let declared: Vec<(String, String)> = namespaces
            .iter()
            .map(|namespace| {
                let name = format!("xmlns:{}", prefix(namespace));
                (name, (*namespace).to_owned())
            })
            .collect();
        self.write(&mut text, &declared, &prefix);
        text
    }

    fn namespaces<'a>(&'a self, into: &mut Vec<&'a str>) {
        for name in std::iter::once(&self.name).chain(&self.names) {
            let namespace = name.namespace.as_str();
            if !namespace.is_empty() && !into.contains(&namespace) {
                into.push(namespace);
            }
        }
        for child in &self.children {
            child.namespaces(into);
        }
    }

    fn write(
        &self,
        text: &mut String,
        declared: &[(String, String)],
        prefix: &dyn Fn(&str) -> String,
    ) {
        use std::fmt::Write;

        let qualified = |name: &Name| match name.namespace.as_str() {
            "" => name.local.clone(),
            namespace => format!("{}:{}", prefix(namespace), name.local),
        };
        let name = qualified(&self.name);
        // Writing to a text cannot fail.
        let _ = write!(text, "<{name}");
        for (name, value) in declared.iter().chain(&self.attributes) {
            let _ = write!(
                text,
                " {name}=\"{}\"",
                quick_xml::escape::escape(value.as_str())
            );
        }
        let names: Vec<String> = self.names.iter().map(qualified).collect();
        let content = if names.is_empty() {
            quick_xml::escape::escape(self.text.as_str()).into_owned()
        } else {
            names.join(" ")
        };
        if content.is_empty() && self.children.is_empty() {
            text.push_str("/>");
            return;
        }
        let _ = write!(text, ">{content}");
        for child in &self.children {
            child.write(text, &[], prefix);
        }
        let _ = write!(text, "</{name}>");
    }
}

/// What is read as a text: UTF-8 without its byte order mark, and without the zero at the end that some send.
fn text_of(payload: &[u8]) -> Result<&str, Malformed> {
    if payload.len() > MAX_READ {
        return Err(Malformed::new("the message is too long", MAX_READ));
    }
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'<', 0, ..] | [0, b'<', ..] = payload {
        return Err(Malformed::new("the message is UTF-16, not UTF-8", 0));
    }
    let end = payload
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1);
    let payload = &payload[..end];
    let payload = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload);
    let text = std::str::from_utf8(payload)
        .map_err(|error| Malformed::new("the message is not UTF-8", error.valid_up_to()))?;
    match text.find(drives) {
        Some(at) => Err(Malformed::new(CONTROL, at)),
        None => Ok(text),
    }
}

const CONTROL: &str = "a control character stands in the message";

/// Whether a character is one that a terminal may obey.
fn drives(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r')
}

/// A text that may hold anything, as it may be shown.
fn shown(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect()
}

/// Adds what stands in the innermost element.
fn add(open: &mut [Element], text: &str) -> Result<(), &'static str> {
    if text.contains(drives) {
        return Err(CONTROL);
    }
    match open.last_mut() {
        Some(element) => {
            let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
            element.text.extend(plain);
            Ok(())
        }
        None if text.chars().all(char::is_whitespace) => Ok(()),
        None => Err("a text stands outside of the message"),
    }
}

/// What a reference stands for: a character, or one of the five entities that XML has by itself.
fn referred(reference: &BytesRef<'_>) -> Option<String> {
    if let Some(character) = reference.resolve_char_ref().ok()? {
        return Some(character.into());
    }
    resolve_predefined_entity(&reference.xml10_content()).map(str::to_owned)
}

fn attributes(start: &BytesStart<'_>) -> Result<Vec<(String, String)>, &'static str> {
    let mut found = Vec::new();
    for (index, attribute) in start.attributes().enumerate() {
        let attribute = attribute.map_err(|_| "an attribute is malformed, or stands twice")?;
        if index >= MAX_ATTRIBUTES {
            return Err("an element has too many attributes");
        }
        let key = attribute.key;
        if key.as_namespace_binding().is_some() || key.prefix().is_some() {
            continue;
        }
        let value = unescape(&attribute.value).map_err(|_| "an entity is unknown")?;
        if value.contains(drives) {
            return Err(CONTROL);
        }
        let plain = value.chars().map(|c| if c.is_control() { ' ' } else { c });
        let plain: String = plain.collect();
        found.push((key.into_inner().to_owned(), plain.trim().to_owned()));
    }
    Ok(found)
}

/// A qualified name in a text, where its element ends.
fn resolve(reader: &NsReader<&[u8]>, word: &str) -> Name {
    let (of, local) = reader.resolver().resolve_element(QName(word));
    Name::new(namespace(&of), local.into_inner())
}

/// The URI that a prefix stands for; none where nobody declared it, what was declared is none, or it is too long.
fn namespace(of: &ResolveResult<'_>) -> String {
    let uri = match of {
        ResolveResult::Bound(Namespace(raw)) => unescape(raw).ok(),
        _ => None,
    };
    let uri = uri.filter(|uri| uri.len() <= MAX_URI && !uri.contains(char::is_control));
    uri.map(Cow::into_owned).unwrap_or_default()
}
