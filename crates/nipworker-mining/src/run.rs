//! A job's run on a pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nipworker_pool::{
    BatchContext, BatchReport, Done, EndReason, JobEnd, JobSpec, Next, Pool, PoolError, RangeTask,
    Span,
};

use crate::job::Job;
use crate::log::DISPATCH_TARGET;
use crate::progress::{JobPhase, Outcome};
use crate::sync::lock;
use crate::workload::{BatchResult, Hit};

/// The task that the pool works on. A job has one at a time; `epoch` tells them apart.
struct Run {
    job: Arc<Job>,
    epoch: u64,
}

/// What a batch yields, its hits verified.
struct Checked {
    result: BatchResult,
    bad_hits: u64,
}

impl RangeTask for Run {
    type Output = Checked;

    fn run(&self, span: Span, ctx: &BatchContext<'_>) -> Done<Checked> {
        let mut result = self.job.workload.run(span, ctx);
        let (done, _) = span.split_at(result.attempts);
        let found = result.hits.len();
        result.hits.retain(|hit| self.is_good(hit, done));
        let bad_hits = (found - result.hits.len()) as u64;
        Done { items: done.len, output: Checked { result, bad_hits } }
    }

    fn commit(&self, report: &BatchReport, output: Checked) -> Next {
        let Checked { result, bad_hits } = output;
        if self.job.book(self.epoch, report.done, result, bad_hits, report.ended_at) {
            Next::Stop
        } else {
            Next::Continue
        }
    }

    fn ended(&self, end: &JobEnd) {
        let job = &self.job;
        let mut state = lock(&job.state);
        if state.epoch != self.epoch || state.outcome_is_set() {
            return;
        }
        state.quarantined.extend(end.quarantined.iter().copied());
        state.quarantined.sort_unstable();
        let outcome = match &end.reason {
            EndReason::Stopped => Job::take_hit(&mut state).map(Outcome::Found),
            EndReason::Cancelled => Some(Outcome::Cancelled),
            EndReason::TimedOut => Some(Outcome::TimedOut),
            EndReason::Exhausted => Some(job.exhausted(&state)),
            // The pool went away, and took the place of a cancel that came at the same time.
            _ if state.cancelled => Some(Outcome::Cancelled),
            // The pool went away: the job waits for another one.
            _ => None,
        };
        tracing::info!(
            target: DISPATCH_TARGET,
            job = %job.id,
            workload = %job.request.workload,
            attempts = state.ledger.items(),
            "job ended: {}",
            end_name(outcome.as_ref())
        );
        job.close(&mut state, outcome, Instant::now());
    }
}

impl Run {
    fn is_good(&self, hit: &Hit, done: Span) -> bool {
        let within = done.start <= hit.index && hit.index < done.end();
        let verdict = if within {
            self.job.workload.verify(hit)
        } else {
            Err(crate::WorkloadError::BadHit {
                workload: self.job.request.workload.clone(),
                index: hit.index,
                reason: format!("it lies outside the batch {} to {}", done.start, done.end()),
            })
        };
        if let Err(error) = &verdict {
            tracing::error!(job = %self.job.id, %error, "a hit failed its verification");
        }
        verdict.is_ok()
    }
}

fn end_name(outcome: Option<&Outcome>) -> &'static str {
    match outcome {
        None => "suspended",
        Some(Outcome::Found(_)) => "found",
        Some(Outcome::Exhausted) => "exhausted",
        Some(Outcome::AttemptLimit) => "attempt limit",
        Some(Outcome::Cancelled) => "cancelled",
        Some(Outcome::TimedOut) => "timed out",
        Some(Outcome::Quarantined(_)) => "quarantined",
    }
}

impl Job {
    /// Starts what is left of the job on `pool` if it has no run. A paused job's run begins
    /// paused: its timeout goes on. The caller holds `control`.
    pub(crate) fn start_on(self: &Arc<Self>, pool: &Pool) -> Result<(), PoolError> {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let paused = state.phase == JobPhase::Paused;
        if !(paused || state.phase == JobPhase::Suspended) || Self::has_run(&state) {
            return Ok(());
        }
        let spans = self.open_spans(&state);
        let left = self.time_left(&state);
        self.begin(&mut state, now);
        let epoch = state.epoch;
        let over = match (spans.is_empty(), left) {
            (true, _) => Some(self.exhausted(&state)),
            (false, Some(Duration::ZERO)) => Some(Outcome::TimedOut),
            _ => None,
        };
        if let Some(outcome) = over {
            self.close(&mut state, Some(outcome), now);
            return Ok(());
        }
        drop(state);
        let hint = self.workload.batch_hint();
        let mut spec = JobSpec::new(format!("{} {}", self.request.workload, self.id), spans);
        spec.priority = self.request.priority;
        spec.max_threads = self.request.limits.max_threads;
        // A timeout beyond what an instant can hold is no timeout.
        spec.deadline = left.and_then(|left| now.checked_add(left));
        spec.idle = self.request.limits.idle;
        spec.cpu_percent = self.request.limits.cpu_percent;
        spec.paused = paused;
        spec.initial_batch = hint.initial;
        spec.max_batch = hint.max;
        tracing::info!(
            target: DISPATCH_TARGET,
            job = %self.id,
            workload = %self.request.workload,
            "parallel work: {}",
            pool.threads()
        );
        let submitted = pool.submit(spec, Arc::new(Run { job: Arc::clone(self), epoch }));
        let mut state = lock(&self.state);
        match submitted {
            Ok(ticket) => {
                // It may have ended already; then nobody would let go of the ticket.
                if Self::has_run(&state) {
                    state.ticket = Some(ticket);
                }
                Ok(())
            }
            // Its time ran out on the way.
            Err(PoolError::DeadlinePassed { .. }) => {
                self.close(&mut state, Some(Outcome::TimedOut), now);
                Ok(())
            }
            Err(error) => {
                self.close(&mut state, None, now);
                Err(error)
            }
        }
    }

    /// Ends the job. When this returns, nothing more is counted.
    pub(crate) fn cancel(&self) -> u64 {
        let _control = lock(&self.control);
        // The mark comes first: should the pool be stopped before the ticket is, the end of the
        // run sees it. Should the run have ended before the mark, nobody is left to see it.
        let ticket = {
            let mut state = lock(&self.state);
            state.cancelled = true;
            state.ticket.clone()
        };
        if let Some(ticket) = ticket {
            ticket.cancel();
        }
        let mut state = lock(&self.state);
        if state.ticket.is_none() && !state.outcome_is_set() {
            self.close(&mut state, Some(Outcome::Cancelled), Instant::now());
        }
        drop(state);
        self.attempts()
    }

    /// Halts the job; false if it was not going.
    pub(crate) fn pause(&self) -> bool {
        let _control = lock(&self.control);
        let ticket = lock(&self.state).ticket.clone();
        if let Some(ticket) = ticket {
            ticket.pause();
        }
        let mut state = lock(&self.state);
        let going = matches!(state.phase, JobPhase::Running | JobPhase::Suspended);
        if going {
            state.phase = JobPhase::Paused;
            self.tell(&mut state, None);
        }
        going
    }

    /// Lets a paused job go on, on the pool that is there if it has no run; false if it was not
    /// paused.
    pub(crate) fn resume(
        self: &Arc<Self>,
        pool: impl FnOnce() -> Option<Pool>,
    ) -> Result<bool, PoolError> {
        let _control = lock(&self.control);
        let mut state = lock(&self.state);
        if state.phase != JobPhase::Paused {
            return Ok(false);
        }
        if let Some(ticket) = state.ticket.clone() {
            state.phase = JobPhase::Running;
            self.tell(&mut state, None);
            drop(state);
            ticket.resume();
            return Ok(true);
        }
        state.phase = JobPhase::Suspended;
        self.tell(&mut state, None);
        drop(state);
        // Asked for only after the job is suspended: a pool that is started later finds it so.
        if let Some(pool) = pool() {
            self.start_on(&pool)?;
        }
        Ok(true)
    }
}
