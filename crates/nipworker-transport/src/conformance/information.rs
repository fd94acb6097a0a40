//! The suite that every implementation of [`RelayInformation`] passes.

use std::{sync::Arc, time::Duration};

use futures::future::{Either, select};
use nipworker_protocol::RelayUrl;

use super::RULE_DEADLINE;
use crate::{
    BoxFuture, InformationError, InformationOptions, RelayInformation, TransportError,
    memory::InformationAnswer,
};

/// An address and the server behind it, to be polled to its end.
pub type InformationServer = (RelayUrl, BoxFuture<'static, ()>);

/// What the suite needs from an implementation.
pub trait InformationHarness: Send + Sync {
    /// The implementation under test.
    fn information(&self) -> Arc<dyn RelayInformation>;
    /// A server that answers one question so.
    fn answering(&self, answer: InformationAnswer) -> InformationServer;
    /// An address where nobody listens.
    fn nobody_to_ask(&self) -> RelayUrl;
    /// Whether the implementation promises to keep [`InformationOptions::timeout`] itself.
    fn keeps_time(&self) -> bool;
    /// Passes time.
    fn pause(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// Runs every rule.
///
/// # Panics
/// When a rule is broken.
pub async fn all_of_information(harness: &dyn InformationHarness) {
    a_document_comes_unchanged(harness).await;
    a_document_over_the_limit_is_given_up(harness).await;
    what_is_no_text_is_refused(harness).await;
    another_status_than_200_is_told(harness).await;
    a_broken_connection_is_told(harness).await;
    asking_nobody_is_refused(harness).await;
    asking_keeps_its_time_limit(harness).await;
}

/// Documents of 0 bytes to 100 kB, up to the very limit.
///
/// # Panics
/// When the rule is broken.
pub async fn a_document_comes_unchanged(harness: &dyn InformationHarness) {
    let large = "æ€𝄞x".repeat(10_000);
    for text in ["", "{}", "{\"name\":\"grüße\"}\r\n\r\n0\r\n", large.as_str()] {
        let answer = InformationAnswer::Document(text.to_owned());
        let limit = text.len().max(1);
        let got = ask(harness, "a document comes unchanged", answer, limit).await;
        assert!(got.as_deref() == Ok(text), "a document of {} bytes: {got:?}", text.len());
    }
}

/// # Panics
/// When the rule is broken.
pub async fn a_document_over_the_limit_is_given_up(harness: &dyn InformationHarness) {
    for bytes in [10_001, 5_000_000] {
        let answer = InformationAnswer::Document("x".repeat(bytes));
        let got = ask(harness, "a document over the limit is given up", answer, 10_000).await;
        assert!(
            matches!(got, Err(InformationError::TooLarge { limit: 10_000, got }) if got > 10_000),
            "got {got:?}"
        );
    }
}

/// # Panics
/// When the rule is broken.
pub async fn what_is_no_text_is_refused(harness: &dyn InformationHarness) {
    let answer = InformationAnswer::Bytes(vec![b'{', 0xff, 0xc0, b'}']);
    let got = ask(harness, "what is no text is refused", answer, 10_000).await;
    assert_eq!(got, Err(InformationError::NotUtf8));
}

/// # Panics
/// When the rule is broken.
pub async fn another_status_than_200_is_told(harness: &dyn InformationHarness) {
    for status in [204, 301, 404, 503] {
        let answer = InformationAnswer::Status(status);
        let got = ask(harness, "another status than 200 is told", answer, 10_000).await;
        assert_eq!(got, Err(InformationError::Status { status }));
    }
}

/// # Panics
/// When the rule is broken.
pub async fn a_broken_connection_is_told(harness: &dyn InformationHarness) {
    let got = ask(harness, "a broken connection is told", InformationAnswer::Cut, 10_000).await;
    assert!(
        matches!(got, Err(InformationError::Connection(TransportError::Lost { .. }))),
        "got {got:?}"
    );
}

/// # Panics
/// When the rule is broken.
pub async fn asking_nobody_is_refused(harness: &dyn InformationHarness) {
    let options = InformationOptions::default();
    let got = harness.information().fetch(harness.nobody_to_ask(), options).await;
    assert!(
        matches!(got, Err(InformationError::Connection(TransportError::Refused { .. }))),
        "got {got:?}"
    );
}

/// # Panics
/// When the rule is broken.
pub async fn asking_keeps_its_time_limit(harness: &dyn InformationHarness) {
    if !harness.keeps_time() {
        return;
    }
    let (url, server) = harness.answering(InformationAnswer::Silence);
    let after = Duration::from_millis(100);
    let options = InformationOptions { timeout: after, ..InformationOptions::default() };
    let asking = harness.information().fetch(url, options);
    let got = bounded(harness, "asking keeps its time limit", asking, server).await;
    assert_eq!(got, Err(InformationError::Timeout { after }));
}

async fn ask(
    harness: &dyn InformationHarness,
    rule: &str,
    answer: InformationAnswer,
    max_bytes: usize,
) -> Result<String, InformationError> {
    let (url, server) = harness.answering(answer);
    let options = InformationOptions { max_bytes, ..InformationOptions::default() };
    let asking = harness.information().fetch(url, options);
    bounded(harness, rule, asking, server).await
}

/// Server and question side by side until both have ended.
async fn bounded(
    harness: &dyn InformationHarness,
    rule: &str,
    asking: BoxFuture<'static, Result<String, InformationError>>,
    server: BoxFuture<'static, ()>,
) -> Result<String, InformationError> {
    let both = std::pin::pin!(async { futures::join!(asking, server).0 });
    match select(both, harness.pause(RULE_DEADLINE)).await {
        Either::Left((got, _)) => got,
        Either::Right(_) => panic!("rule broken: {rule}: not done within {RULE_DEADLINE:?}"),
    }
}
