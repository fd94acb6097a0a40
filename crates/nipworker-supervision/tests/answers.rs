//! Answers that come later, over everything that can happen to the worker in between.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::dev::{MessageResponse, OneshotSender};
use common::*;
use tokio::sync::oneshot;

/// Answers with its incarnation when told to, from a task of the thread.
#[derive(Message)]
#[rtype(result = "u64")]
struct InTask(oneshot::Receiver<()>);

impl Handler<InTask> for Puppet {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, InTask(told): InTask, _: &mut Self::Context) -> Self::Result {
        let generation = self.generation;
        Box::pin(async move {
            told.await.ok();
            generation
        })
    }
}

/// Answers with its incarnation when told to, from a future of the actor.
#[derive(Message)]
#[rtype(result = "u64")]
struct InActor(oneshot::Receiver<()>);

impl Handler<InActor> for Puppet {
    type Result = ResponseActFuture<Self, u64>;

    fn handle(&mut self, InActor(told): InActor, _: &mut Self::Context) -> Self::Result {
        Box::pin(told.into_actor(self).map(|_, actor, _| actor.generation))
    }
}

/// Its task blocks the thread.
#[derive(Message)]
#[rtype(result = "u64")]
struct BlockInTask(Arc<Mutex<()>>);

impl Handler<BlockInTask> for Puppet {
    type Result = ResponseFuture<u64>;

    fn handle(&mut self, BlockInTask(gate): BlockInTask, _: &mut Self::Context) -> Self::Result {
        Box::pin(async move {
            drop(gate.lock());
            1
        })
    }
}

/// A response of the user's own, which blocks the thread.
struct SlowResponse(Arc<Mutex<()>>);

impl MessageResponse<Puppet, BlockInResponse> for SlowResponse {
    fn handle(self, _: &mut Context<Puppet>, reply: Option<OneshotSender<u64>>) {
        drop(self.0.lock());
        if let Some(reply) = reply {
            reply.send(1).ok();
        }
    }
}

#[derive(Message)]
#[rtype(result = "u64")]
struct BlockInResponse(Arc<Mutex<()>>);

impl Handler<BlockInResponse> for Puppet {
    type Result = SlowResponse;

    fn handle(&mut self, message: BlockInResponse, _: &mut Self::Context) -> SlowResponse {
        SlowResponse(message.0)
    }
}

fn start(spec: ChildSpec) -> SupervisorHandle {
    quiet_panics();
    Supervisor::builder("root").intensity(ENDLESS).child(spec).start_blocking().unwrap()
}

#[test]
fn a_stop_waits_for_the_answer_of_an_earlier_incarnation_and_is_woken_by_it() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = start(spec);
    let (tell, told) = oneshot::channel();
    let later = address.try_ask(InTask(told)).unwrap();
    assert!(block_on(address.ask(Poison)).is_err());
    assert_eq!(block_on(address.ask(Echo(1))), Ok((1, 2)));
    let stopper = stop_in_background(&handle);
    sealed(&address);
    tell.send(()).unwrap();
    assert_eq!(block_on(later), Ok(1));
    let report = stopper.join().unwrap();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_panic_during_a_stop_costs_no_answer_of_a_task() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = start(spec);
    let (tell, told) = oneshot::channel();
    let later = address.try_ask(InTask(told)).unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    address.try_send(Gate(gate.clone())).unwrap();
    let poison = address.try_ask(Poison).unwrap();
    let stopper = stop_in_background(&handle);
    sealed(&address);
    drop(closed);
    assert!(block_on(poison).is_err());
    tell.send(()).unwrap();
    assert_eq!(block_on(later), Ok(1));
    assert!(stopper.join().unwrap().is_clean());
}

#[test]
fn a_thread_that_hangs_after_its_actor_has_ended_leaves_no_asker_waiting() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let later = address.try_ask(BlockInTask(gate.clone())).unwrap();
    let quit = address.try_ask(Quit).unwrap();
    let handle = start(spec.restart(RestartPolicy::Temporary));
    assert_eq!(block_on(quit), Ok(()));
    assert!(matches!(block_on(later.timeout(LONG)), Err(AskError::Dropped { .. })));
    let report = handle.stop_blocking();
    assert_eq!(report.hung_threads, 1);
    drop(closed);
}

#[test]
fn a_response_that_hangs_is_answered_like_a_handler_that_does() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let limit = Duration::from_millis(100);
    let handle = start(spec.hang_limit(limit));
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let stuck = address.try_ask(BlockInResponse(gate.clone())).unwrap();
    assert_eq!(block_on(stuck.timeout(LONG)), Err(AskError::Hung { limit }));
    assert_eq!(block_on(address.ask(Echo(1))), Ok((1, 2)));
    drop(closed);
    handle.stop_blocking();
}

#[test]
fn a_kill_of_the_worker_is_the_reason_that_its_askers_get() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = start(spec);
    let (_tell, told) = oneshot::channel();
    let later = address.try_ask(InActor(told)).unwrap();
    block_on(address.ask(Echo(0))).unwrap();
    assert!(block_on(handle.kill_child("w")));
    assert_eq!(block_on(later), Err(AskError::Killed));
    handle.stop_blocking();
}

#[test]
fn a_kill_of_the_tree_fails_them_and_counts_them() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = start(spec);
    let ((_a, in_actor), (_b, in_task)) = (oneshot::channel(), oneshot::channel());
    let asks = (address.try_ask(InActor(in_actor)), address.try_ask(InTask(in_task)));
    block_on(address.ask(Echo(0))).unwrap();
    handle.kill();
    assert_eq!(block_on(asks.0.unwrap()), Err(AskError::Killed));
    assert_eq!(block_on(asks.1.unwrap()), Err(AskError::Killed));
    assert_eq!(handle.stop_blocking().dropped_messages, 2);
}

#[test]
fn a_panic_is_the_reason_that_the_askers_of_its_incarnation_get() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = start(spec);
    let (_tell, told) = oneshot::channel();
    let later = address.try_ask(InActor(told)).unwrap();
    assert!(block_on(address.ask(Poison)).is_err());
    let end = block_on(later).unwrap_err();
    assert!(end.to_string().contains("poison in w"), "{end}");
    handle.stop_blocking();
}

#[test]
fn a_worker_that_is_replaced_on_request_answers_first_what_it_owes() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = start(spec);
    let (tell, told) = oneshot::channel();
    let later = address.try_ask(InActor(told)).unwrap();
    block_on(address.ask(Echo(0))).unwrap();
    assert!(block_on(handle.restart_child("w")));
    let behind = address.try_ask(Echo(1)).unwrap();
    assert_eq!(handle.status().worker("w").unwrap().state, State::Stopping);
    tell.send(()).unwrap();
    assert_eq!(block_on(later), Ok(1));
    assert_eq!(block_on(behind), Ok((1, 2)));
    assert!(handle.stop_blocking().is_clean());
}

#[test]
fn a_worker_that_is_replaced_with_its_group_says_so_to_its_askers() {
    quiet_panics();
    let trace = Trace::new();
    let (a, a_spec) = Puppet::child("a", &trace);
    let (b, b_spec) = Puppet::child("b", &trace);
    let handle = Supervisor::builder("root")
        .strategy(Strategy::OneForAll)
        .child(a_spec)
        .child(b_spec)
        .start_blocking()
        .unwrap();
    let (_tell, told) = oneshot::channel();
    let later = a.try_ask(InActor(told)).unwrap();
    block_on(a.ask(Echo(0))).unwrap();
    assert!(block_on(b.ask(Poison)).is_err());
    let end = block_on(later).unwrap_err();
    assert!(end.to_string().contains("replaced"), "{end}");
    assert_eq!(block_on(a.ask(Echo(1))), Ok((1, 2)));
    handle.stop_blocking();
}

#[cfg(feature = "chaos")]
#[test]
fn a_lost_thread_leaves_no_asker_waiting() {
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle = start(spec);
    let ((_a, in_actor), (_b, in_task)) = (oneshot::channel(), oneshot::channel());
    let asks = (address.try_ask(InActor(in_actor)), address.try_ask(InTask(in_task)));
    block_on(address.ask(Echo(0))).unwrap();
    address.inject(Fault::KillThread).unwrap();
    assert!(
        block_on(asks.0.unwrap().timeout(LONG))
            .is_err_and(|e| e != AskError::Timeout { after: LONG })
    );
    assert!(
        block_on(asks.1.unwrap().timeout(LONG))
            .is_err_and(|e| e != AskError::Timeout { after: LONG })
    );
    assert_eq!(block_on(address.ask(Echo(1))), Ok((1, 2)));
    handle.stop_blocking();
}
