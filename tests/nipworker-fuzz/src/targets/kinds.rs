//! The views of events, of every kind, and the decrypted contents of wallets and lists.

use nipworker_pipeline::kinds::{
    HistoryContent, ParsedKind, PrivateTags, TokenContent, WalletContent,
};
use nipworker_protocol::{PublicKey, UnsignedEvent};

use crate::text::content_and_tags;

/// Longest reason in characters: fixed words with two numbers, and nothing of the input.
const MAX_REASON_CHARS: usize = 160;

pub(super) fn run(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first_chunk::<2>() else { return };
    let (content, tags) = content_and_tags(rest);
    let kind = u16::from_be_bytes(*kind);
    let event = UnsignedEvent::new(PublicKey::from_bytes([1; 32]), 0, kind, tags, content);
    match ParsedKind::of_rumor(&event) {
        Ok(view) => assert!(!format!("{view:?}").is_empty()),
        Err(error) => {
            assert_eq!(error.kind, kind);
            short(&error);
        }
    }
    let text = event.content.as_str();
    PrivateTags::parse(text).err().iter().for_each(short);
    WalletContent::parse(text).err().iter().for_each(short);
    TokenContent::parse(text).err().iter().for_each(short);
    HistoryContent::parse(text).err().iter().for_each(short);
}

fn short(reason: &impl ToString) {
    let text = reason.to_string();
    assert!(text.chars().count() <= MAX_REASON_CHARS, "{text}");
}
