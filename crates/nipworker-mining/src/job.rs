//! One job as the book keeps it.

mod stored;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use nipworker_pool::{JobTicket, Span};

use crate::estimate::expected_time_left;
use crate::ledger::Ledger;
use crate::progress::{JobPhase, Outcome, Progress};
use crate::rate::RateMeter;
use crate::request::{JobId, JobRequest};
use crate::sync::lock;
use crate::workload::{BatchResult, Best, Hit, Workload};

/// Watchers are told of progress this often at most; of a better attempt or a change of phase at
/// once.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// A job. Three locks, always taken in this order: `control`, then the pool's own, then `state`.
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) request: JobRequest,
    pub(crate) workload: Arc<dyn Workload>,
    /// All indices the job may try.
    pub(crate) whole: Span,
    /// Counts the hits of the whole book.
    hits: Arc<AtomicU64>,
    /// Whether the request's limit of attempts cuts the workload's space.
    limited: bool,
    /// Held while the job is started, paused, resumed or cancelled.
    pub(crate) control: Mutex<()>,
    pub(crate) state: Mutex<State>,
    changed: Condvar,
}

/// What changes about a job.
pub(crate) struct State {
    pub(crate) phase: JobPhase,
    pub(crate) ledger: Ledger,
    pub(crate) quarantined: Vec<Span>,
    pub(crate) ticket: Option<JobTicket>,
    /// Counts the runs on a pool; what an older run reports is not taken.
    pub(crate) epoch: u64,
    attempts: u64,
    best: Option<Best>,
    hit: Option<Hit>,
    bad_hits: u64,
    doubled: u64,
    outcome: Option<Outcome>,
    /// Whether it is to end as cancelled, however its run ends.
    pub(crate) cancelled: bool,
    /// Time of earlier runs.
    elapsed_before: Duration,
    /// Start of this run.
    run_started: Option<Instant>,
    meter: Option<RateMeter>,
    /// Goes up with every change that watchers are told of.
    version: u64,
    told_at: Option<Instant>,
    waiters: Vec<oneshot::Sender<()>>,
}

impl State {
    /// Whether the job has ended.
    pub(crate) fn outcome_is_set(&self) -> bool {
        self.outcome.is_some()
    }
}

impl Job {
    pub(crate) fn new(
        id: JobId,
        request: JobRequest,
        workload: Arc<dyn Workload>,
        hits: Arc<AtomicU64>,
    ) -> Self {
        let space = Span::new(0, workload.space());
        let (_, from_start) = space.split_at(request.start);
        let allowed = request.limits.max_attempts.unwrap_or(u64::MAX);
        let (whole, rest) = from_start.split_at(allowed);
        Self {
            id,
            request,
            workload,
            whole,
            hits,
            limited: !rest.is_empty(),
            control: Mutex::new(()),
            state: Mutex::new(State {
                phase: JobPhase::Suspended,
                ledger: Ledger::default(),
                quarantined: Vec::new(),
                ticket: None,
                epoch: 0,
                attempts: 0,
                best: None,
                hit: None,
                bad_hits: 0,
                doubled: 0,
                outcome: None,
                cancelled: false,
                elapsed_before: Duration::ZERO,
                run_started: None,
                meter: None,
                version: 1,
                told_at: None,
                waiters: Vec::new(),
            }),
            changed: Condvar::new(),
        }
    }

    /// What is left to hand out: neither finished nor given up.
    pub(crate) fn open_spans(&self, state: &State) -> Vec<Span> {
        let mut settled = state.ledger.clone();
        // What was booked counts as finished, even if the booking then panicked.
        for span in state.quarantined.iter().flat_map(|span| state.ledger.gaps(*span)) {
            if settled.insert(span).is_err() {
                tracing::error!(job = %self.id, ?span, "a quarantined span was finished as well");
            }
        }
        settled.gaps(self.whole)
    }

    /// How long the job may still run.
    pub(crate) fn time_left(&self, state: &State) -> Option<Duration> {
        self.request.limits.timeout.map(|limit| limit.saturating_sub(state.elapsed_before))
    }

    /// A run begins; that of a paused job begins paused.
    pub(crate) fn begin(&self, state: &mut State, now: Instant) {
        if state.phase != JobPhase::Paused {
            state.phase = JobPhase::Running;
        }
        state.run_started = Some(now);
        state.meter = Some(RateMeter::new(now));
        state.epoch += 1;
        self.tell(state, None);
    }

    /// Books a batch. True if the job is solved by it.
    pub(crate) fn book(
        &self,
        epoch: u64,
        done: Span,
        result: BatchResult,
        bad_hits: u64,
        at: Instant,
    ) -> bool {
        let mut state = lock(&self.state);
        let state = &mut *state;
        if state.epoch != epoch || state.outcome.is_some() {
            return true;
        }
        if let Err(overlap) = state.ledger.insert(done) {
            state.doubled += 1;
            tracing::error!(job = %self.id, %overlap, "a range was handed out twice");
            return false;
        }
        state.attempts += done.len;
        state.bad_hits += bad_hits;
        if let Some(meter) = &mut state.meter {
            meter.record(at, done.len);
        }
        let hits = result.hits.iter().map(|hit| Best { index: hit.index, score: hit.score });
        let best = state.best;
        for candidate in result.best.into_iter().chain(hits) {
            state.best = Some(state.best.map_or(candidate, |best| best.better(candidate)));
        }
        let improved = state.best != best;
        if let Some(hit) = result.hits.into_iter().next() {
            state.hit = Some(hit);
            self.hits.fetch_add(1, Relaxed);
            return true;
        }
        let due = state.told_at.is_none_or(|told| at.saturating_duration_since(told) >= TELL_EVERY);
        if improved || due {
            self.tell(state, Some(at));
        }
        false
    }

    /// Closes the books of a run: into an outcome, or, without one, suspended.
    pub(crate) fn close(&self, state: &mut State, outcome: Option<Outcome>, now: Instant) {
        if let Some(started) = state.run_started.take() {
            let run = now.saturating_duration_since(started);
            state.elapsed_before = state.elapsed_before.saturating_add(run);
        }
        // The ticket holds the run, which holds this job.
        state.ticket = None;
        match outcome {
            Some(outcome) => {
                state.phase = JobPhase::Ended;
                state.outcome = Some(outcome);
            }
            None if state.phase == JobPhase::Running => state.phase = JobPhase::Suspended,
            None => {}
        }
        self.tell(state, None);
    }

    /// Whether it has a run that has not ended.
    pub(crate) fn has_run(state: &State) -> bool {
        state.run_started.is_some()
    }

    /// The hit that ended the run, if one did.
    pub(crate) fn take_hit(state: &mut State) -> Option<Hit> {
        state.hit.take()
    }

    /// How a run that tried everything ends.
    pub(crate) fn exhausted(&self, state: &State) -> Outcome {
        if !state.quarantined.is_empty() {
            Outcome::Quarantined(state.quarantined.clone())
        } else if self.limited {
            Outcome::AttemptLimit
        } else {
            Outcome::Exhausted
        }
    }

    /// Wakes the watchers.
    pub(crate) fn tell(&self, state: &mut State, at: Option<Instant>) {
        state.version += 1;
        state.told_at = at;
        for waiter in state.waiters.drain(..) {
            // A watcher that has gone needs no wake-up.
            _ = waiter.send(());
        }
        self.changed.notify_all();
    }

    /// Completes when the version is above `seen`; at once if it is.
    pub(crate) fn changed_since(&self, seen: u64) -> Option<oneshot::Receiver<()>> {
        let mut state = lock(&self.state);
        if state.version > seen {
            return None;
        }
        state.waiters.retain(|waiter| !waiter.is_canceled());
        let (sender, receiver) = oneshot::channel();
        state.waiters.push(sender);
        Some(receiver)
    }

    /// Blocks until the job has ended.
    pub(crate) fn wait(&self) -> Outcome {
        let mut state = lock(&self.state);
        loop {
            if let Some(outcome) = &state.outcome {
                return outcome.clone();
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        lock(&self.state).outcome.clone()
    }

    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.state).outcome.is_some()
    }

    pub(crate) fn attempts(&self) -> u64 {
        lock(&self.state).attempts
    }

    fn elapsed(state: &State, now: Instant) -> Duration {
        let run = state.run_started.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        state.elapsed_before.saturating_add(run)
    }

    /// The spans given up in earlier runs and in this one.
    fn quarantined(&self) -> Vec<Span> {
        let (mut spans, ticket) = {
            let state = lock(&self.state);
            (state.quarantined.clone(), state.ticket.clone())
        };
        if let Some(ticket) = ticket {
            // Outside the lock: the pool's own comes before it.
            spans.extend(ticket.stats().quarantined);
            spans.sort_unstable();
            spans.dedup();
        }
        spans
    }

    /// A snapshot as of `now`, and its version.
    pub(crate) fn progress(&self, now: Instant) -> (Progress, u64) {
        let quarantined = self.quarantined();
        let state = lock(&self.state);
        let running = state.phase == JobPhase::Running;
        let rate = |window| match &state.meter {
            Some(meter) if running => meter.per_second(now, Duration::from_secs(window)),
            _ => 0.0,
        };
        let (rate_1s, rate_10s) = (rate(1), rate(10));
        let remaining = self.whole.len - state.attempts;
        let expected = |quantile| match self.workload.chance() {
            Some(chance) => expected_time_left(chance, rate_10s, quantile),
            None if rate_10s > 0.0 => Duration::try_from_secs_f64(remaining as f64 / rate_10s).ok(),
            None => None,
        };
        let ended = state.outcome.is_some();
        let progress = Progress {
            id: self.id,
            workload: self.request.workload.clone(),
            phase: state.phase,
            outcome: state.outcome.clone(),
            priority: self.request.priority,
            attempts: state.attempts,
            remaining,
            rate_1s,
            rate_10s,
            best: state.best,
            elapsed: Self::elapsed(&state, now),
            expected_p50_left: if ended { None } else { expected(0.5) },
            expected_p95_left: if ended { None } else { expected(0.95) },
            quarantined,
            bad_hits: state.bad_hits,
            doubled: state.doubled,
        };
        (progress, state.version)
    }
}
