//! The state machine.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Action, Cause, Event, ExitKind, NodePolicy, RestartPolicy, StopMode, Strategy};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not running and not meant to.
    Idle,
    /// Waits for its back-off.
    Waiting,
    /// To be started as soon as the order allows.
    Pending,
    Starting,
    Up,
    /// Asked to stop; `restart` says whether it is started again.
    Stopping {
        restart: bool,
    },
    /// Ended by its restart policy.
    Finished,
}

impl Phase {
    fn is_alive(self) -> bool {
        matches!(self, Self::Starting | Self::Up | Self::Stopping { .. })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Down,
    Starting,
    Running,
    Closing(Cause, StopMode),
}

#[derive(Clone, Debug)]
struct Child {
    phase: Phase,
    /// Must be stopped and started again with its group.
    condemned: bool,
    /// Restarts in a row.
    attempt: u32,
    up_since: Option<Duration>,
}

/// A supervisor's decisions; see the [module documentation](super).
#[derive(Clone, Debug)]
pub struct Node {
    policy: NodePolicy,
    life: Life,
    children: Vec<Child>,
    /// Times of the restarts within the period.
    restarts: VecDeque<Duration>,
    random: u64,
}

impl Node {
    /// A supervisor that has not been started.
    pub fn new(policy: NodePolicy) -> Self {
        let child = Child { phase: Phase::Idle, condemned: false, attempt: 0, up_since: None };
        Self {
            life: Life::Down,
            children: vec![child; policy.children.len()],
            restarts: VecDeque::new(),
            random: policy.seed | 1,
            policy,
        }
    }

    /// Whether all children have been started and nothing is being stopped for good.
    pub fn is_running(&self) -> bool {
        self.life == Life::Running
    }

    /// Whether it is starting its children for the first time.
    pub fn is_starting(&self) -> bool {
        self.life == Life::Starting
    }

    /// Whether this child has a live incarnation, as far as the events so far tell.
    pub fn is_alive(&self, child: usize) -> bool {
        self.children.get(child).is_some_and(|child| child.phase.is_alive())
    }

    /// Whether this child is to be started again, now or after its back-off.
    pub fn is_restarting(&self, child: usize) -> bool {
        let waits = |child: &Child| matches!(child.phase, Phase::Waiting | Phase::Pending);
        self.children.get(child).is_some_and(waits)
    }

    /// Whether this child has ended and its policy does not start it again.
    pub fn is_finished(&self, child: usize) -> bool {
        self.children.get(child).is_some_and(|child| child.phase == Phase::Finished)
    }

    /// Takes an event at `now` (any monotonic origin) and returns what has to be done, in order.
    ///
    /// Events that do not fit the state (an answer that came too late, a child that does not exist)
    /// change nothing.
    pub fn step(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Start if self.life == Life::Down => self.begin(),
            Event::Start => {}
            Event::Up(i) => self.up(now, i),
            Event::Down(i, kind) => self.down(now, i, kind, &mut actions),
            Event::Escalate(i) => {
                if matches!(self.life, Life::Running | Life::Starting) {
                    self.close(Cause::Escalated(i), StopMode::Keep);
                }
            }
            Event::Timer(i) => {
                if let Some(child) = self.children.get_mut(i)
                    && child.phase == Phase::Waiting
                {
                    child.phase = Phase::Pending;
                }
            }
            Event::Restart(i) => {
                if let Some(child) = self.children.get_mut(i)
                    && child.phase == Phase::Up
                    && matches!(self.life, Life::Running | Life::Starting)
                {
                    child.phase = Phase::Stopping { restart: true };
                    actions.push(Action::Stop(i, StopMode::Keep));
                }
            }
            Event::Stop(mode) => self.stop(mode, &mut actions),
        }
        self.advance(&mut actions);
        actions
    }

    fn begin(&mut self) {
        self.life = Life::Starting;
        self.restarts.clear();
        for child in &mut self.children {
            *child = Child { phase: Phase::Pending, condemned: false, attempt: 0, up_since: None };
        }
    }

    fn up(&mut self, now: Duration, i: usize) {
        if let Some(child) = self.children.get_mut(i)
            && child.phase == Phase::Starting
        {
            child.phase = Phase::Up;
            child.up_since = Some(now);
        }
    }

    fn down(&mut self, now: Duration, i: usize, kind: ExitKind, actions: &mut Vec<Action>) {
        let Some(child) = self.children.get_mut(i) else { return };
        let restart = self.policy.children[i].restart;
        match child.phase {
            Phase::Stopping { restart: true } => {
                child.condemned = false;
                if restart == RestartPolicy::Temporary {
                    self.finish(i, actions);
                } else {
                    child.phase = Phase::Pending;
                }
            }
            Phase::Stopping { restart: false } => child.phase = Phase::Idle,
            Phase::Starting | Phase::Up => {
                let was_starting = child.phase == Phase::Starting;
                let condemned = std::mem::take(&mut child.condemned);
                if matches!(self.life, Life::Closing(..)) {
                    child.phase = Phase::Idle;
                    return;
                }
                let again = match restart {
                    RestartPolicy::Permanent => true,
                    RestartPolicy::Transient => kind == ExitKind::Failed,
                    RestartPolicy::Temporary => false,
                };
                if condemned && !again && restart == RestartPolicy::Transient {
                    // It only ended before its turn to be stopped had come.
                    child.phase = Phase::Pending;
                } else if was_starting
                    && self.life == Life::Starting
                    && (again || kind == ExitKind::Failed)
                {
                    child.phase = Phase::Idle;
                    self.close(Cause::StartFailed(i), StopMode::Keep);
                } else if again {
                    self.restart(now, i, actions);
                } else {
                    self.finish(i, actions);
                }
            }
            Phase::Idle | Phase::Waiting | Phase::Pending | Phase::Finished => {}
        }
    }

    fn finish(&mut self, i: usize, actions: &mut Vec<Action>) {
        self.children[i].phase = Phase::Finished;
        actions.push(Action::Finished(i));
    }

    fn restart(&mut self, now: Duration, i: usize, actions: &mut Vec<Action>) {
        self.restarts.push_back(now);
        let within = self.policy.intensity.within;
        while self.restarts.front().is_some_and(|at| now.saturating_sub(*at) > within) {
            self.restarts.pop_front();
        }
        if self.restarts.len() > self.policy.intensity.max_restarts as usize {
            self.children[i].phase = Phase::Idle;
            self.close(Cause::Escalated(i), StopMode::Keep);
            return;
        }
        let delay = self.delay(now, i);
        self.children[i].phase = if delay.is_zero() { Phase::Pending } else { Phase::Waiting };
        if !delay.is_zero() {
            actions.push(Action::Timer(i, delay));
        }
        let group = match self.policy.strategy {
            Strategy::OneForOne => return,
            Strategy::OneForAll => 0..self.children.len(),
            Strategy::RestForOne => i + 1..self.children.len(),
        };
        for j in group.filter(|&j| j != i) {
            let sibling = &mut self.children[j];
            match sibling.phase {
                Phase::Finished if self.policy.children[j].restart == RestartPolicy::Transient => {
                    sibling.phase = Phase::Pending;
                }
                phase if phase.is_alive() => sibling.condemned = true,
                _ => {}
            }
        }
    }

    /// The wait before the next start of child `i`, which has just failed.
    fn delay(&mut self, now: Duration, i: usize) -> Duration {
        let backoff = self.policy.children[i].backoff;
        let child = &mut self.children[i];
        let was_healthy = |since| now.saturating_sub(since) >= backoff.reset_after;
        if child.up_since.take().is_some_and(was_healthy) {
            child.attempt = 0;
        }
        let delay = backoff.delay(child.attempt);
        child.attempt = child.attempt.saturating_add(1);
        backoff.spread(delay, self.random_unit() * 2.0 - 1.0)
    }

    /// xorshift64*: enough to spread restarts, and repeatable from the seed.
    fn random_unit(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        bits as f64 / (1_u64 << 53) as f64
    }

    fn close(&mut self, cause: Cause, mode: StopMode) {
        self.life = Life::Closing(cause, mode);
        for child in &mut self.children {
            child.condemned = false;
            match &mut child.phase {
                Phase::Stopping { restart } => *restart = false,
                phase @ (Phase::Waiting | Phase::Pending) => *phase = Phase::Idle,
                _ => {}
            }
        }
    }

    fn stop(&mut self, mode: StopMode, actions: &mut Vec<Action>) {
        match self.life {
            Life::Closing(cause, _) if mode == StopMode::Kill => self.close(cause, mode),
            Life::Closing(cause, StopMode::Keep) if mode == StopMode::Drain => {
                self.close(cause, mode);
            }
            // Down already: who waits for that has been told, and twice would be taken for the end
            // of the next start.
            Life::Closing(..) | Life::Down => return,
            Life::Starting | Life::Running => self.close(Cause::Stopped, mode),
        }
        for i in (0..self.children.len()).rev() {
            let phase = &mut self.children[i].phase;
            match mode {
                StopMode::Kill if phase.is_alive() => {
                    *phase = Phase::Stopping { restart: false };
                    actions.push(Action::Stop(i, StopMode::Kill));
                }
                // It was to keep its queue for an incarnation that will not come.
                StopMode::Drain if matches!(phase, Phase::Stopping { .. }) => {
                    actions.push(Action::Stop(i, StopMode::Drain));
                }
                _ => {}
            }
        }
    }

    /// Does what the order allows next.
    fn advance(&mut self, actions: &mut Vec<Action>) {
        match self.life {
            Life::Down => {}
            Life::Closing(cause, mode) => {
                let Some(i) = self.last(|child| child.phase.is_alive()) else {
                    self.life = Life::Down;
                    actions.push(Action::NodeDown(cause));
                    return;
                };
                self.stop_child(i, mode, false, actions);
            }
            Life::Starting | Life::Running => {
                if let Some(i) = self.last(|child| child.condemned && child.phase.is_alive()) {
                    self.stop_child(i, StopMode::Keep, true, actions);
                    return;
                }
                self.start_children(actions);
                if self.life == Life::Starting
                    && self.children.iter().all(|c| matches!(c.phase, Phase::Up | Phase::Finished))
                {
                    self.life = Life::Running;
                    actions.push(Action::NodeUp);
                }
            }
        }
    }

    fn last(&self, wanted: impl Fn(&Child) -> bool) -> Option<usize> {
        self.children.iter().rposition(wanted)
    }

    /// Asks one child to stop, unless it has been asked already.
    fn stop_child(&mut self, i: usize, mode: StopMode, restart: bool, actions: &mut Vec<Action>) {
        let phase = &mut self.children[i].phase;
        if matches!(phase, Phase::Starting | Phase::Up) {
            *phase = Phase::Stopping { restart };
            actions.push(Action::Stop(i, mode));
        }
    }

    fn start_children(&mut self, actions: &mut Vec<Action>) {
        let alone = self.policy.strategy == Strategy::OneForOne && self.life == Life::Running;
        if !alone {
            // A group moves as one: nobody starts while a member starts or waits for its turn.
            if self.children.iter().any(|c| c.phase == Phase::Starting) {
                return;
            }
            if self.policy.strategy == Strategy::OneForAll
                && self.children.iter().any(|c| c.phase == Phase::Waiting)
            {
                return;
            }
        }
        for i in 0..self.children.len() {
            match self.children[i].phase {
                Phase::Pending => {
                    self.children[i].phase = Phase::Starting;
                    // Of the incarnation before, if it was stopped with its group.
                    self.children[i].up_since = None;
                    actions.push(Action::Start(i));
                    if !alone {
                        return;
                    }
                }
                // What comes later in the order starts after it.
                Phase::Waiting | Phase::Stopping { .. } if !alone => return,
                _ => {}
            }
        }
    }
}
