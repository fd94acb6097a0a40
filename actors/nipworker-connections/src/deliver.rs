//! What relays said, on its way to the parser.

use std::time::Duration;

use nipworker_relay::{Delivery, Loss, RelayUrl};
use nipworker_schema::{
    EdgeError, EndOfStoredT, EventBatchT, FailedT, FailureCode, IngestEdge, IngestMessageT,
    RelayNoticeT, RelayUnavailableT, SubscriptionClosedT,
};
use nipworker_supervision::{AskError, Recipient};

/// How often a message is offered that the parser may have failed over, before it is divided or
/// given up. Often it is another message that the parser failed over, and this one was only under
/// way at the same time.
const SUSPECT_ATTEMPTS: u32 = 3;
/// Wait before the second attempt; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest wait between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why a message did not arrive.
#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    #[error("the parser gave no answer: {0}")]
    Ask(#[from] AskError),
    #[error("the parser said: {}", .0.reason)]
    Failed(FailedT),
    #[error("the parser's answer cannot be read: {0}")]
    Answer(#[from] EdgeError),
    #[error("the parser answered another question")]
    Unexpected,
}

/// What a failure says about asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prospect {
    /// It passes, and has nothing to do with the message.
    Passes,
    /// The message may be what a worker failed over; or it was only there.
    Suspect,
    /// The same message will be refused again.
    Refused,
    /// There is no parser any more.
    Over,
}

impl DeliveryError {
    /// In the same way as the parser looks at its own neighbours.
    fn prospect(&self) -> Prospect {
        match self {
            Self::Ask(AskError::Closed) => Prospect::Over,
            Self::Ask(AskError::Panicked { .. } | AskError::Hung { .. } | AskError::ThreadLost) => {
                Prospect::Suspect
            }
            Self::Ask(_) => Prospect::Passes,
            Self::Failed(FailedT { code: FailureCode::Closed, .. }) => Prospect::Over,
            Self::Failed(FailedT { transient: false, .. }) => Prospect::Refused,
            // One of the parser's own neighbours failed over it.
            Self::Failed(FailedT { code: FailureCode::Worker, .. }) => Prospect::Suspect,
            Self::Failed(_) => Prospect::Passes,
            Self::Answer(_) | Self::Unexpected => Prospect::Refused,
        }
    }
}

/// Hands everything on, in order, and tells whose events reached nobody.
///
/// A failure that passes is waited out, however long it lasts: the relay is not read meanwhile.
pub(crate) async fn deliver(
    parser: Recipient<IngestEdge>,
    relay: RelayUrl,
    deliveries: Vec<Delivery>,
) -> Vec<Loss> {
    deliver_by(async |message| ask(&parser, message).await, &relay, deliveries).await
}

async fn deliver_by(
    ask: impl AsyncFn(IngestEdge) -> Result<(), DeliveryError>,
    relay: &RelayUrl,
    deliveries: Vec<Delivery>,
) -> Vec<Loss> {
    let mut losses = Vec::new();
    for delivery in deliveries {
        if let Delivery::Events { subscription, events } = delivery {
            let events = deliver_events(&ask, relay, &subscription, events).await;
            if events > 0 {
                losses.push(Loss { subscription, events });
            }
        } else {
            let message = message(relay, delivery);
            if let Err(error) = offer(&ask, relay, &IngestEdge::encode(message)).await {
                tracing::warn!(%relay, %error, "a message of the relay was lost");
            }
        }
    }
    losses
}

/// Gives back how many events were lost.
async fn deliver_events(
    ask: impl AsyncFn(IngestEdge) -> Result<(), DeliveryError>,
    relay: &RelayUrl,
    subscription: &str,
    events: Vec<String>,
) -> usize {
    let count = events.len();
    let whole = IngestEdge::encode(batch(relay, subscription, events));
    let Err(error) = offer(&ask, relay, &whole).await else { return 0 };
    let events = match whole.decode() {
        Ok(IngestMessageT::EventBatch(batch))
            if count > 1 && error.prospect() != Prospect::Over =>
        {
            batch.events
        }
        _ => {
            tracing::warn!(%relay, %error, events = count, "events were lost");
            return count;
        }
    };
    // One of them may be what breaks the parser; the others must not be lost with it.
    let mut lost = 0;
    for event in events {
        let single = IngestEdge::encode(batch(relay, subscription, vec![event]));
        if let Err(error) = offer(&ask, relay, &single).await {
            tracing::warn!(%relay, %error, "an event was lost");
            lost += 1;
        }
    }
    lost
}

/// Offers a message until it is taken. The error is one that does not pass.
async fn offer(
    ask: impl AsyncFn(IngestEdge) -> Result<(), DeliveryError>,
    relay: &RelayUrl,
    message: &IngestEdge,
) -> Result<(), DeliveryError> {
    let mut pause = FIRST_PAUSE;
    let mut suspicions = 0;
    let mut is_told = false;
    loop {
        let error = match ask(message.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match error.prospect() {
            Prospect::Passes => {}
            Prospect::Suspect if suspicions + 1 < SUSPECT_ATTEMPTS => suspicions += 1,
            Prospect::Suspect | Prospect::Refused | Prospect::Over => return Err(error),
        }
        if !is_told {
            tracing::warn!(%relay, %error, "the relay waits until the parser takes its messages");
            is_told = true;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn ask(parser: &Recipient<IngestEdge>, message: IngestEdge) -> Result<(), DeliveryError> {
    match parser.ask(message).await?.decode()? {
        IngestMessageT::Ingested(_) => Ok(()),
        IngestMessageT::Failed(failed) => Err(DeliveryError::Failed(*failed)),
        _ => Err(DeliveryError::Unexpected),
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
        Delivery::EndOfStored { subscription, stored } => {
            EndOfStoredT { relay, subscription: subscription.to_string(), stored: stored.into() }
                .into()
        }
        Delivery::Closed { subscription, message, auth } => SubscriptionClosedT {
            relay,
            subscription: subscription.to_string(),
            message,
            auth: auth.into(),
        }
        .into(),
        Delivery::Notice { message } => RelayNoticeT { relay, message }.into(),
        Delivery::Unavailable { subscriptions, reason } => {
            let subscriptions = subscriptions.iter().map(ToString::to_string).collect();
            RelayUnavailableT { relay, subscriptions, reason }.into()
        }
    }
}

#[cfg(test)]
mod tests;
