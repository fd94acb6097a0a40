//! CPUs, nice values, idle scheduling and shares of CPU time.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Recorder, eventually, pool, sequential, spin};
use nipworker_pool::{
    BatchContext, BatchReport, Done, EndReason, JobSpec, Next, Placement, Pool, PoolConfig,
    PoolError, Priority, RangeTask, Span,
};

fn endless(name: &str) -> JobSpec {
    JobSpec::new(name, vec![Span::new(0, u64::MAX)])
}

fn placed(placement: Placement, threads: Option<usize>) -> Result<Pool, PoolError> {
    Pool::new(PoolConfig { placement, threads, ..PoolConfig::default() })
}

/// CPU of each thread of a pool, by index.
fn cpus(pool: &Pool) -> Vec<Option<usize>> {
    pool.metrics().threads.iter().map(|thread| thread.core).collect()
}

#[test]
fn when_new_returns_every_thread_is_on_its_cpu() {
    let spread = placed(Placement::Spread, Some(4)).unwrap();
    assert!(spread.metrics().threads.iter().all(|thread| thread.pinned && thread.core.is_some()));
    let first = cpus(&spread)[0].unwrap();
    let listed = placed(Placement::Explicit(vec![first]), Some(3)).unwrap();
    assert_eq!(cpus(&listed), [Some(first); 3]);
    let listed = placed(Placement::Explicit(vec![first, first]), None).unwrap();
    assert_eq!(listed.threads(), 2, "as many threads as the list is long");
    let packed = placed(Placement::Pack, Some(2)).unwrap();
    assert!(packed.metrics().threads.iter().all(|thread| thread.pinned));
    let free = placed(Placement::Off, Some(2)).unwrap();
    assert!(free.metrics().threads.iter().all(|t| !t.pinned && t.core.is_none()));
}

#[test]
#[cfg(target_os = "linux")]
fn the_system_agrees_on_where_a_thread_is_bound() {
    let all = placed(Placement::Spread, None).unwrap();
    let last = cpus(&all).last().unwrap().unwrap();
    let pool = placed(Placement::Explicit(vec![last]), Some(2)).unwrap();
    let status = pool.run_batch(Priority::High, vec![(); 8], |()| {
        std::fs::read_to_string("/proc/thread-self/status").unwrap()
    });
    for text in futures::executor::block_on(status).unwrap() {
        let line = text.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap();
        assert_eq!(line.split_whitespace().nth(1).unwrap(), last.to_string());
    }
    // This thread started the pool and is as free as before.
    let here = std::thread::available_parallelism().unwrap().get();
    assert_eq!(here, placed(Placement::Off, None).unwrap().threads().max(here));
}

#[test]
fn cpus_that_cannot_be_had_are_an_error_that_names_them() {
    let error = placed(Placement::Explicit(vec![0, 4_000]), None).unwrap_err();
    assert!(matches!(error, PoolError::NoSuchCpu { cpu: 4_000, .. }), "{error}");
    let error = placed(Placement::Explicit(vec![]), None).unwrap_err();
    assert!(matches!(error, PoolError::NoCpu), "{error}");
    let reserved =
        |reserve| Pool::new(PoolConfig { reserve: Some(reserve), ..PoolConfig::default() });
    let cores = std::thread::available_parallelism().unwrap().get();
    let error = reserved(4_000).unwrap_err();
    assert!(matches!(error, PoolError::Reserve { reserve: 4_000, .. }), "{error}");
    if cores > 1 {
        let pool = reserved(1).unwrap();
        let used: BTreeSet<_> = cpus(&pool).into_iter().flatten().collect();
        let all: BTreeSet<_> = cpus(&reserved(0).unwrap()).into_iter().flatten().collect();
        assert_eq!((pool.threads(), used.len()), (cores - 1, all.len() - 1));
    }
}

#[test]
fn a_placement_is_written_as_a_word_or_a_list() {
    for (text, placement) in [
        ("\"off\"", Placement::Off),
        ("\"spread\"", Placement::Spread),
        ("\"pack\"", Placement::Pack),
        ("[3,1]", Placement::Explicit(vec![3, 1])),
    ] {
        assert_eq!(serde_json::from_str::<Placement>(text).unwrap(), placement);
        assert_eq!(serde_json::to_string(&placement).unwrap(), text);
    }
    let error = serde_json::from_str::<Placement>("\"scatter\"").unwrap_err().to_string();
    assert!(error.contains("expected \"off\", \"spread\", \"pack\" or a list of CPU"), "{error}");
    assert!(serde_json::from_str::<Placement>("[-1]").is_err());
    let long = serde_json::to_string(&vec![0; 2_000]).unwrap();
    assert!(serde_json::from_str::<Placement>(&long).is_err());
}

#[test]
#[cfg(target_os = "linux")]
fn every_thread_has_the_nice_value_and_nobody_else() {
    let nice_of_thread = || {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // The fields after the name, which may hold spaces; nice is the 19th of all.
        let rest = stat.rsplit_once(") ").unwrap().1.to_owned();
        rest.split(' ').nth(16).unwrap().parse::<i64>().unwrap()
    };
    let here = nice_of_thread();
    let pool = Pool::new(PoolConfig { threads: Some(2), nice: Some(19), ..PoolConfig::default() })
        .unwrap();
    let seen = pool.run_batch(Priority::High, vec![(); 16], move |()| nice_of_thread());
    assert_eq!(futures::executor::block_on(seen).unwrap(), [19; 16]);
    assert_eq!(nice_of_thread(), here);
    let error = Pool::new(PoolConfig { nice: Some(20), ..PoolConfig::default() }).unwrap_err();
    assert_eq!(error.to_string(), "nice is 20, allowed is 0 to 19");
}

#[test]
fn limits_that_no_job_can_keep_are_refused() {
    let pool = pool(1);
    let refused = |spec: JobSpec| pool.submit(spec, Recorder::new(|_| {})).unwrap_err();
    for percent in [0, 101, 255] {
        let mut spec = endless("share");
        spec.cpu_percent = Some(percent);
        let text = refused(spec).to_string();
        assert_eq!(text, format!("cpu_percent is {percent}, allowed is 1 to 100 percent"));
    }
    let mut spec = endless("late");
    let past = Instant::now();
    eventually("time passes", || past.elapsed() > Duration::from_millis(5));
    spec.deadline = Some(past);
    let error = refused(spec);
    assert!(
        matches!(error, PoolError::DeadlinePassed { late } if late.as_millis() >= 5),
        "{error}"
    );
    assert_eq!(pool.metrics().jobs, 0);
}

/// Scheduling policy of the calling thread: 0 as others, 5 idle.
#[cfg(target_os = "linux")]
fn policy() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let rest = stat.rsplit_once(") ").unwrap().1.to_owned();
    rest.split(' ').nth(38).unwrap().parse().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_thread_is_idle_while_it_works_on_an_idle_job_and_at_no_other_time() {
    let pool = pool(2);
    let (idle_seen, normal_seen) = (Arc::new(Mutex::default()), Arc::new(Mutex::default()));
    let submit = |idle, seen: &Arc<Mutex<BTreeSet<u64>>>| {
        let seen = Arc::clone(seen);
        let task = Recorder::new(move |_| {
            seen.lock().unwrap().insert(policy());
            spin(Duration::from_micros(100));
        });
        let mut spec = endless("mixed");
        spec.idle = idle;
        (pool.submit(spec, Arc::clone(&task)).unwrap(), task)
    };
    let (idle, idle_task) = submit(true, &idle_seen);
    let (normal, normal_task) = submit(false, &normal_seen);
    idle_task.wait_for_items(300);
    normal_task.wait_for_items(300);
    // Alone, and after having waited.
    normal.cancel();
    let before = idle_task.items();
    idle_task.wait_for_items(before + 300);
    idle.cancel();
    idle.wait();
    let after = pool.run_batch(Priority::High, vec![(); 32], |()| policy());
    assert_eq!(futures::executor::block_on(after).unwrap(), [0; 32]);
    assert_eq!(*idle_seen.lock().unwrap(), BTreeSet::from([5]));
    assert_eq!(*normal_seen.lock().unwrap(), BTreeSet::from([0]));
    let metrics = pool.metrics();
    assert_eq!((metrics.restarts, metrics.panics, metrics.starved_ns), (0, 0, 0));
    idle_task.merged();
    normal_task.merged();
}

/// Notes when each batch began and ended, on which thread.
#[derive(Default)]
struct Times {
    spins_us: u64,
    batches: Mutex<Vec<(usize, Instant, Instant)>>,
}

impl RangeTask for Times {
    type Output = Instant;
    fn run(&self, span: Span, ctx: &BatchContext<'_>) -> Done<Instant> {
        let from = Instant::now();
        let mut items = 0;
        while items < span.len && !ctx.is_cancelled() {
            spin(Duration::from_micros(self.spins_us));
            items += 1;
        }
        Done { items, output: from }
    }
    fn commit(&self, report: &BatchReport, from: Instant) -> Next {
        self.batches.lock().unwrap().push((report.thread, from, report.ended_at));
        Next::Continue
    }
}

/// Wall time of a batch from which on not all of it need count as work.
const STANDSTILL: Duration = Duration::from_millis(100);

impl Times {
    /// After each batch its thread stayed away long enough.
    fn assert_share(&self, percent: u32) {
        let mut batches = self.batches.lock().unwrap().clone();
        batches.sort_by_key(|(thread, from, _)| (*thread, *from));
        for pair in batches.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            let (worked, away) = (pair[0].2 - pair[0].1, pair[1].1 - pair[0].2);
            // What is longer the system may have let stand still.
            let due = worked.min(STANDSTILL) * (100 - percent) / percent;
            assert!(away >= due, "after {worked:?} of work only {away:?} of pause, not {due:?}");
        }
    }

    fn count(&self) -> usize {
        self.batches.lock().unwrap().len()
    }
}

#[test]
fn a_share_of_cpu_time_holds_after_every_single_batch() {
    let pool = pool(2);
    let task = Arc::new(Times { spins_us: 50, ..Times::default() });
    let mut spec = endless("quarter");
    spec.cpu_percent = Some(25);
    let ticket = pool.submit(spec, Arc::clone(&task)).unwrap();
    eventually("sixty batches", || task.count() >= 60);
    let metrics = pool.metrics();
    ticket.cancel();
    task.assert_share(25);
    assert_eq!((metrics.starved_ns, metrics.starvation_events), (0, 0));
    for thread in &metrics.threads {
        // Three times as much, but for a last batch whose pause is still to come.
        assert!(thread.throttled_ns > thread.busy_ns, "{thread:?}");
        assert!(thread.idle_no_job_ns < thread.throttled_ns, "{thread:?}");
    }
}

#[test]
fn what_a_share_leaves_goes_to_the_other_jobs() {
    let pool = pool(1);
    let task = Arc::new(Times { spins_us: 50, ..Times::default() });
    let mut spec = endless("tenth");
    // By its priority it would have nearly everything.
    spec.priority = Priority::Urgent;
    spec.cpu_percent = Some(10);
    let other = Recorder::new(|_| spin(Duration::from_micros(50)));
    let rest = pool.submit(endless("rest"), Arc::clone(&other)).unwrap();
    other.wait_for_items(1);
    let ticket = pool.submit(spec, Arc::clone(&task)).unwrap();
    eventually("both had their part", || task.count() >= 10);
    let (limited, rest) = (ticket.stats().cpu_ns, rest.stats().cpu_ns);
    // By wall time it is nine times as much; of that, other programs may have had the larger part.
    // By the weights it would be a sixteenth.
    assert!(rest > limited, "{limited} ns of a tenth beside {rest} ns");
    task.assert_share(10);
    assert_eq!(pool.metrics().throttled_ns, 0, "there was always something to do");
}

#[test]
fn a_throttled_thread_wakes_at_once_for_another_job_and_for_a_cancel() {
    for pool in [pool(1), sequential(1)] {
        let begun = Arc::new(AtomicU64::new(0));
        let task = Recorder::new({
            let begun = Arc::clone(&begun);
            move |_| {
                begun.fetch_add(1, SeqCst);
                spin(Duration::from_millis(60));
            }
        });
        // After its first item the thread stays away for at least six seconds.
        let mut spec = endless("hundredth");
        spec.cpu_percent = Some(1);
        let ticket = pool.submit(spec, Arc::clone(&task)).unwrap();
        task.wait_for_items(1);
        let started = Instant::now();
        let batch = pool.run_batch(Priority::Bulk, vec![1, 2, 3], |n| n * 2);
        assert_eq!(futures::executor::block_on(batch).unwrap(), [2, 4, 6]);
        ticket.cancel();
        let end = ticket.wait();
        assert_eq!((end.reason, end.items), (EndReason::Cancelled, 1));
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
        assert_eq!(begun.load(SeqCst), 1);
    }
}

#[test]
fn the_sequential_mode_keeps_the_share_too() {
    let pool = sequential(2);
    let task = Arc::new(Times { spins_us: 500, ..Times::default() });
    let mut spec = endless("half");
    spec.cpu_percent = Some(50);
    let ticket = pool.submit(spec, Arc::clone(&task)).unwrap();
    eventually("thirty items", || task.count() >= 30);
    ticket.cancel();
    let mut batches = task.batches.lock().unwrap().clone();
    batches.sort_by_key(|(_, from, _)| *from);
    for pair in batches.windows(2) {
        let worked = (pair[0].2 - pair[0].1).min(STANDSTILL);
        assert!(pair[1].1 - pair[0].2 >= worked, "on whichever thread");
    }
}

#[test]
fn with_few_threads_allowed_the_share_is_that_of_so_many_threads() {
    let pool = pool(4);
    let task = Arc::new(Times { spins_us: 100, ..Times::default() });
    let mut spec = endless("half of one");
    spec.cpu_percent = Some(50);
    spec.max_threads = NonZeroUsize::new(1);
    let ticket = pool.submit(spec, Arc::clone(&task)).unwrap();
    eventually("thirty batches", || task.count() >= 30);
    ticket.cancel();
    let batches = task.batches.lock().unwrap();
    let threads: BTreeSet<_> = batches.iter().map(|(thread, ..)| *thread).collect();
    assert_eq!(threads.len(), 1, "it did not go round among the threads");
    drop(batches);
    task.assert_share(50);
}
