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

/// Where a job starts, or goes on after a pause: level with the one that has had least, so that
/// it neither waits for what the others had before it came nor is owed anything.
///
/// A job that stands still, or that its own limits hold back, has had less than its
/// share by its own doing: it sets no level. Where nothing else is there, the one that has had
/// most does, so that no job that is at work has to wait until the newcomer has caught up.
pub(crate) fn entry_pass(jobs: &[Arc<JobCore>], threads: usize) -> u64 {
    let passes = |job: &Arc<JobCore>| job.pass.load(Relaxed);
    let takers = jobs.iter().filter(|job| job.claimable() && !job.is_held_back(threads));
    takers.map(passes).min().or_else(|| jobs.iter().map(passes).max()).unwrap_or(0)
}
