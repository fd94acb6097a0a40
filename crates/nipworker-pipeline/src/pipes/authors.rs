//! So many events per author and window of time.

use nipworker_protocol::{PublicKey, Tag};
use serde::{Deserialize, Serialize};

use super::{Item, Notes, Pipe, Step};
use crate::generations::Generations;

/// People whom one event names that are counted; further `p` tags do not count.
pub const MAX_PEOPLE_COUNTED: usize = 64;

/// Whose events are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CountBy {
    /// The author's.
    #[default]
    Author,
    /// Those that name the same person in a `p` tag. An event that names several counts for each
    /// and passes while one of them has room; one that names nobody passes.
    Recipient,
}

/// How much of one author passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthorLimit {
    /// Events of one author and window.
    pub max_events: u32,
    /// Length of a window in seconds; 0 makes the whole time one window. The windows are those of
    /// `created_at`, so that a row of the cache and a live event count alike.
    pub window_secs: u32,
    /// Whose events count together.
    pub by: CountBy,
    /// Pairs of author and window that are remembered at least, at most twice as many. Beyond
    /// that the half that was not seen for longest is forgotten, and these authors begin anew.
    /// About 100 bytes each.
    pub max_authors: usize,
}

impl Default for AuthorLimit {
    fn default() -> Self {
        Self { max_events: 10, window_secs: 3_600, by: CountBy::Author, max_authors: 10_000 }
    }
}

pub(super) struct AuthorLimiter {
    limit: AuthorLimit,
    counts: Generations<(PublicKey, i64), u32>,
}

impl AuthorLimiter {
    pub(super) fn new(limit: AuthorLimit) -> Self {
        let counts = Generations::new(limit.max_authors);
        Self { limit, counts }
    }

    fn window_of(&self, created_at: i64) -> i64 {
        match self.limit.window_secs {
            0 => 0,
            seconds => created_at.div_euclid(i64::from(seconds)),
        }
    }

    fn has_room(&self, key: &(PublicKey, i64)) -> bool {
        self.counts.get(key).is_none_or(|count| *count < self.limit.max_events)
    }

    /// Also for an event that is dropped: who is busy is not forgotten.
    fn count(&mut self, key: (PublicKey, i64), passes: bool) {
        let count = self.counts.get(&key).copied().unwrap_or_default();
        self.counts.insert(key, count.saturating_add(u32::from(passes)));
    }
}

impl Pipe for AuthorLimiter {
    fn take(&mut self, item: &Item<'_>, _: &mut Notes) -> Step {
        let event = item.event();
        let window = self.window_of(event.created_at);
        let keys: Vec<_> = match self.limit.by {
            CountBy::Author => vec![(event.pubkey, window)],
            CountBy::Recipient => {
                let people = event.tags.iter().filter(|tag| tag.name() == "p");
                let people = people.filter_map(Tag::value).take(MAX_PEOPLE_COUNTED);
                let mut keys: Vec<_> =
                    people.filter_map(|key| PublicKey::from_hex(key).ok()).collect();
                keys.sort_unstable();
                keys.dedup();
                keys.into_iter().map(|key| (key, window)).collect()
            }
        };
        let passes = keys.is_empty() || keys.iter().any(|key| self.has_room(key));
        keys.into_iter().for_each(|key| self.count(key, passes));
        if passes { Step::Pass } else { Step::Drop("limit") }
    }
}
