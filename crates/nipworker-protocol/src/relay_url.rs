//! A relay's address in one spelling, so that two spellings of one relay are one relay.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

mod path;

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
    /// another script is written in its `xn--` form and an IPv4 address as four decimal numbers,
    /// so that each has one spelling.
    #[error("relay URL {0:?} has no valid host")]
    Host(String),
    /// The port is no number from 1 to 65535.
    #[error("relay URL {0:?} has no valid port")]
    Port(String),
    /// Longer than 2048 bytes, or with white space or control characters.
    #[error("relay URL is too long or holds white space")]
    Text,
}

/// A normalised `ws://` or `wss://` URL (RFC 3986, section 6):
///
/// * scheme and host in lower case, the host without the dot that ends a name;
/// * no default port, no fragment, no user, no empty query;
/// * a path without `.` and `..` and without a slash at its end;
/// * in path and query `%` codes only where they are needed, with capital digits.
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
        url.push_str(&path::normal_path(path));
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            url.push('?');
            path::push_encoded(&mut url, query);
        }
        // A character that needs a code is written with three.
        if url.len() > MAX_URL_BYTES { Err(RelayUrlError::Text) } else { Ok(Self(url)) }
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the connection is encrypted (`wss`).
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("wss:")
    }

    /// Host name or address; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        let (host, _) = self.host_and_port();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Port, also where the text leaves it out.
    pub fn port(&self) -> u16 {
        let (_, port) = self.host_and_port();
        port.unwrap_or(if self.is_secure() { 443 } else { 80 })
    }

    /// Whether the host is a hidden service, a name below `.onion` (RFC 7686). Such a name must
    /// never be asked of the public name service.
    pub fn is_onion(&self) -> bool {
        self.host().rsplit('.').next() == Some("onion")
    }

    fn host_and_port(&self) -> (&str, Option<u16>) {
        let authority = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split(['/', '?']).next().unwrap_or_default();
        split_port(authority, authority).unwrap_or((authority, None))
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
    // The dot that stands for the root names the same host (RFC 1034, section 3.1).
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_valid = !host.is_empty()
        && !host.ends_with('.')
        && host.len() <= MAX_HOST_BYTES
        && host.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_'))
        && (host.parse::<Ipv4Addr>().is_ok() || !ends_in_a_number(host));
    if is_valid { Ok(host.to_ascii_lowercase()) } else { Err(invalid()) }
}

/// Whether the last label is a number. Resolvers take such texts for IPv4 addresses in spellings
/// of old: `127.1`, `2130706433` and `0x7f.0.0.1` are all this machine.
fn ends_in_a_number(host: &str) -> bool {
    let label = host.rsplit('.').next().unwrap_or_default();
    let is_hex = |digits: &str| digits.bytes().all(|c| c.is_ascii_hexdigit());
    let prefixed = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    prefixed.is_some_and(is_hex) || (!label.is_empty() && label.bytes().all(|c| c.is_ascii_digit()))
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
