//! Receives, calls the domain, answers.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use nipworker_mining::{JobBook, JobId, JobRequest};
use nipworker_schema::{
    CancelJobT, FailureCode, MineEventT, MinerEdge, MinerMessageT, PauseJobT, UnsignedEventT,
};
use nipworker_supervision::prelude::*;

use crate::answer;

/// Messages that wait for the worker; who sends more waits.
pub const MAILBOX_CAPACITY: usize = 1_024;
/// How long one message may hold the worker's thread. It prepares jobs there, and mines nothing.
pub const HANG_LIMIT: Duration = Duration::from_secs(5);

/// Makes the request for a NIP-13 job: of the event, the difficulty in bits, and whether
/// `created_at` follows the clock. Whoever composes the system knows the workload; the worker
/// does not.
pub type Nip13Request = Arc<dyn Fn(UnsignedEventT, u32, bool) -> JobRequest + Send + Sync>;

/// What the worker is given. It outlives every incarnation.
#[derive(Clone)]
pub struct MinerParts {
    /// The jobs, the workloads and the pool.
    pub book: Arc<JobBook>,
    /// How `MineEvent` becomes a job.
    pub nip13: Nip13Request,
}

impl fmt::Debug for MinerParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MinerParts").field("book", &self.book).finish_non_exhaustive()
    }
}

/// The worker that takes mining jobs. It keeps nothing of its own.
#[derive(Debug)]
pub struct MinerActor {
    parts: MinerParts,
}

impl MinerActor {
    /// An incarnation of the worker.
    pub fn new(parts: MinerParts) -> Self {
        Self { parts }
    }

    /// An address with this worker's mailbox.
    pub fn address() -> Address<Self> {
        let config = MailboxConfig { capacity: MAILBOX_CAPACITY, ..MailboxConfig::default() };
        Address::new("miner", config)
    }

    /// The worker as a child of a supervisor: started again whenever it ends.
    pub fn child(address: Address<Self>, parts: MinerParts) -> ChildSpec {
        ChildSpec::new(address, move |_: &StartContext| {
            Ok::<_, Infallible>(Self::new(parts.clone()))
        })
        .hang_limit(HANG_LIMIT)
    }

    fn mine(&self, message: MineEventT) -> MinerEdge {
        let id = JobId(message.job);
        match answer::request(message, &self.parts.nip13) {
            Ok(request) => answer::accepted(id, self.parts.book.submit_as(id, request)),
            Err(reason) => answer::failed(FailureCode::Invalid, reason, false),
        }
    }

    fn cancel(&self, message: CancelJobT) -> ResponseFuture<MinerEdge> {
        let id = JobId(message.job);
        let book = &self.parts.book;
        // Watched before it is cancelled: an ended job may be forgotten at any time.
        let (Ok(mut watch), Ok(cancelled)) = (book.watch(id), book.cancel(id)) else {
            return now(answer::stopped(id, None));
        };
        Box::pin(async move {
            watch.ended().await;
            answer::stopped(id, Some(cancelled))
        })
    }

    fn pause(&self, message: PauseJobT) -> MinerEdge {
        let id = JobId(message.job);
        let book = &self.parts.book;
        let done = if message.pause { book.pause(id) } else { book.resume(id) };
        answer::paused(id, done)
    }
}

fn now(answer: MinerEdge) -> ResponseFuture<MinerEdge> {
    Box::pin(std::future::ready(answer))
}

impl Actor for MinerActor {
    type Context = Context<Self>;
}

impl Handler<MinerEdge> for MinerActor {
    type Result = ResponseFuture<MinerEdge>;

    fn handle(&mut self, message: MinerEdge, _: &mut Context<Self>) -> Self::Result {
        match message.decode() {
            Ok(MinerMessageT::MineEvent(job)) => now(self.mine(*job)),
            Ok(MinerMessageT::CancelJob(job)) => self.cancel(*job),
            Ok(MinerMessageT::PauseJob(job)) => now(self.pause(*job)),
            Ok(_) => now(answer::failed(FailureCode::Unsupported, "not a request", false)),
            Err(error) => now(answer::failed(FailureCode::Invalid, error, false)),
        }
    }
}
