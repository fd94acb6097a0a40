//! What goes out, and what is brought in from files.

use std::time::Duration;

use nipworker_protocol::{Event, RelayUrl};
use nipworker_schema::{ClientEdge, ClientMessageT, ImportT, PublishT};

use crate::{
    ClientError, NostrClient, PublishReport, PutOutcome, Receipt,
    client::texts,
    config::Remine,
    remine,
    wire::{ask_parser, expect_answer},
};

/// Most events of one [`NostrClient::import`].
pub const IMPORT_MAX_EVENTS: usize = 10_000;

/// How an event is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishOptions {
    /// Relays to send it to; `None` means the configured ones.
    pub relays: Option<Vec<RelayUrl>>,
    /// Whether it is sent to relays at all.
    pub use_relays: bool,
    /// How long the relays' answers are waited for; `None` takes the configured
    /// `connections.publish_deadline`.
    pub timeout: Option<Duration>,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self { relays: None, use_relays: true, timeout: None }
    }
}

impl NostrClient {
    /// Publishes to the store and the configured relays.
    ///
    /// # Errors
    /// As [`publish_with`](Self::publish_with).
    pub async fn publish(&self, event: Event) -> Result<PublishReport, ClientError> {
        self.publish_with(event, PublishOptions::default()).await
    }

    /// Checks, stores and sends an event, and waits for each relay's answer or the timeout. The
    /// report is true: nothing counts as accepted that was not.
    ///
    /// With `miner.remine = "refused"` an event that relays refused for too little work (NIP-13)
    /// is mined anew at what they demand and published to them; see [`Remined`](crate::Remined).
    /// Waiting for that comes on top: at most `miner.remine_timeout`, the signer's answer, and once
    /// more the timeout. Dropping the future ends the mining.
    ///
    /// Dropping the future does not take the event back: it may be stored and sent all the same.
    ///
    /// # Errors
    /// [`ClientError::Worker`] when a worker failed meanwhile: the event may be stored and sent
    /// or not; publishing it again is safe. A bad event is not an error but an outcome.
    pub async fn publish_with(
        &self,
        event: Event,
        options: PublishOptions,
    ) -> Result<PublishReport, ClientError> {
        let PublishOptions { relays, use_relays, timeout } = options;
        let use_relays = use_relays && self.has_relays(relays.as_deref());
        let timeout = timeout.unwrap_or(self.config().connections.publish_deadline);
        let again = (self.config().miner.remine == Remine::Refused).then(|| event.clone());
        let routed = self.routing().filter(|_| use_relays && relays.is_none());
        if routed.is_some() {
            self.look_up_of(&event).await;
        }
        let learned = self.routing().map(|_| event.clone());
        let (outcome, receipts) = self.send(event, texts(relays), use_relays, timeout).await?;
        if let (Some(event), true) = (learned, outcome.status.is_accepted()) {
            self.learn_from(&event);
        }
        let remined = match again {
            Some(event) => remine::after(self, &event, &receipts, timeout).await,
            None => None,
        };
        Ok(PublishReport { outcome, receipts, remined })
    }

    /// Stores and sends one event.
    pub(crate) async fn send(
        &self,
        event: Event,
        relays: Vec<String>,
        use_relays: bool,
        timeout: Duration,
    ) -> Result<(PutOutcome, Vec<Receipt>), ClientError> {
        let request = ClientEdge::encode(PublishT {
            event: Box::new(event.into()),
            relays,
            use_relays,
            timeout_ms: milliseconds(timeout),
        });
        let answer = ask_parser(self.parser(), request).await?;
        let published = expect_answer!(answer, ClientMessageT::Published)?;
        let receipts = published.receipts.into_iter().map(Into::into).collect();
        Ok(((*published.outcome).into(), receipts))
    }

    /// Checks and stores events given as JSON texts, without sending them anywhere. One outcome
    /// for each text, in order.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] for more than [`IMPORT_MAX_EVENTS`] texts; [`ClientError::Worker`]
    /// when a worker failed meanwhile: importing the same texts again is safe.
    pub async fn import(&self, events: Vec<String>) -> Result<Vec<PutOutcome>, ClientError> {
        if events.len() > IMPORT_MAX_EVENTS {
            return Err(ClientError::Invalid(format!(
                "{} events in one import, the most is {IMPORT_MAX_EVENTS}",
                events.len()
            )));
        }
        let request = ClientEdge::encode(ImportT { events });
        let answer = ask_parser(self.parser(), request).await?;
        let imported = expect_answer!(answer, ClientMessageT::Imported)?;
        Ok(imported.outcomes.into_iter().map(Into::into).collect())
    }
}

/// For an edge on which zero stands for a default: less than a millisecond is a millisecond.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}
