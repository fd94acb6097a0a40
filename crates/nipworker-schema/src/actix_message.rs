//! With the feature `actix`: each edge can be sent to an actor and comes back as its answer.

use actix::{
    Actor, Message,
    dev::{MessageResponse, OneshotSender},
};

use crate::{CacheEdge, ClientEdge, CryptoEdge, IngestEdge, MinerEdge, RelayEdge};

macro_rules! actix_message {
    ($($edge:ident),+ $(,)?) => {$(
        impl Message for $edge {
            type Result = Self;
        }

        impl<A, M> MessageResponse<A, M> for $edge
        where
            A: Actor,
            M: Message<Result = Self>,
        {
            fn handle(self, _context: &mut A::Context, sender: Option<OneshotSender<Self>>) {
                if let Some(sender) = sender {
                    // Nobody waits any more: then nobody misses the answer.
                    drop(sender.send(self));
                }
            }
        }
    )+};
}

actix_message!(CacheEdge, ClientEdge, CryptoEdge, IngestEdge, MinerEdge, RelayEdge);
