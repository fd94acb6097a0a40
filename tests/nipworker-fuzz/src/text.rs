//! Arbitrary bytes as a text with tags: what the readers of content and of kinds take.

use nipworker_protocol::Tag;

/// Begins a tag; what stands before the first one is the content.
const TAG: char = '\u{1e}';
/// Stands between the elements of a tag.
const ELEMENT: char = '\u{1f}';

/// Content and tags. Bytes that are no UTF-8 are replaced: events with such never get so far.
pub(crate) fn content_and_tags(bytes: &[u8]) -> (String, Vec<Tag>) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split(TAG);
    let content = parts.next().unwrap_or_default().to_owned();
    let tags = parts.map(|tag| Tag::new(tag.split(ELEMENT))).collect();
    (content, tags)
}

/// The opposite of `content_and_tags`, for texts without the two separators.
pub fn join(content: &str, tags: &[Tag]) -> String {
    let mut text = content.to_owned();
    for tag in tags {
        text.push(TAG);
        text.push_str(&tag.0.join(&ELEMENT.to_string()));
    }
    text
}
