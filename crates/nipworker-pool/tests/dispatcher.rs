//! One current job per slot, driven by a source of events.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use common::{PATIENCE, Recorder, eventually, pool, spin};
use nipworker_pool::source::channel;
use nipworker_pool::{
    BatchContext, BatchReport, Command, Dispatcher, Done, EndReason, JobEnd, JobSpec, MAX_SLOTS,
    Next, PoolError, RangeTask, Span,
};

fn endless() -> JobSpec {
    JobSpec::new("endless", vec![Span::new(0, u64::MAX)])
}

fn busy() -> Arc<Recorder> {
    Recorder::new(|_| spin(Duration::from_micros(20)))
}

#[test]
fn a_new_job_of_a_slot_replaces_the_old_one_of_which_nothing_counts_any_more() {
    let dispatcher = Dispatcher::new(pool(2));
    let mut generation = 0;
    let mut before: Option<(Arc<Recorder>, nipworker_pool::JobTicket)> = None;
    for _ in 0..20 {
        let task = busy();
        let assigned = dispatcher.set_job(7, endless(), Arc::clone(&task)).unwrap();
        assert!(assigned.generation > generation);
        assert_eq!(assigned.replaced, before.is_some());
        generation = assigned.generation;
        if let Some((old, ticket)) = before {
            let acknowledged = old.items();
            assert_eq!(ticket.wait().reason, EndReason::Cancelled);
            assert_eq!(old.items(), acknowledged);
        }
        task.wait_for_items(10);
        before = Some((task, assigned.ticket));
    }
    assert_eq!(dispatcher.current(7).unwrap().0, generation);
    assert_eq!(dispatcher.pool().metrics().jobs, 1);
    assert!(dispatcher.cancel(7).is_some());
    assert!(dispatcher.cancel(7).is_none());
    assert!(dispatcher.current(7).is_none());
}

#[test]
fn slots_do_not_touch_each_other() {
    let dispatcher = Dispatcher::new(pool(2));
    let (one, two) = (busy(), busy());
    dispatcher.set_job(1, endless(), one).unwrap();
    let kept = dispatcher.set_job(2, endless(), Arc::clone(&two)).unwrap();
    dispatcher.cancel(1);
    let before = two.items();
    two.wait_for_items(before + 100);
    assert!(kept.ticket.end().is_none());
}

#[test]
fn a_job_that_is_refused_leaves_the_slot_as_it_was() {
    let dispatcher = Dispatcher::new(pool(1));
    dispatcher.set_job(1, endless(), busy()).unwrap();
    let mut bad = endless();
    bad.cpu_percent = Some(0);
    let error = dispatcher.set_job(1, bad, busy()).unwrap_err();
    assert_eq!(error.to_string(), "cpu_percent is 0, allowed is 1 to 100 percent");
    assert!(dispatcher.current(1).is_some());
}

#[test]
fn of_a_batch_only_the_last_command_of_each_slot_is_carried_out() {
    let dispatcher = Dispatcher::new(pool(1));
    let tasks: Vec<_> = (0..4).map(|_| busy()).collect();
    let set =
        |slot, at: usize| Command::Set { slot, spec: endless(), task: Arc::clone(&tasks[at]) };
    let batch = vec![set(1, 0), set(2, 1), Command::Cancel { slot: 2 }, set(1, 2), set(3, 3)];
    let report = dispatcher.dispatch(batch);
    assert_eq!((report.received, report.superseded, report.set), (5, 2, 2));
    assert_eq!((report.replaced, report.cancelled, report.refused.len()), (0, 0, 0));
    tasks[2].wait_for_items(1);
    tasks[3].wait_for_items(1);
    assert_eq!((tasks[0].items(), tasks[1].items()), (0, 0), "never begun");
    let report = dispatcher.dispatch(vec![set(1, 0), Command::Cancel { slot: 3 }]);
    assert_eq!((report.set, report.replaced, report.cancelled), (1, 1, 1));
}

#[test]
fn the_number_of_slots_is_bounded_and_ended_jobs_free_theirs() {
    let dispatcher = Dispatcher::new(pool(1));
    let paused = || {
        let mut spec = endless();
        spec.paused = true;
        spec
    };
    let task = busy();
    for slot in 0..MAX_SLOTS as u64 {
        dispatcher.set_job(slot, paused(), Arc::clone(&task)).unwrap();
    }
    let error = dispatcher.set_job(u64::MAX, paused(), Arc::clone(&task)).unwrap_err();
    assert!(matches!(error, PoolError::TooManyJobs { limit: MAX_SLOTS }), "{error}");
    dispatcher.set_job(5, paused(), Arc::clone(&task)).unwrap();
    dispatcher.cancel(9);
    dispatcher.set_job(u64::MAX, paused(), task).unwrap();
}

/// Counts how many of its kind are alive.
struct Counted {
    number: u64,
    alive: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    last_run: Arc<AtomicU64>,
}

impl Counted {
    fn new(
        number: u64,
        gauges: &(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicU64>),
    ) -> Arc<Self> {
        let (alive, most, last_run) = gauges.clone();
        most.fetch_max(alive.fetch_add(1, SeqCst) + 1, SeqCst);
        Arc::new(Self { number, alive, most, last_run })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
        self.most.load(SeqCst);
    }
}

impl RangeTask for Counted {
    type Output = ();
    fn run(&self, span: Span, ctx: &BatchContext<'_>) -> Done<()> {
        self.last_run.fetch_max(self.number, SeqCst);
        let mut items = 0;
        while items < span.len && !ctx.is_cancelled() {
            spin(Duration::from_micros(5));
            items += 1;
        }
        Done { items, output: () }
    }
    fn commit(&self, _: &BatchReport, (): ()) -> Next {
        Next::Continue
    }
}

#[test]
fn ten_thousand_jobs_into_128_places_are_each_begun_replaced_or_counted_as_lost() {
    const EVENTS: u64 = 10_000;
    const PLACES: usize = 128;
    let gauges = Default::default();
    let (writer, mut reader) = channel(PLACES);
    let dispatcher = Dispatcher::new(pool(2));
    let (mut received, mut lagged, mut largest) = (0u64, 0u64, 0);
    std::thread::scope(|scope| {
        let (writer, gauges) = (writer, &gauges);
        scope.spawn(move || {
            for number in 1..=EVENTS {
                let task = Counted::new(number, gauges);
                let spec = JobSpec::new("event", vec![Span::new(0, u64::MAX)]);
                assert_eq!(writer.push_batch([Command::Set { slot: 0, spec, task }]), 1);
            }
        });
        while let Ok(report) = dispatcher.dispatch_from(&mut reader, 24, PATIENCE) {
            received += report.received as u64;
            lagged += report.lagged;
            largest = largest.max(report.received);
            assert_eq!(report.set + report.superseded, report.received);
            assert!(report.depth <= 2 * 4, "the queue of the pool is bounded");
        }
    });
    let (alive, most, last_run) = gauges;
    assert_eq!(received + lagged, EVENTS, "{lagged} lost");
    assert!(largest <= 24);
    assert_eq!(dispatcher.pool().metrics().lagged, lagged);
    eventually("the last job runs", || last_run.load(SeqCst) == EVENTS);
    // In the ring, in the drain, in the pool, and one in the writer's hand: no more, ever.
    let bound = PLACES + 24 + 16;
    assert!(most.load(SeqCst) <= bound, "{} jobs alive at once", most.load(SeqCst));
    dispatcher.cancel(0);
    dispatcher.pool().shutdown();
    drop((dispatcher, reader));
    eventually("every job is let go of", || alive.load(SeqCst) == 0);
}

/// Begins its successor when it ends.
struct Chain {
    left: u64,
    dispatcher: Weak<Dispatcher>,
    ended: Arc<Mutex<Vec<u64>>>,
}

impl RangeTask for Chain {
    type Output = ();
    fn run(&self, span: Span, _: &BatchContext<'_>) -> Done<()> {
        Done { items: span.len, output: () }
    }
    fn commit(&self, _: &BatchReport, (): ()) -> Next {
        Next::Continue
    }
    fn ended(&self, _: &JobEnd) {
        self.ended.lock().unwrap().push(self.left);
        if let (Some(left), Some(dispatcher)) =
            (self.left.checked_sub(1), self.dispatcher.upgrade())
        {
            let (ended, weak) = (Arc::clone(&self.ended), self.dispatcher.clone());
            let next = Arc::new(Chain { left, dispatcher: weak, ended });
            // Every other one is empty and so ends before it is even entered.
            let spec = JobSpec::new("link", vec![Span::new(0, left % 2)]);
            dispatcher.set_job(0, spec, next).unwrap();
        }
    }
}

#[test]
fn a_job_that_ends_may_begin_the_next_one() {
    let dispatcher = Arc::new(Dispatcher::new(pool(2)));
    let ended = Arc::new(Mutex::new(Vec::new()));
    let weak = Arc::downgrade(&dispatcher);
    let first = Arc::new(Chain { left: 50, dispatcher: weak, ended: Arc::clone(&ended) });
    dispatcher.set_job(0, JobSpec::new("link", vec![Span::new(0, 1)]), first).unwrap();
    eventually("the chain", || ended.lock().unwrap().len() == 51);
    assert_eq!(*ended.lock().unwrap(), (0..=50).rev().collect::<Vec<_>>());
}
