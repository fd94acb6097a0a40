//! What the corpus holds, so that the questions ask for what is there.

use std::collections::HashMap;

use nipworker_protocol::{Event, EventId, PublicKey};

/// Every how manieth id is remembered.
const ID_STEP: u64 = 17;

/// Counts over all events of a corpus.
#[derive(Default)]
pub(crate) struct Survey {
    pub(crate) events: u64,
    /// Canonical JSON of all of them.
    pub(crate) json_bytes: u64,
    /// What the clock says when the stores are asked, unix seconds: the end of the corpus.
    pub(crate) now: i64,
    authors: HashMap<PublicKey, u64>,
    threads: HashMap<String, u64>,
    named: HashMap<String, u64>,
    hashtags: HashMap<String, u64>,
    pub(crate) ids: Vec<EventId>,
}

impl Survey {
    /// Of no event yet; the clock of all stores will stand at `now`.
    pub(crate) fn at(now: i64) -> Self {
        Self { now, ..Self::default() }
    }

    pub(crate) fn add(&mut self, event: &Event) {
        self.events += 1;
        self.json_bytes += event.to_json().len() as u64;
        if matches!(event.kind, 1 | 6 | 7) {
            *self.authors.entry(event.pubkey).or_default() += 1;
        }
        // What nothing replaces.
        if event.kind == 7 && self.events.is_multiple_of(ID_STEP) {
            self.ids.push(event.id);
        }
        for tag in &event.tags {
            let (Some(value), false) = (tag.value(), event.kind == 3) else { continue };
            let counts = match tag.name() {
                "e" if event.kind == 1 => &mut self.threads,
                "p" => &mut self.named,
                "t" if event.kind == 1 => &mut self.hashtags,
                _ => continue,
            };
            match counts.get_mut(value) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(value.to_owned(), 1);
                }
            }
        }
    }

    /// Authors from the busiest down.
    pub(crate) fn authors(&self) -> Vec<PublicKey> {
        ranked(&self.authors)
    }

    /// Notes from the one with the most answers down.
    pub(crate) fn threads(&self) -> Vec<String> {
        ranked(&self.threads)
    }

    /// Public keys from the one that is named most down, contact lists aside.
    pub(crate) fn named(&self) -> Vec<String> {
        ranked(&self.named)
    }

    /// Hashtags of notes from the most popular down.
    pub(crate) fn hashtags(&self) -> Vec<String> {
        ranked(&self.hashtags)
    }
}

fn ranked<K: Clone + Ord>(counts: &HashMap<K, u64>) -> Vec<K> {
    let mut ranked: Vec<_> = counts.iter().map(|(key, count)| (*count, key)).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked.into_iter().map(|(_, key)| key.clone()).collect()
}
