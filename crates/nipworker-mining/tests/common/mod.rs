//! Helpers that the tests of the job book share.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nipworker_mining::{
    BatchContext, BatchResult, Hit, JobBook, JobRequest, PoolConfig, Span, SyntheticFactory,
    Workload, WorkloadError, WorkloadFactory,
};
use serde_json::{Value, json};

pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come about");
        std::thread::yield_now();
    }
}

pub fn config(threads: usize) -> PoolConfig {
    PoolConfig { threads: Some(threads), ..JobBook::pool_config() }
}

/// A book with the synthetic workload and, for `threads` above 0, a pool.
pub fn book(threads: usize) -> Arc<JobBook> {
    let book = Arc::new(JobBook::new());
    book.register(Arc::new(SyntheticFactory));
    if threads > 0 {
        book.start_pool(config(threads)).unwrap();
    }
    book
}

pub fn endless(item_us: u64) -> JobRequest {
    JobRequest::new("synthetic", json!({ "item_us": item_us }))
}

pub fn finite(items: u64, item_us: u64) -> JobRequest {
    JobRequest::new("synthetic", json!({ "items": items, "item_us": item_us }))
}

/// A workload that panics on chosen indices, a given number of times each.
#[derive(Default)]
pub struct Poison {
    pub items: u64,
    /// Index and how often it still panics.
    pub traps: Mutex<Vec<(u64, u32)>>,
    /// How often each index was begun.
    pub tries: Mutex<Vec<AtomicU32>>,
}

impl Poison {
    pub fn new(items: u64, traps: &[(u64, u32)]) -> Arc<Self> {
        Arc::new(Self {
            items,
            traps: Mutex::new(traps.to_vec()),
            tries: Mutex::new((0..items).map(|_| AtomicU32::new(0)).collect()),
        })
    }
}

pub struct PoisonFactory(pub Arc<Poison>);

struct PoisonWork(Arc<Poison>);

impl WorkloadFactory for PoisonFactory {
    fn name(&self) -> &str {
        "poison"
    }

    fn prepare(&self, _input: &Value) -> Result<Arc<dyn Workload>, WorkloadError> {
        Ok(Arc::new(PoisonWork(Arc::clone(&self.0))))
    }
}

impl Workload for PoisonWork {
    fn name(&self) -> &str {
        "poison"
    }

    fn space(&self) -> u64 {
        self.0.items
    }

    fn run(&self, span: Span, ctx: &BatchContext<'_>) -> BatchResult {
        let mut result = BatchResult::default();
        for index in span.start..span.end() {
            if ctx.is_cancelled() {
                break;
            }
            self.0.tries.lock().unwrap()[index as usize].fetch_add(1, SeqCst);
            let mut traps = self.0.traps.lock().unwrap();
            let trap = traps.iter_mut().find(|(at, left)| *at == index && *left > 0);
            if let Some((_, left)) = trap {
                *left -= 1;
                drop(traps);
                resume_unwind(Box::new(format!("trap at {index}")));
            }
            result.attempts += 1;
        }
        result
    }

    fn verify(&self, hit: &Hit) -> Result<(), WorkloadError> {
        Err(WorkloadError::BadHit {
            workload: "poison".into(),
            index: hit.index,
            reason: "it has no hits".into(),
        })
    }
}
