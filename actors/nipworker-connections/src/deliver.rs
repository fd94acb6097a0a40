//! What relays said, on its way to the parser.

use std::time::Duration;

use nipworker_relay::{Delivery, RelayUrl};
use nipworker_schema::{
    EndOfStoredT, EventBatchT, IngestEdge, IngestMessageT, RelayNoticeT, RelayUnavailableT,
    SubscriptionClosedT,
};
use nipworker_supervision::{AskError, Recipient};

/// How often the same message is offered while the failure is said to pass.
const TRANSIENT_ATTEMPTS: u32 = 6;
/// How often it is offered otherwise, before its events are offered one by one.
const ATTEMPTS: u32 = 2;
/// Wait before the second attempt; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Why a message did not arrive.
#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    #[error("the parser gave no answer: {0}")]
    Ask(#[from] AskError),
    #[error("the parser said: {reason}")]
    Failed { reason: String, transient: bool },
}

impl DeliveryError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Ask(error) => error.is_transient(),
            Self::Failed { transient, .. } => *transient,
        }
    }

    fn is_final(&self) -> bool {
        matches!(self, Self::Ask(AskError::Closed))
    }
}

/// Hands everything on, in order, and gives back how many events reached nobody.
pub(crate) async fn deliver(
    parser: Recipient<IngestEdge>,
    relay: RelayUrl,
    deliveries: Vec<Delivery>,
) -> usize {
    let mut lost = 0;
    for delivery in deliveries {
        if let Delivery::Events { subscription, events } = delivery {
            lost += deliver_events(&parser, &relay, &subscription, events).await;
        } else {
            let message = message(&relay, delivery);
            if let Err(error) = offer(&parser, &IngestEdge::encode(message)).await {
                tracing::warn!(%relay, %error, "a message of the relay was lost");
            }
        }
    }
    lost
}

async fn deliver_events(
    parser: &Recipient<IngestEdge>,
    relay: &RelayUrl,
    subscription: &str,
    events: Vec<String>,
) -> usize {
    let count = events.len();
    let whole = IngestEdge::encode(batch(relay, subscription, events));
    let Err(error) = offer(parser, &whole).await else { return 0 };
    let events = match whole.decode() {
        Ok(IngestMessageT::EventBatch(batch)) if count > 1 && !error.is_final() => batch.events,
        _ => {
            tracing::warn!(%relay, %error, events = count, "events were lost");
            return count;
        }
    };
    // One of them may be what breaks the parser; the others must not be lost with it.
    let mut lost = 0;
    for event in events {
        let single = IngestEdge::encode(batch(relay, subscription, vec![event]));
        if let Err(error) = offer(parser, &single).await {
            tracing::warn!(%relay, %error, "an event was lost");
            lost += 1;
        }
    }
    lost
}

async fn offer(parser: &Recipient<IngestEdge>, message: &IngestEdge) -> Result<(), DeliveryError> {
    let mut pause = FIRST_PAUSE;
    let mut attempt = 1;
    loop {
        let error = match ask(parser, message.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let attempts = if error.is_transient() { TRANSIENT_ATTEMPTS } else { ATTEMPTS };
        if attempt >= attempts || error.is_final() {
            return Err(error);
        }
        tracing::debug!(%error, attempt, "a message to the parser is offered again");
        if error.is_transient() {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        attempt += 1;
    }
}

async fn ask(parser: &Recipient<IngestEdge>, message: IngestEdge) -> Result<(), DeliveryError> {
    let failed = |reason: String, transient| Err(DeliveryError::Failed { reason, transient });
    match parser.ask(message).await?.decode() {
        Ok(IngestMessageT::Ingested(_)) => Ok(()),
        Ok(IngestMessageT::Failed(error)) => failed(error.reason, error.transient),
        Ok(_) => failed("another message than Ingested".to_owned(), false),
        Err(error) => failed(error.to_string(), false),
    }
}

fn batch(relay: &RelayUrl, subscription: &str, events: Vec<String>) -> EventBatchT {
    EventBatchT { relay: relay.to_string(), subscription: subscription.to_owned(), events }
}

fn message(relay: &RelayUrl, delivery: Delivery) -> IngestMessageT {
    let relay = relay.to_string();
    match delivery {
        Delivery::Events { subscription, events } => {
            EventBatchT { relay, subscription: subscription.to_string(), events }.into()
        }
        Delivery::EndOfStored { subscription } => {
            EndOfStoredT { relay, subscription: subscription.to_string() }.into()
        }
        Delivery::Closed { subscription, message } => {
            SubscriptionClosedT { relay, subscription: subscription.to_string(), message }.into()
        }
        Delivery::Notice { message } => RelayNoticeT { relay, message }.into(),
        Delivery::Unavailable { subscriptions, reason } => {
            let subscriptions = subscriptions.iter().map(ToString::to_string).collect();
            RelayUnavailableT { relay, subscriptions, reason }.into()
        }
    }
}
