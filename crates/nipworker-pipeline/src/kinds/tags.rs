//! Reading tags.

use nipworker_protocol::{RelayUrl, Tag};

use super::{Emoji, Flaw};

/// All tags of a name.
pub(crate) fn named<'a>(
    tags: &'a [Tag],
    name: &'a str,
) -> impl DoubleEndedIterator<Item = &'a Tag> {
    tags.iter().filter(move |tag| tag.name() == name)
}

/// The values of all tags of a name, without empty ones.
pub(crate) fn values<'a>(
    tags: &'a [Tag],
    name: &'a str,
) -> impl DoubleEndedIterator<Item = &'a str> {
    named(tags, name).filter_map(Tag::value).filter(|value| !value.is_empty())
}

/// The first value that is not empty.
pub(crate) fn value<'a>(tags: &'a [Tag], name: &str) -> Option<&'a str> {
    let mut found = tags.iter().filter(|tag| tag.name() == name).filter_map(Tag::value);
    found.find(|value| !value.is_empty())
}

/// The first value, which must be there.
pub(crate) fn required<'a>(tags: &'a [Tag], name: &'static str) -> Result<&'a str, Flaw> {
    value(tags, name).ok_or(Flaw::MissingTag(name))
}

/// Digits only, below 2^64: no sign, no space, no decimals.
pub(crate) fn whole_number(text: &str) -> Option<u64> {
    if text.bytes().all(|c| c.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A tag that holds an amount, if it is there.
pub(crate) fn amount(tags: &[Tag], name: &'static str) -> Result<Option<u64>, Flaw> {
    value(tags, name).map(|text| whole_number(text).ok_or(Flaw::Amount { place: name })).transpose()
}

/// A tag that holds unix seconds, if it is there and is a number.
pub(crate) fn time(tags: &[Tag], name: &str) -> Option<i64> {
    value(tags, name)?.parse().ok()
}

/// 64 lower-case hex characters.
pub(crate) fn sha256(text: &str) -> Option<[u8; 32]> {
    nipworker_protocol::EventId::from_hex(text).ok().map(|id| *id.as_bytes())
}

/// The relay URLs of all tags of a name, each once, in order.
pub(crate) fn relay_urls(tags: &[Tag], name: &str) -> Vec<RelayUrl> {
    unique(values(tags, name).filter_map(|url| RelayUrl::parse(url).ok()))
}

/// Each once, in order.
pub(crate) fn unique<T: Clone + Eq + std::hash::Hash>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = std::collections::HashSet::new();
    items.filter(|item| seen.insert(item.clone())).collect()
}

/// Topics (`t`), each once, in order, as written.
pub(crate) fn hashtags(tags: &[Tag]) -> Vec<&str> {
    unique(values(tags, "t"))
}

/// Custom emoji (NIP-30): the name must be letters, digits, `_` or `-`.
pub(crate) fn emojis(tags: &[Tag]) -> impl Iterator<Item = Emoji<'_>> {
    named(tags, "emoji").filter_map(|tag| {
        let shortcode = tag.value()?;
        let is_name = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-');
        let url = tag.get(2).filter(|url| !url.is_empty())?;
        let is_valid = !shortcode.is_empty() && shortcode.bytes().all(is_name);
        is_valid.then_some(Emoji { shortcode, url })
    })
}

/// What a `content-warning` tag says; empty when it gives no reason (NIP-36).
pub(crate) fn content_warning(tags: &[Tag]) -> Option<&str> {
    let mut found = tags.iter().filter(|tag| tag.name() == "content-warning");
    found.next().map(|tag| tag.value().unwrap_or_default())
}
