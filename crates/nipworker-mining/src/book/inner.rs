//! What the book has written down, under its lock.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use nipworker_pool::{Pool, PoolError};

use super::{MAX_ACTIVE_JOBS, MAX_ENDED_JOBS};
use crate::error::SubmitError;
use crate::job::Job;
use crate::request::JobId;
use crate::workload::WorkloadFactory;

/// Number of abandoned ids that are remembered; beyond it the oldest are forgotten.
const MAX_ABANDONED: usize = 4096;

#[derive(Default)]
pub(super) struct Inner {
    pub(super) factories: BTreeMap<String, Arc<dyn WorkloadFactory>>,
    pub(super) jobs: HashMap<JobId, Arc<Job>>,
    /// In order of submission.
    pub(super) order: Vec<JobId>,
    pub(super) pool: Option<Pool>,
    pub(super) next_id: u64,
    /// Whether no job and no pool is taken any more.
    pub(super) closed: bool,
    pub(super) abandoned: HashSet<JobId>,
    /// The same, in order.
    pub(super) abandoned_order: VecDeque<JobId>,
}

impl Inner {
    /// Notes that no job is to come under `id`.
    pub(super) fn abandon(&mut self, id: JobId) {
        if self.abandoned.insert(id) {
            self.abandoned_order.push_back(id);
        }
        if self.abandoned_order.len() > MAX_ABANDONED
            && let Some(oldest) = self.abandoned_order.pop_front()
        {
            self.abandoned.remove(&oldest);
        }
    }

    /// Enters a job, and forgets the oldest of those that have ended if there are too many.
    pub(super) fn admit(&mut self, job: &Arc<Job>) -> Result<(), SubmitError> {
        if self.closed {
            return Err(PoolError::Closed.into());
        }
        let ended: Vec<JobId> = self
            .order
            .iter()
            .copied()
            .filter(|id| self.jobs.get(id).is_some_and(|job| job.has_ended()))
            .collect();
        if self.jobs.len() - ended.len() >= MAX_ACTIVE_JOBS {
            return Err(SubmitError::TooManyJobs { limit: MAX_ACTIVE_JOBS });
        }
        for id in ended.iter().take(ended.len().saturating_sub(MAX_ENDED_JOBS - 1)) {
            self.remove(*id);
        }
        self.jobs.insert(job.id, Arc::clone(job));
        self.order.push(job.id);
        Ok(())
    }

    pub(super) fn remove(&mut self, id: JobId) {
        self.jobs.remove(&id);
        self.order.retain(|other| *other != id);
    }
}
