//! Helpers that the tests of the pool share.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nipworker_pool::{
    BatchContext, BatchReport, DispatchMode, Done, JobEnd, Next, Pool, PoolConfig, RangeTask, Span,
    thread_cpu_ns,
};

/// How long a test waits for a condition before it gives up.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn pool(threads: usize) -> Pool {
    Pool::new(PoolConfig { threads: Some(threads), ..PoolConfig::default() }).unwrap()
}

pub fn sequential(threads: usize) -> Pool {
    let config = PoolConfig {
        threads: Some(threads),
        dispatch: DispatchMode::Sequential,
        ..PoolConfig::default()
    };
    Pool::new(config).unwrap()
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come about");
        std::thread::yield_now();
    }
}

/// Burns CPU time.
pub fn spin(cpu: Duration) {
    let until = thread_cpu_ns() + cpu.as_nanos() as u64;
    while thread_cpu_ns() < until {
        std::hint::spin_loop();
    }
}

/// What one item does.
pub type Item = Box<dyn Fn(u64) + Send + Sync>;

/// A task that keeps the book of what was committed.
pub struct Recorder {
    item: Item,
    pub runs: AtomicU64,
    pub committed: Mutex<Vec<Span>>,
    pub end: Mutex<Option<JobEnd>>,
    pub ends: AtomicU64,
    pub changed: Condvar,
    pub stop_at: Option<u64>,
}

impl Recorder {
    pub fn new(item: impl Fn(u64) + Send + Sync + 'static) -> Arc<Self> {
        Self::stopping_at(None, item)
    }

    pub fn stopping_at(
        stop_at: Option<u64>,
        item: impl Fn(u64) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            item: Box::new(item),
            runs: AtomicU64::new(0),
            committed: Mutex::default(),
            end: Mutex::default(),
            ends: AtomicU64::new(0),
            changed: Condvar::new(),
            stop_at,
        })
    }

    pub fn items(&self) -> u64 {
        self.committed.lock().unwrap().iter().map(|span| span.len).sum()
    }

    /// Committed spans in order, neighbours joined. Panics if any two overlap.
    pub fn merged(&self) -> Vec<Span> {
        let mut spans = self.committed.lock().unwrap().clone();
        spans.sort();
        let mut merged: Vec<Span> = Vec::new();
        for span in spans.into_iter().filter(|span| !span.is_empty()) {
            match merged.last_mut() {
                Some(last) if last.end() == span.start => last.len += span.len,
                Some(last) => {
                    assert!(last.end() < span.start, "{last:?} and {span:?} overlap");
                    merged.push(span);
                }
                None => merged.push(span),
            }
        }
        merged
    }

    pub fn wait_for_items(&self, items: u64) {
        let mut committed = self.committed.lock().unwrap();
        while committed.iter().map(|span| span.len).sum::<u64>() < items {
            let (guard, timeout) = self.changed.wait_timeout(committed, PATIENCE).unwrap();
            assert!(!timeout.timed_out(), "{items} items were not committed");
            committed = guard;
        }
    }
}

impl RangeTask for Recorder {
    type Output = ();

    fn run(&self, span: Span, ctx: &BatchContext<'_>) -> Done<()> {
        self.runs.fetch_add(1, SeqCst);
        let mut items = 0;
        while items < span.len && !ctx.is_cancelled() {
            (self.item)(span.start + items);
            items += 1;
        }
        Done { items, output: () }
    }

    fn commit(&self, report: &BatchReport, (): ()) -> Next {
        self.committed.lock().unwrap().push(report.done);
        self.changed.notify_all();
        let hit = self.stop_at.is_some_and(|at| report.done.start <= at && at < report.done.end());
        if hit { Next::Stop } else { Next::Continue }
    }

    fn ended(&self, end: &JobEnd) {
        self.ends.fetch_add(1, SeqCst);
        *self.end.lock().unwrap() = Some(end.clone());
    }
}
