//! Receives, calls the domain, sends the effects.

use std::{convert::Infallible, sync::Arc, time::Duration};

use actix_rt::task::JoinHandle;
use nipworker_schema::{
    ClientEdge, ClientMessageT, FailedT, FailureCode, IngestEdge, IngestMessageT, IngestedT,
};
use nipworker_supervision::{InFlight, prelude::*};

use crate::{
    chores,
    client::{self, answer},
    config::{MAX_AWAITING_RECEIPTS, MAX_IN_FLIGHT, MAX_RECONCILING},
    convert::{failed, invalid},
    ingest,
    shared::{ParserParts, Shared},
};

/// Messages that wait for the worker; who sends more waits.
pub const MAILBOX_CAPACITY: usize = 1_024;
/// How long one message may hold the worker's thread. Decoding a batch takes milliseconds.
pub const HANG_LIMIT: Duration = Duration::from_secs(10);

/// The worker that everything passes through.
///
/// A message is decoded and checked in its handler, so that one that makes it fail costs that
/// message; what waits for other workers goes on beside, [`MAX_IN_FLIGHT`] at once.
pub struct ParserActor {
    shared: Arc<Shared>,
    in_flight: InFlight,
    awaiting_receipts: InFlight,
    reconciling: InFlight,
    chores: Option<JoinHandle<()>>,
}

impl ParserActor {
    /// An incarnation of the worker.
    pub fn new(parts: ParserParts) -> Self {
        Self {
            shared: Arc::new(Shared::new(parts)),
            in_flight: InFlight::default(),
            awaiting_receipts: InFlight::default(),
            reconciling: InFlight::default(),
            chores: None,
        }
    }

    /// An address with this worker's mailbox.
    pub fn address() -> Address<Self> {
        let config = MailboxConfig { capacity: MAILBOX_CAPACITY, ..MailboxConfig::default() };
        Address::new("parser", config)
    }

    /// The worker as a child of a supervisor: started again whenever it ends.
    pub fn child(address: Address<Self>, parts: ParserParts) -> ChildSpec {
        ChildSpec::new(address, move |_: &StartContext| {
            Ok::<_, Infallible>(Self::new(parts.clone()))
        })
        .hang_limit(HANG_LIMIT)
    }

    /// Reads no further message while too many requests are under way. They go on meanwhile.
    fn hold_back(&self, ctx: &mut Context<Self>) {
        if self.in_flight.count() >= MAX_IN_FLIGHT {
            ctx.wait(self.in_flight.below(MAX_IN_FLIGHT).into_actor(self));
        }
    }
}

impl Actor for ParserActor {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        let claim = chores::take_over(&self.shared);
        let chore = chores::tell_of_ended(Arc::clone(&self.shared), claim);
        self.chores = Some(actix_rt::spawn(chore));
    }
}

impl Drop for ParserActor {
    fn drop(&mut self) {
        if let Some(chores) = &self.chores {
            chores.abort();
        }
    }
}

impl Handler<IngestEdge> for ParserActor {
    type Result = ResponseFuture<IngestEdge>;

    fn handle(&mut self, message: IngestEdge, ctx: &mut Context<Self>) -> Self::Result {
        let batch = match message.decode() {
            Ok(IngestMessageT::EventBatch(batch)) => *batch,
            Ok(message) => {
                return now(if ingest::relay_says(&self.shared, message) {
                    IngestEdge::encode(IngestedT::default())
                } else {
                    IngestEdge::encode(not_a_request())
                });
            }
            Err(error) => return now(IngestEdge::encode(invalid(error))),
        };
        let batch = match ingest::check(&self.shared, batch) {
            Ok(batch) => batch,
            Err(answer) => return now(IngestEdge::encode(answer)),
        };
        let (shared, permit) = (Arc::clone(&self.shared), self.in_flight.enter());
        self.hold_back(ctx);
        Box::pin(async move {
            match ingest::take(&shared, batch, permit).await {
                Ok(ingested) => IngestEdge::encode(ingested),
                Err(failed) => IngestEdge::encode(failed),
            }
        })
    }
}

impl Handler<ClientEdge> for ParserActor {
    type Result = ResponseFuture<ClientEdge>;

    fn handle(&mut self, message: ClientEdge, ctx: &mut Context<Self>) -> Self::Result {
        let shared = Arc::clone(&self.shared);
        let message = match message.decode() {
            Ok(message) => message,
            Err(error) => return now(ClientEdge::encode(invalid(error))),
        };
        let response: ResponseFuture<ClientMessageT> = match message {
            ClientMessageT::Subscribe(request) => match client::subscribe(&shared, *request) {
                // It lasts as long as the reader takes, and so does not count as under way.
                Ok(driver) => Box::pin(async move { answer(driver.run(&shared).await) }),
                Err(failed) => now(failed.into()),
            },
            ClientMessageT::Unsubscribe(request) => {
                now(client::unsubscribe(&shared, &request).into())
            }
            ClientMessageT::Publish(request) => {
                if self.awaiting_receipts.count() >= MAX_AWAITING_RECEIPTS {
                    return now(ClientEdge::encode(too_many_publishes()));
                }
                let (permit, awaiting) = (self.in_flight.enter(), self.awaiting_receipts.enter());
                Box::pin(async move {
                    let published = client::publish(&shared, *request, permit).await;
                    drop(awaiting);
                    answer(published)
                })
            }
            ClientMessageT::Import(request) => {
                let permit = self.in_flight.enter();
                Box::pin(async move {
                    let imported = client::import(&shared, *request).await;
                    drop(permit);
                    answer(imported)
                })
            }
            ClientMessageT::Count(request) => {
                let permit = self.in_flight.enter();
                Box::pin(async move {
                    let counted = client::count(&shared, *request).await;
                    drop(permit);
                    answer(counted)
                })
            }
            ClientMessageT::List(request) => {
                let permit = self.in_flight.enter();
                Box::pin(async move {
                    let listed = client::list(&shared, *request).await;
                    drop(permit);
                    answer(listed)
                })
            }
            ClientMessageT::Reconcile(request) => {
                if self.reconciling.count() >= MAX_RECONCILING {
                    return now(ClientEdge::encode(too_many_reconciliations()));
                }
                let permit = self.reconciling.enter();
                Box::pin(async move {
                    let reconciled = client::reconcile(&shared, *request).await;
                    drop(permit);
                    answer(reconciled)
                })
            }
            _ => now(not_a_request().into()),
        };
        self.hold_back(ctx);
        Box::pin(async move { ClientEdge::encode(response.await) })
    }
}

fn now<T: 'static>(answer: T) -> ResponseFuture<T> {
    Box::pin(std::future::ready(answer))
}

fn not_a_request() -> FailedT {
    failed(FailureCode::Unsupported, "not a request", false)
}

fn too_many_reconciliations() -> FailedT {
    let reason = format!("{MAX_RECONCILING} reconciliations are under way, which is the limit");
    failed(FailureCode::Busy, reason, true)
}

fn too_many_publishes() -> FailedT {
    let reason = format!("{MAX_AWAITING_RECEIPTS} publishes wait for relays, which is the limit");
    failed(FailureCode::Busy, reason, true)
}
