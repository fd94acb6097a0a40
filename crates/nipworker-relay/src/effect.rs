//! What the owner of the sockets is asked to do, and what it gets to tell others.

use std::{sync::Arc, time::Duration};

use nipworker_protocol::{AuthProblem, PublicKey, RelayUrl, StoredHint, Tag};
use nipworker_transport::{CloseFrame, ConnectOptions, InformationOptions, Outgoing};
use serde::{Deserialize, Serialize};

use crate::{Reconciled, RelayLimits, book::Told};

/// The time, given with each input. It never runs backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Time since a fixed start that all pools of one book share.
    pub monotonic: Duration,
    /// Wall clock, unix seconds: `since` of a subscription that is asked again.
    pub unix: i64,
}

/// Names one attempt to connect and the connection that comes of it; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

/// Names one [`Effect::Deliver`]; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub(crate) u64);

/// Names one publish; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishId(pub(crate) u64);

/// Names one reconciliation; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReconcileId(pub(crate) u64);

/// Names one [`Effect::Sign`]; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignId(pub(crate) u64);

/// What is to be signed; who holds the key adds its public half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignTemplate {
    /// Unix seconds.
    pub created_at: i64,
    /// Kind number.
    pub kind: u16,
    /// Tags.
    pub tags: Vec<Tag>,
    /// Text.
    pub content: String,
}

/// Why there is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignFailure {
    /// The reason.
    pub problem: AuthProblem,
    /// Whether the same question may be answered in a moment.
    pub is_transient: bool,
}

impl SignFailure {
    pub(crate) fn lasting(problem: AuthProblem) -> Self {
        Self { problem, is_transient: false }
    }
}

/// Something to be done. Effects of one relay are in order.
#[derive(Debug)]
pub enum Effect {
    /// Dial and report by [`dialled`](crate::RelayPool::dialled).
    Dial {
        /// Whom.
        relay: RelayUrl,
        /// The attempt.
        connection: ConnectionId,
        /// Limits of the connection.
        options: ConnectOptions,
    },
    /// Send, in the order of the effects, and report by
    /// [`written`](crate::RelayPool::written).
    Send {
        /// To whom.
        relay: RelayUrl,
        /// On which connection.
        connection: ConnectionId,
        /// What.
        frame: Outgoing,
    },
    /// Read what is there, wait for at least one message, and report by
    /// [`received`](crate::RelayPool::received), or [`lost`](crate::RelayPool::lost).
    Read {
        /// From whom.
        relay: RelayUrl,
        /// On which connection.
        connection: ConnectionId,
    },
    /// Drop the connection, or the attempt; nothing more is to be reported of it.
    Disconnect {
        /// Of whom.
        relay: RelayUrl,
        /// Which.
        connection: ConnectionId,
        /// A close frame to be sent first if that is possible at once.
        close: Option<CloseFrame>,
    },
    /// Hand on, in order, and report by [`delivered`](crate::RelayPool::delivered).
    Deliver {
        /// From whom. There is one delivery of a relay at a time.
        relay: RelayUrl,
        /// Which.
        delivery: DeliveryId,
        /// Never empty.
        deliveries: Vec<Delivery>,
    },
    /// Have signed what tells the relay who we are, and report by
    /// [`signed`](crate::RelayPool::signed), however long it takes. There is one question for each
    /// key of a connection at a time.
    Sign {
        /// For whom.
        relay: RelayUrl,
        /// On which connection. Once that is over, nobody waits for the answer.
        connection: ConnectionId,
        /// Which question.
        request: SignId,
        /// By whose key; `None` is the default signer's.
        key: Option<PublicKey>,
        /// What.
        template: SignTemplate,
    },
    /// Fetch the relay's information document (NIP-11) and report by
    /// [`information`](crate::RelayPool::information). Nothing waits for it.
    FetchInformation {
        /// Whose.
        relay: RelayUrl,
        /// Limits of the question.
        options: InformationOptions,
    },
    /// A publish is over.
    Receipts {
        /// Which.
        publish: PublishId,
        /// One for each relay, in the order in which they answered.
        receipts: Vec<Receipt>,
    },
    /// A reconciliation is over, in one way or another.
    Reconciled {
        /// Which.
        reconcile: ReconcileId,
        /// What it found.
        result: Reconciled,
    },
}

/// Something that a subscriber learns about one relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Events that the relay sent, as it sent them: nothing about them is checked.
    Events {
        /// Whose.
        subscription: Arc<str>,
        /// JSON texts, 1 to [`EVENTS_PER_BATCH`](crate::RelayPool::EVENTS_PER_BATCH).
        events: Vec<String>,
    },
    /// The relay has sent all that it had stored. Told once for each relay and subscription.
    EndOfStored {
        /// Whose.
        subscription: Arc<str>,
        /// Whether the relay says that there are more (NIP-67).
        stored: StoredHint,
    },
    /// The relay ended the subscription.
    Closed {
        /// Whose.
        subscription: Arc<str>,
        /// Its reason.
        message: String,
        /// Why it could not be told who we are, when it demands that.
        auth: Option<AuthProblem>,
    },
    /// A text for a person.
    Notice {
        /// The text.
        message: String,
    },
    /// Subscriptions need not wait for this relay: it cannot be reached, or it is silent. Those
    /// that stay open still get what it sends later.
    Unavailable {
        /// Whose; never empty.
        subscriptions: Vec<Arc<str>>,
        /// Why.
        reason: String,
    },
}

/// Events of a [`Delivery`] that reached nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Whose.
    pub subscription: Arc<str>,
    /// How many.
    pub events: usize,
}

/// What became of an event at one relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptStatus {
    /// The relay said that it has the event.
    Accepted,
    /// The relay said no.
    Refused,
    /// The event was sent and no answer came in time. The relay may have it.
    NoAnswer,
    /// It was not sent: there was no connection in time, or it is longer than the relay takes. The
    /// relay does not have it from us.
    NotConnected,
}

/// The report of one relay about a published event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which relay.
    pub relay: RelayUrl,
    /// What it did.
    pub status: ReceiptStatus,
    /// The relay's words, or why there are none.
    pub message: String,
    /// From the request to the answer.
    pub elapsed: Duration,
    /// Why the relay could not be told who we are, when it refused for that reason.
    pub auth: Option<AuthProblem>,
}

/// What a session leaves to the pool: effects, and what the pool keeps books about.
#[derive(Default)]
pub(crate) struct Out {
    pub(crate) effects: Vec<Effect>,
    pub(crate) receipts: Vec<(PublishId, Receipt)>,
    pub(crate) progress: Vec<Progress>,
    pub(crate) documents: Vec<(RelayUrl, Document)>,
    /// The last id that was given to a connection or a delivery.
    pub(crate) last_id: u64,
}

impl Out {
    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

/// What a relay said about itself, and when.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) limits: Arc<RelayLimits>,
    /// On the monotonic clock.
    pub(crate) at: Duration,
}

/// How far one subscription has come at one relay; written to the book.
pub(crate) struct Progress {
    pub(crate) relay: RelayUrl,
    pub(crate) subscription: Arc<str>,
    pub(crate) step: Step,
}

pub(crate) enum Step {
    /// The relay has nothing more to say to it.
    Finished,
    /// It goes on from here after a restart.
    At { anchor: Option<i64>, told: Told },
}
