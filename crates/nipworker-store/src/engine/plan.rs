//! Which index a filter is answered from.

use nipworker_protocol::{Filter, KindClass};

use crate::{Direction, KeyRange, KvSnapshot, Position, StoreError};

use super::keys;

/// Index ranges that one filter may merge at once. A filter that would need more is answered
/// from a coarser index, so that memory per query stays bounded.
pub const MERGED_CURSORS_MAX: usize = 1_024;

/// Ranges of one plan that are probed to estimate its cost.
const PROBED_RANGES_MAX: usize = 8;
/// Entries that a probe reads of each range.
const PROBED_ENTRIES_MAX: usize = 16;
/// What a candidate costs that has to be read to know whether it answers, beside one that has not.
const READING_WEIGHT: f64 = 4.0;
/// Seconds that a range without a lower bound is taken to cover: ten years.
const OPEN_WINDOW_S: f64 = 315_360_000.0;

/// How to read the candidates of one filter.
pub(super) enum Plan {
    /// There are none.
    Nothing,
    /// Look each id up.
    Ids {
        /// Of those in the filter's window nothing is left to compare but the kind.
        covers: bool,
    },
    /// Look up who holds each address that the filter's authors and kinds make: there is one event at
    /// most for each. Nothing is left to compare.
    Addresses,
    /// Merge these index ranges.
    Ranges {
        ranges: Vec<KeyRange>,
        /// Everything in the ranges answers the filter but for its kind, which index entries
        /// tell: no event has to be read to know.
        covers: bool,
    },
}

struct Candidate {
    prefixes: Vec<Vec<u8>>,
    covers: bool,
}

/// Picks the index that promises the fewest candidates.
pub(super) fn plan(
    filter: &Filter,
    after: Option<Position>,
    snapshot: &dyn KvSnapshot,
) -> Result<Plan, StoreError> {
    let empty = filter.ids.as_ref().is_some_and(Vec::is_empty)
        || filter.authors.as_ref().is_some_and(Vec::is_empty)
        || filter.kinds.as_ref().is_some_and(Vec::is_empty)
        || filter.tags.values().any(Vec::is_empty)
        || matches!((filter.since, filter.until), (Some(since), Some(until)) if since > until);
    if empty {
        return Ok(Plan::Nothing);
    }
    if filter.ids.is_some() {
        let covers = filter.authors.is_none() && filter.tags.is_empty();
        return Ok(Plan::Ids { covers });
    }
    if filter.tags.is_empty() && asks_for_addresses(filter) {
        return Ok(Plan::Addresses);
    }
    let window = |prefix: &Vec<u8>| keys::window(prefix, filter.since, filter.until, after);
    let mut best: Option<(f64, Vec<KeyRange>, bool)> = None;
    let candidates = candidates(filter);
    let only_one = candidates.len() == 1;
    for candidate in candidates {
        let mut ranges: Vec<KeyRange> = candidate.prefixes.iter().map(window).collect();
        ranges.retain(|range| !range.is_empty());
        let each = if candidate.covers { 1.0 } else { READING_WEIGHT };
        let cost = if only_one { 0.0 } else { each * estimate(&ranges, filter, snapshot)? };
        if best.as_ref().is_none_or(|(lowest, ..)| cost < *lowest) {
            best = Some((cost, ranges, candidate.covers));
        }
    }
    Ok(match best {
        Some((_, ranges, covers)) if !ranges.is_empty() => Plan::Ranges { ranges, covers },
        _ => Plan::Nothing,
    })
}

/// Whether authors and kinds leave one event at most for each pair, and there are not too many pairs.
fn asks_for_addresses(filter: &Filter) -> bool {
    let (Some(authors), Some(kinds)) = (&filter.authors, &filter.kinds) else { return false };
    authors.len().saturating_mul(kinds.len()) <= MERGED_CURSORS_MAX
        && kinds.iter().all(|kind| KindClass::of(*kind) == KindClass::Replaceable)
}

/// The indexes that can answer `filter`; never empty, because the events themselves always can.
fn candidates(filter: &Filter) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut offer = |mut prefixes: Vec<Vec<u8>>, covers: bool| {
        prefixes.sort_unstable();
        prefixes.dedup();
        if prefixes.len() <= MERGED_CURSORS_MAX {
            found.push(Candidate { prefixes, covers });
        }
    };
    let no_tags = filter.tags.is_empty();
    match (&filter.authors, &filter.kinds) {
        (Some(authors), Some(kinds))
            if authors.len().saturating_mul(kinds.len()) <= MERGED_CURSORS_MAX =>
        {
            let pairs =
                authors.iter().flat_map(|a| kinds.iter().map(move |k| keys::author_kind(a, *k)));
            offer(pairs.collect(), no_tags);
        }
        (authors, kinds) => {
            if let Some(authors) = authors {
                offer(authors.iter().map(keys::author).collect(), no_tags);
            }
            if let Some(kinds) = kinds {
                offer(
                    kinds.iter().map(|kind| keys::kind(*kind)).collect(),
                    no_tags && authors.is_none(),
                );
            }
        }
    }
    for (letter, values) in &filter.tags {
        let alone = filter.tags.len() == 1 && filter.authors.is_none();
        offer(values.iter().map(|value| keys::tag(*letter, value)).collect(), alone);
    }
    if found.is_empty() {
        let covers = no_tags && filter.authors.is_none();
        found.push(Candidate { prefixes: vec![vec![keys::EVENT]], covers });
    }
    found
}

/// How many entries the ranges hold, judged by how densely their newest entries lie in time.
fn estimate(
    ranges: &[KeyRange],
    filter: &Filter,
    snapshot: &dyn KvSnapshot,
) -> Result<f64, StoreError> {
    let step = ranges.len().div_ceil(PROBED_RANGES_MAX).max(1);
    let mut entries = 0.0;
    let mut probed = 0.0;
    for range in ranges.iter().step_by(step) {
        probed += 1.0;
        let mut cursor = snapshot.scan(range.clone(), Direction::Forward)?;
        let mut seen: usize = 0;
        let mut times: Option<(i64, i64)> = None;
        while seen < PROBED_ENTRIES_MAX {
            let Some((key, _)) = cursor.advance()? else { break };
            seen += 1;
            if let Some(position) = Position::from_key_end(key) {
                let newest = times.map_or(position.created_at, |(newest, _)| newest);
                times = Some((newest, position.created_at));
            }
        }
        entries += match times {
            Some((newest, oldest)) if seen == PROBED_ENTRIES_MAX => {
                let covered = (newest as f64 - oldest as f64).max(1.0);
                let whole = filter
                    .since
                    .map_or(OPEN_WINDOW_S, |since| newest as f64 - since as f64)
                    .clamp(covered, OPEN_WINDOW_S.max(covered));
                seen as f64 * whole / covered
            }
            _ => seen as f64,
        };
    }
    Ok(if probed > 0.0 { entries * ranges.len() as f64 / probed } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use crate::{
        EventStore, KvStore, MemoryKv, OrderedKv,
        conformance::samples::{NOW, author, event},
    };

    use super::*;

    /// First bytes of the chosen ranges' keys, how many there are, and whether they cover.
    fn chosen(kv: &MemoryKv, filter: &Filter) -> (u8, usize, bool) {
        let snapshot = kv.snapshot().unwrap();
        match plan(filter, None, &*snapshot).unwrap() {
            Plan::Ranges { ranges, covers } => (ranges[0].start[0], ranges.len(), covers),
            Plan::Ids { covers } => (keys::ID, 0, covers),
            Plan::Addresses => (keys::ADDRESS, 0, true),
            Plan::Nothing => (0, 0, false),
        }
    }

    /// Author 1 writes a note with `#t x` each second, author 2 one in a thousand; `#p` names
    /// somebody in one of a hundred notes, kind 7 is as rare as author 2.
    fn filled() -> MemoryKv {
        let kv = MemoryKv::new();
        let store = KvStore::open(kv.clone()).unwrap();
        let events: Vec<_> = (0..3_000)
            .map(|n| {
                let rare = n % 1_000 == 0;
                let tags: &[&[&str]] =
                    if n % 100 == 0 { &[&["t", "x"], &["p", "somebody"]] } else { &[&["t", "x"]] };
                event(if rare { 2 } else { 1 }, NOW - n, if rare { 7 } else { 1 }, tags, "")
            })
            .collect();
        store.put_batch(&events, NOW).unwrap();
        kv
    }

    #[test]
    fn the_index_with_the_fewest_candidates_is_chosen() {
        let kv = filled();
        let any = Filter::new;
        for (filter, expected) in [
            (any(), (keys::EVENT, 1, true)),
            (any().authors([author(2)]).tag('t', ["x"]), (keys::AUTHOR, 1, false)),
            (any().authors([author(1)]).tag('p', ["somebody"]), (keys::TAG, 1, false)),
            (any().kinds([7]).tag('t', ["x"]), (keys::KIND, 1, false)),
            (any().kinds([1]).tag('p', ["somebody"]), (keys::TAG, 1, true)),
            (any().tag('t', ["x"]).tag('p', ["somebody"]), (keys::TAG, 1, false)),
            (any().authors([author(1), author(2)]).kinds([1, 7]), (keys::AUTHOR_KIND, 4, true)),
            (any().authors([author(1)]).since(NOW - 5), (keys::AUTHOR, 1, true)),
            (any().kinds([1, 1, 7]), (keys::KIND, 2, true)),
            (any().authors([author(1)]).kinds([0, 10_002]), (keys::ADDRESS, 0, true)),
            (any().authors([author(1)]).kinds([0, 1]), (keys::AUTHOR_KIND, 2, true)),
            (any().authors([author(1)]).kinds([30_000]), (keys::AUTHOR_KIND, 1, true)),
            (any().tag('t', ["x", "y"]), (keys::TAG, 2, true)),
            (any().kinds(0..2_000), (keys::EVENT, 1, true)),
            (any().kinds([1]).since(2).until(1), (0, 0, false)),
            (any().kinds([]), (0, 0, false)),
        ] {
            assert_eq!(chosen(&kv, &filter), expected, "{filter:?}");
        }
        let both = any().tag('t', ["x"]).tag('p', ["somebody"]);
        let snapshot = kv.snapshot().unwrap();
        let Plan::Ranges { ranges, .. } = plan(&both, None, &*snapshot).unwrap() else {
            panic!("no ranges");
        };
        assert_eq!(ranges[0].start[1], b'p', "the rarer of two tags");
    }
}
