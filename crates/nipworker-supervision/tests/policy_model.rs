//! The policy against any sequence of events: a state machine that proptest drives.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::time::Duration;

use nipworker_supervision::policy::{
    Action, Backoff, Cause, ChildPolicy, Event, ExitKind, Intensity, Node, NodePolicy,
    RestartPolicy, StopMode, Strategy as Restart,
};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

/// What the world may do to a supervisor. Children are picked by a number modulo what fits.
#[derive(Clone, Debug)]
enum Deed {
    /// A child that starts is up.
    Up(usize),
    /// A child that is alive ends.
    End(usize, ExitKind),
    /// A back-off is over.
    Timer(usize),
    Replace(usize),
    Escalate(usize),
    Pass(u64),
    Start,
    Stop(StopMode),
    /// An answer that comes too late, or from nowhere.
    Noise(usize, u8),
}

#[derive(Clone, Debug)]
struct Plan {
    policy: NodePolicy,
}

struct Reference;

impl ReferenceStateMachine for Reference {
    type State = Plan;
    type Transition = Deed;

    fn init_state() -> BoxedStrategy<Plan> {
        let restart = prop_oneof![
            3 => Just(RestartPolicy::Permanent),
            1 => Just(RestartPolicy::Transient),
            1 => Just(RestartPolicy::Temporary),
        ];
        let child = (restart, 0_u64..50, 0.0_f64..1.0).prop_map(|(restart, min, jitter)| {
            let backoff = Backoff {
                min: Duration::from_millis(min),
                max: Duration::from_millis(400),
                factor: 2.0,
                jitter,
                reset_after: Duration::from_secs(5),
            };
            ChildPolicy { restart, backoff }
        });
        let strategy = prop_oneof![
            Just(Restart::OneForOne),
            Just(Restart::OneForAll),
            Just(Restart::RestForOne)
        ];
        (prop::collection::vec(child, 1..6), strategy, 0_u32..6, 1_u64..20, any::<u64>())
            .prop_map(|(children, strategy, max_restarts, secs, seed)| {
                let intensity = Intensity { max_restarts, within: Duration::from_secs(secs) };
                Plan { policy: NodePolicy { strategy, intensity, children, seed } }
            })
            .boxed()
    }

    fn transitions(_: &Plan) -> BoxedStrategy<Deed> {
        let kind = prop_oneof![2 => Just(ExitKind::Failed), 1 => Just(ExitKind::Normal)];
        let mode = prop_oneof![Just(StopMode::Keep), Just(StopMode::Drain), Just(StopMode::Kill)];
        prop_oneof![
            12 => any::<usize>().prop_map(Deed::Up),
            8 => (any::<usize>(), kind).prop_map(|(i, kind)| Deed::End(i, kind)),
            6 => any::<usize>().prop_map(Deed::Timer),
            1 => any::<usize>().prop_map(Deed::Replace),
            1 => any::<usize>().prop_map(Deed::Escalate),
            4 => (0_u64..4000).prop_map(Deed::Pass),
            1 => Just(Deed::Start),
            1 => mode.prop_map(Deed::Stop),
            2 => (0_usize..8, any::<u8>()).prop_map(|(i, what)| Deed::Noise(i, what)),
        ]
        .boxed()
    }

    fn apply(state: Plan, _: &Deed) -> Plan {
        state
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    Down,
    Starting,
    Up,
}

/// The supervisor, and the world as its actions have made it.
struct World {
    node: Node,
    policy: NodePolicy,
    now: Duration,
    children: Vec<Seen>,
    asked_to_stop: Vec<bool>,
    timers: Vec<bool>,
    /// Whether a child was started since the supervisor was.
    started: Vec<bool>,
    /// When children ended so that they had to be started again.
    failures: VecDeque<Duration>,
    up: bool,
    down: bool,
    /// Children that must be stopped because one of their group has failed.
    must_restart: Vec<bool>,
    /// Restarts in a row, and since when it is up, per child.
    attempts: Vec<i32>,
    up_since: Vec<Option<Duration>>,
    /// Because of which child the supervisor has been told to give up.
    escalated: Option<usize>,
}

impl World {
    /// A child ends. More ends than the intensity allows must escalate, and fewer must not.
    fn end(&mut self, i: usize, kind: ExitKind) {
        let again = match self.policy.children[i].restart {
            RestartPolicy::Permanent => true,
            RestartPolicy::Transient => kind == ExitKind::Failed,
            RestartPolicy::Temporary => false,
        };
        let (was_up, asked) = (self.children[i] == Seen::Up, self.asked_to_stop[i]);
        let counts =
            again && !asked && (self.node.is_running() || (self.node.is_starting() && was_up));
        let (was_running, was_starting) = (self.node.is_running(), self.node.is_starting());
        if counts {
            self.failures.push_back(self.now);
        }
        let Intensity { max_restarts, within } = self.policy.intensity;
        let in_period = self.failures.iter().filter(|at| self.now - **at <= within).count();
        self.children[i] = Seen::Down;
        self.must_restart[i] = false;
        let tolerated = counts && in_period <= max_restarts as usize;
        if tolerated {
            self.group_of(i).filter(|&j| j != i).for_each(|j| {
                self.must_restart[j] |= self.children[j] != Seen::Down && !self.asked_to_stop[j];
            });
        }
        let expected = tolerated.then(|| self.expected_wait(i));
        let wait = self.step(Event::Down(i, kind));
        if let Some((shortest, longest)) = expected {
            let wait = wait.unwrap_or_default();
            assert!(shortest <= wait && wait <= longest, "{wait:?} of {shortest:?}-{longest:?}");
        }
        if counts {
            let goes_on = self.node.is_running() || self.node.is_starting();
            assert_eq!(goes_on, in_period <= max_restarts as usize, "{in_period} in the period");
        } else if was_running {
            assert!(self.node.is_running(), "escalated without a reason");
        } else if was_starting && !was_up && !asked {
            let fails = again || kind == ExitKind::Failed;
            assert_eq!(self.node.is_starting() || self.node.is_running(), !fails);
        }
    }

    /// Whom a failure of this child concerns.
    fn group_of(&self, i: usize) -> std::ops::Range<usize> {
        match self.policy.strategy {
            Restart::OneForOne => i..i + 1,
            Restart::OneForAll => 0..self.children.len(),
            Restart::RestForOne => i..self.children.len(),
        }
    }

    /// Bounds of the wait before the next start of a child that has just failed.
    fn expected_wait(&mut self, i: usize) -> (Duration, Duration) {
        let Backoff { min, max, jitter, reset_after, .. } = self.policy.children[i].backoff;
        if self.up_since[i].take().is_some_and(|since| self.now - since >= reset_after) {
            self.attempts[i] = 0;
        }
        let attempt = self.attempts[i];
        self.attempts[i] += 1;
        if attempt == 0 {
            return (Duration::ZERO, Duration::ZERO);
        }
        let wait = (min.as_secs_f64() * 2_f64.powi(attempt - 1)).min(max.as_secs_f64());
        let bound = |share: f64| Duration::from_secs_f64(wait * share);
        let rounding = Duration::from_micros(1);
        (bound(1.0 - jitter).saturating_sub(rounding), bound(1.0 + jitter) + rounding)
    }

    fn see(&mut self, event: Event) {
        self.step(event);
    }

    /// Lets the policy see an event and does what it wants. Gives the wait that it asks for.
    fn step(&mut self, event: Event) -> Option<Duration> {
        let mut asked_wait = None;
        let before = self.children.clone();
        let asked_before = self.asked_to_stop.clone();
        let actions = self.node.step(self.now, event);
        let ended = match event {
            Event::Down(i, _) if i < before.len() => Some(i),
            _ => None,
        };
        for action in actions {
            match action {
                Action::Start(i) => {
                    assert_eq!(self.children[i], Seen::Down, "two incarnations of {i}");
                    self.children[i] = Seen::Starting;
                    let again = std::mem::replace(&mut self.started[i], true);
                    let temporary = self.policy.children[i].restart == RestartPolicy::Temporary;
                    assert!(!(again && temporary), "a temporary child is started once");
                    self.asked_to_stop[i] = false;
                    self.up_since[i] = None;
                    self.timers[i] = false;
                    self.down = false;
                    // Ordered start: under a group strategy one at a time, after those before it.
                    if self.policy.strategy != Restart::OneForOne || !self.up {
                        let starting =
                            self.children.iter().filter(|c| **c == Seen::Starting).count();
                        assert_eq!(starting, 1, "started at the same time");
                    }
                }
                Action::Stop(i, mode) => {
                    assert_ne!(self.children[i], Seen::Down, "stopped what is not there");
                    let goes_on = self.node.is_running() || self.node.is_starting();
                    if goes_on && event != Event::Restart(i) {
                        assert!(self.must_restart[i], "{i} is not concerned");
                    }
                    if mode != StopMode::Kill
                        && !self.asked_to_stop[i]
                        && event != Event::Restart(i)
                    {
                        // The last started first.
                        let before_it = |j: usize| !goes_on || self.must_restart[j];
                        for j in (i + 1..self.children.len()).filter(|&j| before_it(j)) {
                            assert_eq!(self.children[j], Seen::Down, "{i} stops before {j}");
                        }
                    }
                    self.asked_to_stop[i] = true;
                }
                Action::Timer(i, wait) => {
                    assert_eq!(Some(i), ended, "only who ended waits");
                    let longest = self.policy.children[i].backoff.max * 2;
                    assert!(wait <= longest, "{wait:?}");
                    self.timers[i] = true;
                    asked_wait = Some(wait);
                }
                Action::Finished(i) => {
                    assert_ne!(self.policy.children[i].restart, RestartPolicy::Permanent);
                    assert_eq!(self.children[i], Seen::Down);
                }
                Action::NodeUp => {
                    assert!(!self.up, "up twice");
                    self.up = true;
                    assert!(self.children.iter().all(|c| *c != Seen::Starting));
                }
                Action::NodeDown(cause) => {
                    self.up = false;
                    self.down = true;
                    self.failures.clear();
                    self.started.fill(false);
                    self.must_restart.fill(false);
                    self.attempts.fill(0);
                    self.up_since.fill(None);
                    assert!(self.children.iter().all(|c| *c == Seen::Down), "{cause:?}");
                    if let Some(i) = self.escalated.take() {
                        assert_eq!(cause, Cause::Escalated(i));
                    } else if let Cause::Escalated(i) = cause {
                        assert_ne!(self.policy.children[i].restart, RestartPolicy::Temporary);
                    }
                }
            }
        }
        self.check(event, &before, &asked_before);
        asked_wait
    }

    fn check(&self, event: Event, before: &[Seen], asked_before: &[bool]) {
        for (i, seen) in self.children.iter().enumerate() {
            assert_eq!(self.node.is_alive(i), *seen != Seen::Down, "child {i}");
        }
        // Alone, a failure is nobody else's business.
        if self.policy.strategy == Restart::OneForOne
            && self.node.is_running()
            && let Event::Down(i, _) = event
        {
            for j in (0..before.len()).filter(|&j| j != i) {
                if before[j] == Seen::Up {
                    assert_eq!(self.children[j], Seen::Up, "bystander {j} was touched");
                    assert_eq!(self.asked_to_stop[j], asked_before[j], "bystander {j} must stop");
                }
            }
        }
        let asked = |i: usize| self.asked_to_stop[i] && self.children[i] != Seen::Down;
        if (self.node.is_running() || self.node.is_starting()) && self.must_restart.contains(&true)
        {
            assert!((0..self.children.len()).any(asked), "a group is not restarted");
        }
        // Nothing is stuck: there is always something to wait for, unless all is well or over.
        let pending = self.children.contains(&Seen::Starting)
            || self.timers.iter().any(|timer| *timer)
            || self.asked_to_stop.iter().zip(&self.children).any(|(a, c)| *a && *c != Seen::Down);
        assert!(self.up || self.down || pending, "stuck");
        if self.up && !pending {
            for (i, child) in self.children.iter().enumerate() {
                assert!(*child == Seen::Up || self.node.is_finished(i), "child {i} was forgotten");
            }
        }
    }

    fn alive(&self, wanted: impl Fn(Seen) -> bool, pick: usize) -> Option<usize> {
        let all: Vec<usize> =
            (0..self.children.len()).filter(|&i| wanted(self.children[i])).collect();
        (!all.is_empty()).then(|| all[pick % all.len()])
    }
}

impl StateMachineTest for World {
    type SystemUnderTest = Self;
    type Reference = Reference;

    fn init_test(plan: &Plan) -> Self {
        let count = plan.policy.children.len();
        let mut world = Self {
            node: Node::new(plan.policy.clone()),
            policy: plan.policy.clone(),
            now: Duration::ZERO,
            children: vec![Seen::Down; count],
            asked_to_stop: vec![false; count],
            timers: vec![false; count],
            started: vec![false; count],
            failures: VecDeque::new(),
            up: false,
            down: true,
            must_restart: vec![false; count],
            attempts: vec![0; count],
            up_since: vec![None; count],
            escalated: None,
        };
        world.step(Event::Start);
        world
    }

    fn apply(mut world: Self, _: &Plan, deed: Deed) -> Self {
        match deed {
            Deed::Up(pick) => {
                if let Some(i) = world.alive(|c| c == Seen::Starting, pick) {
                    world.children[i] = Seen::Up;
                    world.up_since[i] = Some(world.now);
                    world.step(Event::Up(i));
                }
            }
            Deed::End(pick, kind) => {
                if let Some(i) = world.alive(|c| c != Seen::Down, pick) {
                    world.end(i, kind);
                }
            }
            Deed::Timer(pick) => {
                let due: Vec<usize> =
                    (0..world.timers.len()).filter(|&i| world.timers[i]).collect();
                if !due.is_empty() {
                    let i = due[pick % due.len()];
                    world.timers[i] = false;
                    world.step(Event::Timer(i));
                }
            }
            Deed::Replace(pick) => {
                if let Some(i) = world.alive(|c| c == Seen::Up, pick) {
                    world.step(Event::Restart(i));
                }
            }
            Deed::Escalate(pick) => {
                let i = pick % world.children.len();
                if world.node.is_running() || world.node.is_starting() {
                    world.escalated = Some(i);
                }
                world.step(Event::Escalate(i));
                assert!(!world.node.is_running() && !world.node.is_starting(), "it goes on");
            }
            Deed::Pass(ms) => world.now += Duration::from_millis(ms),
            Deed::Start => world.see(Event::Start),
            Deed::Stop(mode) => world.see(Event::Stop(mode)),
            Deed::Noise(i, what) => {
                // Late or misdirected, but never about a child that is really there.
                let gone = world.children.get(i).is_none_or(|c| *c == Seen::Down);
                match what % 3 {
                    0 if gone => world.see(Event::Up(i)),
                    1 if gone => world.see(Event::Down(i, ExitKind::Failed)),
                    2 if world.timers.get(i).is_none_or(|timer| !timer) => {
                        world.step(Event::Timer(i));
                    }
                    _ => {}
                }
            }
        }
        world
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_policy_keeps_its_rules_whatever_happens(sequential 1..80 => World);
}
