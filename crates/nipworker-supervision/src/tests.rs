//! Properties that need a look inside.

use std::task::{Context as TaskContext, Poll, Waker};

use actix::{Actor, Context, Handler, Message};

use crate::behind::Behind;
use crate::{Address, AskError, MailboxConfig};

struct Nobody;

impl Actor for Nobody {
    type Context = Context<Self>;
}

struct Question;

impl Message for Question {
    type Result = u32;
}

impl Handler<Question> for Nobody {
    type Result = u32;

    fn handle(&mut self, _: Question, _: &mut Context<Self>) -> u32 {
        1
    }
}

fn dropped() -> AskError {
    AskError::Dropped { reason: "test".to_owned() }
}

#[test]
fn no_reason_is_left_behind_whoever_goes_first() {
    let address: Address<Nobody> = Address::new("a", MailboxConfig::default());
    let mut cx = TaskContext::from_waker(Waker::noop());

    // The asker waits and takes the reason.
    let mut waiting = Box::pin(address.ask(Question));
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    address.inner.close(dropped()).drop_here();
    assert_eq!(address.inner.ledger.reasons_kept(), 1);
    assert_eq!(waiting.as_mut().poll(&mut cx), Poll::Ready(Err(dropped())));
    assert_eq!(address.inner.ledger.reasons_kept(), 0);

    // The asker goes before the failure.
    address.inner.open();
    drop(address.try_ask(Question));
    address.inner.close(dropped()).drop_here();
    assert_eq!(address.inner.ledger.reasons_kept(), 0);

    // The asker goes after the failure, without having looked.
    address.inner.open();
    let ask = address.try_ask(Question);
    address.inner.close(dropped()).drop_here();
    assert_eq!(address.inner.ledger.reasons_kept(), 1);
    drop(ask);
    assert_eq!(address.inner.ledger.reasons_kept(), 0);
}
