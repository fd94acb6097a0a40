//! Rules that one thread can see; the concurrent ones are proved in `tests/loom.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::{Mailbox, Next, Outcome, PushError, Ticket};

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Takes and finishes one message.
fn take(mailbox: &Mailbox<u32>, generation: u64) -> Option<u32> {
    match mailbox.poll_next(generation, &mut noop()) {
        Poll::Ready(Next::Message(taken)) => drop(taken),
        _ => return None,
    }
    mailbox.disarm(generation, Outcome::Handled)
}

#[test]
fn messages_come_out_in_order_and_control_messages_first() {
    let mailbox = Mailbox::new(1000, 4);
    let generation = mailbox.fence().generation;
    for n in 0..200 {
        mailbox.try_push(n).unwrap();
    }
    // In the middle of a batch.
    assert_eq!(take(&mailbox, generation), Some(0));
    mailbox.try_push_control(1000).unwrap();
    mailbox.try_push_control(1001).unwrap();
    let rest: Vec<u32> = std::iter::from_fn(|| take(&mailbox, generation)).collect();
    let expected: Vec<u32> = [1000, 1001].into_iter().chain(1..200).collect();
    assert_eq!(rest, expected);
    assert_eq!((mailbox.depth(), mailbox.counters().handled), (0, 202));
}

#[test]
fn the_capacity_holds_for_all_and_room_comes_back_per_batch() {
    for capacity in [1, 2, 3, 4, 7, 64, 1000] {
        let mailbox = Mailbox::new(capacity, 1);
        let generation = mailbox.fence().generation;
        let fill = || (0..).take_while(|_| mailbox.try_push(0).is_ok()).count();
        assert_eq!(fill(), capacity);
        assert_eq!(mailbox.counters().high_water, capacity as u64);
        assert_eq!(mailbox.counters().rejected_full, 1);
        while take(&mailbox, generation).is_some() {}
        assert_eq!(fill(), capacity, "all room is back");
        // The control lane has its own.
        mailbox.try_push_control(1).unwrap();
        assert!(matches!(mailbox.try_push_control(2), Err(PushError::Full(2))));
    }
}

#[test]
fn a_capacity_of_zero_is_one() {
    let mailbox = Mailbox::new(0, 0);
    assert_eq!((mailbox.capacity(), mailbox.control_capacity()), (1, 1));
    mailbox.try_push(1).unwrap();
}

#[test]
fn waiting_senders_get_room_in_the_order_in_which_they_came() {
    let mailbox = Mailbox::new(1, 1);
    let generation = mailbox.fence().generation;
    mailbox.try_push(0).unwrap();
    let wakes: Vec<_> = (0..3).map(|_| Arc::new(Wakes::default())).collect();
    let wakers: Vec<_> = wakes.iter().map(|wakes| Waker::from(wakes.clone())).collect();
    let mut tickets: Vec<_> = (0..3).map(|_| Ticket::new()).collect();
    let mut letters: Vec<_> = (1..4).map(Some).collect();
    let mut poll = |i: usize, tickets: &mut Vec<Ticket>| {
        let mut cx = Context::from_waker(&wakers[i]);
        mailbox.poll_push(&mut tickets[i], &mut letters[i], &mut cx)
    };
    for i in 0..3 {
        assert!(poll(i, &mut tickets).is_pending());
        assert!(tickets[i].is_waiting());
    }
    assert_eq!(take(&mailbox, generation), Some(0));
    assert_eq!(take(&mailbox, generation), None, "comes for the next batch");
    assert_eq!(wakes.iter().map(|w| w.count()).collect::<Vec<_>>(), [1, 0, 0]);
    // The room is promised: neither a newcomer nor the next in line gets it.
    assert!(mailbox.try_push(9).is_err());
    assert!(poll(1, &mut tickets).is_pending());
    // The first gives up after it was woken; the second is woken in its place.
    mailbox.leave(&mut tickets[0]);
    assert_eq!(wakes.iter().map(|w| w.count()).collect::<Vec<_>>(), [1, 1, 0]);
    assert_eq!(poll(1, &mut tickets), Poll::Ready(Ok(())));
    assert_eq!(take(&mailbox, generation), Some(2));
    // A sender that leaves without having been woken costs nobody anything.
    mailbox.leave(&mut tickets[2]);
    assert_eq!(take(&mailbox, generation), None);
    assert_eq!(wakes[2].count(), 0);
    mailbox.try_push(5).unwrap();
}

#[test]
fn a_parked_consumer_is_woken_once_per_park() {
    let mailbox = Mailbox::new(10, 1);
    let generation = mailbox.fence().generation;
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(mailbox.poll_next(generation, &mut cx).is_pending());
    mailbox.try_push(1).unwrap();
    mailbox.try_push(2).unwrap();
    assert_eq!(wakes.count(), 1);
    assert_eq!((take(&mailbox, generation), take(&mailbox, generation)), (Some(1), Some(2)));
    assert!(mailbox.poll_next(generation, &mut cx).is_pending());
    mailbox.try_push_control(3).unwrap();
    assert_eq!(wakes.count(), 2);
}

#[test]
fn a_fence_hands_out_what_is_in_hand_and_keeps_what_is_queued() {
    let mailbox = Mailbox::new(100, 1);
    let first = mailbox.fence().generation;
    for n in 0..10 {
        mailbox.try_push(n).unwrap();
    }
    assert_eq!(take(&mailbox, first), Some(0));
    let Poll::Ready(Next::Message(mut taken)) = mailbox.poll_next(first, &mut noop()) else {
        panic!("there is a message");
    };
    *taken.envelope_mut() += 100;
    drop(taken);
    assert_eq!(mailbox.busy_token() % 2, 1);
    let fence = mailbox.fence();
    assert_eq!(fence.in_hand, Some(101));
    assert_eq!(mailbox.busy_token() % 2, 0);
    assert_eq!(mailbox.disarm(first, Outcome::Handled), None);
    assert!(matches!(mailbox.poll_next(first, &mut noop()), Poll::Ready(Next::Fenced)));
    let rest: Vec<u32> = std::iter::from_fn(|| take(&mailbox, fence.generation)).collect();
    assert_eq!(rest, [2, 3, 4, 5, 6, 7, 8, 9]);
    let counters = mailbox.counters();
    assert_eq!((counters.handled, counters.failed), (9, 1));
}

#[test]
fn a_consumer_that_has_moved_on_is_not_fenced_as_stuck() {
    let mailbox = Mailbox::new(10, 1);
    let generation = mailbox.fence().generation;
    mailbox.try_push(1).unwrap();
    mailbox.try_push(2).unwrap();
    let Poll::Ready(Next::Message(taken)) = mailbox.poll_next(generation, &mut noop()) else {
        panic!("there is a message");
    };
    drop(taken);
    let token = mailbox.busy_token();
    assert_eq!(mailbox.disarm(generation, Outcome::Handled), Some(1));
    assert!(mailbox.fence_if_stuck(token).is_none());
    assert_eq!(take(&mailbox, generation), Some(2));
}

#[test]
fn sealed_drains_closed_empties_and_reopened_accepts() {
    let mailbox = Mailbox::new(10, 2);
    let generation = mailbox.fence().generation;
    mailbox.try_push(1).unwrap();
    mailbox.seal();
    assert!(!mailbox.is_open());
    assert!(matches!(mailbox.try_push(2), Err(PushError::Closed(2))));
    assert!(matches!(mailbox.try_push_control(2), Err(PushError::Closed(2))));
    assert_eq!(take(&mailbox, generation), Some(1));
    assert!(matches!(mailbox.poll_next(generation, &mut noop()), Poll::Ready(Next::Drained)));

    mailbox.reopen();
    for n in 0..8 {
        mailbox.try_push(n).unwrap();
    }
    mailbox.try_push_control(9).unwrap();
    assert_eq!(take(&mailbox, generation), Some(9));
    assert_eq!(take(&mailbox, generation), Some(0));
    mailbox.try_push_control(10).unwrap();
    assert_eq!(mailbox.close(), [10, 1, 2, 3, 4, 5, 6, 7], "half a batch was with the consumer");
    assert_eq!((mailbox.depth(), mailbox.counters().discarded), (0, 8));
    assert!(matches!(mailbox.poll_next(generation, &mut noop()), Poll::Ready(Next::Drained)));

    // Someone who waited before the close gets a new place after the reopening.
    mailbox.reopen();
    let fill = (0..).take_while(|_| mailbox.try_push(0).is_ok()).count();
    assert_eq!(fill, 10);
}

struct BadWaker;

impl Wake for BadWaker {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

#[test]
fn a_waker_that_panics_keeps_nobody_behind_it_from_being_woken() {
    let bad = Waker::from(Arc::new(BadWaker));
    type Deed = fn(&Mailbox<u32>, u64);
    let deeds: [Deed; 3] = [
        |mailbox, _| mailbox.seal(),
        |mailbox, _| drop(mailbox.close()),
        |mailbox, generation| while take(mailbox, generation).is_some() {},
    ];
    for deed in deeds {
        let mailbox = Mailbox::new(2, 1);
        let generation = mailbox.fence().generation;
        mailbox.try_push(0).unwrap();
        mailbox.try_push(0).unwrap();
        let wakes = Arc::new(Wakes::default());
        let good = Waker::from(wakes.clone());
        let mut waiting = [(Ticket::new(), Some(1)), (Ticket::new(), Some(2))];
        for ((ticket, message), waker) in waiting.iter_mut().zip([&bad, &good]) {
            let mut cx = Context::from_waker(waker);
            assert!(mailbox.poll_push(ticket, message, &mut cx).is_pending());
        }
        deed(&mailbox, generation);
        assert_eq!(wakes.count(), 1, "the second sender is woken");
        for (ticket, message) in &mut waiting {
            assert!(mailbox.poll_push(ticket, message, &mut noop()).is_ready());
        }
    }

    // The consumer's own waker: whoever sends is not to suffer from it.
    let mailbox = Mailbox::new(2, 1);
    let generation = mailbox.fence().generation;
    let mut cx = Context::from_waker(&bad);
    assert!(mailbox.poll_next(generation, &mut cx).is_pending());
    assert_eq!(mailbox.try_push(1), Ok(()));
    assert!(mailbox.poll_next(generation, &mut cx).is_ready());
}

/// Looks at the mailbox when it is dropped, which takes its lock.
struct Nosy(Arc<Mailbox<u32>>);

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Nosy {
    fn drop(&mut self) {
        assert!(self.0.is_open());
    }
}

#[test]
fn a_waiting_senders_old_waker_is_dropped_without_the_lock() {
    let (tx, rx) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mailbox = Arc::new(Mailbox::new(1, 1));
        mailbox.try_push(0).unwrap();
        let (mut ticket, mut message) = (Ticket::new(), Some(1));
        let nosy = Waker::from(Arc::new(Nosy(mailbox.clone())));
        let mut cx = Context::from_waker(&nosy);
        assert!(mailbox.poll_push(&mut ticket, &mut message, &mut cx).is_pending());
        drop(nosy);
        assert!(mailbox.poll_push(&mut ticket, &mut message, &mut noop()).is_pending());
        tx.send(()).unwrap();
    });
    let minute = std::time::Duration::from_secs(60);
    assert!(rx.recv_timeout(minute).is_ok(), "deadlock in the waker's drop");
}
