//! A job's way into a checkpoint and back.

use std::time::{Duration, Instant};

use super::Job;
use crate::checkpoint::JobCheckpoint;
use crate::progress::{JobPhase, Outcome};
use crate::sync::lock;

/// Longest time that a checkpoint may say a job has run: a thousand years.
const LONGEST_ELAPSED: Duration = Duration::from_secs(1_000 * 365 * 24 * 3600);

impl Job {
    /// Takes over the state of a checkpoint; an error says what contradicts itself.
    pub(crate) fn restore(&self, checkpoint: &JobCheckpoint) -> Result<(), String> {
        let JobCheckpoint { finished, quarantined, attempts, .. } = checkpoint;
        if finished.items() != *attempts {
            return Err(format!(
                "{} attempts are stated but {} are in the ledger",
                attempts,
                finished.items()
            ));
        }
        let mut all = finished.clone();
        for span in quarantined {
            if span.start.checked_add(span.len).is_none() {
                return Err(format!("a quarantined span at {} has no end", span.start));
            }
            all.insert(*span).map_err(|overlap| overlap.to_string())?;
        }
        if let (Some(first), Some(last)) = (all.spans().first(), all.spans().last())
            && (first.start < self.whole.start || last.end() > self.whole.end())
        {
            return Err(format!(
                "finished ranges {} to {} lie outside the job's {} to {}",
                first.start,
                last.end(),
                self.whole.start,
                self.whole.end()
            ));
        }
        if checkpoint.elapsed > LONGEST_ELAPSED {
            return Err(format!(
                "it has run {} s, the most is {} s",
                checkpoint.elapsed.as_secs(),
                LONGEST_ELAPSED.as_secs()
            ));
        }
        if let Some(hit) = &checkpoint.hit {
            self.workload.verify(hit).map_err(|error| error.to_string())?;
        }
        let mut state = lock(&self.state);
        state.ledger = finished.clone();
        state.quarantined.clone_from(quarantined);
        state.attempts = *attempts;
        state.best = checkpoint.best;
        state.elapsed_before = checkpoint.elapsed;
        if let Some(hit) = checkpoint.hit.clone() {
            state.phase = JobPhase::Ended;
            state.outcome = Some(Outcome::Found(hit));
        } else if checkpoint.paused {
            state.phase = JobPhase::Paused;
        }
        Ok(())
    }

    /// The job in a form that can be stored; `None` once it is cancelled, or has ended without a
    /// hit.
    pub(crate) fn checkpoint(&self, now: Instant) -> Option<JobCheckpoint> {
        let given_up = self.quarantined();
        let state = lock(&self.state);
        let hit = match &state.outcome {
            Some(Outcome::Found(hit)) => Some(hit.clone()),
            Some(_) => return None,
            None => state.hit.clone(),
        };
        // Its threads may not have left it yet, but whoever restores it must not go on with it.
        if state.cancelled && hit.is_none() {
            return None;
        }
        // What was booked counts as finished, even if the booking then panicked.
        let quarantined = given_up.iter().flat_map(|span| state.ledger.gaps(*span)).collect();
        Some(JobCheckpoint {
            id: self.id,
            request: self.request.clone(),
            finished: state.ledger.clone(),
            quarantined,
            attempts: state.attempts,
            best: state.best,
            hit,
            elapsed: Self::elapsed(&state, now),
            paused: state.phase == JobPhase::Paused,
        })
    }
}
