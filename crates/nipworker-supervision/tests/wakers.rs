//! Wakers are foreign code: whose ever panics, it harms nobody else.
#![allow(clippy::unwrap_used)]

mod common;

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Wake, Waker};

use common::*;

struct Bad;

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        panic!("injected: a waker that panics");
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_senders_waker_that_panics_in_a_stop_harms_neither_the_next_sender_nor_the_stop() {
    quiet_panics();
    let trace = Trace::new();
    let config = MailboxConfig { capacity: 1, control_capacity: 1 };
    let (address, spec) = Puppet::child_with("w", &trace, config);
    let handle = Supervisor::builder("root").child(spec).start_blocking().unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    address.try_send(Gate(gate.clone())).unwrap();
    eventually("it is full", || address.try_send(Echo(0)).is_err());
    let flag = Arc::new(Flag::default());
    let wakers = [Waker::from(Arc::new(Bad)), Waker::from(flag.clone())];
    let mut sends = [Box::pin(address.send(Echo(1))), Box::pin(address.send(Echo(2)))];
    for (send, waker) in sends.iter_mut().zip(&wakers) {
        assert!(send.as_mut().poll(&mut TaskContext::from_waker(waker)).is_pending());
    }
    let stopper = stop_in_background(&handle);
    eventually("the second sender is woken", || flag.0.load(Ordering::SeqCst));
    drop(closed);
    stopper.join().unwrap();
    assert_eq!(handle.wait_blocking(), Exit::Stopped);
}

#[test]
fn a_subscribers_waker_that_panics_ends_no_tree() {
    quiet_panics();
    let trace = Trace::new();
    let (address, spec) = Puppet::child("w", &trace);
    let handle =
        Supervisor::builder("root").intensity(ENDLESS).child(spec).start_blocking().unwrap();
    let mut events = handle.events();
    let mut next = Box::pin(events.next());
    let bad = Waker::from(Arc::new(Bad));
    let mut cx = TaskContext::from_waker(&bad);
    assert!(next.as_mut().poll(&mut cx).is_pending());
    assert!(block_on(address.ask(Poison)).is_err());
    assert_eq!(block_on(address.ask(Echo(1))), Ok((1, 2)));
    assert!(handle.stop_blocking().is_clean());
    assert_eq!(handle.wait_blocking(), Exit::Stopped);
}
