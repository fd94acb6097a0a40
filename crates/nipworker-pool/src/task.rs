//! The code that a job runs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::span::Span;
use crate::spec::JobEnd;

/// Work over a range of items.
///
/// [`run`](Self::run) is called on many threads at once, each time with a span of its own.
/// [`commit`](Self::commit) and [`ended`](Self::ended) are called by one thread at a time.
pub trait RangeTask: Send + Sync + 'static {
    /// What one batch yields.
    type Output: Send;

    /// Works through `span` from its start.
    ///
    /// It must look at [`BatchContext::is_cancelled`] at least every millisecond and return early
    /// when that says so: what it reports as done is kept, the rest is queued again (after a
    /// pause) or dropped (after a cancel).
    ///
    /// # Panics
    ///
    /// It may: nothing of the batch is committed then, and the job's
    /// [`OnPanic`](crate::OnPanic) decides what follows.
    fn run(&self, span: Span, ctx: &BatchContext<'_>) -> Done<Self::Output>;

    /// Takes the output of a batch that counts. It is not called for a stale one.
    ///
    /// Commits of a job exclude each other and exclude [`JobTicket::cancel`](crate::JobTicket):
    /// keep it short and do not call the ticket from it. Should it panic, the batch is quarantined
    /// at once, because its effects are not known.
    fn commit(&self, report: &BatchReport, output: Self::Output) -> Next;

    /// Called once, after the last commit and when no thread is inside [`run`](Self::run) any more.
    fn ended(&self, end: &JobEnd) {
        _ = end;
    }
}

/// What [`RangeTask::run`] returns.
#[derive(Debug)]
pub struct Done<O> {
    /// How many items from the start of the span are done; more than the span has counts as all.
    pub items: u64,
    /// The batch's results.
    pub output: O,
}

/// What a job does after a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on.
    Continue,
    /// Stop: no other batch is committed, and the job ends.
    Stop,
}

/// What a commit knows about its batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchReport {
    /// The items that are done.
    pub done: Span,
    /// Index of the thread that did them.
    pub thread: usize,
    /// When they were done.
    pub ended_at: Instant,
    /// Thread CPU time they took.
    pub cpu: Duration,
    /// Wall time they took.
    pub wall: Duration,
}

/// What a running batch can ask.
#[derive(Debug)]
pub struct BatchContext<'a> {
    pub(crate) generation: u64,
    pub(crate) current: &'a AtomicU64,
    pub(crate) thread: usize,
}

impl<'a> BatchContext<'a> {
    /// A context outside a pool, for tests of a task: cancelled as soon as `current` differs from
    /// `generation`.
    pub fn new(generation: u64, current: &'a AtomicU64, thread: usize) -> Self {
        Self { generation, current, thread }
    }

    /// Whether the job was paused, cancelled or ended since this batch was handed out. It costs
    /// one relaxed load.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.current.load(Relaxed) != self.generation
    }

    /// Index of the worker thread, from 0.
    pub fn thread(&self) -> usize {
        self.thread
    }
}

/// Settles a batch: gets the number of items done and the call that commits them.
pub(crate) type Settle<'a> = dyn FnMut(u64, &mut dyn FnMut(&BatchReport) -> Next) + 'a;

/// [`RangeTask`] without its output type.
pub(crate) trait AnyTask: Send + Sync {
    fn run(&self, span: Span, ctx: &BatchContext<'_>, settle: &mut Settle<'_>);
    fn ended(&self, end: &JobEnd);
}

impl<T: RangeTask> AnyTask for T {
    fn run(&self, span: Span, ctx: &BatchContext<'_>, settle: &mut Settle<'_>) {
        let Done { items, output } = RangeTask::run(self, span, ctx);
        let mut output = Some(output);
        settle(items, &mut |report| match output.take() {
            Some(output) => self.commit(report, output),
            None => Next::Continue,
        });
    }

    fn ended(&self, end: &JobEnd) {
        RangeTask::ended(self, end);
    }
}
