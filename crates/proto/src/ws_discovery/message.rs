//! What stands in a datagram.

use bytes::Bytes;
use manycast_types::Malformed;

use super::{DEVICES, Deviation, Deviations, Rule, Version};
use crate::soap_udp::{Addressing, Element, Envelope, Name, Soap};

/// How many services are read of a message at most, and names, scopes and addresses of each.
const MAX_LISTED: usize = 128;

/// How long the address of an endpoint may be, so that what asks for it fits into a datagram that nothing fragments.
const MAX_ENDPOINT: usize = 512;

/// The prefixes that everybody writes for the namespaces of types, and those namespaces. Some programs, such as
/// `wsdd`, compare types with their prefixes as texts.
pub const TYPE_PREFIXES: [(&str, &str); 5] = [
    ("wsdp", DEVICES),
    ("dn", "http://www.onvif.org/ver10/network/wsdl"),
    ("pub", "http://schemas.microsoft.com/windows/pub/2005/07"),
    (
        "wprt",
        "http://schemas.microsoft.com/windows/2006/08/wdp/print",
    ),
    (
        "wscn",
        "http://schemas.microsoft.com/windows/2006/08/wdp/scan",
    ),
];

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The version that it is of.
    pub version: Version,
    /// The version of WS-Addressing that it is of: mostly that of the version.
    pub addressing: Addressing,
    /// By what it is known (`wsa:MessageID`).
    pub id: Option<String>,
    /// What it answers (`wsa:RelatesTo`).
    pub relates_to: Option<String>,
    /// Whether it tells a client to ask the one who says it rather than the group (`d:Suppression`).
    pub suppression: bool,
    /// Where it stands among all that its sender has sent (`d:AppSequence`).
    pub sequence: Option<Sequence>,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A service is there (§4.1).
    Hello(Service),
    /// A service goes (§4.2).
    Bye(Service),
    /// Somebody searches (§5.2).
    Probe(Probe),
    /// Services that match (§5.3).
    ProbeMatches(Vec<Service>),
    /// Somebody searches for the addresses of one endpoint (§6.2).
    Resolve(String),
    /// The service of that endpoint (§6.3); `None` where a proxy does not know it.
    ResolveMatches(Option<Service>),
}

/// A target service as it says of itself. Texts are what it has sent, but without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// What it is known by for ever (the address of its `wsa:EndpointReference`): mostly `urn:uuid:…`.
    pub endpoint: String,
    /// What it is.
    pub types: Vec<Name>,
    /// What it is part of: URIs.
    pub scopes: Vec<String>,
    /// Where it is (`d:XAddrs`): URIs, mostly `http://…`.
    pub addresses: Vec<String>,
    /// Rises when anything else of it changes; `None` where it is missing.
    pub metadata_version: Option<u32>,
}

/// What is searched for: services that have each of the types, and a match for each of the scopes.
///
/// ```
/// use manycast_proto::ws_discovery::{Name, Probe, Service};
///
/// let printer = Name::new("http://schemas.microsoft.com/windows/2006/08/wdp/print", "PrintDeviceType");
/// let service = Service {
///     endpoint: "urn:uuid:9f3c6a52-7a61-4a56-b7a1-3d8b9d7a1c11".to_owned(),
///     types: vec![printer.clone()],
///     scopes: vec!["ldap:///ou=floor1,o=example".to_owned(), "http://example.com/floor1/room2".to_owned()],
///     ..Service::default()
/// };
/// assert!(Probe::default().matches(&service));
/// let probe = Probe {
///     types: vec![printer],
///     scopes: vec!["HTTP://example.com/floor1".to_owned()],
///     ..Probe::default()
/// };
/// assert!(probe.matches(&service));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// Types, each of which is wanted; none for any.
    pub types: Vec<Name>,
    /// Scopes, each of which is to match one of the service's; none for any.
    pub scopes: Vec<String>,
    /// How scopes are compared.
    pub rule: Rule,
}

impl Probe {
    /// For services of a type.
    pub fn of(name: Name) -> Self {
        Self {
            types: vec![name],
            ..Self::default()
        }
    }

    /// Whether a service is one that is searched for (§5.1).
    pub fn matches(&self, service: &Service) -> bool {
        let has_type = |name: &Name| service.types.contains(name);
        self.types.iter().all(has_type) && self.rule.matches(&self.scopes, &service.scopes)
    }
}

impl Probe {
    /// Whether a service that has not said all of itself may be one that is searched for.
    pub(super) fn may_match(&self, service: &Service) -> bool {
        let whole = Service {
            types: or_all(&service.types, &self.types),
            scopes: or_all(&service.scopes, &self.scopes),
            ..Service::default()
        };
        self.matches(&whole)
    }
}

fn or_all<T: Clone>(said: &[T], all: &[T]) -> Vec<T> {
    if said.is_empty() { all } else { said }.to_vec()
}

/// Where a message stands among all that a service has sent (§7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// Rises with each start of the service.
    pub instance: u32,
    /// One sequence of several of the same start.
    pub id: Option<String>,
    /// Rises with each message.
    pub number: u32,
}

/// Reads a datagram, and says in which ways it is not what the standard asks for.
///
/// # Errors
///
/// It is no WS-Discovery, or says nothing that can be used: which endpoint it is about is missing, for instance, or by
/// what a question is known. Also where it is malformed as XML, see
/// [`Element::parse`](crate::soap_udp::Element::parse).
pub fn parse(payload: &[u8]) -> Result<(Message, Deviations), Malformed> {
    let mut deviations = Deviations::default();
    if payload.last() == Some(&0) {
        deviations.note(Deviation::Zero);
    }
    let envelope = Envelope::parse(payload, "Types")?;
    if envelope.soap == Soap::V1_1 {
        deviations.note(Deviation::Soap);
    }
    let of = |version: &Version| envelope.body.name.namespace == version.namespace();
    let version = Version::ALL
        .into_iter()
        .find(of)
        .ok_or_else(|| Malformed::new("it is no message of WS-Discovery", 0))?;
    if envelope.addressing != version.addressing() {
        deviations.note(Deviation::Addressing);
    }
    let mut reader = Reader {
        namespace: version.namespace(),
        addressing: envelope.addressing.namespace(),
        deviations,
    };
    let kind = envelope.body.name.local.as_str();
    let action = format!("{}/{kind}", version.namespace());
    if envelope.action != Some(action) {
        reader.deviations.note(Deviation::Action);
    }
    let said = &envelope.body;
    let body = match kind {
        "Hello" => Body::Hello(reader.service(said)?),
        "Bye" => Body::Bye(reader.service(said)?),
        "Probe" => Body::Probe(reader.probe(said)),
        "ProbeMatches" => {
            let matches = said.children.iter();
            let matches = matches.filter(|it| it.is(reader.namespace, "ProbeMatch"));
            let services: Result<_, _> = matches
                .take(MAX_LISTED)
                .map(|it| reader.service(it))
                .collect();
            Body::ProbeMatches(services?)
        }
        "Resolve" => Body::Resolve(reader.endpoint(said)?),
        "ResolveMatches" => {
            let found = said.child(reader.namespace, "ResolveMatch");
            Body::ResolveMatches(found.map(|it| reader.service(it)).transpose()?)
        }
        _ => return Err(Malformed::new("it is no message that WS-Discovery has", 0)),
    };
    let is_question = matches!(body, Body::Probe(_) | Body::Resolve(_));
    if envelope.message_id.is_none() {
        if is_question {
            return Err(Malformed::new("a question has no MessageID", 0));
        }
        reader.deviations.note(Deviation::NoMessageId);
    }
    let sequence = reader.sequence(&envelope.headers);
    if sequence.is_none() && !is_question {
        reader.deviations.note(Deviation::NoSequence);
    }
    let message = Message {
        version,
        addressing: envelope.addressing,
        id: envelope.message_id,
        relates_to: envelope.relates_to,
        suppression: envelope
            .relationship
            .is_some_and(|it| it.local == "Suppression"),
        sequence,
        body,
    };
    Ok((message, reader.deviations))
}

struct Reader {
    namespace: &'static str,
    addressing: &'static str,
    deviations: Deviations,
}

impl Reader {
    fn endpoint(&self, of: &Element) -> Result<String, Malformed> {
        let reference = of.child(self.addressing, "EndpointReference");
        let address = reference.and_then(|it| it.child(self.addressing, "Address"));
        if address.is_some_and(|it| it.text.len() > MAX_ENDPOINT) {
            return Err(Malformed::new("the address of the endpoint is too long", 0));
        }
        address
            .map(|it| it.text.clone())
            .filter(|it| !it.is_empty())
            .ok_or_else(|| Malformed::new("it does not say which endpoint it is about", 0))
    }

    fn service(&mut self, of: &Element) -> Result<Service, Malformed> {
        let is_bye = of.name.local == "Bye";
        let version = of.child(self.namespace, "MetadataVersion");
        if version.is_none() && !is_bye {
            self.deviations.note(Deviation::NoMetadataVersion);
        }
        Ok(Service {
            endpoint: self.endpoint(of)?,
            types: self.types(of),
            scopes: words(of.child(self.namespace, "Scopes")),
            addresses: words(of.child(self.namespace, "XAddrs")),
            metadata_version: version.and_then(|it| self.number(&it.text)),
        })
    }

    fn types(&mut self, of: &Element) -> Vec<Name> {
        let element = of.child(self.namespace, "Types");
        let mut names = element.map_or_else(Vec::new, |it| it.names.clone());
        names.truncate(MAX_LISTED);
        if names.iter().any(|name| name.namespace.is_empty()) {
            self.deviations.note(Deviation::Prefix);
        }
        names
    }

    fn probe(&mut self, of: &Element) -> Probe {
        let scopes = of.child(self.namespace, "Scopes");
        let rule = scopes.and_then(|it| it.attribute("MatchBy"));
        Probe {
            types: self.types(of),
            rule: rule.map_or_else(Rule::default, Rule::of_uri),
            scopes: words(scopes),
        }
    }

    fn sequence(&mut self, headers: &[Element]) -> Option<Sequence> {
        let element = headers
            .iter()
            .find(|it| it.is(self.namespace, "AppSequence"))?;
        let instance = element.attribute("InstanceId").unwrap_or_default();
        let number = element.attribute("MessageNumber").unwrap_or_default();
        Some(Sequence {
            instance: self.number(instance)?,
            id: element.attribute("SequenceId").map(str::to_owned),
            number: self.number(number)?,
        })
    }

    fn number(&mut self, text: &str) -> Option<u32> {
        let number = text.parse().ok();
        if number.is_none() {
            self.deviations.note(Deviation::Number);
        }
        number
    }
}

fn words(element: Option<&Element>) -> Vec<String> {
    let words = element.map(|it| it.text.split_whitespace().take(MAX_LISTED));
    words.map_or_else(Vec::new, |it| it.map(str::to_owned).collect())
}

impl Message {
    /// A message of a version, with the identifier that it is to be known by.
    pub fn new(version: Version, id: impl Into<String>, body: Body) -> Self {
        Self {
            version,
            addressing: version.addressing(),
            id: Some(id.into()),
            relates_to: None,
            suppression: false,
            sequence: None,
            body,
        }
    }

    /// The datagram.
    pub fn emit(&self) -> Bytes {
        let (namespace, wsa) = (self.version.namespace(), self.addressing.namespace());
        let element = |local: &str| Element::new(namespace, local);
        let (kind, body) = match &self.body {
            Body::Hello(service) => ("Hello", fill(element("Hello"), wsa, service)),
            Body::Bye(service) => ("Bye", fill(element("Bye"), wsa, service)),
            Body::Probe(probe) => ("Probe", fill_probe(element("Probe"), self.version, probe)),
            Body::ProbeMatches(services) => {
                let mut all = element("ProbeMatches");
                let matches = services
                    .iter()
                    .map(|it| fill(element("ProbeMatch"), wsa, it));
                all.children.extend(matches);
                ("ProbeMatches", all)
            }
            Body::Resolve(endpoint) => {
                ("Resolve", element("Resolve").with(reference(wsa, endpoint)))
            }
            Body::ResolveMatches(service) => {
                let mut all = element("ResolveMatches");
                let matches = service
                    .iter()
                    .map(|it| fill(element("ResolveMatch"), wsa, it));
                all.children.extend(matches);
                ("ResolveMatches", all)
            }
        };
        let is_answer = matches!(self.body, Body::ProbeMatches(_) | Body::ResolveMatches(_));
        let to = if is_answer {
            self.addressing.anonymous()
        } else {
            self.version.everybody()
        };
        let envelope = Envelope {
            addressing: self.addressing,
            action: Some(format!("{namespace}/{kind}")),
            message_id: self.id.clone(),
            relates_to: self.relates_to.clone(),
            relationship: self
                .suppression
                .then(|| Name::new(namespace, "Suppression")),
            to: Some(to.to_owned()),
            headers: self.sequence.iter().map(|it| it.emit(namespace)).collect(),
            body,
            ..Envelope::default()
        };
        let mut prefixes = vec![(namespace, "d")];
        prefixes.extend(TYPE_PREFIXES.map(|(prefix, namespace)| (namespace, prefix)));
        envelope.emit(&prefixes).into()
    }
}

impl Sequence {
    fn emit(&self, namespace: &str) -> Element {
        let mut element = Element::new(namespace, "AppSequence");
        let mut add = |name: &str, value: String| element.attributes.push((name.to_owned(), value));
        add("InstanceId", self.instance.to_string());
        if let Some(id) = &self.id {
            add("SequenceId", id.clone());
        }
        add("MessageNumber", self.number.to_string());
        element
    }
}

fn reference(addressing: &str, endpoint: &str) -> Element {
    let address = Element::new(addressing, "Address").with_text(endpoint);
    Element::new(addressing, "EndpointReference").with(address)
}

/// The order is that of the schema.
fn fill(mut element: Element, addressing: &str, service: &Service) -> Element {
    let namespace = element.name.namespace.clone();
    let is_bye = element.name.local == "Bye";
    element
        .children
        .push(reference(addressing, &service.endpoint));
    let mut add = |it: Element| element.children.push(it);
    if !service.types.is_empty() {
        add(types(&namespace, &service.types));
    }
    if !service.scopes.is_empty() {
        add(Element::new(&namespace, "Scopes").with_text(service.scopes.join(" ")));
    }
    if !service.addresses.is_empty() {
        add(Element::new(&namespace, "XAddrs").with_text(service.addresses.join(" ")));
    }
    if let Some(version) = service.metadata_version.filter(|_| !is_bye) {
        add(Element::new(&namespace, "MetadataVersion").with_text(version.to_string()));
    }
    element
}

fn fill_probe(mut element: Element, version: Version, probe: &Probe) -> Element {
    let namespace = version.namespace();
    if !probe.types.is_empty() {
        element.children.push(types(namespace, &probe.types));
    }
    let default = probe.rule == Rule::default();
    if !probe.scopes.is_empty() || !default {
        let mut scopes = Element::new(namespace, "Scopes").with_text(probe.scopes.join(" "));
        if !default {
            let rule = ("MatchBy".to_owned(), probe.rule.uri(version));
            scopes.attributes.push(rule);
        }
        element.children.push(scopes);
    }
    element
}

fn types(namespace: &str, names: &[Name]) -> Element {
    let mut element = Element::new(namespace, "Types");
    element.names = names.to_vec();
    element
}
