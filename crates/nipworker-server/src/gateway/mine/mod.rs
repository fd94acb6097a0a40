//! Mining jobs that came over HTTP: who may start how many, and which are remembered.
//!
//! A job belongs to nobody once it is accepted: it goes on when its client leaves, and ends by
//! itself or by `DELETE`. What is to happen to its event afterwards (signing, publishing) is done
//! by a task of its own, so that nobody has to wait for it.

mod finish;
mod job;
mod request;
mod stream;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) use self::{
    job::{Job, Then},
    request::MineRequest,
    stream::{LAST_EVENT, events},
};
use super::state::Gateway;
use crate::config::MineConfig;

/// Takes over the jobs of the engine that were going before the gateway was: those that an earlier
/// process left.
pub(super) fn adopt(gateway: &Arc<Gateway>) {
    for progress in gateway.client.jobs() {
        if let Ok(view) = gateway.client.job(progress.job) {
            gateway.jobs.adopt(Job::take_over(gateway, view));
        }
    }
}

/// The jobs of this gateway.
#[derive(Debug)]
pub(crate) struct Jobs {
    inner: Mutex<Inner>,
    watchers: Arc<Semaphore>,
    max_active: usize,
    max_ended: usize,
}

#[derive(Debug, Default)]
struct Inner {
    /// By number, which grows with time.
    jobs: BTreeMap<u64, Arc<Job>>,
    /// Jobs that the engine is being asked for.
    starting: usize,
}

impl Inner {
    fn active(&self) -> usize {
        self.starting + self.jobs.values().filter(|job| !job.has_ended()).count()
    }

    fn forget_oldest_ended(&mut self, keep: usize) {
        let ended: Vec<u64> =
            self.jobs.iter().filter(|(_, job)| job.has_ended()).map(|(id, _)| *id).collect();
        for id in ended.iter().take(ended.len().saturating_sub(keep)) {
            self.jobs.remove(id);
        }
    }
}

/// The right to start one job.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a Jobs);

impl Place<'_> {
    /// Puts the job that was started there.
    pub(super) fn take(self, job: Arc<Job>) {
        let mut inner = self.0.inner();
        inner.jobs.insert(job.number(), job);
        inner.forget_oldest_ended(self.0.max_ended);
        // Dropping `self` frees the place for counting: the job itself counts from here on.
        drop(inner);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.inner().starting -= 1;
    }
}

impl Jobs {
    pub(crate) fn new(config: &MineConfig) -> Self {
        Self {
            inner: Mutex::default(),
            watchers: Arc::new(Semaphore::new(config.max_watchers)),
            max_active: config.max_jobs,
            max_ended: config.remembered_jobs,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new job; `None` when as many are active as may be.
    pub(super) fn place(&self) -> Option<Place<'_>> {
        let mut inner = self.inner();
        if inner.active() >= self.max_active {
            return None;
        }
        inner.starting += 1;
        Some(Place(self))
    }

    /// Puts a job there, beyond any limit.
    fn adopt(&self, job: Arc<Job>) {
        self.inner().jobs.insert(job.number(), job);
    }

    /// The job of that number, if it is remembered.
    pub(super) fn get(&self, number: u64) -> Option<Arc<Job>> {
        self.inner().jobs.get(&number).cloned()
    }

    /// All that are remembered, the oldest first.
    pub(super) fn all(&self) -> Vec<Arc<Job>> {
        self.inner().jobs.values().cloned().collect()
    }

    /// Waits until nothing that was found is still being signed or sent. Cancel safe.
    pub(super) async fn finishing(&self) {
        for job in self.all().into_iter().filter(|job| job.is_finishing()) {
            job.finished().await;
        }
    }

    /// The right to look on at one job; `None` when as many look on as may.
    pub(super) fn watcher(&self) -> Option<OwnedSemaphorePermit> {
        self.watchers.clone().try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests;
