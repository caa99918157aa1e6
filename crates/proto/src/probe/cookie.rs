//! Cookies that show where a client is, without anything kept of it (RFC 9147 §5.1).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::wire::Writer;

/// How long a cookie is good for at least; at most it is twice as long.
const COOKIE_LIFE: Duration = Duration::from_secs(60);

/// What a client asks for, and as whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) client: SocketAddr,
    pub(super) nonce: [u8; 16],
    pub(super) group: SocketAddr,
    pub(super) source: Option<IpAddr>,
}

/// Makes cookies by a secret that nobody else has.
#[derive(Clone)]
pub(super) struct Cookies {
    secret: [u8; 32],
    /// When the first was asked for.
    started: Option<Instant>,
}

impl Cookies {
    pub(super) const fn new(secret: [u8; 32]) -> Self {
        Self {
            secret,
            started: None,
        }
    }

    /// The cookie for what a client asks for now.
    pub(super) fn make(&mut self, now: Instant, asked: &Asked) -> [u8; 16] {
        let epoch = self.epoch(now);
        self.cookie(asked, epoch)
    }

    /// Whether a cookie was made for what the client asks for, and is not too old.
    pub(super) fn is_good(&mut self, now: Instant, asked: &Asked, cookie: [u8; 16]) -> bool {
        let epoch = self.epoch(now);
        [epoch, epoch.saturating_sub(1)]
            .iter()
            .any(|epoch| self.cookie(asked, *epoch) == cookie)
    }

    /// How many times the life of a cookie has passed.
    fn epoch(&mut self, now: Instant) -> u64 {
        let start = *self.started.get_or_insert(now);
        now.saturating_duration_since(start).as_secs() / COOKIE_LIFE.as_secs()
    }

    fn cookie(&self, asked: &Asked, epoch: u64) -> [u8; 16] {
        let mut writer = Writer::new();
        address(&mut writer, asked.client);
        writer.bytes(&asked.nonce);
        address(&mut writer, asked.group);
        address(
            &mut writer,
            SocketAddr::new(asked.source.unwrap_or_else(|| asked.group.ip()), 0),
        );
        writer.bytes(&epoch.to_be_bytes());
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.secret).expect("a key may have any length");
        mac.update(&writer.finish());
        let mut cookie = [0; 16];
        cookie.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        cookie
    }
}

/// Writes an address in one form for both versions of IP, so that two different ones never look
/// alike.
fn address(writer: &mut Writer, address: SocketAddr) {
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    writer.bytes(&octets).u16(address.port());
}

// By hand, so that the secret stands in no trace.
impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookies").finish_non_exhaustive()
    }
}
