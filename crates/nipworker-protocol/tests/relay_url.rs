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
        (&["ws://abc_d-e.onion"], "ws://abc_d-e.onion"),
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

proptest! {
    #[test]
    fn normalising_twice_changes_nothing(
        text in "(ws|wss|WsS)://[a-zA-Z0-9._\\-\\[\\]:]{0,20}(:[0-9+]{0,6})?[/a-zA-Z?#=&.]{0,20}",
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
