//! A million questions, a thousand of them poison: nothing lost, doubled or reordered.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::*;
use futures::StreamExt;
use futures::stream::FuturesOrdered;

const QUESTIONS: u64 = 1_000_000;
const POISON_EVERY: u64 = 1000;

struct Worker {
    trace: Arc<Trace>,
    last: Arc<AtomicU64>,
    generation: u64,
}

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.trace.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Message)]
#[rtype(result = "(u64, u64)")]
struct Question(u64);

impl Handler<Question> for Worker {
    type Result = MessageResult<Question>;

    fn handle(&mut self, Question(n): Question, _: &mut Self::Context) -> Self::Result {
        self.trace.handled.fetch_add(1, Ordering::Relaxed);
        // The numbers come in order and without gaps, also across incarnations.
        let expected = self.last.fetch_add(1, Ordering::Relaxed);
        if n != expected {
            self.trace.note(format!("{n} instead of {expected}"));
        }
        if n % POISON_EVERY == POISON_EVERY / 2 {
            panic!("poison {n}");
        }
        MessageResult((n, self.generation))
    }
}

#[test]
fn of_a_million_questions_with_a_thousand_poisonous_ones_none_is_lost_doubled_or_reordered() {
    quiet_panics();
    let (trace, last) = (Trace::new(), Arc::new(AtomicU64::new(0)));
    let address = Address::new("million", MailboxConfig::default());
    let (for_worker, for_last) = (trace.clone(), last.clone());
    let spec = ChildSpec::new(address.clone(), move |start: &StartContext| {
        let alive = for_worker.alive.fetch_add(1, Ordering::SeqCst) + 1;
        for_worker.max_alive.fetch_max(alive, Ordering::SeqCst);
        Ok::<_, std::convert::Infallible>(Worker {
            trace: for_worker.clone(),
            last: for_last.clone(),
            generation: start.generation,
        })
    })
    .backoff(Backoff::NONE);
    let handle =
        Supervisor::builder("root").intensity(ENDLESS).child(spec).start_blocking().unwrap();

    let (mut results, mut failures, mut generation) = (0_u64, 0_u64, 0_u64);
    block_on(async {
        let mut flight = FuturesOrdered::new();
        let mut next = 0;
        for answered in 0..QUESTIONS {
            while next < QUESTIONS && flight.len() < 256 {
                // Sent here and now, so that the order of sending is the order of the numbers.
                flight.push_back(address.try_ask(Question(next)).unwrap());
                next += 1;
            }
            match flight.next().await.unwrap() {
                Ok((n, by)) => {
                    assert_eq!(n, answered, "an answer to another question");
                    assert!(by >= generation, "an older incarnation answered after a newer one");
                    generation = by;
                    results += 1;
                }
                Err(AskError::Panicked { message, place }) => {
                    assert_eq!(message, format!("poison {answered}"));
                    assert!(place.unwrap().contains("million.rs:"));
                    failures += 1;
                }
                Err(other) => panic!("{answered}: {other}"),
            }
        }
    });

    assert_eq!(failures, QUESTIONS / POISON_EVERY);
    assert_eq!(results, QUESTIONS - failures);
    assert_eq!(trace.handled.load(Ordering::SeqCst), QUESTIONS, "each handled exactly once");
    assert_eq!(trace.log(), Vec::<String>::new(), "handled in the order of sending");
    assert_eq!(trace.max_alive.load(Ordering::SeqCst), 1, "never two incarnations at once");

    let status = handle.status();
    let worker = status.worker("million").unwrap();
    assert_eq!((worker.handled, worker.failed), (results, failures));
    assert_eq!((worker.panics, worker.mailbox.depth), (failures, 0));
    assert!(worker.last_failure.as_ref().unwrap().message.contains("poison"));
    assert!(handle.stop_blocking().is_clean());
    assert_eq!(trace.alive.load(Ordering::SeqCst), 0);
}
