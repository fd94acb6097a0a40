//! Workers: started, stopped, killed, and what they report.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::behind::StopSignal;
use crate::driver::monitor::{Watch, Zombie};
use crate::driver::{Driver, Exit, Msg, Place, Reporter};
use crate::events::SupervisorEvent;
use crate::failure::{AskError, Failure};
use crate::local::Incarnation;
use crate::policy::{Event, ExitKind, RestartPolicy, StopMode};
use crate::spec::{ChildSpec, Shutdown, StartContext};
use crate::status::{State, Vitals, WorkerCell};
use crate::util::after;
use crate::worker::Worker;

/// How long a worker that was given up may take to leave its thread in good order.
const KILL_GRACE: Duration = Duration::from_millis(100);

/// What an incarnation is doing, as the driver knows it. Deadlines are in real time: they limit
/// code that runs.
#[derive(Debug)]
pub(super) enum Run {
    Down,
    Starting {
        deadline: Option<Instant>,
    },
    Up,
    Stopping {
        deadline: Option<Instant>,
        drain: bool,
    },
    /// Given up; waits for it to leave its thread. `failure` is what counts as its end.
    Dying {
        deadline: Instant,
        failure: Option<Failure>,
        drain: bool,
    },
}

pub(super) struct WorkerChild {
    pub(super) spec: ChildSpec,
    pub(super) cell: Arc<WorkerCell>,
    pub(super) thread: Option<(u64, Arc<Worker>)>,
    pub(super) incarnation: Option<Arc<Incarnation>>,
    pub(super) run: Run,
    pub(super) watch: Option<Watch>,
    /// The next stop that keeps its queue lets it answer what it owes first.
    pub(super) answers_first: bool,
    drain: Drain,
}

/// How far the last work of a worker has come, in an orderly stop.
#[derive(Default)]
struct Drain {
    /// When it has to be over; `None` when what is queued is not to be worked off.
    until: Option<Instant>,
    /// The incarnation was first asked to keep its queue for the next, which will not come.
    kept: bool,
    /// Incarnations that were started only to go on with it, after a failure.
    restarts: u32,
    /// Messages begun with before the last of those.
    begun: Option<u64>,
}

impl WorkerChild {
    pub(super) fn new(spec: ChildSpec) -> Self {
        let behind = Arc::clone(&spec.behind);
        Self {
            spec,
            cell: Arc::new(WorkerCell { behind, vitals: Vitals::default() }),
            thread: None,
            incarnation: None,
            run: Run::Down,
            watch: None,
            answers_first: false,
            drain: Drain::default(),
        }
    }

    fn is_current(&self, generation: u64) -> bool {
        self.incarnation.as_ref().is_some_and(|current| current.generation == generation)
    }
}

impl Driver {
    pub(super) fn is_up(&mut self, place: Place) -> bool {
        self.worker(place).is_some_and(|worker| matches!(worker.run, Run::Up))
    }

    pub(super) fn start_worker(&mut self, place: Place) {
        self.set_state(place, State::Starting);
        if let Some(worker) = self.worker(place) {
            worker.drain = Drain::default();
            worker.answers_first = false;
            worker.cell.behind.open();
        }
        self.launch(place, None);
    }

    /// Starts an incarnation: to serve, or only to work off what is left until the given time.
    fn launch(&mut self, place: Place, drain_until: Option<Instant>) {
        let thread = self.thread_for(place);
        let tx = self.tx.clone();
        let Some(worker) = self.worker(place) else { return };
        if drain_until.is_some() {
            worker.run = Run::Stopping { deadline: drain_until, drain: true };
        }
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => {
                let reason = format!("no thread: {error}");
                self.worker_down(place, Some(Failure::StartFailed { reason }));
                return;
            }
        };
        let behind = Arc::clone(&worker.cell.behind);
        let (generation, _) = behind.fence(AskError::Dropped { reason: "replaced".to_owned() });
        let incarnation = Arc::new(Incarnation::new(generation));
        if drain_until.is_some() {
            incarnation.ask_to_stop(StopMode::Drain);
        }
        behind.ledger().set_current(&incarnation);
        let vitals = &worker.cell.vitals;
        let number = vitals.starts.load(Ordering::Relaxed);
        vitals.generation.store(number, Ordering::Relaxed);
        let start = StartContext {
            generation: number,
            restarts: vitals.restarts(),
            last_failure: vitals.last_failure(),
            stop_signal: StopSignal(Arc::clone(&incarnation)),
        };
        let reporter = Reporter { tx, place, generation };
        let job = (worker.spec.make_job)(Arc::clone(&incarnation), start, reporter);
        let running = thread.1.run(job);
        worker.thread = Some(thread);
        worker.incarnation = Some(incarnation);
        worker.watch = None;
        if drain_until.is_none() {
            let deadline = Instant::now().checked_add(worker.spec.start_timeout);
            worker.run = Run::Starting { deadline };
        }
        if !running {
            worker.thread = None;
            self.worker_down(place, Some(Failure::ThreadLost));
        }
    }

    /// The thread that a worker starts on: its own, kept from the last incarnation if that left it.
    fn thread_for(&mut self, place: Place) -> std::io::Result<(u64, Arc<Worker>)> {
        let own = self.worker(place).and_then(|worker| worker.thread.take());
        if let Some(own) = own {
            return Ok(own);
        }
        if self.single_thread
            && let Some((id, shared)) = &self.shared_worker
        {
            return Ok((*id, Arc::clone(shared)));
        }
        let id = self.next_worker;
        self.next_worker += 1;
        let name = if self.single_thread { "sup-all".to_owned() } else { self.child_name(place) };
        let tx = self.tx.clone();
        let gone = move || drop(tx.send(Msg::ThreadGone { worker: id }));
        let worker = Worker::spawn(&name, gone)?;
        if self.single_thread {
            self.shared_worker = Some((id, Arc::clone(&worker)));
        }
        Ok((id, worker))
    }

    pub(super) fn worker_up(&mut self, place: Place, generation: u64) {
        let Some(worker) = self.worker(place) else { return };
        if !worker.is_current(generation) || !matches!(worker.run, Run::Starting { .. }) {
            return;
        }
        worker.run = Run::Up;
        let number = worker.cell.vitals.generation.load(Ordering::Relaxed);
        self.nodes[place.node].failures[place.child] = None;
        self.set_state(place, State::Running);
        let (supervisor, child) = self.names(place);
        self.emit(SupervisorEvent::ChildStarted { supervisor, child, generation: number });
        self.feed(place.node, Event::Up(place.child));
    }

    pub(super) fn stop_worker(&mut self, place: Place, mode: StopMode) {
        self.set_state(place, State::Stopping);
        let Some(worker) = self.worker(place) else { return };
        // It has ended, and the policy has yet to see that: a second end would be taken for that of
        // the next incarnation.
        let Some(incarnation) = worker.incarnation.clone() else { return };
        let drain = mode != StopMode::Keep;
        let answers_first = std::mem::take(&mut worker.answers_first);
        let deadline = match worker.spec.shutdown {
            Shutdown::Timeout(limit) if mode != StopMode::Kill => {
                Some(after(Instant::now(), limit))
            }
            _ => None,
        };
        worker.drain.until = if drain { deadline } else { None };
        if drain && deadline.is_some() {
            worker.cell.behind.seal();
        }
        match &mut worker.run {
            // Killed already, for a failure; a stop for good closes its mailbox too.
            Run::Dying { drain: dying, .. } => *dying |= drain,
            run if deadline.is_some() => {
                *run = Run::Stopping { deadline, drain };
                worker.drain.kept |= !drain;
                if drain {
                    incarnation.ask_to_stop(mode);
                    return;
                }
                let reason = "the worker was replaced before it had the answer".to_owned();
                worker.cell.behind.ledger().note_incident(AskError::Dropped { reason });
                if answers_first {
                    incarnation.ask_to_stop_answered();
                } else {
                    incarnation.ask_to_stop(mode);
                }
            }
            run => {
                *run = Run::Stopping { deadline, drain };
                self.kill_worker(place, None);
            }
        }
    }

    /// What an orderly stop costs besides what is still queued at its end.
    pub(super) fn count_given_up(&mut self, in_hand: bool) {
        if in_hand && self.stopping_since.is_some() {
            self.report.dropped_messages += 1;
        }
    }

    /// Whether another incarnation is to go on with what one that has just ended has left of an
    /// orderly stop. Each must get something done.
    fn drains_on(&mut self, place: Place, failure: Option<&Failure>) -> bool {
        let max_restarts = self.nodes[place.node].intensity.max_restarts;
        let Some(worker) = self.worker(place) else { return false };
        let (behind, drain) = (&worker.cell.behind, &worker.drain);
        let again = match worker.spec.restart {
            RestartPolicy::Permanent => true,
            RestartPolicy::Transient => failure.is_some() || drain.kept,
            RestartPolicy::Temporary => false,
        };
        let starts =
            !matches!(failure, Some(Failure::StartFailed { .. } | Failure::StartTimedOut { .. }));
        let in_order = failure.is_none() && drain.kept;
        again
            && starts
            && (in_order || drain.restarts < max_restarts)
            && drain.begun.is_none_or(|begun| behind.counters().started > begun)
            && drain.until.is_some_and(|until| Instant::now() < until)
            && behind.has_work()
    }

    fn drain_on(&mut self, place: Place) {
        let Some(worker) = self.worker(place) else { return };
        let drain = &mut worker.drain;
        drain.kept = false;
        drain.restarts += 1;
        drain.begun = Some(worker.cell.behind.counters().started);
        let until = drain.until;
        worker.cell.vitals.starts.fetch_add(1, Ordering::Relaxed);
        let (supervisor, child) = self.names(place);
        self.emit(SupervisorEvent::ChildRestarting { supervisor, child, after_ms: 0 });
        self.launch(place, until);
    }

    /// Gives an incarnation up. It ends when its code comes back; if that takes too long, its
    /// thread is left behind.
    pub(super) fn kill_worker(&mut self, place: Place, failure: Option<Failure>) {
        let Some(worker) = self.worker(place) else { return };
        let drain = match worker.run {
            Run::Down | Run::Dying { .. } => return,
            Run::Stopping { drain, .. } => drain,
            Run::Starting { .. } | Run::Up => false,
        };
        let error = failure.clone().map_or(AskError::Killed, AskError::from);
        let behind = &worker.cell.behind;
        behind.ledger().note_incident(error.clone());
        let (_, in_hand) = behind.fence(error.clone());
        if let Some(incarnation) = &worker.incarnation {
            incarnation.abandon();
        }
        // A stop that has no more time has none for answers to come either.
        let pending = if failure.is_none() { behind.fail_pending(&error) } else { 0 };
        worker.run = Run::Dying { deadline: Instant::now() + KILL_GRACE, failure, drain };
        self.count_given_up(in_hand);
        if self.stopping_since.is_some() {
            self.report.dropped_messages += pending as u64;
        }
    }

    pub(super) fn worker_exited(&mut self, place: Place, generation: u64, exit: Exit) {
        let lost = matches!(exit, Exit::ThreadLost);
        let Some(worker) = self.worker(place) else { return };
        if !worker.is_current(generation) {
            self.zombie_returned(place, generation);
            return;
        }
        if lost && let Some((_, thread)) = worker.thread.take() {
            let thread = thread.release();
            self.retired.extend(thread);
        }
        let Some(worker) = self.worker(place) else { return };
        let failure = match (&mut worker.run, exit) {
            (Run::Dying { failure, .. }, _) => failure.take(),
            (_, Exit::Failed(failure)) => Some(failure),
            (_, Exit::ThreadLost) => Some(Failure::ThreadLost),
            (Run::Starting { .. }, _) => {
                // A child that ends before it is up may be meant to; the policy knows its kind.
                let reason = "it stopped before it had started".to_owned();
                self.nodes[place.node].failures[place.child] =
                    Some(Failure::StartFailed { reason });
                None
            }
            (_, Exit::Normal | Exit::Abandoned) => None,
        };
        self.worker_down(place, failure);
    }

    pub(super) fn thread_gone(&mut self, id: u64) {
        if self.shared_worker.as_ref().is_some_and(|(shared, _)| *shared == id)
            && let Some((_, thread)) = self.shared_worker.take()
        {
            self.retired.extend(thread.release());
        }
        for place in self.places() {
            let Some(worker) = self.worker(place) else { continue };
            if worker.thread.as_ref().is_none_or(|(own, _)| *own != id) {
                continue;
            }
            let thread = worker.thread.take().and_then(|(_, thread)| thread.release());
            let had_work = worker.incarnation.is_some();
            self.retired.extend(thread);
            if had_work {
                self.worker_down(place, Some(Failure::ThreadLost));
            }
        }
    }

    /// Nothing of the incarnation runs any more, or it has been left behind.
    pub(super) fn worker_down(&mut self, place: Place, failure: Option<Failure>) {
        let Some(worker) = self.worker(place) else { return };
        worker.incarnation = None;
        worker.watch = None;
        let run = std::mem::replace(&mut worker.run, Run::Down);
        let drain =
            matches!(run, Run::Stopping { drain: true, .. } | Run::Dying { drain: true, .. });
        // What the runner could not answer itself.
        let error = failure.clone().map_or_else(
            || AskError::Dropped { reason: "the worker has stopped".to_owned() },
            AskError::from,
        );
        let (_, in_hand) = worker.cell.behind.fence(error);
        let vitals = &worker.cell.vitals;
        match &failure {
            Some(Failure::Panicked { .. }) => drop(vitals.panics.fetch_add(1, Ordering::Relaxed)),
            Some(Failure::Hung { .. } | Failure::StartTimedOut { .. }) => {
                vitals.hangs.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        self.count_given_up(in_hand);
        let drains_on = drain && self.drains_on(place, failure.as_ref());
        let kind = match failure {
            Some(failure) => {
                self.note_failure(place, failure);
                ExitKind::Failed
            }
            None => {
                let (supervisor, child) = self.names(place);
                self.emit(SupervisorEvent::ChildStopped { supervisor, child });
                ExitKind::Normal
            }
        };
        if drains_on {
            self.drain_on(place);
            return;
        }
        if drain {
            self.close_child(place, "the worker has stopped");
        }
        self.feed(place.node, Event::Down(place.child, kind));
    }

    /// Leaves the thread of an incarnation behind, with its code still on it.
    ///
    /// What futures on that thread have yet to answer fails with `error`.
    pub(super) fn leave_behind(&mut self, place: Place, error: &AskError) {
        let name = self.child_name(place);
        let Some(worker) = self.worker(place) else { return };
        let Some(incarnation) = worker.incarnation.clone() else { return };
        incarnation.abandon();
        worker.cell.behind.give_up_pending(incarnation.generation, error);
        worker.cell.vitals.zombies.fetch_add(1, Ordering::Relaxed);
        let (id, thread) = worker.thread.take().map_or((None, None), |(id, t)| (Some(id), Some(t)));
        // A shared thread is kept for its other actors, but gets no new ones.
        if self.shared_worker.as_ref().is_some_and(|(shared, _)| Some(*shared) == id) {
            self.shared_worker = None;
        }
        let thread = thread.and_then(Worker::release);
        tracing::error!(worker = name, "a thread hangs and is left behind");
        self.zombies.push(Zombie { place, generation: incarnation.generation, thread });
    }
}

impl Drop for WorkerChild {
    fn drop(&mut self) {
        // Also when the driver itself fails: the actor ends, its thread with it.
        if let Some(incarnation) = &self.incarnation {
            incarnation.abandon();
            // It may hang with a message in hand, or under an answer to come.
            let error = AskError::Dropped { reason: "the supervisor is gone".to_owned() };
            self.cell.behind.fence(error.clone());
            self.cell.behind.give_up_pending(incarnation.generation, &error);
        }
    }
}
