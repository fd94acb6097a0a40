//! Every interleaving of the mailbox's parties, by loom.
//!
//! Run with
//! `RUSTFLAGS="--cfg loom" cargo test -p nipworker-mailbox --test loom --release --target-dir target/loom`.
//! Without `--cfg loom` this file is empty.
#![cfg(loom)]
#![allow(clippy::unwrap_used)]

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use nipworker_mailbox::{Mailbox, Next, Outcome, PushError, Ticket};

/// A message whose sender counts the answers it gets.
struct Letter {
    answers: Arc<AtomicUsize>,
}

impl Letter {
    fn new(answers: &Arc<AtomicUsize>) -> Self {
        Self { answers: answers.clone() }
    }

    fn answer(self) {
        self.answers.fetch_add(1, Ordering::SeqCst);
    }
}

fn model(preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

/// Takes one message and answers it, as a consumer does. False when there is nothing for it.
fn work(mailbox: &Mailbox<Letter>, generation: u64, between: impl FnOnce()) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    match mailbox.poll_next(generation, &mut cx) {
        Poll::Ready(Next::Message(taken)) => {
            let in_hand = taken.envelope().answers.clone();
            drop(taken);
            between();
            if let Some(letter) = mailbox.disarm(generation, Outcome::Handled) {
                assert!(Arc::ptr_eq(&letter.answers, &in_hand), "another generation's message");
                letter.answer();
            }
            true
        }
        _ => false,
    }
}

#[test]
fn a_fence_at_any_moment_leaves_each_sender_with_exactly_one_answer() {
    model(5, || {
        let mailbox = Arc::new(Mailbox::new(4, 1));
        let answers = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        let first = mailbox.fence().generation;
        mailbox.try_push(Letter::new(&answers[0])).unwrap();

        let consumer = {
            let mailbox = mailbox.clone();
            thread::spawn(move || while work(&mailbox, first, || ()) {})
        };
        let producer = {
            let (mailbox, letter) = (mailbox.clone(), Letter::new(&answers[1]));
            thread::spawn(move || mailbox.try_push(letter).unwrap())
        };
        // The supervisor takes over while both are at it.
        let fence = mailbox.fence();
        if let Some(letter) = fence.in_hand {
            letter.answer();
        }
        while work(&mailbox, fence.generation, || ()) {}
        producer.join().unwrap();
        while work(&mailbox, fence.generation, || ()) {}
        consumer.join().unwrap();
        for count in &answers {
            assert_eq!(count.load(Ordering::SeqCst), 1);
        }
        let counters = mailbox.counters();
        assert_eq!(counters.accepted, 2);
        assert_eq!(counters.handled + counters.failed, 2);
    });
}

#[test]
fn a_hang_is_decided_by_the_fence_or_by_completion_never_by_both() {
    model(6, || {
        let mailbox = Arc::new(Mailbox::new(4, 1));
        let answers = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        let first = mailbox.fence().generation;
        for count in &answers {
            mailbox.try_push(Letter::new(count)).unwrap();
        }
        let consumer = {
            let mailbox = mailbox.clone();
            thread::spawn(move || while work(&mailbox, first, thread::yield_now) {})
        };
        // The monitor has seen this token for too long.
        let token = mailbox.busy_token();
        thread::yield_now();
        let mut generation = first;
        if let Some(fence) = mailbox.fence_if_stuck(token) {
            // Same token, so what is in hand now is what was in hand when it was read.
            assert_eq!(fence.in_hand.is_some(), token % 2 == 1);
            generation = fence.generation;
            if let Some(letter) = fence.in_hand {
                letter.answer();
            }
        }
        consumer.join().unwrap();
        while work(&mailbox, generation, || ()) {}
        for count in &answers {
            assert_eq!(count.load(Ordering::SeqCst), 1);
        }
        assert_eq!(mailbox.busy_token() % 2, 0);
    });
}

/// Waits for a message and answers it; `None` when the mailbox is drained.
fn wait_and_work(mailbox: &Mailbox<Letter>, generation: u64) -> Option<()> {
    block_on(poll_fn(|cx| match mailbox.poll_next(generation, cx) {
        Poll::Ready(Next::Message(taken)) => {
            drop(taken);
            mailbox.disarm(generation, Outcome::Handled).unwrap().answer();
            Poll::Ready(Some(()))
        }
        Poll::Ready(Next::Drained) => Poll::Ready(None),
        Poll::Ready(Next::Fenced) => unreachable!("nobody fences here"),
        Poll::Pending => Poll::Pending,
    }))
}

#[test]
fn a_consumer_that_waits_is_woken_by_either_lane() {
    model(5, || {
        let mailbox = Arc::new(Mailbox::new(2, 1));
        let count = Arc::new(AtomicUsize::new(0));
        let generation = mailbox.fence().generation;
        let (ordinary, urgent) = (mailbox.clone(), mailbox.clone());
        let (a, b) = (Letter::new(&count), Letter::new(&count));
        let one = thread::spawn(move || ordinary.try_push(a).unwrap());
        let two = thread::spawn(move || urgent.try_push_control(b).unwrap());
        // A lost wake-up is a deadlock, which loom reports.
        wait_and_work(&mailbox, generation).unwrap();
        wait_and_work(&mailbox, generation).unwrap();
        one.join().unwrap();
        two.join().unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_sender_that_waits_for_room_gets_it() {
    model(5, || {
        let mailbox = Arc::new(Mailbox::new(1, 1));
        let count = Arc::new(AtomicUsize::new(0));
        let generation = mailbox.fence().generation;
        mailbox.try_push(Letter::new(&count)).unwrap();
        let sender = {
            let (mailbox, letter) = (mailbox.clone(), Letter::new(&count));
            thread::spawn(move || {
                let (mut ticket, mut letter) = (Ticket::new(), Some(letter));
                block_on(poll_fn(|cx| mailbox.poll_push(&mut ticket, &mut letter, cx))).unwrap();
            })
        };
        wait_and_work(&mailbox, generation).unwrap();
        wait_and_work(&mailbox, generation).unwrap();
        sender.join().unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_waiting_sender_that_gives_up_passes_its_room_on() {
    model(5, || {
        let mailbox = Arc::new(Mailbox::new(1, 1));
        let count = Arc::new(AtomicUsize::new(0));
        let generation = mailbox.fence().generation;
        mailbox.try_push(Letter::new(&count)).unwrap();

        // First in line; gives up at any moment, also just after it was given room.
        let (mut ticket, mut letter) = (Ticket::new(), Some(Letter::new(&count)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(mailbox.poll_push(&mut ticket, &mut letter, &mut cx).is_pending());

        let consumer = {
            let mailbox = mailbox.clone();
            thread::spawn(move || {
                wait_and_work(&mailbox, generation).unwrap();
                wait_and_work(&mailbox, generation).unwrap();
            })
        };
        let second = {
            let (mailbox, letter) = (mailbox.clone(), Letter::new(&count));
            thread::spawn(move || {
                let (mut ticket, mut letter) = (Ticket::new(), Some(letter));
                block_on(poll_fn(|cx| mailbox.poll_push(&mut ticket, &mut letter, cx))).unwrap();
            })
        };
        mailbox.leave(&mut ticket);
        second.join().unwrap();
        consumer.join().unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 2);
        // The room of the last batch is given back when the consumer comes for the next.
        assert!(!work(&mailbox, generation, || ()));
        assert!(mailbox.try_push(Letter::new(&count)).is_ok(), "no room has leaked");
    });
}

#[test]
fn sealing_lets_go_of_senders_and_closing_answers_the_rest_once() {
    model(5, || {
        let mailbox = Arc::new(Mailbox::new(1, 1));
        let count = Arc::new(AtomicUsize::new(0));
        let generation = mailbox.fence().generation;
        mailbox.try_push(Letter::new(&count)).unwrap();
        let sender = {
            let (mailbox, letter) = (mailbox.clone(), Letter::new(&count));
            thread::spawn(move || {
                let (mut ticket, mut letter) = (Ticket::new(), Some(letter));
                let sent = block_on(poll_fn(|cx| mailbox.poll_push(&mut ticket, &mut letter, cx)));
                assert_eq!(sent.is_err(), letter.is_some());
                usize::from(sent.is_ok())
            })
        };
        let consumer = {
            let mailbox = mailbox.clone();
            // Ends: after sealing there is always either a message or `Drained`.
            thread::spawn(move || while wait_and_work(&mailbox, generation).is_some() {})
        };
        mailbox.seal();
        for letter in mailbox.close() {
            letter.answer();
        }
        let accepted = 1 + sender.join().unwrap();
        consumer.join().unwrap();
        assert_eq!(count.load(Ordering::SeqCst), accepted);
        assert!(matches!(mailbox.try_push(Letter::new(&count)), Err(PushError::Closed(_))));
    });
}

#[test]
fn a_fence_takes_no_room_from_a_sender_that_waits() {
    model(4, || {
        let mailbox = Arc::new(Mailbox::new(1, 1));
        let count = Arc::new(AtomicUsize::new(0));
        let first = mailbox.fence().generation;
        mailbox.try_push(Letter::new(&count)).unwrap();
        let sender = {
            let (mailbox, letter) = (mailbox.clone(), Letter::new(&count));
            thread::spawn(move || {
                let (mut ticket, mut letter) = (Ticket::new(), Some(letter));
                block_on(poll_fn(|cx| mailbox.poll_push(&mut ticket, &mut letter, cx))).unwrap();
            })
        };
        let consumer = {
            let mailbox = mailbox.clone();
            thread::spawn(move || while work(&mailbox, first, || ()) {})
        };
        // Also while the batch that holds the room is with the old consumer.
        let fence = mailbox.fence();
        let mut left = 2;
        if let Some(letter) = fence.in_hand {
            letter.answer();
        }
        consumer.join().unwrap();
        left -= count.load(Ordering::SeqCst);
        for _ in 0..left {
            wait_and_work(&mailbox, fence.generation).unwrap();
        }
        if left == 0 {
            // The room of the last batch is given back when the next consumer comes.
            assert!(!work(&mailbox, fence.generation, || ()));
        }
        sender.join().unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_fence_and_a_close_answer_everybody_once_between_them() {
    model(4, || {
        let mailbox = Arc::new(Mailbox::new(4, 1));
        let answers = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        let first = mailbox.fence().generation;
        for count in &answers {
            mailbox.try_push(Letter::new(count)).unwrap();
        }
        let consumer = {
            let mailbox = mailbox.clone();
            thread::spawn(move || while work(&mailbox, first, || ()) {})
        };
        let closer = {
            let mailbox = mailbox.clone();
            thread::spawn(move || mailbox.close().into_iter().for_each(Letter::answer))
        };
        mailbox.fence().in_hand.into_iter().for_each(Letter::answer);
        closer.join().unwrap();
        consumer.join().unwrap();
        for count in &answers {
            assert_eq!(count.load(Ordering::SeqCst), 1);
        }
        assert_eq!(mailbox.depth(), 0);
    });
}

#[test]
fn a_control_message_survives_a_fence_like_any_other() {
    model(4, || {
        let mailbox = Arc::new(Mailbox::new(2, 1));
        let answers = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        let first = mailbox.fence().generation;
        mailbox.try_push(Letter::new(&answers[0])).unwrap();
        let consumer = {
            let mailbox = mailbox.clone();
            thread::spawn(move || while work(&mailbox, first, || ()) {})
        };
        let controller = {
            let (mailbox, letter) = (mailbox.clone(), Letter::new(&answers[1]));
            thread::spawn(move || mailbox.try_push_control(letter).unwrap())
        };
        let fence = mailbox.fence();
        fence.in_hand.into_iter().for_each(Letter::answer);
        controller.join().unwrap();
        consumer.join().unwrap();
        while work(&mailbox, fence.generation, || ()) {}
        for count in &answers {
            assert_eq!(count.load(Ordering::SeqCst), 1);
        }
        assert!(mailbox.try_push_control(Letter::new(&answers[1])).is_ok(), "its room is free");
    });
}
