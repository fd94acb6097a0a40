//! Addresses that no stranger's list may bring in.

use std::net::Ipv4Addr;

use nipworker_protocol::RelayUrl;

/// Longest address of a relay that a list or a hint may name, in bytes.
pub const MAX_ROUTED_URL_BYTES: usize = 256;

/// Name endings that belong to one machine or network (RFC 2606, 6762, 8375), or to none.
const LOCAL_ENDINGS: [&str; 9] =
    ["localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "arpa", "test"];

/// Why a relay that a list or a hint names is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Junk {
    /// No relay URL at all.
    NotUrl,
    /// `ws://`, and only `wss://` is allowed.
    NotSecure,
    /// An address instead of a name: a relay has a certificate, and that has a name.
    IpLiteral,
    /// A name of this machine or its network: `localhost`, `.local`, one without a dot.
    LocalName,
    /// `.onion`, and there is no proxy that reaches it.
    Onion,
    /// With a query or an encoded path: somebody's tracking, or text that ran into the address.
    Query,
    /// Longer than [`MAX_ROUTED_URL_BYTES`].
    TooLong,
    /// Named by the configuration as not to be used.
    Blocked,
}

impl Junk {
    /// All of them, for counters.
    pub const ALL: [Self; 8] = [
        Self::NotUrl,
        Self::NotSecure,
        Self::IpLiteral,
        Self::LocalName,
        Self::Onion,
        Self::Query,
        Self::TooLong,
        Self::Blocked,
    ];

    /// Its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotUrl => "not_url",
            Self::NotSecure => "not_secure",
            Self::IpLiteral => "ip_literal",
            Self::LocalName => "local_name",
            Self::Onion => "onion",
            Self::Query => "query",
            Self::TooLong => "too_long",
            Self::Blocked => "blocked",
        }
    }
}

/// What is let through besides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JunkPolicy {
    /// `ws://`, addresses of all kinds and local names too: for tests and private networks. Names
    /// are not checked when they are dialled either.
    pub allow_private: bool,
    /// `.onion`: there is a proxy that reaches them.
    pub allow_onion: bool,
    /// Hosts that are not used, and all names below them.
    pub blocked: Vec<String>,
}

impl JunkPolicy {
    /// Whether a relay that a stranger names may be used.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, url: &RelayUrl) -> Result<(), Junk> {
        let text = url.as_str();
        if text.len() > MAX_ROUTED_URL_BYTES {
            return Err(Junk::TooLong);
        }
        let (_, rest) = text.split_once("://").ok_or(Junk::NotUrl)?;
        if rest.contains(['?', '%', '@', ',', '"', '\'', '\\', '<', '>', '{', '}']) {
            return Err(Junk::Query);
        }
        let authority = rest.split('/').next().unwrap_or_default();
        let host = match authority.strip_prefix('[') {
            Some(_) => authority,
            None => authority.split(':').next().unwrap_or_default(),
        };
        let host = host.trim_end_matches('.');
        let below = |name: &str| {
            host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'))
        };
        if self.blocked.iter().any(|name| below(name)) {
            return Err(Junk::Blocked);
        }
        if self.allow_private {
            return Ok(());
        }
        if below("onion") {
            return if self.allow_onion { Ok(()) } else { Err(Junk::Onion) };
        }
        if !url.is_secure() {
            return Err(Junk::NotSecure);
        }
        if is_address(host) {
            return Err(Junk::IpLiteral);
        }
        if !host.contains('.') || LOCAL_ENDINGS.iter().any(|name| below(name)) {
            return Err(Junk::LocalName);
        }
        Ok(())
    }
}

/// Whether a resolver would take a host for an address: in brackets, dotted, or in one of the old
/// forms, such as `127.1` or `0x7f000001`, which all end in a number.
fn is_address(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    host.starts_with('[')
        || host.parse::<Ipv4Addr>().is_ok()
        || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
        || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &JunkPolicy, text: &str) -> Result<(), Junk> {
        RelayUrl::parse(text).map_err(|_| Junk::NotUrl).and_then(|url| policy.check(&url))
    }

    #[test]
    fn junk_is_named_and_relays_are_let_through() {
        let policy =
            JunkPolicy { blocked: vec!["bad.example".to_owned()], ..JunkPolicy::default() };
        for text in ["wss://relay.example.com", "wss://a.b.org:7777/path/x", "wss://xn--4ca.org"] {
            assert_eq!(check(&policy, text), Ok(()), "{text}");
        }
        let long = format!("wss://relay.example.com/{}", "x".repeat(300));
        for (text, junk) in [
            ("ws://relay.example.com", Junk::NotSecure),
            ("wss://8.8.8.8", Junk::IpLiteral),
            ("wss://127.0.0.1:7000", Junk::IpLiteral),
            ("wss://127.1", Junk::NotUrl),
            ("wss://2130706433", Junk::NotUrl),
            ("wss://0x7f000001", Junk::NotUrl),
            ("wss://0x7f.0.0.1", Junk::NotUrl),
            ("wss://[::1]", Junk::IpLiteral),
            ("wss://[fd00::1]:80/x", Junk::IpLiteral),
            ("wss://localhost", Junk::LocalName),
            ("wss://localhost.", Junk::LocalName),
            ("wss://a.localhost:9000", Junk::LocalName),
            ("wss://umbrel.local", Junk::LocalName),
            ("wss://relay", Junk::LocalName),
            ("wss://nas.lan", Junk::LocalName),
            ("wss://abcdef.onion", Junk::Onion),
            ("wss://relay.example.com/?broadcast=true", Junk::Query),
            ("wss://relay.example.com/%20wss://other.example.com", Junk::Query),
            ("wss://a.example,wss://b.example", Junk::NotUrl),
            ("wss://user:pass@relay.example.com", Junk::NotUrl),
            ("https://relay.example.com", Junk::NotUrl),
            ("wss://x.bad.example", Junk::Blocked),
            (&long, Junk::TooLong),
        ] {
            assert_eq!(check(&policy, text), Err(junk), "{text}");
        }
        assert_eq!(check(&policy, "wss://notbad.example"), Ok(()));
        let own = JunkPolicy { allow_private: true, ..JunkPolicy::default() };
        assert_eq!(check(&own, "ws://127.0.0.1:7000"), Ok(()));
        assert_eq!(check(&own, "ws://127.0.0.1:7000/?a=b"), Err(Junk::Query));
        let tor = JunkPolicy { allow_onion: true, ..JunkPolicy::default() };
        assert_eq!(check(&tor, "ws://abcdef.onion"), Ok(()));
    }
}
