//! The envelope of SOAP, and what WS-Addressing has in its header.

use manycast_types::Malformed;

use super::{Element, Name};
use crate::random::Random;

/// The version of SOAP that an envelope is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Soap {
    /// 1.1 (2000).
    V1_1,
    /// 1.2 (2003).
    #[default]
    V1_2,
}

impl Soap {
    /// The URI of its namespace.
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::V1_1 => "http://schemas.xmlsoap.org/soap/envelope/",
            Self::V1_2 => "http://www.w3.org/2003/05/soap-envelope",
        }
    }
}

/// The version of WS-Addressing of what stands in a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Addressing {
    /// 2004/08, the submission to the W3C.
    #[default]
    V2004_08,
    /// 2005/08, the W3C's 1.0.
    V2005_08,
}

impl Addressing {
    /// The URI of its namespace.
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::V2004_08 => "http://schemas.xmlsoap.org/ws/2004/08/addressing",
            Self::V2005_08 => "http://www.w3.org/2005/08/addressing",
        }
    }

    /// The address that stands for the source of the datagram.
    pub const fn anonymous(self) -> &'static str {
        match self {
            Self::V2004_08 => "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous",
            Self::V2005_08 => "http://www.w3.org/2005/08/addressing/anonymous",
        }
    }
}

/// A message: what stands in one datagram.
///
/// ```
/// use manycast_proto::soap_udp::{Element, Envelope};
///
/// let envelope = Envelope {
///     action: Some("urn:example:Ask".to_owned()),
///     message_id: Some("urn:uuid:1".to_owned()),
///     body: Element::new("urn:example", "Ask").with_text("who & where"),
///     ..Envelope::default()
/// };
/// let text = envelope.emit(&[("urn:example", "x")]);
/// assert!(text.contains("<x:Ask>who &amp; where</x:Ask>"));
/// assert_eq!(Envelope::parse(text.as_bytes(), "")?, envelope);
/// # Ok::<(), manycast_types::Malformed>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The version of SOAP.
    pub soap: Soap,
    /// The version of WS-Addressing.
    pub addressing: Addressing,
    /// What it is (`wsa:Action`).
    pub action: Option<String>,
    /// By what it is known (`wsa:MessageID`): a URI that no other message has.
    pub message_id: Option<String>,
    /// What it answers (`wsa:RelatesTo`).
    pub relates_to: Option<String>,
    /// How it relates to that (`RelationshipType`), where it is no answer.
    pub relationship: Option<Name>,
    /// Whom it is for (`wsa:To`).
    pub to: Option<String>,
    /// Whom to answer (`wsa:ReplyTo`), which is read, and never obeyed.
    pub reply_to: Option<String>,
    /// What else stands in the header.
    pub headers: Vec<Element>,
    /// The first element of the body.
    pub body: Element,
}

impl Envelope {
    /// Reads a datagram. `names` is as for [`Element::parse`].
    ///
    /// # Errors
    ///
    /// It is no SOAP, has no body, or is malformed as XML.
    pub fn parse(payload: &[u8], names: &str) -> Result<Self, Malformed> {
        let root = Element::parse(payload, names)?;
        let soap = [Soap::V1_2, Soap::V1_1]
            .into_iter()
            .find(|soap| root.is(soap.namespace(), "Envelope"))
            .ok_or_else(|| Malformed::new("it is no envelope of SOAP", 0))?;
        let mut header = Vec::new();
        let mut body = None;
        for child in root.children {
            if child.is(soap.namespace(), "Header") {
                header.extend(child.children);
            } else if child.is(soap.namespace(), "Body") {
                body = body.or_else(|| child.children.into_iter().next());
            }
        }
        let body = body.ok_or_else(|| Malformed::new("the envelope has no body", 0))?;
        let both = [Addressing::V2004_08, Addressing::V2005_08];
        let of = |element: &Element| {
            both.into_iter()
                .find(|it| element.name.namespace == it.namespace())
        };
        let mut envelope = Self {
            soap,
            addressing: header.iter().find_map(of).unwrap_or_default(),
            body,
            ..Self::default()
        };
        for element in header {
            let addressed = element.name.namespace == envelope.addressing.namespace();
            let text = || Some(element.text.clone()).filter(|text| !text.is_empty());
            match element.name.local.as_str() {
                "Action" if addressed => keep(&mut envelope.action, text()),
                "MessageID" if addressed => keep(&mut envelope.message_id, text()),
                "To" if addressed => keep(&mut envelope.to, text()),
                "ReplyTo" if addressed => {
                    let address = element.child(envelope.addressing.namespace(), "Address");
                    let address = address.map(|it| it.text.clone());
                    keep(&mut envelope.reply_to, address.or_else(text));
                }
                "RelatesTo" if addressed => {
                    // In 2005/08 it is a URI; in 2004/08 a qualified name, of which the local part tells enough.
                    let relationship = element.attribute("RelationshipType");
                    let relationship = relationship.map(|it| {
                        let local = it.rsplit([':', '/']).next().unwrap_or(it);
                        Name::new("", local)
                    });
                    let is_answer = relationship
                        .as_ref()
                        .is_none_or(|it| it.local.eq_ignore_ascii_case("reply"));
                    if !is_answer {
                        keep(&mut envelope.relationship, relationship);
                    }
                    keep(&mut envelope.relates_to, text());
                }
                _ => envelope.headers.push(element),
            }
        }
        Ok(envelope)
    }

    /// The document, with these prefixes beside those of SOAP and WS-Addressing.
    pub fn emit(&self, prefixes: &[(&str, &str)]) -> String {
        let wsa = self.addressing.namespace();
        let soap = self.soap.namespace();
        let mut header = Element::new(soap, "Header");
        let mut add = |local: &str, text: &Option<String>| {
            if let Some(text) = text {
                header
                    .children
                    .push(Element::new(wsa, local).with_text(text));
            }
        };
        add("Action", &self.action);
        add("MessageID", &self.message_id);
        add("To", &self.to);
        if let Some(id) = &self.relates_to {
            let mut element = Element::new(wsa, "RelatesTo").with_text(id);
            if let Some(Name { namespace, local }) = &self.relationship {
                let (relationship, separator) = match self.addressing {
                    Addressing::V2004_08 => {
                        let known = prefixes.iter().find(|(other, _)| other == namespace);
                        (known.map_or("", |(_, prefix)| *prefix), ":")
                    }
                    Addressing::V2005_08 => (namespace.as_str(), "/"),
                };
                let value = match relationship {
                    "" => local.clone(),
                    _ => format!("{relationship}{separator}{local}"),
                };
                element
                    .attributes
                    .push(("RelationshipType".to_owned(), value));
            }
            header.children.push(element);
        }
        if let Some(address) = &self.reply_to {
            let address = Element::new(wsa, "Address").with_text(address);
            header
                .children
                .push(Element::new(wsa, "ReplyTo").with(address));
        }
        header.children.extend(self.headers.iter().cloned());
        let body = Element::new(soap, "Body").with(self.body.clone());
        let root = Element::new(soap, "Envelope").with(header).with(body);
        let mut all = vec![(soap, "s"), (wsa, "a")];
        all.extend_from_slice(prefixes);
        root.emit(&all)
    }
}

/// The first of several counts.
fn keep<T>(field: &mut Option<T>, value: Option<T>) {
    if field.is_none() {
        *field = value;
    }
}

/// Whether two identifiers are the same but for the case, or for `urn:` before `uuid:`, which some leave out.
pub fn same_id(one: &str, other: &str) -> bool {
    let bare = |id: &str| {
        let rest = id.get(..4).filter(|it| it.eq_ignore_ascii_case("urn:"));
        id[rest.map_or(0, str::len)..].to_ascii_lowercase()
    };
    one == other || bare(one) == bare(other)
}

/// A MessageID that no other message has (RFC 9562 §5.4: a UUID of version 4).
pub(crate) fn new_id(random: &mut Random) -> String {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let (a, b, c, d, e) = (
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    );
    format!("urn:uuid:{a}-{b}-{c}-{d}-{e}")
}
