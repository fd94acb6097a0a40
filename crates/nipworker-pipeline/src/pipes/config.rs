//! Pipes by name, as a configuration has them.

use std::sync::Arc;

use nipworker_protocol::PublicKey;
use serde::{Deserialize, Serialize};

use super::{
    AuthorLimit, ChatLimit, CounterOptions, KindRules, MuteList, PipeSpec, SerialiseOptions,
};

/// Pipes that can be named. `proofs` is not among them: it needs the keys of mints, which a
/// program gives.
pub const KNOWN_PIPES: [&str; 6] =
    ["kind-filter", "mute", "author-limiter", "chat-limiter", "counter", "serialise"];

/// The steps that stand before every pipe.
const FIXED: [&str; 4] = ["filter", "parse", "verify", "save"];

/// Pipes of one subscription.
pub const MAX_PIPES: usize = 32;

/// What is wrong with the pipes of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct PipesConfigError {
    /// The key, with its table: `mute.words`.
    pub key: String,
    /// What is wrong, for a person.
    pub problem: String,
}

/// Which pipes a subscription has that names none of its own, and their options.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PipesConfig {
    /// Their names in the order in which they run; see [`KNOWN_PIPES`].
    pub pipes: Vec<String>,
    /// Options of `kind-filter`.
    pub kind_filter: KindRules,
    /// Options of `mute`.
    pub mute: MuteList,
    /// Options of `author-limiter`.
    pub author_limiter: AuthorLimit,
    /// Options of `chat-limiter`.
    pub chat_limiter: ChatLimit,
    /// Options of `counter`.
    pub counter: CounterOptions,
    /// Options of `serialise`.
    pub serialise: SerialiseOptions,
}

impl PipesConfig {
    /// The pipes in order.
    ///
    /// # Errors
    /// [`PipesConfigError`]: a name that is not known or stands twice, or an option out of range.
    pub fn specs(&self) -> Result<Vec<PipeSpec>, PipesConfigError> {
        let wrong =
            |key: &str, problem: String| Err(PipesConfigError { key: key.to_owned(), problem });
        for (key, number) in [
            ("author_limiter.max_authors", self.author_limiter.max_authors),
            ("chat_limiter.max_chats", self.chat_limiter.max_chats),
            ("serialise.max_bytes", self.serialise.max_bytes),
        ] {
            if number == 0 {
                return wrong(key, "0 is out of range, the least is 1".to_owned());
            }
        }
        if let Err(error) = self.mute.validate() {
            return wrong("mute", error.to_string());
        }
        let mut specs: Vec<PipeSpec> = Vec::new();
        for name in &self.pipes {
            if specs.iter().any(|spec| spec.name() == name) {
                return wrong("pipes", format!("{name:?} stands twice"));
            }
            if FIXED.contains(&name.as_str()) {
                let problem = format!("{name:?} is part of every ingest and cannot be configured");
                return wrong("pipes", problem);
            }
            let Some(spec) = self.spec(name) else {
                let known = KNOWN_PIPES.join(", ");
                return wrong("pipes", format!("{name:?} is no pipe; there are {known}"));
            };
            specs.push(spec);
        }
        Ok(specs)
    }

    fn spec(&self, name: &str) -> Option<PipeSpec> {
        Some(match name {
            "kind-filter" => PipeSpec::KindFilter(self.kind_filter.clone()),
            "mute" => PipeSpec::Mute(Arc::new(self.mute.clone())),
            "author-limiter" => PipeSpec::AuthorLimiter(self.author_limiter.clone()),
            "chat-limiter" => PipeSpec::ChatLimiter(self.chat_limiter.clone()),
            "counter" => PipeSpec::Counter(self.counter),
            "serialise" => PipeSpec::Serialise(self.serialise),
            _ => return None,
        })
    }
}

/// A key that may be left empty.
pub(super) mod optional_key {
    use serde::{Deserializer, Serializer, de::Error};

    use super::{Deserialize, PublicKey};

    pub(crate) fn serialize<S: Serializer>(
        key: &Option<PublicKey>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&key.map(|key| key.to_hex()).unwrap_or_default())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PublicKey>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        PublicKey::from_hex(&text).map(Some).map_err(D::Error::custom)
    }
}
