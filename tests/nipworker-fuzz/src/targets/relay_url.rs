//! Addresses of relays.

use nipworker_protocol::RelayUrl;

pub(super) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(url) = RelayUrl::parse(&text) else { return };
    let normal = url.as_str();
    assert_eq!(RelayUrl::parse(normal).as_ref(), Ok(&url), "a normal address stays as it is");
    assert!(normal.starts_with("ws://") || normal.starts_with("wss://"));
    assert_eq!(url.is_secure(), normal.starts_with("wss://"));
    assert!(!normal.contains('#') && !normal.contains(char::is_whitespace), "{normal}");
    let (_, rest) = normal.split_once("://").unwrap();
    let authority = rest.split(['/', '?']).next().unwrap();
    assert!(!authority.is_empty() && !authority.contains('@'), "{normal}");
    assert_eq!(authority, authority.to_ascii_lowercase(), "one spelling of a host");
    let json = serde_json::to_string(&url).unwrap();
    assert_eq!(serde_json::from_str::<RelayUrl>(&json).unwrap(), url);
}
