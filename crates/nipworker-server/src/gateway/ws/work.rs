//! What messages start and what must end well even when their client is gone.

use std::{rc::Rc, sync::Arc, time::Duration};

use futures::{StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use nipworker_core::{
    ClientError, PublishReport, Subscription,
    protocol::{Event, EventId, HyperLogLog},
};

use super::{reconciliations, subscriptions::Opening};
use crate::{gateway::state::Gateway, verdict::Verdict};

/// How much longer than the relays the engine itself may take.
const ENGINE_GRACE: Duration = Duration::from_secs(2);

/// Work that goes on.
pub(super) type Working = FuturesUnordered<LocalBoxFuture<'static, Done>>;

/// Work that a message started and that has ended.
pub(super) enum Done {
    /// An event was published.
    Published(EventId, Result<Box<PublishReport>, ClientError>),
    /// A subscription was opened.
    Subscribed(Rc<str>, Opening, Result<Box<Subscription>, ClientError>),
    /// A step of a reconciliation was made.
    Reconciled(String, reconciliations::Opening, reconciliations::Answered),
    /// A count was made.
    Counted(String, Result<(u64, Option<HyperLogLog>), ClientError>),
}

impl Done {
    /// The failure, if it failed.
    pub(super) fn error(&self) -> Option<&ClientError> {
        match self {
            Self::Published(_, result) => result.as_ref().err(),
            Self::Subscribed(_, _, result) => result.as_ref().err(),
            Self::Counted(_, result) => result.as_ref().err(),
            // What failed in the engine was said where it did.
            Self::Reconciled(..) => None,
        }
    }
}

/// Waits for events that were handed over before their client went, at most as long as relays
/// may take and a little for the engine.
pub(super) async fn see_through(gateway: &Gateway, mut publishing: Working) {
    let all = async {
        while let Some(done) = publishing.next().await {
            if let Some(error) = done.error() {
                gateway.engine_failed(error);
            }
            if let Done::Published(_, result) = &done {
                let accepted = result.as_ref().is_ok_and(|report| Verdict::of(report).accepted);
                gateway.tally(accepted);
            }
        }
    };
    let patience = gateway.config.publish_timeout + ENGINE_GRACE;
    drop(tokio::time::timeout(patience, all).await);
}

/// Publishes an event as the configuration says.
pub(super) async fn publish(gateway: Arc<Gateway>, event: Event) -> Done {
    let id = event.id;
    let options = gateway.publish_options();
    Done::Published(id, gateway.client.publish_with(event, options).await.map(Box::new))
}
