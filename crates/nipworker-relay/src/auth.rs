//! Who we are to which relay (NIP-42).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use nipworker_protocol::{PublicKey, RelayUrl};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess},
};

/// Which relays may learn whose client this is.
///
/// Whoever authenticates tells the relay a public key and, with it, what that key reads. A relay
/// that is allowed to know is answered whenever it sends a challenge, needed or not: relays leave
/// out private events silently for those who did not authenticate.
///
/// In text it is `off`, `configured`, `all`, or a list of relay URLs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Consent {
    /// None of them.
    Off,
    /// Those that are always wanted ([`RelayConfig::relays`](crate::RelayConfig::relays)), not
    /// those that only a request brought in.
    #[default]
    Configured,
    /// All of them.
    All,
    /// These, wanted always or not.
    Relays(BTreeSet<RelayUrl>),
}

impl Consent {
    /// Whether `relay` may know. `configured` says that it is always wanted.
    pub fn allows(&self, relay: &RelayUrl, configured: bool) -> bool {
        match self {
            Self::Off => false,
            Self::Configured => configured,
            Self::All => true,
            Self::Relays(relays) => relays.contains(relay),
        }
    }
}

impl Serialize for Consent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::Configured => serializer.serialize_str("configured"),
            Self::All => serializer.serialize_str("all"),
            Self::Relays(relays) => relays.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Consent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Consent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("off, configured, all, or a list of relay URLs")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Consent, E> {
                match word {
                    "off" => Ok(Consent::Off),
                    "configured" => Ok(Consent::Configured),
                    "all" => Ok(Consent::All),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Consent, A::Error> {
                let mut relays = BTreeSet::new();
                while let Some(relay) = list.next_element::<RelayUrl>()? {
                    relays.insert(relay);
                }
                Ok(Consent::Relays(relays))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// How relays are answered that ask who we are.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthConfig {
    /// Who is answered. Default: configured relays.
    pub consent: Consent,
    /// The keys that authenticate at a relay, at most
    /// [`MAX_KEYS`](AuthConfig::MAX_KEYS) each. A relay that is not named here gets the default
    /// signer's. Default: empty.
    pub keys: BTreeMap<RelayUrl, Vec<PublicKey>>,
    /// How long a signature, and the relay's answer to it, may take; what was refused until then
    /// waits no longer, and private messages are asked for as a stranger asks. A signature that comes
    /// later is used all the same. Default: 10 s.
    pub deadline: Duration,
}

impl AuthConfig {
    /// Most keys that authenticate at one relay.
    pub const MAX_KEYS: usize = 8;
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            consent: Consent::default(),
            keys: BTreeMap::new(),
            deadline: Duration::from_secs(10),
        }
    }
}

/// How far the authentication at a relay has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuthState {
    /// The relay did not ask on this connection.
    #[default]
    NotAsked,
    /// It asked, and is not to know.
    Declined,
    /// A signature, or the relay's answer, is waited for.
    UnderWay,
    /// The relay accepted it.
    Authenticated,
    /// It did not work; the problem stands beside it.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> RelayUrl {
        RelayUrl::parse(text).unwrap()
    }

    #[test]
    fn consent_is_read_from_a_word_or_a_list() {
        let read = |json: &str| serde_json::from_str::<Consent>(json);
        assert_eq!(read(r#""off""#).unwrap(), Consent::Off);
        assert_eq!(read(r#""configured""#).unwrap(), Consent::Configured);
        let list = read(r#"["wss://a.test/"]"#).unwrap();
        assert_eq!(list, Consent::Relays([url("wss://a.test")].into()));
        assert_eq!(read(&serde_json::to_string(&list).unwrap()).unwrap(), list);
        let error = read(r#""some""#).unwrap_err().to_string();
        assert!(error.contains("off, configured, all, or a list"), "{error}");
        assert!(read(r#"["http://a.test"]"#).is_err());
    }

    #[test]
    fn only_who_is_allowed_learns_who_we_are() {
        let (a, b) = (url("wss://a.test"), url("wss://b.test"));
        let list = Consent::Relays([a.clone()].into());
        assert!(list.allows(&a, false) && !list.allows(&b, true));
        assert!(Consent::Configured.allows(&a, true) && !Consent::Configured.allows(&a, false));
        assert!(Consent::All.allows(&a, false) && !Consent::Off.allows(&a, true));
    }
}
