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
        self.outlook_on(&read(&self.jobs), index)
    }

    fn outlook_on(&self, jobs: &[Arc<JobCore>], index: usize) -> Outlook {
        let index = if self.is_sequential() { 0 } else { index };
        let now = self.now_ns();
        let mut throttled: Option<u64> = None;
        for job in jobs.iter().filter(|job| job.claimable()) {
            match job.free_at(index) {
                Some(at) if at <= now => return Outlook::Work,
                Some(at) => throttled = Some(throttled.map_or(at, |other| other.min(at))),
                None => {}
            }
        }
        throttled.map_or(Outlook::Nothing, Outlook::Throttled)
    }

    /// Looks for threads that sleep beside work; true if one was found so at the last look as well.
    /// Only the coordinator calls it, from time to time.
    pub(crate) fn find_starving(&self) -> bool {
        let threads = self.threads();
        let mut jobs = read(&self.jobs).clone();
        // A job with fewer threads than the pool has seems to miss one whenever one of them is
        // between two batches; while they come back for more it misses nobody.
        jobs.retain(|job| !(job.was_claimed() && job.is_limited(threads)));
        let mut starving = false;
        for (index, slot) in self.slots.iter().enumerate() {
            let beside_work = self.outlook_on(&jobs, index) == Outlook::Work;
            starving |= lock(&slot.counters.idle).look(self.now_ns(), beside_work);
        }
        starving
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::config::PoolConfig;
    use crate::idle::Reason;
    use crate::span::Span;
    use crate::spec::JobSpec;
    use crate::task::{BatchContext, BatchReport, Done, Next, RangeTask};

    struct Nothing;

    impl RangeTask for Nothing {
        type Output = ();
        fn run(&self, span: Span, _: &BatchContext<'_>) -> Done<()> {
            Done { items: span.len, output: () }
        }
        fn commit(&self, _: &BatchReport, (): ()) -> Next {
            Next::Continue
        }
    }

    /// Two threads that do not exist, the second of which sleeps, and a job.
    fn asleep(max_threads: Option<usize>) -> (Shared, Arc<JobCore>) {
        let shared = Shared::new(PoolConfig::default(), 2);
        let mut spec = JobSpec::new("job", vec![Span::new(0, 1_000)]);
        spec.max_threads = max_threads.and_then(NonZeroUsize::new);
        spec.max_batch = 1;
        let job = shared.submit(spec, Arc::new(Nothing)).unwrap();
        lock(&shared.slots[1].counters.idle).begin(0, Reason::Nothing, 0);
        (shared, job)
    }

    #[test]
    fn the_thread_of_a_limited_job_is_missed_by_nobody_between_two_of_its_batches() {
        let (shared, job) = asleep(Some(1));
        for _ in 0..5 {
            let batch = shared.next_batch(0).unwrap();
            job.hand_back(&batch);
            job.leave();
            assert!(job.claimable() && !shared.find_starving());
        }
        assert!(!shared.find_starving(), "once may be by chance");
        assert!(shared.find_starving(), "nobody works on it any more");
    }

    #[test]
    fn a_thread_that_sleeps_beside_work_for_all_is_found_at_the_second_look() {
        let (shared, _job) = asleep(None);
        shared.next_batch(0).unwrap();
        assert!(!shared.find_starving());
        shared.next_batch(0).unwrap();
        assert!(shared.find_starving());
        let idle = lock(&shared.slots[1].counters.idle).end(shared.now_ns(), shared.work_since());
        assert!(idle.starved_ns > 0);
    }
}
