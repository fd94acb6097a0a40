//! How many of which kind.

use std::collections::BTreeMap;

use nipworker_protocol::PublicKey;
use serde::{Deserialize, Serialize};

use super::{Item, Notes, Pipe, PipeNote, Step};

/// What the counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CounterOptions {
    /// Whose events count as one's own; `None` counts none so. Written as hex, empty for `None`.
    #[serde(with = "super::config::optional_key")]
    pub me: Option<PublicKey>,
    /// Whether the reader gets counts only, and no events.
    pub only_counts: bool,
}

/// Events of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KindCount {
    /// All of them.
    pub all: u64,
    /// Those by [`CounterOptions::me`].
    pub mine: u64,
}

/// Events that have come, by kind. Each event counts once, from however many relays it came.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// All kinds together.
    pub total: KindCount,
    /// Each kind.
    pub kinds: BTreeMap<u16, KindCount>,
}

pub(super) struct Counter {
    options: CounterOptions,
    counts: Counts,
    is_past_stored: bool,
}

impl Counter {
    pub(super) fn new(options: CounterOptions) -> Self {
        Self { options, counts: Counts::default(), is_past_stored: false }
    }
}

impl Pipe for Counter {
    fn take(&mut self, item: &Item<'_>, notes: &mut Notes) -> Step {
        let event = item.event();
        let is_mine = u64::from(self.options.me == Some(event.pubkey));
        for count in [&mut self.counts.total, self.counts.kinds.entry(event.kind).or_default()] {
            count.all += 1;
            count.mine += is_mine;
        }
        if self.is_past_stored {
            notes.tell(PipeNote::Counts(self.counts.clone()));
        }
        if self.options.only_counts { Step::Taken } else { Step::Pass }
    }

    fn end_of_stored(&mut self, notes: &mut Notes) {
        self.is_past_stored = true;
        notes.tell(PipeNote::Counts(self.counts.clone()));
    }
}
