//! Filling the queue: the generator of batches.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use crate::config::DispatchMode;
use crate::observer::PoolEvent;
use crate::schedule;
use crate::shared::Shared;
use crate::sync::read;

impl Shared {
    /// Fills the queue. Only the coordinator calls it. Says after how long it must be called again,
    /// if nothing else happens.
    pub(crate) fn fill_queue(&self) -> Option<Duration> {
        // Cleared first: a worker that asks from here on is heard in the next round.
        self.refill_asked.store(false, SeqCst);
        match self.config.dispatch {
            DispatchMode::Batched => {
                self.fill_ahead();
                None
            }
            DispatchMode::Sequential => self.fill_one(),
        }
    }

    fn fill_ahead(&self) {
        let high = self.threads() * self.config.high_water_per_thread;
        if self.queue_rx.len() >= self.low_water() {
            return;
        }
        let threads = self.threads();
        let (mut batches, mut items) = (0, 0u64);
        while self.queue_rx.len() < high {
            let turn = schedule::pick(&read(&self.jobs), |job| !job.is_direct(threads)).cloned();
            let Some(job) = turn else { break };
            let Some(batch) = job.claim(u64::MAX, threads) else {
                self.settle(&job);
                continue;
            };
            batches += 1;
            items = items.saturating_add(batch.span.len);
            if let Err(full) = self.queue_tx.try_send(Arc::new(batch)) {
                self.return_unstarted(&full.into_inner(), None);
                break;
            }
        }
        self.report_fill(batches, items);
        if batches > 0 {
            self.work.notify_all();
        }
    }

    /// The sequential baseline: one item, and the next one after its result.
    fn fill_one(&self) -> Option<Duration> {
        let jobs = read(&self.jobs);
        if jobs.iter().any(|job| job.is_occupied()) || !self.queue_rx.is_empty() {
            return None;
        }
        let turn = schedule::pick(&jobs, |job| job.is_free_for(0)).cloned();
        drop(jobs);
        let Some(job) = turn else { return self.throttled_for(0) };
        match job.claim(1, self.threads()) {
            None => self.settle(&job),
            Some(batch) => {
                let items = batch.span.len;
                if let Err(full) = self.queue_tx.try_send(Arc::new(batch)) {
                    self.return_unstarted(&full.into_inner(), None);
                    return None;
                }
                self.report_fill(1, items);
                self.work.notify_one();
            }
        }
        None
    }

    fn report_fill(&self, batches: usize, items: u64) {
        if batches == 0 {
            return;
        }
        let sequence = self.counters.fills.fetch_add(1, Relaxed) + 1;
        self.tell(&PoolEvent::Filled {
            sequence,
            batches,
            items,
            threads: self.threads(),
            depth: self.queue_rx.len(),
        });
    }
}
