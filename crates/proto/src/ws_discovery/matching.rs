//! How scopes are compared (WS-Discovery 1.1 §5.1).

use super::Version;

/// How the scopes that are searched for are compared with those of a service (`MatchBy`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// As URIs: scheme and authority without case, and the path by its segments, of which those that are searched for come
    /// first (RFC 3986; 2005/04 names RFC 2396).
    #[default]
    Rfc3986,
    /// As UUIDs, without case.
    Uuid,
    /// As URIs of LDAP: the same host, and a name that is, or is below, the one that is searched for.
    Ldap,
    /// As texts that are equal in every character.
    Strcmp0,
    /// Services that have no scope at all; only 1.1 has it.
    None,
    /// Another one, by its URI, which matches nothing.
    Other(String),
}

impl Rule {
    const NAMES: [(Self, &'static str); 5] = [
        (Self::Rfc3986, "rfc3986"),
        (Self::Uuid, "uuid"),
        (Self::Ldap, "ldap"),
        (Self::Strcmp0, "strcmp0"),
        (Self::None, "none"),
    ];

    /// The rule of a URI, of either version.
    pub(super) fn of_uri(uri: &str) -> Self {
        let ours = Version::ALL.into_iter().find_map(|version| {
            let rest = uri.strip_prefix(version.namespace())?;
            rest.strip_prefix('/')
        });
        let known = Self::NAMES
            .into_iter()
            .find(|(_, name)| ours == Some(*name));
        match known {
            Some((rule, _)) => rule,
            None if ours == Some("rfc2396") => Self::Rfc3986,
            None => Self::Other(uri.to_owned()),
        }
    }

    pub(super) fn uri(&self, version: Version) -> String {
        let name = match self {
            Self::Other(uri) => return uri.clone(),
            Self::Rfc3986 if version == Version::V2005_04 => "rfc2396",
            Self::Rfc3986 => "rfc3986",
            Self::Uuid => "uuid",
            Self::Ldap => "ldap",
            Self::Strcmp0 => "strcmp0",
            Self::None => "none",
        };
        format!("{}/{name}", version.namespace())
    }

    /// Whether each of the scopes that are searched for matches one that is had.
    pub(super) fn matches(&self, searched: &[String], had: &[String]) -> bool {
        if *self == Self::None {
            return had.is_empty();
        }
        if let Self::Other(_) = self {
            return false;
        }
        let one = |searched: &String| had.iter().any(|had| self.compares(searched, had));
        searched.iter().all(one)
    }

    fn compares(&self, searched: &str, had: &str) -> bool {
        match self {
            Self::Rfc3986 => uris(searched, had),
            Self::Uuid => uuid(searched).is_some() && uuid(searched) == uuid(had),
            Self::Ldap => directories(searched, had),
            Self::Strcmp0 => searched == had,
            Self::None | Self::Other(_) => false,
        }
    }
}

/// Scheme, authority and path of a URI; query and fragment are not compared.
fn parts(uri: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let Some(rest) = rest.strip_prefix("//") else {
        return Some((scheme, "", rest));
    };
    let path = rest.find('/').unwrap_or(rest.len());
    Some((scheme, &rest[..path], &rest[path..]))
}

fn uris(searched: &str, had: &str) -> bool {
    let (Some(one), Some(other)) = (parts(searched), parts(had)) else {
        return searched == had;
    };
    if !one.0.eq_ignore_ascii_case(other.0) || !one.1.eq_ignore_ascii_case(other.1) {
        return false;
    }
    // An empty segment at the end is none.
    fn segments(path: &str) -> Vec<&str> {
        path.strip_suffix('/').unwrap_or(path).split('/').collect()
    }
    let (one, other) = (segments(one.2), segments(other.2));
    let mut all = one.iter().chain(&other);
    !all.any(|segment| matches!(*segment, "." | "..")) && other.starts_with(&one)
}

/// The UUID of a URI such as `urn:uuid:…` or `uuid:…`.
fn uuid(uri: &str) -> Option<String> {
    let at = uri.to_ascii_lowercase().find("uuid:")?;
    matches!(uri[..at].to_ascii_lowercase().as_str(), "" | "urn:")
        .then(|| uri[at + 5..].to_ascii_lowercase())
}

fn directories(searched: &str, had: &str) -> bool {
    let (Some(one), Some(other)) = (parts(searched), parts(had)) else {
        return false;
    };
    let is_ldap = |scheme: &str| scheme.eq_ignore_ascii_case("ldap");
    if !is_ldap(one.0) || !is_ldap(other.0) || !one.1.eq_ignore_ascii_case(other.1) {
        return false;
    }
    // RFC 4514 §2.1: the sequence of names begins at the end of the text.
    let names = |path: &str| -> Vec<String> {
        let path = path.strip_prefix('/').unwrap_or(path).to_ascii_lowercase();
        let names = path.rsplit(',').map(|name| name.trim().to_owned());
        names.filter(|name| !name.is_empty()).collect()
    };
    names(other.2).starts_with(&names(one.2))
}
