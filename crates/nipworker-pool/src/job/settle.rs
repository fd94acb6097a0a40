//! Taking a job's batches back, and what counts of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::{Batch, Fragment, Gate, JobCore, Settled};
use crate::caught::drop_quietly;
use crate::span::{Span, join, nanos};
use crate::spec::{EndReason, OnPanic};
use crate::sync::lock;
use crate::task::{BatchReport, Next};

impl JobCore {
    /// Whether the batch may still run.
    pub(crate) fn is_current(&self, batch: &Batch) -> bool {
        self.generation.load(SeqCst) == batch.generation
    }

    /// Takes back a batch that was not started. True if it was stale.
    pub(crate) fn hand_back(&self, batch: &Batch) -> bool {
        if batch.settled.swap(true, SeqCst) {
            return false;
        }
        let mut gate = lock(&self.gate);
        let stale = gate.closed();
        if stale {
            gate.stale += 1;
        } else {
            // It was charged for thread time that it has not had.
            self.pass.fetch_sub(self.weighted(batch.charged_ns), Relaxed);
            self.give_back(&mut gate, batch.span, batch.retries);
        }
        drop(gate);
        self.outstanding.fetch_sub(1, SeqCst);
        stale
    }

    fn give_back(&self, gate: &mut Gate, span: Span, retries: u8) {
        self.fragment_items.fetch_add(span.len, SeqCst);
        gate.fragments.push_front(Fragment { span, retries });
    }

    /// Settles a batch that has run. Only here results count, and only while the gate is open.
    ///
    /// `held_ns` is for how long it kept its thread from other work: while it computed or waited,
    /// not while the system let something else run.
    pub(crate) fn commit(
        &self,
        batch: &Batch,
        report: &BatchReport,
        held_ns: u64,
        commit: &mut dyn FnMut(&BatchReport) -> Next,
    ) -> Settled {
        let mut gate = lock(&self.gate);
        if batch.settled.swap(true, SeqCst) {
            return Settled::Stale;
        }
        let outcome = if gate.closed() {
            gate.stale += 1;
            Settled::Stale
        } else {
            // A span that nobody cancelled and that yields nothing would go round for ever.
            let idle = report.done.is_empty() && !batch.span.is_empty() && self.is_current(batch);
            match catch_unwind(AssertUnwindSafe(|| commit(report))) {
                Ok(Next::Continue) if idle => {
                    gate.panics += 1;
                    let failed = self.failed(&mut gate, batch, "the batch made no progress");
                    Settled::Idle { queued_again: failed == Settled::QueuedAgain }
                }
                Ok(next) => {
                    self.account(&mut gate, batch, report, held_ns);
                    if next == Next::Stop {
                        self.close(&mut gate, EndReason::Stopped);
                    }
                    Settled::Committed
                }
                Err(payload) => {
                    drop_quietly(payload);
                    gate.panics += 1;
                    join(&mut gate.quarantined, batch.span);
                    Settled::Quarantined
                }
            }
        };
        drop(gate);
        self.outstanding.fetch_sub(1, SeqCst);
        outcome
    }

    fn account(&self, gate: &mut Gate, batch: &Batch, report: &BatchReport, held_ns: u64) {
        let cpu_ns = nanos(report.cpu);
        gate.items += report.done.len;
        gate.batches += 1;
        gate.cpu_ns += cpu_ns;
        gate.sizer.record(report.done.len, cpu_ns, held_ns);
        self.batch_size.store(gate.sizer.current(), Relaxed);
        self.item_ns.store(gate.sizer.wall_ns_per_item() as u64, Relaxed);
        if held_ns >= batch.charged_ns {
            self.charge(held_ns - batch.charged_ns);
        } else {
            self.pass.fetch_sub(self.weighted(batch.charged_ns - held_ns), Relaxed);
        }
        let (_, rest) = batch.span.split_at(report.done.len);
        if !rest.is_empty() {
            self.give_back(gate, rest, batch.retries);
        }
    }

    /// Settles a batch that panicked, or whose thread died. `None` if it was settled before.
    pub(crate) fn fail(&self, batch: &Batch, message: &str) -> Option<Settled> {
        let mut gate = lock(&self.gate);
        if batch.settled.swap(true, SeqCst) {
            return None;
        }
        gate.panics += 1;
        let outcome = if gate.closed() {
            gate.stale += 1;
            Settled::Stale
        } else {
            self.failed(&mut gate, batch, message)
        };
        drop(gate);
        self.outstanding.fetch_sub(1, SeqCst);
        Some(outcome)
    }

    /// Decides on a batch that failed while the gate was open.
    fn failed(&self, gate: &mut Gate, batch: &Batch, message: &str) -> Settled {
        if self.on_panic == OnPanic::EndJob {
            self.close(gate, EndReason::Panicked { message: message.to_owned() });
            Settled::Stale
        } else if batch.retries == 0 {
            self.fragment_items.fetch_add(batch.span.len, SeqCst);
            gate.fragments.push_back(Fragment { span: batch.span, retries: 1 });
            Settled::QueuedAgain
        } else {
            join(&mut gate.quarantined, batch.span);
            Settled::Quarantined
        }
    }
}
