//! What a file with an actor needs: the parts of actix that work under supervision, and ours.
//!
//! `actix::prelude` has names of its own for some things that are different here (`Supervisor`,
//! `Recipient`, `SendError`); use this one instead.

pub use actix::fut::{ActorFutureExt, ActorStreamExt, WrapFuture, WrapStream};
pub use actix::{
    Actor, ActorContext, ActorState, AsyncContext, AtomicResponse, Context, ContextFutureSpawner,
    Handler, Message, MessageResult, ResponseActFuture, ResponseFuture, Running, SpawnHandle,
    StreamHandler,
};

pub use crate::{
    Address, Ask, AskError, Backoff, ChildSpec, Failure, Intensity, MailboxConfig, Recipient,
    Refused, RestartPolicy, SendError, Shutdown, StartContext, StartError, Strategy, Supervisor,
    SupervisorBuilder, SupervisorHandle, fatal,
};
