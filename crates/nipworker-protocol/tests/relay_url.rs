//! One spelling for one relay.
#![allow(clippy::unwrap_used)]

use nipworker_protocol::{RelayUrl, RelayUrlError};
use proptest::prelude::*;

#[test]
fn spellings_of_one_relay_are_one_url() {
    for (spellings, normal) in [
        (
            &[
                "wss://relay.example.com",
                "wss://relay.example.com/",
                "WSS://Relay.EXAMPLE.com:443//",
                "  wss://relay.example.com\n",
                "wss://relay.example.com/#top",
                "wss://relay.example.com?",
                "wss://relay.example.com:0443/?#",
            ][..],
            "wss://relay.example.com",
        ),
        (&["ws://localhost:80", "ws://LOCALHOST/"], "ws://localhost"),
        (&["ws://127.0.0.1:7447/"], "ws://127.0.0.1:7447"),
        (&["wss://r.example:80"], "wss://r.example:80"),
        (&["ws://r.example:443"], "ws://r.example:443"),
        (&["wss://r.example/Path/", "wss://R.example/Path"], "wss://r.example/Path"),
        (&["wss://r.example/?A=b", "wss://r.example?A=b"], "wss://r.example?A=b"),
        (&["ws://[::1]:80/", "ws://[0:0:0:0:0:0:0:1]", "ws://[0::0:1]"], "ws://[::1]"),
        (&["ws://[2001:DB8::1]:7447"], "ws://[2001:db8::1]:7447"),
        (&["ws://abc_d-e.onion", "ws://abc_d-e.ONION."], "ws://abc_d-e.onion"),
        (&["wss://r.example.", "wss://R.example.:443/"], "wss://r.example"),
        (
            &["wss://xn--mnchen-3ya.example", "wss://XN--mnchen-3ya.EXAMPLE"],
            "wss://xn--mnchen-3ya.example",
        ),
        (&["ws://127.0.0.1.", "ws://127.0.0.1:80"], "ws://127.0.0.1"),
        (
            &[
                "wss://r.example/a/%7euser",
                "wss://r.example/./a/b/../%7Euser/",
                "wss://r.example/a/~%75ser",
            ],
            "wss://r.example/a/~user",
        ),
        (
            &["wss://r.example/../..", "wss://r.example/.", "wss://r.example/%2e%2E/"],
            "wss://r.example",
        ),
        (
            &["wss://r.example/a%2fb%c3%a9", "wss://r.example/a%2Fb\u{e9}"],
            "wss://r.example/a%2Fb%C3%A9",
        ),
        (&["wss://r.example?k=%41%20", "wss://r.example/?k=A%20"], "wss://r.example?k=A%20"),
        (&["wss://r.example/100%", "wss://r.example/100%25"], "wss://r.example/100%25"),
    ] {
        for spelling in spellings {
            let url = RelayUrl::parse(spelling).unwrap();
            assert_eq!(url.as_str(), normal, "{spelling:?}");
            assert_eq!(url.to_string(), normal);
            assert_eq!(url.is_secure(), normal.starts_with("wss"));
        }
    }
}

#[test]
fn path_case_scheme_and_port_make_another_relay() {
    let urls = [
        "wss://r.example",
        "ws://r.example",
        "wss://r.example/a",
        "wss://r.example/A",
        "wss://r.example:444",
        "wss://r.example?a",
        "wss://s.example",
    ];
    let distinct: std::collections::BTreeSet<_> =
        urls.iter().map(|url| RelayUrl::parse(url).unwrap()).collect();
    assert_eq!(distinct.len(), urls.len());
}

#[test]
fn what_is_no_relay_url_is_refused_with_the_reason() {
    let long = format!("wss://r.example/{}", "x".repeat(2_048));
    let long_host = format!("wss://{}", "x".repeat(254));
    for text in ["", "r.example", "http://r.example", "wss:r.example", "://r.example", "wss//r"] {
        let error = RelayUrl::parse(text).unwrap_err();
        assert!(matches!(error, RelayUrlError::Scheme(_)), "{text:?}: {error}");
    }
    for text in [
        "wss://",
        "wss:///path",
        "wss://:443",
        "wss://user@r.example",
        "wss://user:pass@r.example",
        "wss://r example.com".replace(' ', "%20").as_str(),
        "wss://[::1",
        "wss://::1]",
        "wss://[::1]x",
        "wss://[127.0.0.1]",
        "wss://[::1%eth0]",
        "wss://r.example\\evil",
        "wss://r,example",
        "wss://münchen.example",
        "wss://r.example..",
        "wss://.",
        "ws://127.1",
        "ws://2130706433",
        "ws://0x7f.0.0.1",
        "ws://0x7F000001",
        "ws://0177.0.0.1",
        "ws://1.2.3.4.5",
        "ws://256.0.0.1",
        "ws://127.0.0.0x1",
        long_host.as_str(),
    ] {
        let error = RelayUrl::parse(text).unwrap_err();
        assert!(matches!(error, RelayUrlError::Host(_)), "{text:?}: {error}");
    }
    for text in [
        "wss://r.example:",
        "wss://r.example:0",
        "wss://r.example:65536",
        "wss://r.example:+80",
        "wss://r.example:-1",
        "wss://r.example:8o",
        "ws://[::1]:x",
        "wss://a:b:80x",
        "wss://r.example:99999999999999999999",
        "wss://r.example:٤٤٣",
    ] {
        let error = RelayUrl::parse(text).unwrap_err();
        assert!(matches!(error, RelayUrlError::Port(_)), "{text:?}: {error}");
    }
    for text in ["wss://r .example", "wss://r.example/a b", "wss://r\0", "wss://r\u{85}x", &long] {
        assert_eq!(RelayUrl::parse(text).unwrap_err(), RelayUrlError::Text, "{text:?}");
    }
}

#[test]
fn json_holds_the_normal_spelling_and_refuses_what_parse_refuses() {
    let url: RelayUrl = serde_json::from_str(r#""WSS://R.Example/""#).unwrap();
    assert_eq!(serde_json::to_string(&url).unwrap(), r#""wss://r.example""#);
    assert!(serde_json::from_str::<RelayUrl>(r#""https://r.example""#).is_err());
    assert!("wss://r.example".parse::<RelayUrl>().is_ok());
}

#[test]
fn host_and_port_are_told_also_where_they_are_not_written() {
    for (text, host, port, onion) in [
        ("wss://R.example", "r.example", 443, false),
        ("ws://r.example/a:1", "r.example", 80, false),
        ("wss://r.example:8080?x=:9", "r.example", 8080, false),
        ("ws://[2001:DB8::1]", "2001:db8::1", 80, false),
        ("ws://[::1]:7447/x", "::1", 7447, false),
        ("ws://abc.Onion.:81", "abc.onion", 81, true),
        ("ws://onion", "onion", 80, true),
        ("ws://abc.onion.example", "abc.onion.example", 80, false),
        ("ws://abconion", "abconion", 80, false),
    ] {
        let url = RelayUrl::parse(text).unwrap();
        assert_eq!((url.host(), url.port(), url.is_onion()), (host, port, onion), "{text}");
    }
}

proptest! {
    /// What we take, the URL standard's parser (crate `url`) takes too, for the same place.
    #[test]
    fn the_url_standard_reads_the_same_host_port_path_and_query(
        text in "(ws|wss)://([a-zA-Z0-9-]{1,6}\\.){0,2}[a-z0-9]{1,4}(:[0-9]{1,5})?(/[a-zA-Z%0-9.~é]{0,4}){0,4}(\\?[a-z=&%é]{0,8})?",
    ) {
        let Ok(ours) = RelayUrl::parse(&text) else { return Ok(()) };
        // It checks punycode, which a name that nobody registered need not be.
        let Ok(twin) = url::Url::parse(&text) else { return Ok(()) };
        prop_assert_eq!(Some(ours.host()), twin.host_str());
        prop_assert_eq!(Some(ours.port()), twin.port_or_known_default());
        // The standard neither decodes `%61` nor drops the slash at the end; what it reads of our
        // spelling is what we read of its.
        let of_twin = RelayUrl::parse(twin.as_str()).unwrap();
        prop_assert_eq!(&of_twin, &ours, "{}", twin);
        let again = url::Url::parse(ours.as_str()).unwrap();
        let path = again.path().trim_end_matches('/');
        let query = again.query().map(|query| format!("?{query}")).unwrap_or_default();
        prop_assert!(ours.as_str().ends_with(&format!("{path}{query}")), "{} {}", ours, again);
    }

    /// Each way to write the same address differently comes to the same text.
    #[test]
    fn any_spelling_of_one_relay_is_the_same_url(
        host in "[a-z]{1,8}\\.[a-z]{2,5}",
        port in prop::option::of(1_u16..),
        segments in prop::collection::vec("[a-z]{1,5}", 0..4),
        secure: bool,
        capitals: bool,
        dot: bool,
        zeros in 0_usize..3,
        codes: bool,
        slashes in 0_usize..3,
        fragment: bool,
    ) {
        let scheme = if secure { "wss" } else { "ws" };
        let path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        let default = if secure { 443 } else { 80 };
        let number = port.map(|port| format!(":{port}")).unwrap_or_default();
        let plain = RelayUrl::parse(&format!("{scheme}://{host}{number}{path}")).unwrap();
        let mut text = format!("{scheme}://{host}");
        if capitals {
            text = text.to_ascii_uppercase();
        }
        if dot {
            text.push('.');
        }
        match port {
            Some(port) => text.push_str(&format!(":{}{port}", "0".repeat(zeros))),
            None if zeros > 0 => text.push_str(&format!(":{default}")),
            None => {}
        }
        for segment in &segments {
            text.push('/');
            for byte in segment.bytes() {
                if codes { text.push_str(&format!("%{byte:02x}")) } else { text.push(char::from(byte)) }
            }
        }
        text.push_str(&"/".repeat(slashes));
        if fragment {
            text.push_str("#x");
        }
        prop_assert_eq!(RelayUrl::parse(&text).unwrap(), plain, "{}", text);
    }

    #[test]
    fn normalising_twice_changes_nothing(
        text in "(ws|wss|WsS)://[a-zA-Z0-9._\\-\\[\\]:]{0,20}(:[0-9+]{0,6})?[/a-zA-Z?#=&.%0-9é\"<]{0,20}",
    ) {
        if let Ok(url) = RelayUrl::parse(&text) {
            prop_assert_eq!(RelayUrl::parse(url.as_str()).unwrap(), url.clone());
            prop_assert!(!url.as_str().contains('#'), "a fragment is no part of a relay's name");
            // A query may end with a slash; only the path has trailing ones taken off.
            let before_query = url.as_str().split('?').next().unwrap();
            prop_assert!(!before_query.ends_with('/'));
        }
    }

    #[test]
    fn any_text_is_a_url_or_an_error(text in ".{0,80}") {
        _ = RelayUrl::parse(&text);
    }
}
