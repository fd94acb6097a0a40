//! The threads on which the store is called: one that commits, some that read, one for chores.
//!
//! The committing thread takes all that waits for it into one commit, so that the disk is waited
//! for once and not once a request; nothing is held back for that. Readers look at snapshots, which
//! no commit makes wait.
//!
//! None of the threads holds the store while it has nothing to do, and none holds it any more when
//! its answer is out: a store whose last answer came can be opened again by others.

use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread,
};

use nipworker_store::{EventStore, PackedEvent, PutOutcome, StoreError, Verified};
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

/// Events that wait for a commit.
struct Write {
    store: Arc<dyn EventStore>,
    events: Vec<Verified<PackedEvent>>,
    answer: oneshot::Sender<Called<Written>>,
}

/// Events with what became of them, in the same order.
pub(crate) type Written = (Vec<Verified<PackedEvent>>, Vec<PutOutcome>);

/// Where calls of the store are handed in. Dropping the last clone ends the threads once they have
/// done what was handed in.
#[derive(Clone)]
pub(crate) struct StoreThreads {
    store: Arc<dyn EventStore>,
    writes: mpsc::Sender<Write>,
    reads: crossbeam_channel::Sender<Job>,
    chores: crossbeam_channel::Sender<Job>,
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
        let (chores, tasks) = crossbeam_channel::unbounded::<Job>();
        spawn("cache-chores", move || tasks.iter().for_each(|job| job()))?;
        Ok(Self { store, writes, reads, chores })
    }

    /// Commits events, after those that were handed in before. Comes back after the commit.
    pub(crate) fn write(
        &self,
        events: Vec<Verified<PackedEvent>>,
    ) -> impl Future<Output = Called<Written>> + 'static {
        let (answer, written) = oneshot::channel();
        let write = Write { store: Arc::clone(&self.store), events, answer };
        let is_queued = self.writes.send(write).is_ok();
        async move { if is_queued { written.await.unwrap_or_else(|_| gone()) } else { gone() } }
    }

    /// Asks the store something. Questions are taken in the order in which they come, several at
    /// once.
    pub(crate) fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn EventStore) -> Result<T, StoreError> + Send + 'static,
    ) -> impl Future<Output = Called<T>> + 'static {
        self.hand_in(&self.reads, question)
    }

    /// Has the store do something that takes longer and that nobody is to wait behind.
    pub(crate) fn chore<T: Send + 'static>(
        &self,
        chore: impl FnOnce(&dyn EventStore) -> Result<T, StoreError> + Send + 'static,
    ) -> impl Future<Output = Called<T>> + 'static {
        self.hand_in(&self.chores, chore)
    }

    fn hand_in<T: Send + 'static>(
        &self,
        queue: &crossbeam_channel::Sender<Job>,
        call: impl FnOnce(&dyn EventStore) -> Result<T, StoreError> + Send + 'static,
    ) -> impl Future<Output = Called<T>> + 'static {
        let (answer, called) = oneshot::channel();
        let store = Arc::clone(&self.store);
        let job: Job = Box::new(move || {
            let result = guarded(|| call(&*store));
            drop(store);
            // Who asked may have gone.
            answer.send(result).ok();
        });
        let is_queued = queue.send(job).is_ok();
        async move { if is_queued { called.await.unwrap_or_else(|_| gone()) } else { gone() } }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

/// A panic of a call is the failure of that call, and the thread goes on.
fn guarded<T>(call: impl FnOnce() -> Result<T, StoreError>) -> Called<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(Failure::from),
        Err(payload) => Err(Failure::panicked(text_of(&*payload))),
    }
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// A thread does not end before its queue, so this cannot be seen; it is no reason to panic either.
fn gone<T>() -> Called<T> {
    Err(Failure::panicked("the store's thread is gone"))
}

/// Commits until nobody can hand anything in any more.
fn commit_all(waiting: &mpsc::Receiver<Write>, clock: &Clock) {
    while let Ok(first) = waiting.recv() {
        let mut count = first.events.len();
        let mut group = vec![first];
        while count < COMMIT_EVENTS_MAX
            && let Ok(next) = waiting.try_recv()
        {
            count += next.events.len();
            group.push(next);
        }
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
