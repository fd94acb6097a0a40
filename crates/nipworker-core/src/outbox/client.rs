//! What a program asks of the outbox.

use std::sync::Arc;

use nipworker_protocol::{Event, EventId, RelayUrl};
use serde::{Deserialize, Serialize};

use super::{OutboxEntry, OutboxKeeper};
use crate::{ClientError, NostrClient, PutOutcome};

/// How an event is published that must arrive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DurableOptions {
    /// Relays that it must reach; `None` means the configured ones.
    pub relays: Option<Vec<RelayUrl>>,
}

/// What became of an event that must arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedReport {
    /// What the store did.
    pub outcome: PutOutcome,
    /// Where it stands at its relays; `None` when the store did not take it, and it is not sent.
    pub entry: Option<OutboxEntry>,
}

impl NostrClient {
    /// Publishes to the store, and to the configured relays until each of them has decided.
    ///
    /// # Errors
    /// As [`publish_durable_with`](Self::publish_durable_with).
    pub async fn publish_durable(&self, event: Event) -> Result<QueuedReport, ClientError> {
        self.publish_durable_with(event, DurableOptions::default()).await
    }

    /// Checks and stores an event, writes down that it is to reach its relays, and returns; no
    /// relay is waited for. It is sent at once and again, also by the next process, until each
    /// relay has accepted it, has refused it for good, or `outbox.max_age` or
    /// `outbox.max_attempts` is over: [`outbox_entry`](Self::outbox_entry) tells. An event that is
    /// in the outbox already is not sent twice; relays that had refused it are tried anew.
    ///
    /// Relays that are not named are the configured ones, whatever `routing.mode` says: what is kept
    /// for days must not depend on what a stranger's list said once.
    ///
    /// It is not mined anew for relays that demand work, whatever `miner.remine` says.
    ///
    /// Dropping the future does not take the event back.
    ///
    /// # Errors
    /// [`ClientError::Unsupported`] without `outbox.file`; [`ClientError::Invalid`] without a relay
    /// or with too many; [`ClientError::OutboxFull`]; [`ClientError::Store`] when the file cannot
    /// be written: the event is stored then and not queued. A bad event is not an error but an
    /// outcome.
    pub async fn publish_durable_with(
        &self,
        event: Event,
        options: DurableOptions,
    ) -> Result<QueuedReport, ClientError> {
        let outbox = self.outbox_keeper()?;
        let relays = options.relays.unwrap_or_else(|| self.config().relays.clone());
        let (id, json) = (event.id, event.to_json());
        outbox.check(id, &json, relays.clone())?;
        let timeout = self.config().connections.publish_deadline;
        let (outcome, _) = self.send(event, Vec::new(), false, timeout).await?;
        let entry = match outcome.status.is_accepted() {
            true => Some(outbox.queue(id, json, relays).await?),
            false => None,
        };
        Ok(QueuedReport { outcome, entry })
    }

    /// The events that are to arrive, the oldest first, and behind them those that have found
    /// their end lately. Waits for no worker.
    ///
    /// # Errors
    /// [`ClientError::Unsupported`] without `outbox.file`.
    pub fn outbox(&self) -> Result<Vec<OutboxEntry>, ClientError> {
        Ok(self.outbox_keeper()?.list())
    }

    /// Where one event stands.
    ///
    /// # Errors
    /// [`ClientError::Unsupported`] without `outbox.file`; [`ClientError::NotFound`].
    pub fn outbox_entry(&self, event: &EventId) -> Result<OutboxEntry, ClientError> {
        let entry = self.outbox_keeper()?.get(event);
        entry.ok_or_else(|| ClientError::NotFound(format!("the outbox has no event {event}")))
    }

    /// Takes an event back where no relay has decided yet. What was sent stays sent: a relay whose
    /// answer is still due may have it, and its yes is still noted. Other publishes of the same
    /// event that still wait for a connection are taken back with it.
    ///
    /// # Errors
    /// As [`outbox_entry`](Self::outbox_entry); [`ClientError::Store`] when the file cannot be
    /// written: nothing has changed then.
    pub async fn cancel_outbox(&self, event: &EventId) -> Result<OutboxEntry, ClientError> {
        self.outbox_keeper()?.cancel(*event).await
    }

    fn outbox_keeper(&self) -> Result<&Arc<OutboxKeeper>, ClientError> {
        self.outbox_of().ok_or_else(|| {
            ClientError::Unsupported("publishing durably needs a file, outbox.file".to_owned())
        })
    }
}
