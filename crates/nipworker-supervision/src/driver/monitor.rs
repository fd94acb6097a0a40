//! What the driver looks at once per tick: timers, deadlines, hangs, threads left behind.

use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::driver::workers::Run;
use crate::driver::{Driver, Place};
use crate::failure::{AskError, Failure};
use crate::policy::Event;

/// Where a worker was when it was last seen to move.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Watch {
    polls: u64,
    busy: u64,
    since: Instant,
    /// When it was woken to see whether it moves.
    heartbeat: Option<Instant>,
}

/// A thread that hangs, and the incarnation on it.
pub(super) struct Zombie {
    pub(super) place: Place,
    pub(super) generation: u64,
    /// Absent when other workers still use the thread.
    pub(super) thread: Option<JoinHandle<()>>,
}

impl Driver {
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        for place in self.places() {
            self.look_at(place, now);
        }
        let clock_now = self.clock.now();
        for node in 0..self.nodes.len() {
            for child in 0..self.nodes[node].timers.len() {
                let timer = &mut self.nodes[node].timers[child];
                if timer.is_some_and(|due| due <= clock_now) {
                    *timer = None;
                    self.feed(node, Event::Timer(child));
                }
            }
        }
        self.bury_zombies();
        self.join_retired();
    }

    /// When the next back-off is over, at the latest; never by a clock that stands still.
    pub(super) fn next_timer(&self) -> Instant {
        let now = self.clock.now();
        let next = self.nodes.iter().flat_map(|node| node.timers.iter().flatten()).min();
        let wait = next.map_or(self.tick, |due| due.saturating_sub(now)).min(self.tick);
        // Not less than this, in case the clock is one that stands still just short of it.
        Instant::now() + wait.max(Duration::from_micros(200))
    }

    fn look_at(&mut self, place: Place, now: Instant) {
        let Some(worker) = self.worker(place) else { return };
        let over = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        match &mut worker.run {
            Run::Down => {}
            Run::Up => self.look_for_hang(place, now),
            Run::Starting { deadline } if over(*deadline) => {
                let limit = worker.spec.start_timeout;
                self.kill_worker(place, Some(Failure::StartTimedOut { limit }));
            }
            Run::Stopping { deadline, .. } if over(*deadline) => {
                self.note_killed(place);
                self.kill_worker(place, None);
            }
            Run::Dying { deadline, failure, .. } if *deadline <= now => {
                let failure = failure.take();
                let error = failure.clone().map_or(AskError::Killed, AskError::from);
                self.leave_behind(place, &error);
                self.limit_zombies(place, failure.as_ref().unwrap_or(&Failure::Killed));
                self.worker_down(place, failure);
            }
            Run::Stopping { .. } => self.look_for_hang(place, now),
            Run::Starting { .. } | Run::Dying { .. } => {}
        }
    }

    fn note_killed(&mut self, place: Place) {
        let name = self.child_name(place);
        tracing::warn!(worker = name, "did not stop within its limit and is given up");
        self.report.killed.push(name);
    }

    /// A worker hangs when its thread has been at the same place for its limit: in a handler, a
    /// hook or a future of the actor, or (seen by a heartbeat that is not answered) in a task that
    /// the actor has left on its thread.
    fn look_for_hang(&mut self, place: Place, now: Instant) {
        let shared = self.single_thread;
        let Some(worker) = self.worker(place) else { return };
        let Some(incarnation) = &worker.incarnation else { return };
        let (polls, busy) = (incarnation.poll_token(), worker.cell.behind.busy_token());
        let limit = worker.spec.hang_limit;
        let asleep = polls % 2 == 0;
        let watch = match &mut worker.watch {
            Some(watch) if watch.polls == polls && watch.busy == busy => watch,
            _ => {
                worker.watch = Some(Watch { polls, busy, since: now, heartbeat: None });
                return;
            }
        };
        let stuck_since = if !asleep {
            watch.since
        } else if shared {
            // On a shared thread it may just not be this worker's turn.
            return;
        } else if let Some(asked) = watch.heartbeat {
            asked
        } else {
            // Idle or stuck? Waking it makes it move, if it can. At once if work waits.
            if worker.cell.behind.depth() > 0 || now - watch.since >= limit / 2 {
                watch.heartbeat = Some(now);
                incarnation.wake();
            }
            return;
        };
        if now - stuck_since < limit || incarnation.poll_token() != polls {
            return;
        }
        // Compared once more under the mailbox's lock: a message that ended just now is no hang.
        let error = AskError::Hung { limit };
        let Some(in_hand) = worker.cell.behind.fence_if_stuck(busy, error.clone()) else { return };
        self.count_given_up(in_hand);
        self.leave_behind(place, &error);
        let failure = Failure::Hung { limit };
        self.limit_zombies(place, &failure);
        self.worker_down(place, Some(failure));
    }

    /// With too many threads left behind, makes the root give up, because of the child of the root
    /// that `place` is under: each restart may leave one more behind.
    fn limit_zombies(&mut self, mut place: Place, failure: &Failure) {
        if self.zombies.len() <= self.max_zombies {
            return;
        }
        let mut failure = failure.clone();
        while let Some(parent) = self.nodes[place.node].parent {
            failure =
                Failure::Escalated { child: self.child_name(place), failure: Box::new(failure) };
            place = parent;
        }
        self.nodes[0].failures[place.child] = Some(failure);
        self.feed(0, Event::Escalate(place.child));
    }

    /// A given-up incarnation has come back and ended.
    pub(super) fn zombie_returned(&mut self, place: Place, generation: u64) {
        let is_it = |z: &Zombie| z.place == place && z.generation == generation;
        if let Some(i) = self.zombies.iter().position(is_it) {
            let zombie = self.zombies.swap_remove(i);
            self.lay_to_rest(zombie);
        }
    }

    pub(super) fn bury_zombies(&mut self) {
        let ended = |z: &Zombie| z.thread.as_ref().is_some_and(JoinHandle::is_finished);
        while let Some(i) = self.zombies.iter().position(ended) {
            let zombie = self.zombies.swap_remove(i);
            self.lay_to_rest(zombie);
        }
    }

    fn lay_to_rest(&mut self, zombie: Zombie) {
        self.vitals(zombie.place).zombies.fetch_sub(1, Ordering::Relaxed);
        self.retired.extend(zombie.thread);
    }
}
