//! From a source of job events to the pool: one current job per slot.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::error::PoolError;
use crate::pool::Pool;
use crate::source::{Closed, SourceReader};
use crate::spec::JobSpec;
use crate::sync::lock;
use crate::task::RangeTask;
use crate::ticket::JobTicket;

/// Most slots that have a job at once.
pub const MAX_SLOTS: usize = 4096;

/// What a source of job events says.
pub enum Command<T> {
    /// This is the slot's job from now on.
    Set {
        /// Which slot.
        slot: u64,
        /// How the job is run.
        spec: JobSpec,
        /// What it does.
        task: Arc<T>,
    },
    /// The slot has no job any more.
    Cancel {
        /// Which slot.
        slot: u64,
    },
}

impl<T> Command<T> {
    /// The slot it is about.
    pub fn slot(&self) -> u64 {
        match self {
            Self::Set { slot, .. } | Self::Cancel { slot } => *slot,
        }
    }
}

impl<T> Clone for Command<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Set { slot, spec, task } => {
                Self::Set { slot: *slot, spec: spec.clone(), task: Arc::clone(task) }
            }
            Self::Cancel { slot } => Self::Cancel { slot: *slot },
        }
    }
}

impl<T> fmt::Debug for Command<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set { slot, spec, .. } => f
                .debug_struct("Set")
                .field("slot", slot)
                .field("spec", spec)
                .finish_non_exhaustive(),
            Self::Cancel { slot } => f.debug_struct("Cancel").field("slot", slot).finish(),
        }
    }
}

/// A job that has become the current one of its slot.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Assigned {
    /// Goes up with every change of any slot.
    pub generation: u64,
    /// The job.
    pub ticket: JobTicket,
    /// Whether another job had to make way.
    pub replaced: bool,
}

/// What became of a batch of commands.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct DispatchReport {
    /// Commands in the batch.
    pub received: usize,
    /// Commands that a later one of the batch for the same slot made pointless; their jobs were
    /// never begun.
    pub superseded: usize,
    /// Jobs begun.
    pub set: usize,
    /// Jobs that had to make way for them.
    pub replaced: usize,
    /// Jobs cancelled by a command.
    pub cancelled: usize,
    /// Slots whose job was refused, and why; what they had before goes on.
    pub refused: Vec<(u64, PoolError)>,
    /// Commands that the source lost before this batch, see
    /// [`Drained::lagged`](crate::source::Drained::lagged).
    pub lagged: u64,
    /// Commands that wait in the source.
    pub remaining: usize,
    /// Batches in the pool's queue afterwards.
    pub depth: usize,
    /// Time it took, waiting for the source not included.
    pub took: Duration,
}

/// Keeps one current job per slot on a [`Pool`].
///
/// A new job of a slot is begun before the one it replaces is cancelled, so that the threads go
/// over without a pause. Nothing of a job counts after it was replaced or cancelled. All methods
/// work from any thread, from [`RangeTask::ended`] as well, but not from [`RangeTask::commit`].
#[derive(Debug)]
pub struct Dispatcher {
    pool: Pool,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    generation: u64,
    /// Generation and job; without a job a cancel that an older set must not undo.
    current: HashMap<u64, (u64, Option<JobTicket>)>,
    /// Sets whose job has been numbered but not entered.
    pending: usize,
}

impl Slots {
    fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// Forgets slots whose job has ended, and cancels that no set can contradict any more.
    fn prune(&mut self) {
        let pending = self.pending;
        self.current.retain(|_, (_, ticket)| match ticket {
            Some(ticket) => !ticket.job.has_ended(),
            None => pending > 0,
        });
    }
}

impl Dispatcher {
    /// A dispatcher without jobs.
    pub fn new(pool: Pool) -> Self {
        Self { pool, slots: Mutex::default() }
    }

    /// The pool.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Makes a job the current one of `slot` and cancels the one before it.
    ///
    /// # Errors
    ///
    /// As [`Pool::submit`], and [`PoolError::TooManyJobs`] when [`MAX_SLOTS`] other slots have a
    /// job. What the slot had before goes on then.
    pub fn set_job<T: RangeTask>(
        &self,
        slot: u64,
        spec: JobSpec,
        task: Arc<T>,
    ) -> Result<Assigned, PoolError> {
        let generation = {
            let mut slots = lock(&self.slots);
            slots.prune();
            if slots.current.len() >= MAX_SLOTS && !slots.current.contains_key(&slot) {
                return Err(PoolError::TooManyJobs { limit: MAX_SLOTS });
            }
            slots.pending += 1;
            slots.next_generation()
        };
        // Without the lock: a task may be told of its end in here.
        let submitted = self.pool.submit(spec, task);
        let (ticket, old) = {
            let mut slots = lock(&self.slots);
            slots.pending -= 1;
            let ticket = submitted?;
            match slots.current.get(&slot) {
                // Somebody was quicker with something newer.
                Some((newer, _)) if *newer > generation => (ticket.clone(), Some(ticket)),
                _ => {
                    let entry = (generation, Some(ticket.clone()));
                    let old = slots.current.insert(slot, entry).and_then(|(_, old)| old);
                    (ticket, old)
                }
            }
        };
        let replaced = old.as_ref().is_some_and(|old| !old.job.has_ended());
        if let Some(old) = old {
            old.cancel();
        }
        Ok(Assigned { generation, ticket, replaced })
    }

    /// Ends the job of `slot`. When this returns nothing of it counts any more. `None` if the slot
    /// had no job, or one that had ended.
    pub fn cancel(&self, slot: u64) -> Option<JobTicket> {
        let ticket = {
            let mut slots = lock(&self.slots);
            let generation = slots.next_generation();
            let old = slots.current.insert(slot, (generation, None));
            slots.prune();
            old.and_then(|(_, ticket)| ticket)
        };
        let ticket = ticket.filter(|ticket| !ticket.job.has_ended())?;
        ticket.cancel();
        Some(ticket)
    }

    /// The job of `slot` and its generation, if it has one that has not ended.
    pub fn current(&self, slot: u64) -> Option<(u64, JobTicket)> {
        let slots = lock(&self.slots);
        let (generation, ticket) = slots.current.get(&slot)?;
        let ticket = ticket.as_ref().filter(|ticket| !ticket.job.has_ended())?;
        Some((*generation, ticket.clone()))
    }

    /// Carries out a batch of commands. Of those for one slot only the last one counts.
    pub fn dispatch<T: RangeTask>(&self, batch: Vec<Command<T>>) -> DispatchReport {
        let started = Instant::now();
        let mut report = DispatchReport { received: batch.len(), ..DispatchReport::default() };
        let mut last = BTreeMap::new();
        for (at, command) in batch.into_iter().enumerate() {
            if last.insert(command.slot(), (at, command)).is_some() {
                report.superseded += 1;
            }
        }
        let mut commands: Vec<_> = last.into_values().collect();
        commands.sort_by_key(|(at, _)| *at);
        for (_, command) in commands {
            match command {
                Command::Set { slot, spec, task } => match self.set_job(slot, spec, task) {
                    Ok(assigned) => {
                        report.set += 1;
                        report.replaced += usize::from(assigned.replaced);
                    }
                    Err(error) => report.refused.push((slot, error)),
                },
                Command::Cancel { slot } => {
                    report.cancelled += usize::from(self.cancel(slot).is_some());
                }
            }
        }
        report.depth = self.pool.metrics().queue_depth;
        report.took = started.elapsed();
        report
    }

    /// Waits at most `timeout` for commands, takes up to `max` in one step, and carries them out.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the source is closed and empty.
    pub fn dispatch_from<T: RangeTask>(
        &self,
        source: &mut SourceReader<Command<T>>,
        max: usize,
        timeout: Duration,
    ) -> Result<DispatchReport, Closed> {
        let drained = source.next_batch(max, timeout)?;
        let mut report = self.dispatch(drained.items);
        report.lagged = drained.lagged;
        self.pool.note_lagged(drained.lagged);
        report.remaining = drained.remaining;
        Ok(report)
    }
}
