//! Finding out which events only one side has (NIP-77), step by step and without IO.
//!
//! The protocol itself is the crate `negentropy`. Here stand the bounds: a relay that answers for
//! ever, invents ids without end, or talks nonsense is found out.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use negentropy::{
    Bound, Error, ID_SIZE, Id, Item, Negentropy, NegentropyStorageBase, NegentropyStorageVector,
};
use nipworker_protocol::{EventId, Filter, RelayUrl};
use serde::{Deserialize, Serialize};

/// Events of ours that one reconciliation compares at most. Each costs 40 bytes, and each step
/// walks over them, which is a few milliseconds at this number.
pub const MAX_HELD_EVENTS: usize = 250_000;
/// Ids that a relay may claim to have beyond ours, in one reconciliation.
pub const MAX_NEEDED_IDS: usize = 1_000_000;
/// Largest negentropy message that is sent, in bytes. In hex, with the frame around it, it stays
/// below 128 KiB, the largest message that widely used relays take.
pub const NEG_FRAME_BYTES: u64 = 60_000;
/// Steps of one reconciliation at most.
pub const MAX_ROUNDS: u32 = 10_000;
/// Steps in a row that may bring no id that was not known before. An honest relay needs a few,
/// to narrow down where the difference is.
pub const MAX_BARREN_ROUNDS: u32 = 256;
/// How long a relay may take for one step when the request does not say. One that takes longer is
/// taken not to know NIP-77.
pub const RECONCILE_IDLE: Duration = Duration::from_secs(10);
/// How long a reconciliation may take altogether when the request does not say.
pub const RECONCILE_DEADLINE: Duration = Duration::from_secs(120);

/// Compares what we have with what a relay has.
#[derive(Debug, Clone)]
pub struct ReconcileRequest {
    /// A name, by which it can be [closed](crate::RelayPool::close).
    pub name: String,
    /// The relay.
    pub relay: RelayUrl,
    /// Which events are compared.
    pub filter: Filter,
    /// What we have of them: time and id, in any order, at most [`MAX_HELD_EVENTS`].
    pub held: Vec<(i64, EventId)>,
    /// How long the relay may take for one step; `None` takes [`RECONCILE_IDLE`].
    pub idle: Option<Duration>,
    /// How long all of it may take, connecting included; `None` takes [`RECONCILE_DEADLINE`].
    pub deadline: Option<Duration>,
}

/// How a reconciliation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReconcileEnd {
    /// Every difference is known.
    Complete,
    /// The relay answered with a notice: it does not know NIP-77.
    Notice,
    /// The relay said no (`NEG-ERR`, or `CLOSED`).
    Refused,
    /// The relay said nothing within the time for one step.
    Silent,
    /// The relay's message is no negentropy message.
    Garbled,
    /// The relay went on and on.
    Endless,
    /// The relay claims more events than are taken up.
    TooMany,
    /// The connection was lost, again and again.
    Disconnected,
    /// There was no connection.
    NotConnected,
    /// The time for all of it was over.
    Deadline,
    /// It was closed from here.
    Cancelled,
}

impl ReconcileEnd {
    /// Whether the relay can be asked in another way: it is there, and only this way is barred.
    pub fn leaves_other_ways(self) -> bool {
        !matches!(self, Self::Complete | Self::NotConnected | Self::Deadline | Self::Cancelled)
    }
}

/// What a reconciliation found. Both lists are only complete when it ended so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciled {
    /// How it ended.
    pub end: ReconcileEnd,
    /// The relay's words or ours, for a person; empty when there is nothing to say.
    pub message: String,
    /// Ids that only the relay has, each once, in no order.
    pub need: Vec<EventId>,
    /// Ids that only we have, each once, in no order.
    pub have: Vec<EventId>,
    /// Steps that the relay answered.
    pub rounds: u32,
    /// Bytes of text that were sent for it.
    pub bytes_sent: u64,
    /// Bytes of text that came for it.
    pub bytes_received: u64,
}

/// Our side of the comparison, shared between attempts.
#[derive(Clone)]
pub(crate) struct Held(Arc<NegentropyStorageVector>);

impl Held {
    /// Times before 1970 cannot be written in the protocol; such events are left out.
    pub(crate) fn new(items: &[(i64, EventId)]) -> Self {
        let mut storage = NegentropyStorageVector::with_capacity(items.len());
        for (created_at, id) in items {
            if let Ok(created_at) = u64::try_from(*created_at) {
                let added = storage.insert(created_at, Id::from_byte_array(*id.as_bytes()));
                debug_assert!(added.is_ok(), "only a sealed storage refuses");
            }
        }
        let sealed = storage.seal();
        debug_assert!(sealed.is_ok(), "only a sealed storage refuses");
        Self(Arc::new(storage))
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({:?})", self.0.size())
    }
}

impl NegentropyStorageBase for Held {
    fn size(&self) -> Result<usize, Error> {
        self.0.size()
    }

    fn get_item(&self, i: usize) -> Result<Option<Item>, Error> {
        self.0.get_item(i)
    }

    fn iterate(
        &self,
        begin: usize,
        end: usize,
        cb: &mut dyn FnMut(Item, usize) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        self.0.iterate(begin, end, cb)
    }

    fn find_lower_bound(&self, first: usize, last: usize, value: &Bound) -> usize {
        self.0.find_lower_bound(first, last, value)
    }
}

/// The other side of a reconciliation: answers a peer that compares what it has with what we have.
///
/// Keeps nothing between messages, so a peer can go on for as long as it likes without costing more than
/// the work of each message, which is a walk over what is compared.
#[derive(Debug, Clone)]
pub struct Responder(Held);

impl Responder {
    /// Compares with these events: time and id, in any order. Times before 1970 cannot be written in the
    /// protocol; such events are left out.
    pub fn new(items: &[(i64, EventId)]) -> Self {
        Self(Held::new(items))
    }

    /// Events that are compared.
    pub fn len(&self) -> usize {
        self.0.size().unwrap_or_default()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Answers a peer's message (the bytes of `NEG-OPEN` or `NEG-MSG`) by one of at most
    /// [`NEG_FRAME_BYTES`].
    ///
    /// # Errors
    /// [`NotNegentropy`]: the message is not one.
    pub fn answer(&self, message: &[u8]) -> Result<Vec<u8>, NotNegentropy> {
        Negentropy::borrowed(&self.0, NEG_FRAME_BYTES)
            .and_then(|mut engine| engine.reconcile(message))
            .map_err(|error| NotNegentropy(error.to_string()))
    }
}

/// A message that is no negentropy message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a negentropy message: {0}")]
pub struct NotNegentropy(String);

/// What follows from a relay's message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Say(Vec<u8>),
    Over(ReconcileEnd, String),
}

/// One attempt.
pub(crate) struct Reconciler {
    engine: Negentropy<'static, Held>,
    need: HashSet<[u8; ID_SIZE]>,
    have: HashSet<[u8; ID_SIZE]>,
    rounds: u32,
    barren: u32,
}

impl Reconciler {
    /// Begins, and gives the first message.
    pub(crate) fn start(held: Held, frame_bytes: u64) -> Result<(Self, Vec<u8>), Error> {
        let mut engine = Negentropy::owned(held, frame_bytes)?;
        let first = engine.initiate()?;
        let (need, have) = (HashSet::new(), HashSet::new());
        Ok((Self { engine, need, have, rounds: 0, barren: 0 }, first))
    }

    /// Takes the relay's message.
    pub(crate) fn answer(&mut self, message: &[u8]) -> Step {
        let (mut have, mut need) = (Vec::new(), Vec::new());
        let next = match self.engine.reconcile_with_ids(message, &mut have, &mut need) {
            Ok(next) => next,
            Err(error) => {
                return Step::Over(ReconcileEnd::Garbled, format!("not understood: {error}"));
            }
        };
        self.rounds += 1;
        let before = self.have.len() + self.need.len();
        self.have.extend(have.into_iter().map(Id::to_bytes));
        for id in need {
            if self.need.len() >= MAX_NEEDED_IDS {
                let message = format!("it claims more than {MAX_NEEDED_IDS} further events");
                return Step::Over(ReconcileEnd::TooMany, message);
            }
            self.need.insert(id.to_bytes());
        }
        let Some(next) = next else {
            return Step::Over(ReconcileEnd::Complete, String::new());
        };
        let is_barren = before == self.have.len() + self.need.len();
        self.barren = if is_barren { self.barren + 1 } else { 0 };
        if self.barren > MAX_BARREN_ROUNDS {
            let message = format!("no news within {MAX_BARREN_ROUNDS} steps");
            return Step::Over(ReconcileEnd::Endless, message);
        }
        if self.rounds >= MAX_ROUNDS {
            let message = format!("no end within {MAX_ROUNDS} steps");
            return Step::Over(ReconcileEnd::Endless, message);
        }
        Step::Say(next)
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Ids that only the relay has, and ids that only we have.
    pub(crate) fn into_differences(self) -> (Vec<EventId>, Vec<EventId>) {
        let ids = |set: HashSet<[u8; ID_SIZE]>| set.into_iter().map(EventId::from_bytes).collect();
        (ids(self.need), ids(self.have))
    }
}

#[cfg(test)]
mod tests;
