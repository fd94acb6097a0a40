//! Events that come in to be mined: templates without a signature, of anybody's key.

use nipworker_core::protocol::{EventError, EventLimits, UnsignedEvent};
use serde::Deserialize;

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// It is no event, or over a limit.
    #[error(transparent)]
    Event(#[from] EventError),
    /// Its signature would not fit the event any more: the nonce changes the id.
    #[error(
        "the event is signed already: a nonce changes its id, so the signature would be void; give \
         it without `sig`"
    )]
    Signed,
}

/// Only whether there is a signature.
#[derive(Deserialize)]
struct Signature<'a> {
    #[serde(default, borrow)]
    sig: Option<&'a serde_json::value::RawValue>,
}

/// Reads an event without signature. An `id` is allowed and ignored; so is a `sig` that is null or
/// empty.
///
/// # Errors
/// [`TemplateError`].
pub(crate) fn read(json: &[u8], limits: &EventLimits) -> Result<UnsignedEvent, TemplateError> {
    let event = UnsignedEvent::from_json(json, limits)?;
    // The text has been read as an object, so only a doubled `sig` fails here, and that is one.
    let signed = serde_json::from_slice::<Signature<'_>>(json)
        .map_or(true, |found| found.sig.is_some_and(|sig| !matches!(sig.get(), "null" | "\"\"")));
    if signed { Err(TemplateError::Signed) } else { Ok(event) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(more: &str) -> String {
        let key = "7".repeat(64);
        format!(
            r#"{{"pubkey":"{key}","created_at":1,"kind":1,"tags":[],"content":"\"sig\":1"{more}}}"#
        )
    }

    fn read_text(text: &str) -> Result<UnsignedEvent, TemplateError> {
        read(text.as_bytes(), &EventLimits::default())
    }

    #[test]
    fn an_event_without_signature_is_a_template_with_or_without_an_id() {
        for more in ["", r#","id":"x""#, r#","sig":null"#, r#", "sig" : "" "#] {
            assert!(read_text(&event(more)).is_ok(), "{more}");
        }
    }

    #[test]
    fn an_event_with_a_signature_is_refused_with_the_reason() {
        for more in [r#","sig":"00""#, r#","sig":7"#, r#","sig":"","sig":"00""#] {
            assert_eq!(read_text(&event(more)), Err(TemplateError::Signed), "{more}");
        }
    }

    #[test]
    fn what_is_no_event_or_too_large_is_told() {
        assert!(matches!(read_text("{}"), Err(TemplateError::Event(EventError::Shape(_)))));
        let limits = EventLimits { max_event_bytes: 10, ..EventLimits::default() };
        let error = read(event("").as_bytes(), &limits).unwrap_err();
        assert!(matches!(error, TemplateError::Event(EventError::TooLarge { limit: 10, .. })));
    }
}
