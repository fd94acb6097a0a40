//! Handing out a job's work.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Relaxed, SeqCst},
};

use super::{Batch, Fragment, JobCore, RUNNING};
use crate::sizer::tail;
use crate::span::{Span, nanos};
use crate::spec::Priority;
use crate::sync::lock;

impl JobCore {
    /// Whether threads take this job themselves instead of finding it in the queue: it must start
    /// at once, or it must not run on more threads, or for more of their time, than it may.
    pub(crate) fn is_direct(&self, threads: usize) -> bool {
        self.priority == Priority::Urgent || self.is_held_back(threads)
    }

    /// Whether its own limits keep it from the share that its weight would give it.
    pub(crate) fn is_held_back(&self, threads: usize) -> bool {
        self.is_limited(threads) || self.throttle.is_some()
    }

    /// Pool time from which `thread` may work on it, as far as its share of CPU time goes; `None`
    /// if it never may.
    pub(crate) fn free_at(&self, thread: usize) -> Option<u64> {
        self.throttle.as_ref().map_or(Some(0), |throttle| throttle.free_at(thread))
    }

    /// Whether its share of CPU time lets `thread` work on it now.
    pub(crate) fn is_free_for(&self, thread: usize) -> bool {
        self.throttle.as_ref().is_none_or(|throttle| {
            throttle.free_at(thread).is_some_and(|at| at <= nanos(self.epoch.elapsed()))
        })
    }

    /// Notes that `thread` has worked on it for so long until now.
    pub(crate) fn worked(&self, thread: usize, worked_ns: u64) {
        if let Some(throttle) = &self.throttle {
            throttle.worked(thread, worked_ns, nanos(self.epoch.elapsed()));
        }
    }

    /// Whether a batch of it is out.
    pub(crate) fn is_occupied(&self) -> bool {
        self.outstanding.load(SeqCst) > 0
    }

    /// Whether it may run on fewer threads than the pool has.
    pub(crate) fn is_limited(&self, threads: usize) -> bool {
        self.max_threads < threads
    }

    pub(super) fn unclaimed(&self) -> u64 {
        let main = self.cursor_end.saturating_sub(self.cursor.load(SeqCst));
        main.saturating_add(self.fragment_items.load(SeqCst))
    }

    /// Whether a thread that asks now would get something.
    pub(crate) fn claimable(&self) -> bool {
        self.state.load(SeqCst) == RUNNING
            && self.unclaimed() > 0
            && self.running.load(SeqCst) < self.max_threads
    }

    /// Whether a batch was handed out since this was asked last. Only the coordinator asks.
    pub(crate) fn was_claimed(&self) -> bool {
        let claims = self.claims.load(Relaxed);
        self.claims_seen.swap(claims, Relaxed) != claims
    }

    /// Counts the calling thread in, if the job's limit of threads allows it.
    pub(crate) fn enter(&self) -> bool {
        let more = |running| (running < self.max_threads).then_some(running + 1);
        self.running.fetch_update(SeqCst, SeqCst, more).is_ok()
    }

    /// Counts the calling thread out.
    pub(crate) fn leave(&self) {
        self.running.fetch_sub(1, SeqCst);
    }

    /// Cuts the next batch: of `limit` items at most, for a pool of `threads`.
    ///
    /// After `None` the caller must look whether the job has ended: another thread may have seen
    /// this attempt as something outstanding.
    pub(crate) fn claim(self: &Arc<Self>, limit: u64, threads: usize) -> Option<Batch> {
        // Read before the state: a pause stores the state first and then the generation, so a
        // batch that carries the new generation can only have seen the new state.
        let generation = self.generation.load(SeqCst);
        if self.state.load(SeqCst) != RUNNING {
            return None;
        }
        self.outstanding.fetch_add(1, SeqCst);
        let size = self.batch_size.load(Relaxed).min(limit);
        let cut = self.claim_fragment(size, threads).or_else(|| self.claim_cursor(size, threads));
        let Some((span, retries)) = cut else {
            self.outstanding.fetch_sub(1, SeqCst);
            return None;
        };
        self.claims.fetch_add(1, Relaxed);
        let charged_ns = span.len.saturating_mul(self.item_ns.load(Relaxed));
        self.charge(charged_ns);
        Some(Batch {
            job: Arc::clone(self),
            span,
            generation,
            retries,
            charged_ns,
            settled: AtomicBool::new(false),
        })
    }

    fn claim_fragment(&self, size: u64, threads: usize) -> Option<(Span, u8)> {
        if self.fragment_items.load(SeqCst) == 0 {
            return None;
        }
        let size = tail(size, self.unclaimed(), threads);
        let mut gate = lock(&self.gate);
        let fragment = gate.fragments.pop_front()?;
        // A batch that has failed goes out again as it was: it is the one that is quarantined.
        let keep = if fragment.retries > 0 { fragment.span.len } else { size };
        let (head, rest) = fragment.span.split_at(keep);
        if !rest.is_empty() {
            gate.fragments.push_front(Fragment { span: rest, retries: fragment.retries });
        }
        self.fragment_items.fetch_sub(head.len, SeqCst);
        Some((head, fragment.retries))
    }

    fn claim_cursor(&self, size: u64, threads: usize) -> Option<(Span, u8)> {
        let mut taken = Span::new(0, 0);
        let advance = |cursor: u64| {
            let left = self.cursor_end.saturating_sub(cursor);
            if left == 0 {
                return None;
            }
            taken = Span::new(cursor, tail(size, left, threads).min(left));
            Some(taken.end())
        };
        self.cursor.fetch_update(SeqCst, SeqCst, advance).ok()?;
        Some((taken, 0))
    }

    /// Moves the job's virtual time on. Thread time, not CPU time, is what jobs share: an item
    /// that waits keeps its thread from the others just as well. Time for which the system took
    /// the CPU away is charged to nobody: it would fall on one job or another by chance.
    pub(super) fn charge(&self, ns: u64) {
        self.pass.fetch_add(self.weighted(ns), Relaxed);
    }

    pub(super) fn weighted(&self, ns: u64) -> u64 {
        ns.saturating_mul(Priority::Urgent.weight() / self.priority.weight())
    }
}
