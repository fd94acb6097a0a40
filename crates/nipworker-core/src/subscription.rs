//! Subscriptions and queries as streams.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{FutureExt, Stream, StreamExt, future::BoxFuture};
use nipworker_pipeline::{
    CloseReason, DeliveryLimits, Hub, Overflow, RelayNews, Source, SubscriptionEvent as HubEvent,
    SubscriptionStats, SubscriptionStream,
    kinds::{KindError, ParsedKind},
    pipes::{PipeNote, PipeSpec},
};
use nipworker_protocol::{Event, RelayUrl, Verified};
use nipworker_relay::routing::Router;

use crate::{ClientError, routing};

/// What a subscription's reader gets.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SubscriptionEvent {
    /// An event, its signature checked; each id once, as far as `limits.seen_events` reaches.
    Event {
        /// The event.
        event: Arc<Verified<Event>>,
        /// Where it came from first.
        source: Source,
    },
    /// All that was stored has been delivered: the cache is done, and every relay has answered,
    /// failed, or run out of time. Comes once.
    EndOfStored,
    /// The reader was slow: so many events were dropped here.
    Lagged {
        /// Number of dropped events.
        missed: u64,
    },
    /// What a pipe has to say. It comes before the event that it is about.
    Note {
        /// The pipe's name.
        pipe: Arc<str>,
        /// What it says.
        note: PipeNote,
    },
    /// News about a relay that this subscription uses.
    Relay {
        /// The relay's URL.
        relay: Arc<str>,
        /// What happened.
        news: RelayNews,
    },
    /// The subscription failed, has reached a limit of its own, or the client is closing; the
    /// stream ends after this. A query that is complete and a subscription that was dropped end
    /// without it.
    Closed {
        /// Why, for a person.
        reason: String,
    },
}

impl SubscriptionEvent {
    /// What a delivered event says, by its kind; `None` when this is no event.
    ///
    /// # Errors
    /// [`KindError`]: the kind is known, but the event is not of its form.
    pub fn view(&self) -> Option<Result<ParsedKind<'_>, KindError>> {
        match self {
            Self::Event { event, .. } => Some(ParsedKind::of(event)),
            _ => None,
        }
    }
}

/// How a subscription is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Relays to ask; `None` means the configured ones.
    pub relays: Option<Vec<RelayUrl>>,
    /// Whether stored events come first.
    pub use_cache: bool,
    /// Whether relays are asked.
    pub use_relays: bool,
    /// What happens to live events when the reader is slow.
    pub overflow: Overflow,
    /// Events that may wait for the reader; `None` takes the client's setting.
    pub queue_events: Option<usize>,
    /// What is done to events on the way to the reader, in this order; `None` takes the client's
    /// setting, an empty list nothing. Stored and live events go through alike.
    pub pipes: Option<Vec<PipeSpec>>,
    /// How much is delivered.
    pub limits: DeliveryLimits,
    /// How long the subscription lasts. What waits for the reader then is still delivered.
    pub deadline: Option<Duration>,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self {
            relays: None,
            use_cache: true,
            use_relays: true,
            overflow: Overflow::DropOldest,
            queue_events: None,
            pipes: None,
            limits: DeliveryLimits::default(),
            deadline: None,
        }
    }
}

/// How a query is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryOptions {
    /// Relays to ask; `None` means the configured ones.
    pub relays: Option<Vec<RelayUrl>>,
    /// Whether the store is asked.
    pub use_cache: bool,
    /// Whether relays are asked.
    pub use_relays: bool,
    /// How long relays may take; then the query is complete without them. `None` takes the
    /// configured `connections.eose_deadline`.
    pub timeout: Option<Duration>,
    /// As in [`SubscribeOptions::pipes`].
    pub pipes: Option<Vec<PipeSpec>>,
    /// How much is delivered.
    pub limits: DeliveryLimits,
}

impl Default for QueryOptions {
    fn default() -> Self {
        Self {
            relays: None,
            use_cache: true,
            use_relays: true,
            timeout: None,
            pipes: None,
            limits: DeliveryLimits::default(),
        }
    }
}

pub(crate) type Opening = BoxFuture<'static, Result<(), ClientError>>;

/// The request that opens a subscription, which goes on while rows of the store are read.
enum Request {
    Open(Opening),
    Done,
    Failed(ClientError),
}

/// A stream of [`SubscriptionEvent`]s. Dropping it ends the subscription, here and at the relays.
///
/// Rows of the store are read as fast as this stream is, so they are never dropped; live events
/// are, the oldest first, when [`SubscribeOptions::overflow`] says so and the queue is full.
pub struct Subscription {
    stream: SubscriptionStream,
    request: Request,
    hub: Hub,
    deadline: Option<Pin<Box<tokio::time::Sleep>>>,
    ended: bool,
    /// Who learns from what is read where relays are.
    learner: Option<Arc<Router>>,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("id", self.stream.id()).finish_non_exhaustive()
    }
}

impl Subscription {
    /// Takes the stream and begins with the request. What the parser refuses at once is told
    /// here; whatever else goes wrong comes as [`SubscriptionEvent::Closed`].
    pub(crate) async fn open(
        stream: SubscriptionStream,
        mut opening: Opening,
        hub: Hub,
        deadline: Option<Duration>,
        learner: Option<Arc<Router>>,
    ) -> Result<Self, ClientError> {
        let request = match futures::poll!(&mut opening) {
            Poll::Pending => Request::Open(opening),
            Poll::Ready(Ok(())) => Request::Done,
            Poll::Ready(Err(error)) => return Err(error),
        };
        let deadline = deadline.map(|time| Box::pin(tokio::time::sleep(time)));
        Ok(Self { stream, request, hub, deadline, ended: false, learner })
    }

    /// Its name, unique in the client.
    pub fn id(&self) -> &str {
        self.stream.id()
    }

    /// A snapshot of its counters.
    pub fn stats(&self) -> SubscriptionStats {
        self.stream.stats()
    }

    fn end(&mut self, reason: String) -> Poll<Option<SubscriptionEvent>> {
        self.ended = true;
        Poll::Ready(Some(SubscriptionEvent::Closed { reason }))
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) {
        if let Request::Open(opening) = &mut self.request
            && let Poll::Ready(result) = opening.poll_unpin(cx)
        {
            self.request = match result {
                Ok(()) => Request::Done,
                Err(error) => Request::Failed(error),
            };
        }
    }
}

impl Stream for Subscription {
    type Item = SubscriptionEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        this.poll_request(cx);
        if let Some(deadline) = &mut this.deadline
            && deadline.poll_unpin(cx).is_ready()
        {
            this.deadline = None;
            this.hub.close(this.stream.id(), CloseReason::Deadline);
        }
        let item = match this.stream.poll_next_unpin(cx) {
            Poll::Ready(item) => item,
            // The queue is empty, and nothing more will come of a request that failed.
            Poll::Pending => {
                return match &this.request {
                    Request::Failed(error) => {
                        let reason = error.to_string();
                        this.hub.close(this.stream.id(), CloseReason::Failed);
                        this.end(reason)
                    }
                    Request::Open(_) | Request::Done => Poll::Pending,
                };
            }
        };
        Poll::Ready(Some(match item {
            None => {
                this.ended = true;
                return Poll::Ready(None);
            }
            Some(HubEvent::Event { event, source }) => {
                if let Some(router) = &this.learner {
                    routing::learn(router, &event);
                }
                SubscriptionEvent::Event { event, source }
            }
            Some(HubEvent::EndOfStored) => SubscriptionEvent::EndOfStored,
            Some(HubEvent::Lagged(missed)) => SubscriptionEvent::Lagged { missed },
            Some(HubEvent::Note { pipe, note }) => SubscriptionEvent::Note { pipe, note },
            Some(HubEvent::Relay { relay, news }) => SubscriptionEvent::Relay { relay, news },
            Some(HubEvent::Closed(CloseReason::Complete | CloseReason::Unsubscribed)) => {
                this.ended = true;
                return Poll::Ready(None);
            }
            Some(HubEvent::Closed(CloseReason::Shutdown)) => {
                return this.end(ClientError::Closed.to_string());
            }
            Some(HubEvent::Closed(
                reason @ (CloseReason::MaxEvents | CloseReason::MaxBytes | CloseReason::Deadline),
            )) => return this.end(limit(reason).to_owned()),
            Some(HubEvent::Closed(_)) => return this.poll_failure(cx),
        }))
    }
}

impl Subscription {
    /// The hub says that it failed; the request knows why, now or in a moment.
    fn poll_failure(&mut self, cx: &mut Context<'_>) -> Poll<Option<SubscriptionEvent>> {
        self.poll_request(cx);
        match &self.request {
            Request::Failed(error) => {
                let reason = error.to_string();
                self.end(reason)
            }
            Request::Open(_) | Request::Done => {
                self.end("the engine could not serve this subscription".to_owned())
            }
        }
    }
}

/// What a reader is told of a limit that it set itself.
fn limit(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::MaxEvents => "the subscription has delivered as many events as it may",
        CloseReason::MaxBytes => "the subscription has delivered as many bytes as it may",
        _ => "the time of the subscription is over",
    }
}
