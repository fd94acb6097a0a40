//! What a worker gets when it asks for work, and what it would get.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use super::{Outlook, Shared};
use crate::job::{Batch, JobCore};
use crate::metrics::ThreadCounters;
use crate::schedule;
use crate::sync::{lock, read};

impl Shared {
    /// Whether any thread that asks now could get something, its share of time aside.
    fn any_claimable(&self) -> bool {
        read(&self.jobs).iter().any(|job| job.claimable())
    }

    /// What the worker `index` would find now.
    pub(crate) fn outlook(&self, index: usize) -> Outlook {
        let index = if self.is_sequential() { 0 } else { index };
        let now = self.now_ns();
        let mut throttled: Option<u64> = None;
        for job in read(&self.jobs).iter().filter(|job| job.claimable()) {
            match job.free_at(index) {
                Some(at) if at <= now => return Outlook::Work,
                Some(at) => throttled = Some(throttled.map_or(at, |other| other.min(at))),
                None => {}
            }
        }
        throttled.map_or(Outlook::Nothing, Outlook::Throttled)
    }

    /// How long the worker `index` must stay away from all there is to do.
    pub(crate) fn throttled_for(&self, index: usize) -> Option<Duration> {
        match self.outlook(index) {
            Outlook::Throttled(at) => {
                Some(Duration::from_nanos(at.saturating_sub(self.now_ns()).max(1)))
            }
            Outlook::Work => Some(Duration::from_nanos(1)),
            Outlook::Nothing => None,
        }
    }

    /// Pool time, plus one, since when there has been work; 0 if there is none.
    pub(crate) fn work_since(&self) -> u64 {
        self.work_since.load(SeqCst)
    }

    /// Notes that nothing is left to claim, unless something has come meanwhile.
    fn note_no_work(&self) {
        let since = self.work_since.load(SeqCst);
        if since != 0 && !self.any_claimable() {
            if self.work_since.compare_exchange(since, 0, SeqCst, SeqCst).is_ok() {
                let now = self.now_ns();
                for slot in &self.slots {
                    if self.is_sequential() || slot.dead.load(SeqCst) {
                        lock(&slot.counters.idle).work_ended(now, since);
                    }
                }
            }
            if self.any_claimable() {
                let now = self.now_ns() + 1;
                _ = self.work_since.compare_exchange(0, now, SeqCst, SeqCst);
            }
        }
    }

    /// The next batch for the worker `index`, or `None` if there is nothing to do. The worker is
    /// counted into the batch's job and must leave it.
    pub(crate) fn next_batch(&self, index: usize) -> Option<Arc<Batch>> {
        if !self.is_sequential()
            && self.direct_jobs.load(SeqCst) > 0
            && let Some(batch) = self.claim_direct(index)
        {
            return Some(batch);
        }
        if let Some(batch) = self.pop_queue(index) {
            return Some(batch);
        }
        if !self.is_sequential()
            && let Some(batch) = self.claim_best(index)
        {
            ThreadCounters::add(&self.slots[index].counters.self_refills, 1);
            return Some(batch);
        }
        self.note_no_work();
        None
    }

    /// A batch of the job whose turn it is, if that is one that passes the queue.
    fn claim_direct(&self, index: usize) -> Option<Arc<Batch>> {
        let threads = self.threads();
        let turn = schedule::pick(&read(&self.jobs), |job| job.is_free_for(index)).cloned()?;
        if turn.is_direct(threads) { self.claim_from(&turn) } else { None }
    }

    /// A batch of the job whose turn it is among those that the worker `index` may work on.
    fn claim_best(&self, index: usize) -> Option<Arc<Batch>> {
        loop {
            // A job that gives nothing has changed meanwhile and is not picked again.
            let job = schedule::pick(&read(&self.jobs), |job| job.is_free_for(index)).cloned()?;
            if let Some(batch) = self.claim_from(&job) {
                return Some(batch);
            }
        }
    }

    fn claim_from(&self, job: &Arc<JobCore>) -> Option<Arc<Batch>> {
        let entered = job.enter();
        if entered {
            if let Some(batch) = job.claim(u64::MAX, self.threads()) {
                return Some(Arc::new(batch));
            }
            job.leave();
        }
        self.settle(job);
        None
    }

    fn pop_queue(&self, index: usize) -> Option<Arc<Batch>> {
        loop {
            let batch = self.queue_rx.try_recv().ok()?;
            if !self.is_sequential()
                && self.queue_rx.len() < self.low_water()
                && !self.refill_asked.swap(true, SeqCst)
            {
                self.counters.low_water_hits.fetch_add(1, Relaxed);
                self.coordinator.notify_all();
            }
            let entered = batch.job.enter();
            // Checked after entering: whoever ends the job either sees this thread inside it, or
            // has already made the batch stale.
            if entered && batch.job.is_current(&batch) {
                return Some(batch);
            }
            if entered {
                batch.job.leave();
            }
            self.return_unstarted(&batch, Some(index));
        }
    }

    /// Gives back a batch that nobody has started.
    pub(crate) fn return_unstarted(&self, batch: &Arc<Batch>, worker: Option<usize>) {
        if batch.job.hand_back(batch) {
            if let Some(index) = worker {
                ThreadCounters::add(&self.slots[index].counters.stale, 1);
            }
        } else if batch.job.claimable() {
            self.work_appeared();
        }
        if self.is_sequential() {
            self.coordinator.notify_all();
        }
        self.settle(&batch.job);
    }
}
