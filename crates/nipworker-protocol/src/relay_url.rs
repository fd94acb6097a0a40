//! A relay's address in one spelling, so that two spellings of one relay are one relay.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest accepted relay URL in bytes.
const MAX_URL_BYTES: usize = 2_048;

/// Longest host name in bytes (RFC 1035).
const MAX_HOST_BYTES: usize = 253;

/// Why a text is not a relay URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayUrlError {
    /// The scheme is neither `ws` nor `wss`.
    #[error("a relay URL begins with ws:// or wss://, got {0:?}")]
    Scheme(String),
    /// There is no host, or it is too long or holds characters that no host name has. A name in
    /// another script is written in its `xn--` form, so that it has one spelling.
    #[error("relay URL {0:?} has no valid host")]
    Host(String),
    /// The port is no number from 1 to 65535.
    #[error("relay URL {0:?} has no valid port")]
    Port(String),
    /// Longer than 2048 bytes, or with white space or control characters.
    #[error("relay URL is too long or holds white space")]
    Text,
}

/// A normalised `ws://` or `wss://` URL: scheme and host in lower case, default port dropped,
/// fragment dropped, no slash at the end of the path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayUrl(String);

impl RelayUrl {
    /// Reads and normalises a URL.
    ///
    /// # Errors
    /// See [`RelayUrlError`].
    pub fn parse(text: &str) -> Result<Self, RelayUrlError> {
        let text = text.trim();
        if text.len() > MAX_URL_BYTES || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(RelayUrlError::Text);
        }
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| RelayUrlError::Scheme(text.to_owned()))?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "ws" => 80,
            "wss" => 443,
            _ => return Err(RelayUrlError::Scheme(text.to_owned())),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        if authority.contains('@') {
            return Err(RelayUrlError::Host(text.to_owned()));
        }
        let (host, port) = split_port(authority, text)?;
        let host = normal_host(host, text)?;
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let mut url = format!("{scheme}://{host}");
        if let Some(port) = port.filter(|port| *port != default_port) {
            url.push_str(&format!(":{port}"));
        }
        url.push_str(path.trim_end_matches('/'));
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            url.push('?');
            url.push_str(query);
        }
        Ok(Self(url))
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the connection is encrypted (`wss`).
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("wss:")
    }
}

fn split_port<'a>(authority: &'a str, text: &str) -> Result<(&'a str, Option<u16>), RelayUrlError> {
    let after_host = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[after_host..].rfind(':') {
        None => Ok((authority, None)),
        Some(at) => {
            let (host, port) = authority.split_at(after_host + at);
            let digits = &port[1..];
            let port = digits
                .parse::<u16>()
                .ok()
                .filter(|port| *port > 0 && digits.bytes().all(|c| c.is_ascii_digit()))
                .ok_or_else(|| RelayUrlError::Port(text.to_owned()))?;
            Ok((host, Some(port)))
        }
    }
}

fn normal_host(host: &str, text: &str) -> Result<String, RelayUrlError> {
    let invalid = || RelayUrlError::Host(text.to_owned());
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| invalid())?;
        return Ok(format!("[{address}]"));
    }
    let is_valid = !host.is_empty()
        && host.len() <= MAX_HOST_BYTES
        && host.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_'));
    if is_valid { Ok(host.to_ascii_lowercase()) } else { Err(invalid()) }
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RelayUrl {
    type Err = RelayUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for RelayUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RelayUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
