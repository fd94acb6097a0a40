//! Which job gets the next batch: stride scheduling by thread time.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::job::JobCore;

/// The claimable job that has had least of its share; among equals the more important, then the
/// older one.
pub(crate) fn pick(
    jobs: &[Arc<JobCore>],
    allowed: impl Fn(&JobCore) -> bool,
) -> Option<&Arc<JobCore>> {
    jobs.iter()
        .filter(|job| job.claimable() && allowed(job))
        .min_by_key(|job| (job.pass.load(Relaxed), Reverse(job.priority), job.id))
}

/// Where a new job starts: level with the one that has had least, so that it neither waits for
/// what the others had before it came nor is owed anything.
pub(crate) fn entry_pass(jobs: &[Arc<JobCore>]) -> u64 {
    jobs.iter().map(|job| job.pass.load(Relaxed)).min().unwrap_or(0)
}
