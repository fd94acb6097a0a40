use super::*;

fn jobs(max_jobs: usize, max_watchers: usize) -> Jobs {
    Jobs::new(&MineConfig { max_jobs, max_watchers, ..MineConfig::default() })
}

#[test]
fn a_place_counts_until_it_is_taken_or_given_back() {
    let jobs = jobs(2, 1);
    let first = jobs.place();
    let second = jobs.place();
    assert!(first.is_some() && second.is_some() && jobs.place().is_none());
    drop(first);
    assert_eq!(jobs.inner().active(), 1);
    assert!(jobs.place().is_some());
}

#[test]
fn no_job_is_taken_where_none_is_allowed() {
    assert!(jobs(0, 1).place().is_none());
}

#[test]
fn as_many_look_on_as_may() {
    let jobs = jobs(1, 1);
    let watcher = jobs.watcher();
    assert!(watcher.is_some() && jobs.watcher().is_none());
    drop(watcher);
    assert!(jobs.watcher().is_some());
}
