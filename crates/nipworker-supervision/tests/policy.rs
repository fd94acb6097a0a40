//! Decisions that deserve a test of their own beside the model.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use nipworker_supervision::policy::{
    Action, Backoff, Cause, ChildPolicy, Event, ExitKind, Intensity, Node, NodePolicy,
    RestartPolicy, StopMode, Strategy,
};

const ENDLESS: Intensity = Intensity { max_restarts: u32::MAX, within: Duration::from_secs(1) };
const NOW: Duration = Duration::ZERO;

fn node(strategy: Strategy, children: &[RestartPolicy], backoff: Backoff) -> Node {
    let children = children.iter().map(|&restart| ChildPolicy { restart, backoff }).collect();
    Node::new(NodePolicy { strategy, intensity: ENDLESS, children, seed: 1 })
}

fn started(strategy: Strategy, children: &[RestartPolicy]) -> Node {
    let mut node = node(strategy, children, Backoff::NONE);
    node.step(NOW, Event::Start);
    for i in 0..children.len() {
        node.step(NOW, Event::Up(i));
    }
    assert!(node.is_running());
    node
}

#[test]
fn a_wait_is_computed_from_any_figures() {
    let extremes = [0.0, 1.0, 2.0, -1.0, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let durations = [Duration::ZERO, Duration::from_nanos(1), Duration::MAX];
    for factor in extremes {
        for (min, max) in durations.iter().flat_map(|min| durations.map(|max| (*min, max))) {
            for jitter in extremes {
                let backoff = Backoff { min, max, factor, jitter, reset_after: Duration::MAX };
                for attempt in [0, 1, 2, 1026, u32::MAX] {
                    assert!(backoff.delay(attempt) <= max, "{backoff:?}, attempt {attempt}");
                }
                let mut node = node(Strategy::OneForOne, &[RestartPolicy::Permanent], backoff);
                node.step(NOW, Event::Start);
                for _ in 0..4 {
                    node.step(NOW, Event::Up(0));
                    node.step(NOW, Event::Down(0, ExitKind::Failed));
                    node.step(NOW, Event::Timer(0));
                }
                assert!(node.is_alive(0));
            }
        }
    }
    let nothing = Backoff { min: Duration::ZERO, ..Backoff::default() };
    assert_eq!(nothing.delay(1026), Duration::ZERO);
}

#[test]
fn a_transient_child_that_ends_before_its_turn_comes_back_with_its_group() {
    use RestartPolicy::{Permanent, Transient};
    let mut node = started(Strategy::OneForAll, &[Transient, Permanent, Permanent]);
    assert_eq!(node.step(NOW, Event::Down(1, ExitKind::Failed)), [Action::Stop(2, StopMode::Keep)]);
    assert_eq!(node.step(NOW, Event::Down(0, ExitKind::Normal)), []);
    assert_eq!(node.step(NOW, Event::Down(2, ExitKind::Normal)), [Action::Start(0)]);
}

#[test]
fn a_supervisor_that_is_down_says_nothing_to_a_stop() {
    let mut node = started(Strategy::OneForOne, &[RestartPolicy::Permanent]);
    node.step(NOW, Event::Stop(StopMode::Drain));
    let down = node.step(NOW, Event::Down(0, ExitKind::Normal));
    assert_eq!(down, [Action::NodeDown(Cause::Stopped)]);
    for mode in [StopMode::Keep, StopMode::Drain, StopMode::Kill] {
        assert_eq!(node.step(NOW, Event::Stop(mode)), []);
    }
    assert_eq!(node.step(NOW, Event::Start), [Action::Start(0)]);
}

#[test]
fn a_stop_for_good_reaches_a_child_that_is_being_replaced() {
    let mut node = started(Strategy::OneForOne, &[RestartPolicy::Permanent; 2]);
    assert_eq!(node.step(NOW, Event::Restart(0)), [Action::Stop(0, StopMode::Keep)]);
    assert_eq!(
        node.step(NOW, Event::Stop(StopMode::Drain)),
        [Action::Stop(0, StopMode::Drain), Action::Stop(1, StopMode::Drain)]
    );
    assert_eq!(node.step(NOW, Event::Down(0, ExitKind::Normal)), []);
    let down = node.step(NOW, Event::Down(1, ExitKind::Normal));
    assert_eq!(down, [Action::NodeDown(Cause::Stopped)]);
}

#[test]
fn a_stop_that_keeps_becomes_one_for_good() {
    let mut node = started(Strategy::OneForOne, &[RestartPolicy::Permanent; 2]);
    assert_eq!(node.step(NOW, Event::Stop(StopMode::Keep)), [Action::Stop(1, StopMode::Keep)]);
    assert_eq!(node.step(NOW, Event::Stop(StopMode::Drain)), [Action::Stop(1, StopMode::Drain)]);
    assert_eq!(
        node.step(NOW, Event::Down(1, ExitKind::Normal)),
        [Action::Stop(0, StopMode::Drain)]
    );
}

#[test]
fn rest_for_one_restarts_those_after_and_leaves_those_before() {
    let mut node = started(Strategy::RestForOne, &[RestartPolicy::Permanent; 3]);
    assert_eq!(node.step(NOW, Event::Down(1, ExitKind::Failed)), [Action::Stop(2, StopMode::Keep)]);
    assert_eq!(node.step(NOW, Event::Down(2, ExitKind::Normal)), [Action::Start(1)]);
    assert_eq!(node.step(NOW, Event::Up(1)), [Action::Start(2)]);
    assert_eq!(node.step(NOW, Event::Up(2)), []);
}
