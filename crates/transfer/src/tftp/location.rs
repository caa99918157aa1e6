//! Where a file is: `HOST[:PORT]/FILE`.

use std::fmt;
use std::str::FromStr;

use manycast_proto::tftp::PORT;
use manycast_types::{Address, Host};

use super::Error;

/// A file on a server: `10.0.0.1/boot.bin`, `[fe80::1%eth0]:6969/dir/boot.bin`; the port is 69 unless
/// it is named. `tftp://HOST/FILE` (RFC 3617) is read too.
///
/// ```
/// use manycast::transfer::tftp::Location;
///
/// let location: Location = "tftp://192.0.2.7/dir/boot.bin".parse()?;
/// assert_eq!((location.server().port(), location.name()), (69, "dir/boot.bin"));
/// assert_eq!(location.to_string(), "192.0.2.7:69/dir/boot.bin");
/// # Ok::<(), manycast::transfer::tftp::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    server: Address,
    name: String,
}

impl Location {
    /// The server, with its port.
    pub const fn server(&self) -> &Address {
        &self.server
    }

    /// The name of the file, as the server is asked for it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why: String| Error::Location {
            text: text.to_owned(),
            why,
        };
        let (rest, is_url) = match text.strip_prefix("tftp://") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let Some((host, name)) = rest.split_once('/') else {
            return Err(wrong("there is no / and no name of a file".to_owned()));
        };
        // RFC 3617 §3: a URL may name the mode, and be escaped; a name here is as it is.
        let name = if is_url {
            let name = name.split_once(";mode=").map_or(name, |(name, _)| name);
            unescaped(name)
        } else {
            name.to_owned()
        };
        if name.is_empty() || name.contains('\0') {
            return Err(wrong("the name of the file is empty".to_owned()));
        }
        let has_port = match host.rsplit_once(']') {
            Some((_, after)) => after.starts_with(':'),
            None => host.contains(':'),
        };
        let address = if has_port {
            host.parse()
        } else {
            format!("{host}:{PORT}").parse()
        };
        let server: Address = address.map_err(|error: manycast_types::AddressError| {
            wrong(
                error
                    .to_string()
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            )
        })?;
        if *server.host() == Host::Any || server.port() == 0 || server.group().is_some() {
            return Err(wrong("it names no host".to_owned()));
        }
        Ok(Self { server, name })
    }
}

/// A text of a URL without its escapes.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = after.get(..2).filter(|_| *first == b'%');
        let escape = escape.and_then(|digits| std::str::from_utf8(digits).ok());
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server, self.name)
    }
}
