//! Every thread is fed, and a job that is cancelled costs nothing any more.

use std::time::{Duration, Instant};

use nipworker_core::{
    ClientConfig, MiningOutcome, NostrClient, PoolMetrics, ThreadMetrics, protocol::UnsignedEvent,
};
use nipworker_tests::{
    cost::threads_waited_for_a_processor,
    daemon::Home,
    events::Author,
    turn,
    wait::{eventually, within},
};
use serde_json::{Value, json};

/// Of the time in which there was work, a thread spent at least so much on it.
const BUSY_PERCENT: f64 = 95.0;
/// No id has so many zeros.
const NEVER: u16 = 256;
/// How long anything may take on a machine that does other things as well.
const END: Duration = Duration::from_secs(120);

fn template(about: &str) -> UnsignedEvent {
    Author::new().template(1, vec![], about, 1_700_000_000)
}

async fn client(threads: usize) -> NostrClient {
    let mut config = ClientConfig::default();
    config.miner.threads = threads;
    NostrClient::new(config).await.unwrap()
}

fn pool(client: &NostrClient) -> PoolMetrics {
    client.status().mining.pool.expect("a pool runs")
}

fn busy_percent(thread: &ThreadMetrics) -> f64 {
    100.0 * thread.busy_ns as f64 / (thread.busy_ns + thread.idle_with_job_ns) as f64
}

fn all_attempts(pool: &PoolMetrics) -> u64 {
    pool.threads.iter().map(|thread| thread.attempts).sum()
}

/// A time that leaves out what others do with the machine: that in which threads of this process
/// were ready to run and had no processor does not count. What waits for something else, or asks
/// again and again after a pause, cannot hide in it.
struct Stopwatch {
    start: Instant,
    waited: Duration,
}

impl Stopwatch {
    fn start() -> Self {
        let waited = threads_waited_for_a_processor();
        Self { start: Instant::now(), waited }
    }

    /// What counts, and all of it.
    fn stop(self) -> (Duration, Duration) {
        let elapsed = self.start.elapsed();
        let waited = threads_waited_for_a_processor().saturating_sub(self.waited);
        (elapsed.saturating_sub(waited), elapsed)
    }
}

/// The medians of both times of a [`Stopwatch`].
fn medians(times: Vec<(Duration, Duration)>) -> (Duration, Duration) {
    let (mut own, mut all): (Vec<_>, Vec<_>) = times.into_iter().unzip();
    own.sort();
    all.sort();
    (own[own.len() / 2], all[all.len() / 2])
}

#[tokio::test]
async fn the_figures_that_mine_prints_show_every_thread_busy_and_none_starved() {
    let _turn = turn::alone().await;
    let home = Home::new();
    let arguments = ["mine", "-", "--difficulty", "26", "--threads", "2", "--json"];
    // A search that luck ended soon says little about its threads: another one is made.
    for number in 0..20 {
        let mined = home.run(&arguments, &json!(template(&format!("fed {number}"))).to_string());
        assert_eq!(mined.code, Some(0), "{}", mined.stderr);
        let result: Value = serde_json::from_str(mined.stdout.trim()).unwrap();
        let threads = result["threads"].as_array().unwrap();
        println!("{} attempts in {} s: {threads:?}", result["attempts"], result["seconds"]);
        assert_eq!(threads.len(), 2);
        assert!(threads.iter().all(|thread| thread["starved_ms"] == 0.0), "{threads:?}");
        if threads.iter().all(|thread| thread["batches"].as_u64().unwrap() > 100) {
            for thread in threads {
                assert!(thread["busy_percent"].as_f64().unwrap() >= BUSY_PERCENT, "{thread}");
            }
            return;
        }
    }
    panic!("every search ended before its threads had work to do");
}

/// The machine may do other things as well: what is held to figures does not depend on when the
/// threads get a processor.
#[tokio::test]
async fn one_job_and_then_silence_feeds_every_thread_to_the_end() {
    const THREADS: usize = 2;
    /// About a second of CPU time.
    const BATCHES: u64 = 400;
    let _turn = turn::alone().await;
    let client = client(THREADS).await;
    let job = client.mine(template("never found"), NEVER).await.unwrap();
    // Nothing is asked of the miner meanwhile: the status answers from counters.
    eventually("every thread has worked for a while", END, async || {
        pool(&client).threads.iter().all(|thread| thread.batches >= BATCHES).then_some(())
    })
    .await;
    let attempts = job.cancel().await.unwrap();

    let pool = pool(&client);
    assert_eq!(all_attempts(&pool), attempts, "the ranges do not add up to the attempts");
    assert_eq!((pool.starved_ns, pool.starvation_events), (0, 0), "{pool:#?}");
    let status = client.status();
    let figures = status.mining.jobs.iter().find(|known| known.id.0 == job.job()).unwrap();
    assert_eq!((figures.attempts, figures.doubled), (attempts, 0));
    let mut rates = Vec::new();
    for thread in &pool.threads {
        let busy = busy_percent(thread);
        let waits = thread.voluntary_switches as f64 / thread.batches as f64;
        let rate = thread.attempts as f64 / thread.cpu_ns as f64 * 1e3;
        println!(
            "thread {}: busy {busy:.2} %, {rate:.1} attempts/us of CPU time, {} batches, \
             {waits:.4} waits a batch",
            thread.index, thread.batches
        );
        assert!(busy >= BUSY_PERCENT, "{busy} %: {thread:#?}");
        // Falling asleep for the first job, and when that has ended.
        let waits = thread.voluntary_switches as f64 - 10.0;
        assert!(waits / thread.batches as f64 <= 0.01, "it waited for work: {thread:#?}");
        rates.push(rate);
    }
    rates.sort_by(f64::total_cmp);
    let fairness = rates[0] / rates[THREADS - 1];
    assert!(fairness >= 0.8, "{fairness} of the other thread's rate per CPU second: {pool:#?}");
    client.close().await;
}

#[tokio::test]
async fn every_thread_is_at_work_within_fifty_milliseconds_of_one_job() {
    const THREADS: usize = 8;
    const LIMIT: Duration = Duration::from_millis(50);
    const TRIES: usize = 20;
    let _turn = turn::alone().await;
    let client = client(THREADS).await;
    // Eight threads on fewer processors take turns there, and other programs may have them: the
    // best of some tries counts. A feed that waits for something fails each of them; one that
    // forgets a thread leaves the others at work meanwhile, which does not depend on the machine.
    let mut best = Duration::MAX;
    let mut ahead = Vec::new();
    for number in 0..TRIES {
        let before = pool(&client);
        let start = Instant::now();
        let job = client.mine(template(&format!("try {number}")), NEVER).await.unwrap();
        let all = within("every thread at work", END, async {
            loop {
                let now = pool(&client);
                let mut threads = now.threads.iter().zip(&before.threads);
                if threads
                    .all(|(now, then)| now.batches > then.batches || now.busy_ns > then.busy_ns)
                {
                    break (start.elapsed(), now);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let (elapsed, now) = all.await;
        best = best.min(elapsed);
        let worked = now.threads.iter().zip(&before.threads);
        let most = worked.map(|(now, then)| now.cpu_ns.saturating_sub(then.cpu_ns)).max();
        ahead.push(Duration::from_nanos(most.unwrap_or_default()));
        job.cancel().await.unwrap();
    }
    ahead.sort();
    let ahead = ahead[TRIES / 2];
    println!(
        "all {THREADS} threads were at work after {best:?} at best, the first {ahead:?} ahead"
    );
    assert!(best <= LIMIT, "{best:?}");
    assert!(ahead <= LIMIT, "a thread worked for {ahead:?} before the last one began");
    client.close().await;
}

#[tokio::test]
async fn nothing_is_counted_after_a_cancel_is_acknowledged() {
    const JOBS: usize = 100;
    let _turn = turn::alone().await;
    let client = client(2).await;
    let mut latencies = Vec::new();
    let mut acknowledged = Vec::new();
    for number in 0..JOBS {
        let job = client.mine(template(&format!("job {number}")), NEVER).await.unwrap();
        within("the first attempts", END, async {
            while job.progress().attempts == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let watch = Stopwatch::start();
        let attempts = job.cancel().await.unwrap();
        latencies.push(watch.stop());
        assert_eq!(job.progress().attempts, attempts, "counted on after the acknowledgement");
        let outcome = within("the end of the job", END, job.solved()).await.unwrap();
        assert_eq!(outcome, MiningOutcome::Cancelled { attempts });
        acknowledged.push(attempts);
    }
    let pool = pool(&client);
    assert_eq!(
        all_attempts(&pool),
        acknowledged.iter().sum::<u64>(),
        "the threads counted what was not acknowledged: {pool:#?}"
    );
    let (p50, all) = medians(latencies);
    println!("cancel acknowledged after {all:?} (median), {p50:?} of it without others");
    // Far above what it takes, far below what polls every 100 ms.
    assert!(p50 <= Duration::from_millis(20), "{p50:?}");
    client.close().await;
}

#[tokio::test]
async fn small_jobs_are_done_at_once() {
    const JOBS: usize = 200;
    let _turn = turn::alone().await;
    let client = client(2).await;
    for (bits, limit) in [(8, Duration::from_millis(10)), (16, Duration::from_millis(40))] {
        let mut times = Vec::new();
        for number in 0..JOBS {
            let template = template(&format!("job {number}"));
            let watch = Stopwatch::start();
            let job = client.mine(template, bits).await.unwrap();
            let outcome = within("the mined event", END, job.solved()).await.unwrap();
            times.push(watch.stop());
            assert!(matches!(outcome, MiningOutcome::Found { .. }), "{outcome:?}");
        }
        let (median, all) = medians(times);
        println!("{bits} bits: median {all:?}, {median:?} without others");
        // A debug build has room; what polls every 100 ms has none.
        assert!(median <= limit, "{bits} bits: {median:?}");
    }
    client.close().await;
}
