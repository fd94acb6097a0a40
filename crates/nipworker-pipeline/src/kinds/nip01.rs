//! Who somebody says to be (kind 0; NIP-01, NIP-24).

use serde_json::{Map, Value};

use super::{Emoji, Flaw, Source, tags};

/// A profile. Nothing in it was verified, the NIP-05 name neither. A number or truth value where
/// a text should be is read as text; an empty text counts as none.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
pub struct Metadata<'a> {
    /// Short name (`name`, or `username` where that is missing).
    pub name: Option<String>,
    /// Long name (`display_name`, formerly `displayName`).
    pub display_name: Option<String>,
    /// About (`about`, or `bio`).
    pub about: Option<String>,
    /// Portrait (`picture`, or `image`, or `avatar`).
    pub picture: Option<String>,
    /// Wide picture (`banner`, or `background`).
    pub banner: Option<String>,
    /// Home page.
    pub website: Option<String>,
    /// Name at a domain (NIP-05), not verified.
    pub nip05: Option<String>,
    /// LNURL to pay to.
    pub lud06: Option<String>,
    /// Lightning address to pay to.
    pub lud16: Option<String>,
    /// Name at GitHub.
    pub github: Option<String>,
    /// Name at Twitter.
    pub twitter: Option<String>,
    /// Name at a Mastodon server.
    pub mastodon: Option<String>,
    /// Key as written by itself.
    pub nostr: Option<String>,
    /// Whether it is a program that writes.
    pub bot: bool,
    /// Every other field, as it is.
    pub others: Map<String, Value>,
    /// Custom emoji for name and about (NIP-30).
    pub emojis: Vec<Emoji<'a>>,
}

impl<'a> Metadata<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let mut fields = object(source.content)?;
        let mut take = |names: &[&str]| {
            let mut found = None;
            for name in names {
                let value = fields.remove(*name).and_then(text);
                found = found.or(value);
            }
            found
        };
        let mut metadata = Self {
            name: take(&["name", "username"]),
            display_name: take(&["display_name", "displayName"]),
            about: take(&["about", "bio"]),
            picture: take(&["picture", "image", "avatar"]),
            banner: take(&["banner", "background"]),
            website: take(&["website"]),
            nip05: take(&["nip05"]),
            lud06: take(&["lud06"]),
            lud16: take(&["lud16"]),
            github: take(&["github"]),
            twitter: take(&["twitter"]),
            mastodon: take(&["mastodon"]),
            nostr: take(&["nostr"]),
            bot: take(&["bot"]).is_some_and(|bot| bot == "true"),
            others: Map::new(),
            emojis: tags::emojis(source.tags).collect(),
        };
        metadata.others = fields;
        Ok(metadata)
    }

    /// The name to show: the long one, else the short one.
    pub fn shown_name(&self) -> Option<&str> {
        self.display_name.as_deref().or(self.name.as_deref())
    }
}

/// The object, also where a client has written it as a JSON string of JSON.
fn object(content: &str) -> Result<Map<String, Value>, Flaw> {
    let flaw = |error: serde_json::Error| Flaw::json("content", "an object", &error);
    match serde_json::from_str(content).map_err(flaw)? {
        Value::Object(fields) => Ok(fields),
        Value::String(inner) => serde_json::from_str(&inner).map_err(flaw),
        _ => Err(Flaw::Content { expected: "an object in JSON" }),
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text).filter(|text| !text.trim().is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}
