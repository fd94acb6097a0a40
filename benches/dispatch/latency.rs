//! How long a cancel, a job switch, and a trivial job take.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nipworker_mining::{JobBook, JobRequest, PoolConfig, SyntheticFactory, spin_calibrated};
use nipworker_pool::{
    BatchContext, BatchReport, DispatchMode, Dispatcher, Done, JobSpec, Next, Pool, Priority,
    RangeTask, Span,
};

use super::{pool, verdict, verdict_if_idle};

/// Computes in slices of 10 µs between two looks at whether it is cancelled.
struct Looking {
    /// Bit per thread that has not begun yet.
    missing: AtomicU64,
    all_begun: SyncSender<Instant>,
    committed: AtomicU64,
}

impl Looking {
    fn new(threads: usize) -> (Arc<Self>, Receiver<Instant>) {
        let (all_begun, receiver) = sync_channel(1);
        let missing = AtomicU64::new(u64::MAX >> (64 - threads));
        (Arc::new(Self { missing, all_begun, committed: AtomicU64::new(0) }), receiver)
    }
}

impl RangeTask for Looking {
    type Output = ();

    fn run(&self, span: Span, ctx: &BatchContext<'_>) -> Done<()> {
        let bit = 1u64 << ctx.thread();
        if self.missing.load(SeqCst) & bit != 0 && self.missing.fetch_and(!bit, SeqCst) == bit {
            // The receiver may have gone.
            _ = self.all_begun.try_send(Instant::now());
        }
        let mut items = 0;
        while items < span.len && !ctx.is_cancelled() {
            spin_calibrated(10);
            items += 1;
        }
        Done { items, output: () }
    }

    fn commit(&self, report: &BatchReport, (): ()) -> Next {
        self.committed.fetch_add(report.done.len, SeqCst);
        Next::Continue
    }
}

fn endless() -> JobSpec {
    JobSpec::new("latency", vec![Span::new(0, u64::MAX)])
}

/// Milliseconds at the median and at 99 of 100.
fn quantiles(times: &mut [Duration]) -> (f64, f64) {
    times.sort_unstable();
    let at = |q: f64| times[((times.len() - 1) as f64 * q).round() as usize].as_secs_f64() * 1e3;
    (at(0.5), at(0.99))
}

fn print(name: &str, times: &mut [Duration]) -> (f64, f64) {
    let (p50, p99) = quantiles(times);
    println!("| {name:<58} | {p50:>8.4} | {p99:>8.4} |");
    (p50, p99)
}

/// Wakes a sleeping thread and hears back: the floor of everything that crosses threads.
fn wake_up(rounds: usize) -> Vec<Duration> {
    let state = Arc::new((Mutex::new(0usize), Condvar::new()));
    let other = Arc::clone(&state);
    let echo = std::thread::spawn(move || {
        for round in 0..rounds {
            let mut at = other.0.lock().unwrap();
            while *at != 2 * round + 1 {
                at = other.1.wait(at).unwrap();
            }
            *at += 1;
            other.1.notify_all();
        }
    });
    let times = (0..rounds).map(|round| {
        std::thread::sleep(Duration::from_micros(200));
        let began = Instant::now();
        let mut at = state.0.lock().unwrap();
        *at = 2 * round + 1;
        state.1.notify_all();
        while *at != 2 * round + 2 {
            at = state.1.wait(at).unwrap();
        }
        began.elapsed()
    });
    let times = times.collect();
    echo.join().unwrap();
    times
}

/// Times from a cancel to its acknowledgement and to the end of the job; counts what was committed
/// after the acknowledgement.
fn cancels(pool: &Pool, rounds: usize) -> (Vec<Duration>, Vec<Duration>, u64) {
    let (mut acknowledged, mut left, mut late) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        let (task, begun) = Looking::new(pool.threads());
        let ticket = pool.submit(endless(), Arc::clone(&task)).unwrap();
        begun.recv().unwrap();
        std::thread::sleep(Duration::from_millis(1));
        let began = Instant::now();
        ticket.cancel();
        acknowledged.push(began.elapsed());
        let counted = task.committed.load(SeqCst);
        let end = ticket.wait();
        left.push(began.elapsed());
        late += task.committed.load(SeqCst) - counted;
        assert_eq!(end.items, counted);
    }
    (acknowledged, left, late)
}

/// Times from setting a job to the moment the last thread has begun with it.
fn switches(pool: &Pool, rounds: usize) -> Vec<Duration> {
    let dispatcher = Dispatcher::new(pool.clone());
    let mut times = Vec::new();
    for _ in 0..rounds {
        let (task, begun) = Looking::new(pool.threads());
        let began = Instant::now();
        dispatcher.set_job(0, endless(), task).unwrap();
        times.push(begun.recv().unwrap().saturating_duration_since(began));
        std::thread::sleep(Duration::from_millis(1));
    }
    dispatcher.cancel(0);
    times
}

/// Times of jobs of one item, from handing in to hearing of the end.
fn trivial(pool: &Pool, rounds: usize) -> Vec<Duration> {
    let times = (0..rounds).map(|_| {
        std::thread::sleep(Duration::from_micros(300));
        let (task, _begun) = Looking::new(pool.threads());
        let began = Instant::now();
        let spec = JobSpec::new("trivial", vec![Span::new(0, 1)]);
        assert_eq!(pool.submit(spec, task).unwrap().wait().items, 1);
        began.elapsed()
    });
    times.collect()
}

/// The same through the book of jobs, with a hit to be verified.
fn trivial_in_book(threads: usize, rounds: usize) -> Vec<Duration> {
    let book = JobBook::new();
    book.register(Arc::new(SyntheticFactory));
    book.start_pool(PoolConfig { threads: Some(threads), ..JobBook::pool_config() }).unwrap();
    let input: serde_json::Value = serde_json::from_str(r#"{"items":256,"hit_at":3}"#).unwrap();
    let times = (0..rounds).map(|_| {
        std::thread::sleep(Duration::from_micros(300));
        let request = JobRequest::new("synthetic", input.clone());
        let began = Instant::now();
        book.submit(request).unwrap().wait();
        began.elapsed()
    });
    times.collect()
}

/// An urgent item beside bulk work on every thread.
fn urgent(pool: &Pool, rounds: usize) -> Vec<Duration> {
    let (task, begun) = Looking::new(pool.threads());
    let mut spec = endless();
    spec.priority = Priority::Bulk;
    let bulk = pool.submit(spec, task).unwrap();
    begun.recv().unwrap();
    let times = (0..rounds).map(|_| {
        std::thread::sleep(Duration::from_millis(1));
        let (done, ended) = sync_channel(1);
        let began = Instant::now();
        // The receiver waits for it.
        let batch = pool.run_batch(Priority::Urgent, vec![done], |done| done.send(()).is_ok());
        ended.recv().unwrap();
        drop(batch);
        began.elapsed()
    });
    let times = times.collect();
    bulk.cancel();
    times
}

/// True if the targets are met that the machine lets be judged.
pub(super) fn latencies(threads: usize, rounds: usize) -> bool {
    println!("\nlatencies in ms, {threads} threads, {rounds} rounds each");
    println!("| {:<58} | p50      | p99      |", "from … to …");
    println!("|---|---|---|");
    let pool = pool(threads, DispatchMode::Batched);
    print("waking a thread and hearing back (baseline)", &mut wake_up(rounds));
    let (mut acknowledged, mut left, late) = cancels(&pool, rounds);
    let cancel = print("cancel → acknowledged, nothing counts any more", &mut acknowledged);
    print("cancel → every thread has left, the caller knows", &mut left);
    let set = print("set_job → every thread works on the new job", &mut switches(&pool, rounds));
    let small = print("trivial job → its end", &mut trivial(&pool, rounds));
    print(
        "trivial job with a hit, through the book → its outcome",
        &mut trivial_in_book(threads, rounds),
    );
    print("urgent item beside bulk work → its result", &mut urgent(&pool, rounds));
    let metrics = pool.metrics();
    println!(
        "the pool's own figures: a thread leaves a cancelled job p50 {:.4} ms, p99 {:.4} ms; \
         dispatch p50 {} ns, p99 {} ns; committed after an acknowledgement: {late} items",
        metrics.switch_p50_ns as f64 / 1e6,
        metrics.switch_p99_ns as f64 / 1e6,
        metrics.dispatch_p50_ns,
        metrics.dispatch_p99_ns,
    );
    let within = |(p50, p99): (f64, f64)| p50 <= 0.1 && p99 <= 1.0;
    let met = verdict("cancel p50 ≤ 0.1 ms, p99 ≤ 1 ms", within(cancel))
        & verdict("job switch p50 ≤ 0.1 ms", set.0 <= 0.1)
        & verdict_if_idle(threads, "job switch p99 ≤ 1 ms", within(set))
        & verdict("trivial job p50 ≤ 0.5 ms", small.0 <= 0.5);
    verdict("nothing committed after an acknowledgement", late == 0) && met
}
