//! The worker: its limits, its life, and which request goes where.

use std::{
    convert::Infallible,
    io,
    panic::resume_unwind,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix::dev::{MessageResponse, OneshotSender};
use nipworker_schema::{CacheEdge, CacheMessageT, FailureCode, RelayEdge};
use nipworker_store::{CursorMemo, EventStore};
use nipworker_supervision::prelude::*;

use crate::{
    failure::Consequence,
    reply::Refusal,
    requests::{Desk, Outcome, sweep},
    threads::StoreThreads,
};

/// Where the time comes from: unix seconds.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Messages that wait for the worker at most; whoever has more waits. A message is a batch or a
/// page, so this is seconds of work.
pub const MAILBOX: MailboxConfig = MailboxConfig { capacity: 256, control_capacity: 16 };

/// Calls of the store that are under way at most; beyond it the worker reads no further message until
/// one is answered. Queries and commits wait for each other only there.
pub const IN_FLIGHT_MAX: usize = 512;

/// Longest time that one message may hold the worker's own thread, which never waits for a disk.
pub const HANG_LIMIT: Duration = Duration::from_secs(10);

/// Longest time that a commit or a question may take, the wait for its turn included. The asker is told
/// then; over a commit that takes longer the worker starts afresh.
pub const STORE_LIMIT: Duration = Duration::from_secs(30);

/// The worker is always wanted.
pub const RESTART: RestartPolicy = RestartPolicy::Permanent;

/// At once the first time, then more and more slowly: the disk may need a moment.
pub const BACKOFF: Backoff = Backoff {
    min: Duration::from_millis(100),
    max: Duration::from_secs(5),
    factor: 2.0,
    jitter: 0.2,
    reset_after: Duration::from_secs(30),
};

/// Time to work off what is queued and to flush the store when the tree is stopped.
pub const SHUTDOWN: Shutdown = Shutdown::Timeout(Duration::from_secs(10));

/// How often what has expired (NIP-40) is removed. Until then it is hidden.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Events of a page when the request names no number.
pub const PAGE_EVENTS_DEFAULT: usize = 500;

/// Longest wait for connections to open or close a subscription.
pub const CONNECTIONS_ASK_LIMIT: Duration = Duration::from_secs(10);

/// Events whose authors a count takes in (NIP-45) at most: each is read for that. What has more is counted
/// without its authors.
pub const AUTHORS_COUNTED_MAX: u64 = 100_000;

/// Stored events that one reconciliation compares at most; what has more is refused.
pub const RECONCILE_EVENTS_MAX: usize = 250_000;

/// Positions that one answer lists at most: one more than [`RECONCILE_EVENTS_MAX`], so that it is seen
/// when there are more.
pub const LISTED_MAX: usize = RECONCILE_EVENTS_MAX + 1;

/// Wait for receipts beyond the time that the request gives the relays.
pub const SEND_GRACE: Duration = Duration::from_secs(5);

/// How long connections waits for receipts when a request gives no time, unless it is configured
/// otherwise.
pub const PUBLISH_DEADLINE: Duration = Duration::from_secs(10);

/// Whom the worker talks to, and the threads on which its store is called. A clone goes to each
/// incarnation; what is under way lives on in between.
#[derive(Clone)]
#[non_exhaustive]
pub struct CacheParts {
    /// What is kept; it outlives the worker.
    pub store: Arc<dyn EventStore>,
    /// The connections worker.
    pub connections: Recipient<RelayEdge>,
    /// The time.
    pub clock: Clock,
    /// How long connections waits for receipts when a request gives no time: what is configured
    /// there.
    pub publish_deadline: Duration,
    pub(crate) threads: StoreThreads,
    /// Where pages ended.
    pub(crate) cursors: Arc<Mutex<CursorMemo>>,
}

impl CacheParts {
    /// With [`PUBLISH_DEADLINE`], and so many threads that read, 1 to
    /// [`READERS_MAX`](crate::READERS_MAX); other numbers are moved into that range.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn new(
        store: Arc<dyn EventStore>,
        connections: Recipient<RelayEdge>,
        clock: Clock,
        readers: usize,
    ) -> io::Result<Self> {
        let threads = StoreThreads::start(Arc::clone(&store), Arc::clone(&clock), readers)?;
        Ok(Self {
            store,
            connections,
            clock,
            publish_deadline: PUBLISH_DEADLINE,
            threads,
            cursors: Arc::default(),
        })
    }
}

/// The worker as a child of a supervisor, with its limits.
pub fn child_spec(address: Address<CacheActor>, parts: CacheParts) -> ChildSpec {
    ChildSpec::new(address, move |_: &StartContext| {
        Ok::<_, Infallible>(CacheActor::new(parts.clone()))
    })
    .restart(RESTART)
    .backoff(BACKOFF)
    .hang_limit(HANG_LIMIT)
    .shutdown(SHUTDOWN)
}

/// The cache worker. It reads its messages and hands on what they ask for: to the store's threads, to
/// connections. An answer finds its way back whatever becomes of the worker meanwhile.
pub struct CacheActor {
    parts: CacheParts,
    is_sweeping: bool,
}

impl CacheActor {
    /// A fresh incarnation over what is already kept.
    pub fn new(parts: CacheParts) -> Self {
        Self { parts, is_sweeping: false }
    }

    /// Removes what has expired, unless the last time is not over yet.
    fn sweep(&mut self, ctx: &mut Context<Self>) {
        if self.is_sweeping {
            return;
        }
        self.is_sweeping = true;
        let swept = sweep(self.parts.threads.clone(), (self.parts.clock)());
        let swept = swept.into_actor(self).map(|swept, actor, ctx| {
            actor.is_sweeping = false;
            match swept {
                Ok(removed) => tracing::debug!(removed, "expired events swept"),
                Err(failure) => ctx.notify(StoreFailed(failure.consequence)),
            }
        });
        ctx.spawn(swept);
    }

    /// Reads no further message while too many requests are under way. They go on meanwhile.
    fn hold_back(&self, ctx: &mut Context<Self>) {
        let in_flight = self.parts.threads.in_flight();
        if in_flight.count() >= IN_FLIGHT_MAX {
            ctx.wait(in_flight.below(IN_FLIGHT_MAX).into_actor(self));
        }
    }
}

impl Actor for CacheActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(SWEEP_INTERVAL, Self::sweep);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if self.is_sweeping {
            // One commit at most: who closes the store may open it again.
            self.parts.threads.wait_for_sweep();
        }
        if let Err(error) = self.parts.store.flush() {
            tracing::error!(%error, "store was not flushed");
        }
    }
}

impl Handler<CacheEdge> for CacheActor {
    type Result = Response;

    fn handle(&mut self, request: CacheEdge, ctx: &mut Self::Context) -> Response {
        let desk = Desk(&self.parts);
        let answer = match request.decode() {
            Ok(CacheMessageT::Persist(request)) => desk.persist(*request),
            Ok(CacheMessageT::QueryPage(request)) => desk.query_page(*request),
            Ok(CacheMessageT::CountStored(request)) => desk.count_stored(*request),
            Ok(CacheMessageT::SweepExpired(request)) => desk.sweep_expired(&request),
            Ok(CacheMessageT::StoreAndSend(request)) => desk.store_and_send(*request),
            Ok(CacheMessageT::ListStored(request)) => desk.list_stored(*request),
            Ok(CacheMessageT::ReconcileStored(request)) => desk.reconcile_stored(*request),
            Ok(CacheMessageT::AskRelays(request)) => desk.ask_relays(*request),
            Ok(CacheMessageT::StopAsking(request)) => desk.stop_asking(*request),
            Ok(_) => Err(Refusal::new(FailureCode::Unsupported, "not a request to the cache")),
            Err(error) => Err(Refusal::new(FailureCode::Invalid, error.to_string())),
        };
        self.hold_back(ctx);
        match answer {
            Ok(outcome) => Response::Later(Later(outcome)),
            Err(refusal) => Response::Now(refusal.into()),
        }
    }
}

/// The store failed in a way that concerns the worker.
#[derive(Message)]
#[rtype(result = "()")]
struct StoreFailed(Consequence);

impl Handler<StoreFailed> for CacheActor {
    type Result = ();

    fn handle(&mut self, StoreFailed(consequence): StoreFailed, ctx: &mut Self::Context) {
        match consequence {
            Consequence::Nothing => {}
            Consequence::Fatal(reason) => {
                tracing::error!(%reason, "store failed");
                fatal(ctx, reason);
            }
            // It was printed where it happened.
            Consequence::Panic(message) => resume_unwind(Box::new(message)),
        }
    }
}

/// An answer that is under way; how is the worker's own affair.
pub struct Later(Outcome);

/// How the worker answers.
pub enum Response {
    /// At once.
    Now(CacheEdge),
    /// When others have done their part. That is a task of the thread and not of the actor, which
    /// may fail over another request before.
    Later(Later),
}

impl MessageResponse<CacheActor, CacheEdge> for Response {
    fn handle(self, ctx: &mut Context<CacheActor>, sender: Option<OneshotSender<CacheEdge>>) {
        let send = |sender: Option<OneshotSender<CacheEdge>>, answer| {
            // Who asked may have gone.
            sender.map(|sender| sender.send(answer));
        };
        match self {
            Self::Now(answer) => send(sender, answer),
            Self::Later(Later(outcome)) => {
                let worker = ctx.address();
                actix_rt::spawn(async move {
                    match outcome.await {
                        Ok(answer) => send(sender, answer),
                        Err(failure) => {
                            send(sender, failure.refusal.into());
                            worker.do_send(StoreFailed(failure.consequence));
                        }
                    }
                });
            }
        }
    }
}
