//! Few relays that serve all authors.

use std::collections::{BTreeMap, BTreeSet};

use nipworker_protocol::{PublicKey, RelayUrl};

/// The usable relays of each author.
pub type Candidates = BTreeMap<PublicKey, Vec<RelayUrl>>;

/// How many relays may be chosen, and which. What has no room now has none later.
pub trait Places {
    /// Whether a relay may be chosen.
    fn has_room_for(&self, relay: &RelayUrl) -> bool;
    /// It was chosen.
    fn take(&mut self, relay: &RelayUrl);
}

/// Chooses relays greedily until each author has `wanted` of its own ones, or all of them where
/// there are fewer. First each author gets one, then each a second, and so on, so that a bound
/// costs those that have more. Next is the relay for which the number of authors that still want
/// one, times its `score`, is the largest; among equals the one that comes first by address.
///
/// Returns of each relay the authors that it is asked for: every one that it serves and that
/// wanted one more.
pub fn cover(
    candidates: &Candidates,
    wanted: usize,
    score: impl Fn(&RelayUrl) -> f64,
    places: &mut impl Places,
) -> BTreeMap<RelayUrl, BTreeSet<PublicKey>> {
    let mut offers: BTreeMap<&RelayUrl, Offer> = BTreeMap::new();
    for (author, relays) in candidates {
        for relay in relays {
            let offer = offers
                .entry(relay)
                .or_insert_with(|| Offer { score: score(relay), authors: BTreeSet::new() });
            offer.authors.insert(*author);
        }
    }
    let mut chosen: BTreeMap<RelayUrl, BTreeSet<PublicKey>> = BTreeMap::new();
    let mut has: BTreeMap<PublicKey, usize> = BTreeMap::new();
    for round in 1..=wanted {
        // A relay that is asked already costs nothing more.
        for (relay, authors) in &mut chosen {
            if let Some(offer) = offers.get(relay) {
                offer.give(authors, &mut has, round);
            }
        }
        loop {
            let open = offers.iter().filter(|(relay, _)| !chosen.contains_key(**relay));
            let valued = open
                .map(|(relay, offer)| (offer.value(&has, round), *relay))
                .filter(|(value, _)| *value > 0.0);
            let best = valued.max_by(|(a, x), (b, y)| a.total_cmp(b).then_with(|| y.cmp(x)));
            let Some((_, relay)) = best else { break };
            if !places.has_room_for(relay) {
                offers.retain(|relay, _| chosen.contains_key(*relay) || places.has_room_for(relay));
                continue;
            }
            places.take(relay);
            if let Some(offer) = offers.get(relay) {
                offer.give(chosen.entry(relay.clone()).or_default(), &mut has, round);
            }
        }
    }
    chosen
}

/// What a relay could do.
struct Offer {
    score: f64,
    authors: BTreeSet<PublicKey>,
}

impl Offer {
    /// What it is worth to those who have fewer than `round` relays.
    fn value(&self, has: &BTreeMap<PublicKey, usize>, round: usize) -> f64 {
        let needy = self.authors.iter().filter(|a| has.get(a).copied().unwrap_or(0) < round);
        needy.count() as f64 * self.score
    }

    /// Has it asked for those whom it serves and who want one more.
    fn give(
        &self,
        authors: &mut BTreeSet<PublicKey>,
        has: &mut BTreeMap<PublicKey, usize>,
        round: usize,
    ) {
        for author in &self.authors {
            let has = has.entry(*author).or_default();
            if *has < round && authors.insert(*author) {
                *has += 1;
            }
        }
    }
}
