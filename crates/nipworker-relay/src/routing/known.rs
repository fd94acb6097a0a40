//! What is known about authors: their lists, and hints.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use nipworker_protocol::{PublicKey, RelayUrl};

use super::{HINTED_AUTHORS_MAX, HINTS_PER_AUTHOR_MAX, LISTS_MAX, Wanted};

/// Relays of one author.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct List {
    /// When the author made it, in unix seconds.
    pub(super) created_at: i64,
    pub(super) read: Vec<RelayUrl>,
    pub(super) write: Vec<RelayUrl>,
}

/// A map that forgets what was not used for longest.
#[derive(Debug)]
pub(super) struct Recent<T> {
    most: usize,
    used: u64,
    values: HashMap<PublicKey, (u64, T)>,
    order: BTreeMap<u64, PublicKey>,
}

impl<T> Recent<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, used: 0, values: HashMap::new(), order: BTreeMap::new() }
    }

    /// The value, used now.
    pub(super) fn get(&mut self, author: &PublicKey) -> Option<&mut T> {
        let (used, value) = self.values.get_mut(author)?;
        self.order.remove(used);
        self.used += 1;
        *used = self.used;
        self.order.insert(self.used, *author);
        Some(value)
    }

    pub(super) fn peek(&self, author: &PublicKey) -> Option<&T> {
        self.values.get(author).map(|(_, value)| value)
    }

    pub(super) fn put(&mut self, author: PublicKey, value: T) {
        if let Some((used, _)) = self.values.remove(&author) {
            self.order.remove(&used);
        } else if self.values.len() >= self.most
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.values.remove(&oldest);
        }
        self.used += 1;
        self.values.insert(author, (self.used, value));
        self.order.insert(self.used, author);
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

/// All of it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) lists: Recent<List>,
    hints: Recent<Vec<RelayUrl>>,
    /// When somebody's list was looked for.
    looked_for: Recent<Duration>,
}

impl Known {
    pub(super) fn new() -> Self {
        Self {
            lists: Recent::new(LISTS_MAX),
            hints: Recent::new(HINTED_AUTHORS_MAX),
            looked_for: Recent::new(LISTS_MAX),
        }
    }

    /// Keeps a list unless a newer one is known.
    pub(super) fn learn(&mut self, author: PublicKey, list: List) -> bool {
        let newer =
            self.lists.peek(&author).is_none_or(|known| known.created_at <= list.created_at);
        if newer {
            self.lists.put(author, list);
        }
        newer
    }

    pub(super) fn hint(&mut self, author: PublicKey, relay: RelayUrl) {
        let mut relays = self.hints.get(&author).map(std::mem::take).unwrap_or_default();
        relays.retain(|known| *known != relay);
        relays.insert(0, relay);
        relays.truncate(HINTS_PER_AUTHOR_MAX);
        self.hints.put(author, relays);
    }

    pub(super) fn hinted(&mut self, author: &PublicKey) -> Vec<RelayUrl> {
        self.hints.get(author).cloned().unwrap_or_default()
    }

    /// Who is to be looked for.
    pub(super) fn wanting(
        &self,
        now: Duration,
        people: &BTreeSet<PublicKey>,
        look_again: Duration,
        list_age: Duration,
    ) -> Wanted {
        let mut wanted = Wanted::default();
        for person in people {
            let looked = self.looked_for.peek(person).map(|at| now.saturating_sub(*at));
            let (age, who) = match self.lists.peek(person) {
                None => (look_again, &mut wanted.unknown),
                Some(_) => (list_age, &mut wanted.stale),
            };
            if looked.is_none_or(|looked| looked >= age) {
                who.push(*person);
            }
        }
        wanted
    }

    pub(super) fn looked_for(&mut self, now: Duration, person: PublicKey) {
        self.looked_for.put(person, now);
    }
}
