//! The worker under a real supervisor, mining real events.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use nipworker_miner::{HANG_LIMIT, MinerActor, MinerParts};
use nipworker_mining::{JobBook, JobId, JobPhase, Outcome, PoolConfig, Priority, Progress};
use nipworker_pow::{PowFactory, PowInput, mined_event};
use nipworker_protocol::{PublicKey, UnsignedEvent};
use nipworker_schema::{
    CancelJobT, FailureCode, JobAcceptedT, JobStoppedT, MineEventT, MinerEdge, MinerMessageT,
    PauseJobT,
};
use nipworker_supervision::{
    Address, AskError, Backoff, Fault, Intensity, Supervisor, SupervisorHandle,
};

const PATIENCE: Duration = Duration::from_secs(60);

struct World {
    address: Address<MinerActor>,
    book: Arc<JobBook>,
    supervisor: SupervisorHandle,
}

impl World {
    fn new() -> Self {
        Self::with_hang_limit(HANG_LIMIT)
    }

    fn with_hang_limit(hang_limit: Duration) -> Self {
        let book = Arc::new(JobBook::new());
        book.register(Arc::new(PowFactory::new(Arc::new(|| 1_700_000_000))));
        book.start_pool(PoolConfig { threads: Some(2), ..JobBook::pool_config() }).unwrap();
        let parts = MinerParts {
            book: Arc::clone(&book),
            nip13: Arc::new(|event, difficulty, refresh_created_at| {
                PowInput { event: event.into(), difficulty, refresh_created_at }.into_request()
            }),
        };
        let address = MinerActor::address();
        let child =
            MinerActor::child(address.clone(), parts).backoff(Backoff::NONE).hang_limit(hang_limit);
        let supervisor = Supervisor::builder("test")
            .intensity(Intensity { max_restarts: 10_000, within: Duration::from_secs(60) })
            .max_zombies(1_000)
            .child(child)
            .start_blocking()
            .unwrap();
        Self { address, book, supervisor }
    }

    fn try_ask(&self, message: impl Into<MinerMessageT>) -> Result<MinerMessageT, AskError> {
        let asked = self.address.ask(MinerEdge::encode(message)).timeout(PATIENCE);
        block_on(asked).map(|edge| edge.decode().unwrap())
    }

    fn ask(&self, message: impl Into<MinerMessageT>) -> MinerMessageT {
        self.try_ask(message).unwrap()
    }

    fn progress(&self, job: u64) -> Progress {
        self.book.progress(JobId(job), Instant::now()).unwrap()
    }

    fn wait(&self, job: u64) -> Outcome {
        self.book.watch(JobId(job)).unwrap().wait()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.supervisor.stop_blocking();
        self.book.stop_pool();
    }
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come about");
        std::thread::yield_now();
    }
}

fn job(job: u64, difficulty_bits: u16) -> MineEventT {
    let note = UnsignedEvent::new(PublicKey::from_bytes([7; 32]), 1_700_000_000, 1, vec![], "gm");
    MineEventT { job, template: note.into(), difficulty_bits, ..MineEventT::default() }
}

fn accepted(answer: &MinerMessageT, id: u64) {
    assert_eq!(answer.as_job_accepted(), Some(&JobAcceptedT { job: id }), "{answer:?}");
}

#[test]
fn an_event_is_mined_and_its_solution_is_in_the_book() {
    let world = World::new();
    accepted(&world.ask(job(5, 12)), 5);
    accepted(&world.ask(job(5, 12)), 5);
    let Outcome::Found(hit) = world.wait(5) else { panic!("{:?}", world.progress(5)) };
    assert!(mined_event(&hit).unwrap().compute_id().leading_zero_bits() >= 12);
}

#[test]
fn a_cancelled_job_has_stopped_when_the_answer_comes() {
    let world = World::new();
    accepted(&world.ask(job(1, 256)), 1);
    eventually("it works", || world.progress(1).attempts > 1_000);
    let answer = world.ask(CancelJobT { job: 1 });
    let JobStoppedT { known, attempts, .. } = answer.as_job_stopped().unwrap().clone();
    let progress = world.progress(1);
    assert!(known);
    assert_eq!((progress.outcome, progress.attempts), (Some(Outcome::Cancelled), attempts));
    let nobody = world.ask(CancelJobT { job: 2 });
    assert!(!nobody.as_job_stopped().unwrap().known);
}

#[test]
fn a_job_is_paused_and_goes_on() {
    let world = World::new();
    accepted(&world.ask(job(1, 256)), 1);
    let pause = |pause| world.ask(PauseJobT { job: 1, pause });
    assert!(pause(true).as_job_paused().unwrap().known);
    assert_eq!(world.progress(1).phase, JobPhase::Paused);
    assert!(pause(false).as_job_paused().unwrap().known);
    let before = world.progress(1).attempts;
    eventually("it goes on", || world.progress(1).attempts > before);
    let nobody = world.ask(PauseJobT { job: 9, pause: true });
    assert!(!nobody.as_job_paused().unwrap().known);
}

#[test]
fn limits_of_the_message_reach_the_job() {
    let world = World::new();
    let limited = MineEventT { max_attempts: 12_345, max_threads: 1, priority: 2, ..job(1, 256) };
    accepted(&world.ask(limited), 1);
    assert_eq!(world.wait(1), Outcome::AttemptLimit);
    assert_eq!(world.progress(1).attempts, 12_345);
    accepted(&world.ask(MineEventT { timeout_ms: 20, priority: 0, ..job(2, 256) }), 2);
    assert_eq!(world.wait(2), Outcome::TimedOut);
    let shared = MineEventT { cpu_percent: 25, idle: true, priority: 3, ..job(3, 256) };
    accepted(&world.ask(shared), 3);
    let watch = world.book.watch(JobId(3)).unwrap();
    let limits = watch.request().limits;
    assert_eq!((limits.cpu_percent, limits.idle), (Some(25), true));
    assert_eq!(watch.request().priority, Priority::Urgent);
    assert_eq!(world.book.watch(JobId(1)).unwrap().request().limits.cpu_percent, None);
}

#[test]
fn what_cannot_be_mined_is_refused_with_its_reason() {
    let world = World::new();
    let refused = |message: MinerMessageT| {
        let answer = world.ask(message);
        let failed = answer.as_failed().unwrap_or_else(|| panic!("{answer:?}"));
        (failed.code, failed.reason.clone())
    };
    assert_eq!(
        refused(job(1, 300).into()),
        (
            FailureCode::Invalid,
            "invalid nip13 input: difficulty 300 is out of range, allowed are 0 to 256 bits".into()
        )
    );
    assert_eq!(
        refused(MineEventT { priority: 4, ..job(1, 8) }.into()),
        (FailureCode::Invalid, "priority is 4, allowed are 0 to 3".into())
    );
    for cpu_percent in [0, 101, 255] {
        assert_eq!(
            refused(MineEventT { cpu_percent, ..job(1, 8) }.into()),
            (
                FailureCode::Invalid,
                format!("cpu_percent is {cpu_percent}, allowed is 1 to 100 percent")
            )
        );
    }
    let mut huge = job(1, 8);
    huge.template.content = "x".repeat(1 << 20);
    let (code, reason) = refused(huge.into());
    assert_eq!(code, FailureCode::Invalid);
    assert!(reason.contains("bytes"), "{reason}");
    accepted(&world.ask(job(1, 256)), 1);
    assert_eq!(
        refused(job(1, 255).into()),
        (FailureCode::Invalid, "job 1 exists with another request".into())
    );
    assert_eq!(refused(JobAcceptedT { job: 1 }.into()).0, FailureCode::Unsupported);
    let noise = world.address.ask(MinerEdge::from_bytes(vec![7; 64].into())).timeout(PATIENCE);
    let answer = block_on(noise).unwrap().decode().unwrap();
    assert_eq!(answer.as_failed().unwrap().code, FailureCode::Invalid);
}

/// About how many attempts this machine makes in that time: there must be time to disturb them.
fn attempts_of_seconds(world: &World, seconds: u64) -> u64 {
    const SAMPLE: u64 = 4_000_000;
    let begin = Instant::now();
    accepted(&world.ask(MineEventT { max_attempts: SAMPLE, ..job(9_999, 256) }), 9_999);
    assert_eq!(world.wait(9_999), Outcome::AttemptLimit);
    (SAMPLE as f64 / begin.elapsed().as_secs_f64()) as u64 * seconds
}

#[test]
fn panics_hangs_and_lost_threads_of_the_worker_lose_and_double_no_range() {
    let world = World::with_hang_limit(Duration::from_millis(60));
    let attempts = attempts_of_seconds(&world, 3);
    accepted(&world.ask(MineEventT { max_attempts: attempts, ..job(1, 256) }), 1);
    let faults = [
        Fault::Panic,
        Fault::Hang(Duration::from_millis(120)),
        Fault::FatalError,
        Fault::KillThread,
    ];
    let mut injected = 0;
    while world.progress(1).outcome.is_none() && injected < 24 {
        let before = world.progress(1).attempts;
        world.address.inject(faults[injected % faults.len()]).unwrap();
        // What is asked meanwhile is answered, by a result or by the reason; repeating it helps.
        let (id, mut tries) = (100 + injected as u64, 0);
        loop {
            tries += 1;
            assert!(tries < 100, "job {id} is never accepted");
            match world.try_ask(job(id, 4)) {
                Ok(answer) => break accepted(&answer, id),
                // It was the one that the fault cost; its reason is one of the faults'.
                Err(
                    AskError::Panicked { .. }
                    | AskError::Hung { .. }
                    | AskError::Fatal { .. }
                    | AskError::ThreadLost
                    | AskError::Dropped { .. },
                ) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert!(matches!(world.wait(id), Outcome::Found(_)));
        injected += 1;
        eventually("mining goes on", || {
            let progress = world.progress(1);
            progress.attempts > before || progress.outcome.is_some()
        });
    }
    assert!(injected >= 8, "only {injected} faults");
    assert_eq!(world.wait(1), Outcome::AttemptLimit);
    let progress = world.progress(1);
    assert_eq!((progress.attempts, progress.doubled), (attempts, 0));
    assert_eq!(world.book.pool_metrics().unwrap().restarts, 0, "the pool was not touched");
    assert!(world.supervisor.status().worker("miner").unwrap().restarts > 0);
}

#[test]
fn a_job_goes_on_while_its_worker_and_its_pool_are_both_restarted() {
    let world = World::new();
    let attempts = attempts_of_seconds(&world, 2);
    accepted(&world.ask(MineEventT { max_attempts: attempts, ..job(1, 256) }), 1);
    let mut rounds = 0;
    while world.progress(1).outcome.is_none() && rounds < 20 {
        let before = world.progress(1).attempts;
        // A worker that is still ending from the last fault may have no room for another.
        eventually("the fault is taken", || world.address.inject(Fault::Panic).is_ok());
        let threads = Some(1 + rounds % 3);
        world.book.start_pool(PoolConfig { threads, ..JobBook::pool_config() }).unwrap();
        eventually("mining goes on", || {
            let progress = world.progress(1);
            progress.attempts > before || progress.outcome.is_some()
        });
        rounds += 1;
    }
    assert!(rounds >= 3, "only {rounds} rounds");
    assert_eq!(world.wait(1), Outcome::AttemptLimit);
    let progress = world.progress(1);
    assert_eq!((progress.attempts, progress.doubled), (attempts, 0));
}
