//! The threads on which the store is called: one that commits, some that read.
//!
//! The committing thread takes all that waits for it into one commit, so that the disk is waited
//! for once and not once a request; nothing is held back for that. Readers look at snapshots, which
//! no commit makes wait.
//!
//! None of the threads holds the store while it has nothing to do, and none holds it any more when
//! its answer is out: a store whose last answer came can be opened again by others.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use nipworker_store::{
    EventStore, PackedEvent, PutOutcome, SWEPT_PER_COMMIT, StoreError, Verified, guard,
};
use nipworker_supervision::{InFlight, Permit};
use tokio::sync::oneshot;

use crate::{actor::Clock, failure::Failure};

/// Events after which a commit takes in no further request. Together with the events of one
/// request, this bounds the time that a commit takes.
pub const COMMIT_EVENTS_MAX: usize = 2_000;

/// Threads that read unless told otherwise: [`READERS_MAX`], and fewer on a smaller machine.
pub fn readers_default() -> usize {
    thread::available_parallelism().map_or(1, usize::from).clamp(1, READERS_MAX)
}

/// Threads that read at most.
pub const READERS_MAX: usize = 4;

/// A call of the store that was made, or why it was not.
type Called<T> = Result<T, Failure>;

type Job = Box<dyn FnOnce() + Send>;

/// What the committing thread does next.
enum Work {
    Write(Write),
    /// A change of another kind, with a commit of its own.
    Other(Job),
}

/// Events that wait for a commit.
struct Write {
    store: Arc<dyn EventStore>,
    events: Vec<Verified<PackedEvent>>,
    answer: oneshot::Sender<Called<Written>>,
    _counts_until_done: Permit,
}

/// Events with what became of them, in the same order.
pub(crate) type Written = (Vec<Verified<PackedEvent>>, Vec<PutOutcome>);

/// Where calls of the store are handed in. Dropping the last clone ends the threads once they have
/// done what was handed in.
#[derive(Clone)]
pub(crate) struct StoreThreads {
    store: Arc<dyn EventStore>,
    writes: mpsc::Sender<Work>,
    reads: crossbeam_channel::Sender<Job>,
    in_flight: InFlight,
    /// Held while something is swept.
    sweeping: Arc<Mutex<()>>,
}

impl StoreThreads {
    /// Starts the threads, `readers` of them to read.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(
        store: Arc<dyn EventStore>,
        clock: Clock,
        readers: usize,
    ) -> io::Result<Self> {
        let (writes, waiting) = mpsc::channel();
        spawn("cache-commit", move || commit_all(&waiting, &clock))?;
        let (reads, questions) = crossbeam_channel::unbounded::<Job>();
        for _ in 0..readers.clamp(1, READERS_MAX) {
            let questions = questions.clone();
            spawn("cache-read", move || questions.iter().for_each(|job| job()))?;
        }
        let (in_flight, sweeping) = (InFlight::default(), Arc::default());
        Ok(Self { store, writes, reads, in_flight, sweeping })
    }

    /// Commits events, after those that were handed in before. Comes back after the commit.
    pub(crate) fn write(
        &self,
        events: Vec<Verified<PackedEvent>>,
    ) -> impl Future<Output = Called<Written>> + 'static {
        let (answer, written) = oneshot::channel();
        let _counts_until_done = self.in_flight.enter();
        let write = Write { store: Arc::clone(&self.store), events, answer, _counts_until_done };
        let is_queued = self.writes.send(Work::Write(write)).is_ok();
        async move { if is_queued { written.await.unwrap_or_else(|_| gone()) } else { gone() } }
    }

    /// Asks the store something. Questions are taken in the order in which they come, several at
    /// once; one that nobody waits for any more is not asked.
    pub(crate) fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn EventStore) -> Result<T, StoreError> + Send + 'static,
    ) -> impl Future<Output = Called<T>> + 'static {
        let (answer, called) = oneshot::channel();
        let (store, permit) = (Arc::clone(&self.store), self.in_flight.enter());
        let job: Job = Box::new(move || {
            if answer.is_closed() {
                return;
            }
            let result = guarded(|| question(&*store));
            drop(store);
            drop(permit);
            // Who asked may have gone.
            answer.send(result).ok();
        });
        let is_queued = self.reads.send(job).is_ok();
        async move { if is_queued { called.await.unwrap_or_else(|_| gone()) } else { gone() } }
    }

    /// Removes some of what has expired at `now`, between two commits of events.
    pub(crate) fn sweep_some(&self, now: i64) -> impl Future<Output = Called<u64>> + 'static {
        let (answer, swept) = oneshot::channel();
        let (store, sweeping) = (Arc::downgrade(&self.store), Arc::clone(&self.sweeping));
        let job: Job = Box::new(move || {
            let _sweeping = sweeping.lock().unwrap_or_else(PoisonError::into_inner);
            if answer.is_closed() {
                return;
            }
            let Some(store) = store.upgrade() else { return };
            let result = guarded(|| store.sweep_some(now, SWEPT_PER_COMMIT));
            drop(store);
            answer.send(result).ok();
        });
        let is_queued = self.writes.send(Work::Other(job)).is_ok();
        async move { if is_queued { swept.await.unwrap_or_else(|_| gone()) } else { gone() } }
    }

    /// Waits until nothing is being swept at this moment.
    pub(crate) fn wait_for_sweep(&self) {
        drop(self.sweeping.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The calls that the store is not done with.
    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

/// A panic of a call is the failure of that call, and the thread goes on.
fn guarded<T>(call: impl FnOnce() -> Result<T, StoreError>) -> Called<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(Failure::from),
        Err(payload) => Err(Failure::panicked(guard::text_of(&*payload))),
    }
}

/// A thread does not end before its queue, so this cannot be seen; it is no reason to panic either.
fn gone<T>() -> Called<T> {
    Err(Failure::panicked("the store's thread is gone"))
}

/// Commits until nobody can hand anything in any more.
fn commit_all(waiting: &mpsc::Receiver<Work>, clock: &Clock) {
    let mut next = None;
    while let Some(work) = next.take().or_else(|| waiting.recv().ok()) {
        let first = match work {
            Work::Write(first) => first,
            Work::Other(job) => {
                job();
                continue;
            }
        };
        let mut count = first.events.len();
        let mut group = vec![first];
        while count < COMMIT_EVENTS_MAX && next.is_none() {
            match waiting.try_recv() {
                Ok(Work::Write(write)) => {
                    count += write.events.len();
                    group.push(write);
                }
                Ok(other) => next = Some(other),
                Err(_) => break,
            }
        }
        // Who was told that it took too long may have made the request again.
        group.retain(|write| !write.answer.is_closed());
        commit(group, clock);
    }
}

/// One commit for all, unless one request spoils it for the others: then each has its own.
fn commit(mut group: Vec<Write>, clock: &Clock) {
    let mut all = Vec::with_capacity(group.iter().map(|write| write.events.len()).sum());
    let sizes: Vec<usize> = group
        .iter_mut()
        .map(|write| {
            let size = write.events.len();
            all.append(&mut write.events);
            size
        })
        .collect();
    let Some(store) = group.first().map(|write| Arc::clone(&write.store)) else { return };
    let put = |events: &[_]| guarded(|| store.put_packed(events, clock()));
    let whole = put(&all);
    let mut results = Vec::with_capacity(group.len());
    let mut events = all.into_iter();
    match whole {
        Ok(outcomes) => {
            let mut outcomes = outcomes.into_iter();
            for size in sizes {
                let outcomes = outcomes.by_ref().take(size).collect();
                results.push(Ok((events.by_ref().take(size).collect(), outcomes)));
            }
        }
        Err(failure) if group.len() == 1 || failure.concerns_all() => {
            results.resize_with(group.len(), || Err(failure.clone()));
        }
        Err(_) => {
            for size in sizes {
                let events: Vec<_> = events.by_ref().take(size).collect();
                results.push(put(&events).map(|outcomes| (events, outcomes)));
            }
        }
    }
    drop(store);
    let answers: Vec<_> = group.into_iter().map(|write| write.answer).collect();
    for (answer, result) in answers.into_iter().zip(results) {
        answer.send(result).ok();
    }
}
