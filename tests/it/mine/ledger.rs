//! No range of nonces is lost or doubled, whatever dies.

use std::{
    ops::RangeInclusive,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use nipworker_core::{ClientConfig, Fault, MineOptions, MiningOutcome, NostrClient, Worker};
use nipworker_mining::{
    BatchContext, BatchHint, BatchResult, BookCheckpoint, Hit, JobBook, JobId, JobLimits,
    JobRequest, Outcome, PoolConfig, Span, Workload, WorkloadError, WorkloadFactory,
};
use nipworker_pow::{PowFactory, PowInput, WORKLOAD_NAME};
use nipworker_tests::{
    daemon::Home,
    events::Author,
    http, turn,
    wait::{eventually, eventually_blocking, within},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

/// No id has so many zeros.
const NEVER: u32 = 256;
const END: Duration = Duration::from_secs(120);

/// NIP-13, with a list of what was really searched.
struct Recorded {
    inner: Arc<dyn Workload>,
    searched: Arc<Mutex<Vec<Span>>>,
}

struct RecordedFactory {
    inner: PowFactory,
    searched: Arc<Mutex<Vec<Span>>>,
}

impl WorkloadFactory for RecordedFactory {
    fn name(&self) -> &str {
        WORKLOAD_NAME
    }

    fn prepare(&self, input: &Value) -> Result<Arc<dyn Workload>, WorkloadError> {
        let inner = self.inner.prepare(input)?;
        Ok(Arc::new(Recorded { inner, searched: Arc::clone(&self.searched) }))
    }
}

impl Workload for Recorded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn space(&self) -> u64 {
        self.inner.space()
    }

    fn batch_hint(&self) -> BatchHint {
        self.inner.batch_hint()
    }

    fn run(&self, span: Span, ctx: &BatchContext<'_>) -> BatchResult {
        let result = self.inner.run(span, ctx);
        let (searched, _) = span.split_at(result.attempts);
        self.searched.lock().unwrap().push(searched);
        result
    }

    fn verify(&self, hit: &Hit) -> Result<(), WorkloadError> {
        self.inner.verify(hit)
    }
}

/// Items of a list of spans, each counted once.
fn covered(mut spans: Vec<Span>) -> u64 {
    spans.sort_unstable();
    let (mut covered, mut end) = (0, 0);
    for span in spans {
        covered += span.end().saturating_sub(span.start.max(end));
        end = end.max(span.end());
    }
    covered
}

/// How far the spans reach from `start` on without a gap.
fn reach(start: u64, mut spans: Vec<Span>) -> u64 {
    spans.sort_unstable();
    spans.iter().fold(start, |end, span| if span.start <= end { end.max(span.end()) } else { end })
}

fn book(searched: &Arc<Mutex<Vec<Span>>>, threads: usize) -> JobBook {
    let book = JobBook::new();
    let inner = PowFactory::new(Arc::new(|| 1_700_000_000));
    book.register(Arc::new(RecordedFactory { inner, searched: Arc::clone(searched) }));
    book.start_pool(PoolConfig { threads: Some(threads), ..JobBook::pool_config() }).unwrap();
    book
}

/// Deaths of threads so far.
fn deaths(book: &JobBook) -> u64 {
    let metrics = book.pool_metrics().expect("a pool runs");
    metrics.threads.iter().map(|thread| thread.restarts).sum()
}

#[test]
fn killed_threads_and_restarts_of_the_process_lose_and_double_no_range() {
    const ATTEMPTS: u64 = 200_000_000;
    /// Of so many faults one is a restart of the process, the others are deaths of a thread.
    const RESTART: u64 = 8;
    /// Attempts between two faults, about. Meanwhile a batch that was lost with its thread has
    /// been done again: were it lost a second time, it would count as poisoned.
    const PAUSE: u64 = 2_000_000;
    const START: u64 = 1_234;
    let _turn = turn::blocking_beside_others();
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let searched = Arc::<Mutex<Vec<Span>>>::default();
    let template = Author::new().template(1, vec![], "to the last nonce", 1_700_000_000);
    let mut request = PowInput::new(template, NEVER).into_request();
    request.limits = JobLimits { max_attempts: Some(ATTEMPTS), ..JobLimits::default() };
    let id = JobId(7);
    let mut threads = 3;
    let mut book = book(&searched, threads);
    book.submit_as(id, JobRequest { start: START, ..request }).unwrap();
    let list = || searched.lock().unwrap().clone();
    let ended = |book: &JobBook| book.watch(id).expect("the job is known").outcome();
    let (mut killed, mut restarts) = (0, 0);
    let outcome = loop {
        // Up to there without a gap, however the system lets the threads take turns.
        let furthest = list().iter().map(Span::end).max().unwrap_or(START);
        let due = furthest + PAUSE / 2 + random.random_range(0..PAUSE);
        let outcome = eventually_blocking("the job goes on", END, || {
            ended(&book).map(Some).or_else(|| (reach(START, list()) >= due).then_some(None))
        });
        if let Some(outcome) = outcome {
            break outcome;
        }
        if (killed + restarts + 1) % RESTART > 0 {
            let before = deaths(&book);
            book.pool().expect("a pool runs").kill_thread(random.random_range(0..threads));
            eventually_blocking("the thread is dead and replaced", END, || {
                (deaths(&book) > before || ended(&book).is_some()).then_some(())
            });
            killed += 1;
        } else {
            let checkpoint = book.checkpoint(Instant::now());
            if checkpoint.jobs.is_empty() {
                // It has just ended: the loop sees it.
                continue;
            }
            let text = serde_json::to_string(&checkpoint).unwrap();
            // What was done after the checkpoint is lost with the process, and done again.
            drop(book);
            threads = random.random_range(1..=4);
            book = self::book(&searched, threads);
            let checkpoint: BookCheckpoint = serde_json::from_str(&text).unwrap();
            let restored = book.restore(&checkpoint);
            assert!(matches!(restored[..], [Ok(restored)] if restored == id), "{restored:?}");
            restarts += 1;
        }
    };
    println!("{killed} threads killed and {restarts} restarts");
    assert!(killed >= 7 && restarts >= 1, "{killed} threads killed, {restarts} restarts");
    assert_eq!(outcome, Outcome::AttemptLimit);
    let progress = book.progress(id, Instant::now()).unwrap();
    assert_eq!((progress.attempts, progress.doubled, progress.bad_hits), (ATTEMPTS, 0, 0));
    // The book's own word, held against what the threads did.
    let searched = list();
    let first = searched.iter().map(|span| span.start).min();
    let last = searched.iter().map(Span::end).max();
    assert_eq!((first, last), (Some(START), Some(START + ATTEMPTS)));
    assert_eq!(covered(searched), ATTEMPTS, "a range was counted that nobody searched");
}

#[tokio::test]
async fn a_job_outlives_the_panics_of_the_miner_with_each_range_searched_once() {
    const ATTEMPTS: u64 = 200_000_000;
    /// As many as there is time for while the job runs, and no more than that.
    const PANICS: RangeInclusive<usize> = 5..=20;
    let _turn = turn::beside_others().await;
    let mut config = ClientConfig::default();
    config.miner.threads = 2;
    config.supervision.max_restarts = 1_000_000;
    config.supervision.backoff_min = Duration::from_millis(1);
    config.supervision.backoff_max = Duration::from_millis(5);
    let client = NostrClient::new(config).await.unwrap();
    let template = Author::new().template(1, vec![], "through panics", 1_700_000_000);
    let options = MineOptions { max_attempts: Some(ATTEMPTS), ..MineOptions::default() };
    let job = client.mine_with(template.clone(), 256, options).await.unwrap();
    let mut survived = 0;
    for number in 0..*PANICS.end() {
        let restarts = || client.status().supervisor.worker("miner").expect("a worker").restarts;
        let before = restarts();
        eventually("the fault is taken", END, async || {
            client.inject(Worker::Miner, Fault::Panic).ok()
        })
        .await;
        eventually("the miner is back", END, async || (restarts() > before).then_some(())).await;
        // It is back for others as well.
        let other = client.mine(template.clone(), 4).await;
        let other = other.unwrap_or_else(|error| panic!("after panic {number}: {error}"));
        let outcome = within("a small job", END, other.solved()).await.unwrap();
        assert!(matches!(outcome, MiningOutcome::Found { .. }), "{outcome:?}");
        if job.progress().attempts == ATTEMPTS {
            break;
        }
        survived += 1;
    }
    println!("the job went on after {survived} panics");
    assert!(survived >= *PANICS.start(), "the job ended after {survived} panics");
    let outcome = within("the end of the job", END, job.solved()).await.unwrap();
    assert_eq!(outcome, MiningOutcome::Exhausted { attempts: ATTEMPTS });
    let jobs = client.status().mining.jobs;
    let figures = jobs.iter().find(|known| known.id.0 == job.job()).expect("the job is known");
    assert_eq!((figures.doubled, figures.bad_hits), (0, 0), "{figures:?}");
    assert_eq!(figures.quarantined, [], "a range was given up");
    client.close().await;
}

/// The one job of the checkpoint in `file`, once it is there.
fn kept(file: &Path) -> Option<Value> {
    let text = std::fs::read_to_string(file).ok()?;
    // Written whole or not at all: what is there can be read.
    let checkpoint: Value = serde_json::from_str(&text).expect("a whole checkpoint");
    checkpoint["book"]["jobs"].as_array()?.first().cloned()
}

#[tokio::test]
async fn a_killed_daemon_goes_on_with_its_job_where_its_checkpoint_stands() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let file = home.path().join("jobs.json");
    let config = home.path().join("nipworker.toml");
    std::fs::write(&config, format!("[engine.miner]\ncheckpoint = {file:?}\n")).unwrap();
    let arguments = ["run", "--config", config.to_str().unwrap()];
    let template = Author::new().template(1, vec![], "over a kill", 1_700_000_000);
    let body = json!({ "event": template, "difficulty_bits": 64, "idle": true }).to_string();

    let mut daemon = home.daemon(&arguments).await;
    let json = "application/json";
    let started = http::post(&daemon.address, "/api/v1/mine", json, body.as_bytes()).await.unwrap();
    assert_eq!(started.status, 202, "{}", started.text());
    let path = format!("/api/v1/mine/{}", started.json()["job"]);
    let attempts = |job: &Value| job["attempts"].as_u64().expect("attempts");
    eventually("a checkpoint of the job at work", END, async || {
        kept(&file).filter(|job| attempts(job) > 0)
    })
    .await;
    daemon.process.kill();
    let before = attempts(&kept(&file).expect("the checkpoint is there after the kill"));

    let mut daemon = home.daemon(&arguments).await;
    let job = http::get(&daemon.address, &path).await.unwrap();
    assert_eq!(job.status, 200, "the job is known after the restart: {}", job.text());
    let first = attempts(&job.json());
    assert!(first >= before, "{first} attempts, the checkpoint had {before}");
    eventually("the job goes on", END, async || {
        let job = http::get(&daemon.address, &path).await.ok()?.json();
        (attempts(&job) > first && job["state"] == "running").then_some(())
    })
    .await;
    let status = daemon.status().await;
    let jobs = status["engine"]["mining"]["jobs"].as_array().unwrap();
    assert!(jobs.iter().all(|job| job["doubled"] == 0), "{jobs:?}");

    // An orderly stop writes the last word: ranges that do not overlap and add up.
    daemon.process.signal(libc::SIGTERM);
    assert!(daemon.process.exit(END).success(), "{}", daemon.process.stderr());
    let last = kept(&file).expect("the job is kept over an orderly stop");
    assert!(attempts(&last) > first, "{last}");
    let number = |span: &Value, name: &str| span[name].as_u64().expect("a span");
    let (mut end, mut sum) = (0, 0);
    for span in last["finished"].as_array().expect("ranges") {
        assert!(number(span, "start") >= end, "ranges overlap: {last}");
        end = number(span, "start") + number(span, "len");
        sum += number(span, "len");
    }
    assert_eq!(sum, attempts(&last), "{last}");
}
