//! A made-up piece of Nostr: the same events on every machine for the same seed and size.
//!
//! Authors, who is talked about, and hashtags follow Zipf's law; lengths of contents have the
//! quantiles of real notes. There are notes in threads (NIP-10), reactions, reposts with the note
//! inside, zap receipts with their request inside, profiles, contact lists, relay lists,
//! long-form texts, direct messages and deletions. Ids are right. Signatures are valid when asked
//! for; making them costs minutes for a million events, so otherwise a fixed one stands there,
//! which a store takes on trust.
//!
//! Events come one by one and nothing but the last few thousand notes is held, so a million takes
//! no more memory than ten thousand, apart from the keys of the authors.

mod authors;
mod random;
mod shapes;
mod text;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use nipworker_protocol::{Attestation, Event, EventId, Tag, UnsignedEvent, Verified};

use self::{
    authors::Authors,
    random::{Random, Zipf},
    text::Writer,
};

/// Time of the first event, unix seconds.
pub const BEGIN: i64 = 1_700_000_000;
/// Seconds from one event to the next, on average: an hour has 300 events.
pub const GAP_S: i64 = 12;
/// Notes that may still be answered.
const RECENT_NOTES: usize = 4_096;
/// Wallets that write the zap receipts.
const WALLETS: usize = 12;
/// Events for each author, on average.
const EVENTS_PER_AUTHOR: u64 = 25;
/// Authors at least.
const AUTHORS_MIN: u64 = 400;

/// Which corpus is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorpusConfig {
    /// Another seed makes another corpus.
    pub seed: u64,
    /// How many events it has. Authors grow with it, so a smaller corpus is not the beginning of
    /// a larger one.
    pub events: u64,
    /// Whether signatures are valid.
    pub signed: bool,
}

impl CorpusConfig {
    /// The unsigned corpus of this size that the benches use.
    pub fn of(events: u64) -> Self {
        Self { seed: 5, events, signed: false }
    }

    /// When everything in it is over, unix seconds.
    pub fn end(&self) -> i64 {
        BEGIN + GAP_S * self.events.cast_signed() + 3_600
    }
}

/// A note that may still be answered.
#[derive(Debug, Clone)]
struct Note {
    id: EventId,
    by: usize,
    /// Where the thread begins, and who began it; `None` for a note that begins one.
    root: Option<(EventId, usize)>,
    json: String,
}

/// The events of a corpus, in the order in which they arrive: roughly by time.
#[derive(Debug)]
pub struct Corpus {
    random: Random,
    authors: Authors,
    writer: Writer,
    /// Who writes.
    activity: Zipf,
    /// Who is mentioned, followed, zapped.
    fame: Zipf,
    /// Which of the recent notes is answered: the latest most of all.
    recency: Zipf,
    seen: Vec<bool>,
    notes: VecDeque<Note>,
    made: u64,
    events: u64,
}

impl Corpus {
    /// Begins the corpus.
    pub fn new(config: CorpusConfig) -> Self {
        let people = (config.events / EVENTS_PER_AUTHOR).max(AUTHORS_MIN) as usize;
        Self {
            random: Random::new(config.seed),
            authors: Authors::new(config.seed, people + WALLETS, config.signed),
            writer: Writer::new(),
            activity: Zipf::new(people, 10),
            fame: Zipf::new(people, 3),
            recency: Zipf::new(RECENT_NOTES, 8),
            seen: vec![false; people],
            notes: VecDeque::with_capacity(RECENT_NOTES),
            made: 0,
            events: config.events,
        }
    }

    /// Now, in the corpus; some events come late.
    fn time(&mut self) -> i64 {
        let late = if self.random.chance(30) { 6 * 3_600 } else { 60 };
        let late = self.random.below(late).cast_signed();
        BEGIN + GAP_S * self.made.cast_signed() - late
    }

    fn person(&self, index: usize) -> usize {
        // The famous are not the most active.
        (index * 7 + 3) % self.seen.len()
    }

    fn famous(&mut self) -> usize {
        let rank = self.fame.draw(&mut self.random);
        self.person(rank)
    }

    fn wallet(&mut self) -> usize {
        self.seen.len() + self.random.index(WALLETS)
    }

    /// A note that somebody looks at now.
    fn note(&mut self) -> Option<Note> {
        let back = self.recency.draw(&mut self.random) % self.notes.len().max(1);
        self.notes.get((self.notes.len().checked_sub(1)?).checked_sub(back)?).cloned()
    }

    fn event(&mut self, by: usize, kind: u16, tags: Vec<Tag>, content: String) -> Event {
        let created_at = self.time();
        let pubkey = self.authors.public_key(by);
        self.authors.sign(by, UnsignedEvent::new(pubkey, created_at, kind, tags, content))
    }
}

impl Iterator for Corpus {
    type Item = Verified<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.made >= self.events {
            return None;
        }
        let by = self.activity.draw(&mut self.random);
        // Who appears for the first time mostly says who it is.
        let is_new = !std::mem::replace(&mut self.seen[by], true);
        let event = if is_new && self.random.chance(850) {
            self.profile(by)
        } else {
            match self.random.below(1_000) {
                0..440 => self.text_note(by),
                440..740 => self.reaction(by),
                740..800 => self.repost(by),
                800..880 => self.zap_receipt(by),
                880..905 => self.profile(by),
                905..920 => self.contact_list(by),
                920..935 => self.relay_list(by),
                935..941 => self.long_form(by),
                941..953 => self.deletion(by),
                _ => self.direct_message(by),
            }
        };
        self.made += 1;
        Some(Verified::attest(event, Attestation::Checked))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.events - self.made) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Corpus {}
