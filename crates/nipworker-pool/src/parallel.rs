//! A list of items in, a list of results out.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::channel::oneshot;

use crate::error::{BatchError, PoolError};
use crate::pool::Pool;
use crate::span::Span;
use crate::spec::{EndReason, JobEnd, JobSpec, OnPanic, Priority};
use crate::sync::lock;
use crate::task::{BatchContext, BatchReport, Done, Next, RangeTask};
use crate::ticket::JobTicket;

/// Items in the first piece of a batch: small enough that a few hundred items spread over the
/// threads, large enough that cheap items are not all overhead.
const FIRST_PIECE: u64 = 16;

type Reply<R> = oneshot::Sender<Result<Vec<R>, BatchError>>;

struct ParallelTask<T, R, F> {
    items: Vec<T>,
    function: F,
    results: Mutex<Vec<Option<R>>>,
    reply: Mutex<Option<Reply<R>>>,
}

impl<T, R, F> RangeTask for ParallelTask<T, R, F>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
    F: Fn(&T) -> R + Send + Sync + 'static,
{
    type Output = Vec<R>;

    fn run(&self, span: Span, ctx: &BatchContext<'_>) -> Done<Vec<R>> {
        let mut output = Vec::with_capacity(span.len as usize);
        for item in &self.items[span.start as usize..span.end() as usize] {
            if ctx.is_cancelled() {
                break;
            }
            output.push((self.function)(item));
        }
        Done { items: output.len() as u64, output }
    }

    fn commit(&self, report: &BatchReport, output: Vec<R>) -> Next {
        let mut results = lock(&self.results);
        let from = report.done.start as usize;
        for (place, result) in results[from..].iter_mut().zip(output) {
            *place = Some(result);
        }
        Next::Continue
    }

    fn ended(&self, end: &JobEnd) {
        let Some(reply) = lock(&self.reply).take() else { return };
        let result = match &end.reason {
            EndReason::Exhausted => {
                // Every place is filled: each span was committed, or the job would not have ended
                // like this. Should that ever be wrong, the caller hears of it.
                let results = std::mem::take(&mut *lock(&self.results));
                results.into_iter().collect::<Option<Vec<R>>>().ok_or_else(|| {
                    BatchError::Panicked { message: "a result could not be stored".into() }
                })
            }
            EndReason::Panicked { message } => {
                Err(BatchError::Panicked { message: message.clone() })
            }
            _ => Err(BatchError::Closed),
        };
        // The caller may have gone; then nobody wants the results.
        _ = reply.send(result);
    }
}

/// The results of a [`Pool::run_batch`], in the order of its items.
///
/// Cancel safe: it may be polled from any runtime and dropped at any time, which stops the batch.
#[derive(Debug)]
#[must_use = "dropping it stops the batch"]
pub struct BatchFuture<R> {
    reply: oneshot::Receiver<Result<Vec<R>, BatchError>>,
    ticket: Option<JobTicket>,
    refused: Option<BatchError>,
}

impl<R> Future for BatchFuture<R> {
    type Output = Result<Vec<R>, BatchError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(error) = self.refused.take() {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.reply).poll(cx).map(|reply| reply.unwrap_or(Err(BatchError::Closed)))
    }
}

impl<R> Drop for BatchFuture<R> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            ticket.cancel();
        }
    }
}

impl Pool {
    /// Runs `function` on every item, spread over the threads; the results keep the items' order.
    ///
    /// The work starts at once, before the future is polled. With [`Priority::Urgent`] it passes
    /// the queue of bulk work: each thread takes it up at its next batch, so after about
    /// [`crate::PoolConfig::target_batch`]. An item that panics ends this batch with
    /// [`BatchError::Panicked`] and touches no other.
    pub fn run_batch<T, R, F>(
        &self,
        priority: Priority,
        items: Vec<T>,
        function: F,
    ) -> BatchFuture<R>
    where
        T: Send + Sync + 'static,
        R: Send + 'static,
        F: Fn(&T) -> R + Send + Sync + 'static,
    {
        let (reply, receiver) = oneshot::channel();
        let count = items.len();
        let mut spec = JobSpec::new("batch", vec![Span::new(0, count as u64)]);
        spec.priority = priority;
        spec.initial_batch = FIRST_PIECE;
        spec.on_panic = OnPanic::EndJob;
        let task = ParallelTask {
            items,
            function,
            results: Mutex::new((0..count).map(|_| None).collect()),
            reply: Mutex::new(Some(reply)),
        };
        let (ticket, refused) = match self.submit(spec, Arc::new(task)) {
            Ok(ticket) => (Some(ticket), None),
            Err(PoolError::TooManyJobs { limit }) => {
                (None, Some(BatchError::TooManyJobs { limit }))
            }
            Err(_) => (None, Some(BatchError::Closed)),
        };
        BatchFuture { reply: receiver, ticket, refused }
    }
}
