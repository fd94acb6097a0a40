//! The relay's side of a reconciliation: the crate's own, or one of bad manners.

use std::collections::BTreeMap;

use negentropy::{Id, Negentropy, NegentropyStorageVector};
use nipworker_protocol::{ClientMessage, Event, RelayMessage};
use nipworker_relay::Filter;

/// How a relay treats NEG-OPEN and NEG-MSG.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NegManner {
    /// By the book.
    #[default]
    Knows,
    /// Answers with this frame; `{}` stands for the subscription.
    Says(String),
    /// Says each time that everything differs.
    Disagrees,
    /// Answers so many messages by the book, then nothing more.
    StopsAfter(usize),
}

/// What one relay holds of reconciliations.
#[derive(Default)]
pub struct NegSide {
    pub manner: NegManner,
    pub frame_bytes: u64,
    /// Filters of all NEG-OPEN that came.
    pub opened: Vec<Filter>,
    pub closed: usize,
    /// Messages of ours, and their largest size in bytes of text.
    pub messages: usize,
    open: BTreeMap<String, Negentropy<'static, NegentropyStorageVector>>,
}

impl NegSide {
    pub fn hang_up(&mut self) {
        self.open.clear();
    }

    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub fn hear(&mut self, message: ClientMessage, events: &[Event]) -> Option<String> {
        let (subscription, message) = match message {
            ClientMessage::NegOpen { subscription, filter, message } => {
                let mut storage = NegentropyStorageVector::new();
                for event in events.iter().filter(|event| filter.matches(event)) {
                    let at = u64::try_from(event.created_at).unwrap();
                    storage.insert(at, Id::from_byte_array(*event.id.as_bytes())).unwrap();
                }
                storage.seal().unwrap();
                let side = Negentropy::owned(storage, self.frame_bytes).unwrap();
                assert!(
                    self.open.insert(subscription.clone(), side).is_none(),
                    "a name used twice"
                );
                self.opened.push(filter);
                (subscription, message)
            }
            ClientMessage::NegMsg { subscription, message } => (subscription, message),
            ClientMessage::NegClose { subscription } => {
                assert!(self.open.remove(&subscription).is_some(), "closed what is not open");
                self.closed += 1;
                return None;
            }
            other => panic!("unexpected {other:?}"),
        };
        self.messages += 1;
        let answer = match &self.manner {
            NegManner::Says(frame) => {
                if !frame.contains("NEG-MSG") {
                    self.open.remove(&subscription);
                }
                return Some(frame.replace("{}", &subscription));
            }
            NegManner::StopsAfter(limit) if self.messages > *limit => return None,
            NegManner::Disagrees => [&[0x61, 0, 0, 1][..], &[7; 16]].concat(),
            NegManner::Knows | NegManner::StopsAfter(_) => {
                self.open.get_mut(&subscription).unwrap().reconcile(&message).unwrap()
            }
        };
        Some(RelayMessage::NegMsg { subscription, message: answer }.to_frame())
    }
}
