//! Real events: what the indexes answer is what a search through the list answers.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, path::Path};

use nipworker_protocol::{Attestation, Event, EventId, EventLimits, Filter, PublicKey, Verified};
use nipworker_store::{EventStore, KvStore, MemoryKv, PageRequest, Position, PutOutcome};

/// Later than every event of the file; none of them expires.
const NOW: i64 = 1_800_000_000;

fn real_events() -> Vec<Verified<Event>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/real-events.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| {
            let event = Event::from_json(line.as_bytes(), &EventLimits::default()).unwrap();
            event.check_id().unwrap();
            Verified::attest(event, Attestation::Checked)
        })
        .collect()
}

fn filled() -> (KvStore, Vec<Verified<Event>>) {
    let store = KvStore::open(MemoryKv::new()).unwrap();
    let events = real_events();
    let mut kept = Vec::new();
    for batch in events.chunks(64) {
        for (event, outcome) in batch.iter().zip(store.put_batch(batch, NOW).unwrap()) {
            assert!(
                matches!(outcome, PutOutcome::Stored | PutOutcome::Superseded { .. }),
                "{outcome:?}"
            );
            if outcome == PutOutcome::Stored {
                kept.push(event.clone());
            }
        }
    }
    kept.retain(|event| store.get(&event.id, NOW).unwrap().is_some());
    (store, kept)
}

fn naive(events: &[Verified<Event>], filter: &Filter) -> Vec<EventId> {
    let mut found: Vec<_> = events.iter().filter(|event| filter.matches(event)).collect();
    found.sort_by_key(|event| Position::of(event));
    found.truncate(filter.limit.unwrap_or(usize::MAX));
    found.iter().map(|event| event.id).collect()
}

fn answer(store: &KvStore, filter: &Filter, page_size: usize) -> Vec<EventId> {
    let mut request = PageRequest::first(page_size);
    let mut found = Vec::new();
    loop {
        let page = store.query(std::slice::from_ref(filter), &request, NOW).unwrap();
        found.extend(page.events.iter().map(|event| event.view().id()));
        match page.next {
            Some(next) => request.after = Some(next),
            None => return found,
        }
    }
}

#[test]
fn all_544_real_events_are_taken_in_and_pass_the_check() {
    assert_eq!(real_events().len(), 544);
    let (store, kept) = filled();
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!(report.events, kept.len() as u64);
    assert!(kept.len() > 500, "{} kept", kept.len());
}

#[test]
fn every_kind_of_filter_answers_exactly_what_a_naive_search_answers() {
    let (store, kept) = filled();
    let mut filters = vec![Filter::new(), Filter::new().limit(100)];
    let authors: BTreeSet<PublicKey> = kept.iter().map(|event| event.pubkey).collect();
    let kinds: BTreeSet<u16> = kept.iter().map(|event| event.kind).collect();
    let times: BTreeSet<i64> = kept.iter().map(|event| event.created_at).collect();
    let tags: BTreeSet<(char, &str)> = kept
        .iter()
        .flat_map(|event| event.tags.iter().filter_map(|tag| tag.indexed()))
        .map(|(letter, value)| (letter.as_char(), value))
        .collect();
    assert!(tags.iter().any(|(letter, _)| *letter == 'e'));
    assert!(tags.iter().any(|(letter, _)| *letter == 't'));
    for event in &kept {
        filters.push(Filter::new().ids([event.id]));
    }
    for author in &authors {
        let by = Filter::new().authors([*author]);
        filters.push(by.clone());
        filters.push(by.clone().limit(3));
        filters.push(by.kinds([1, 4]));
    }
    for kind in &kinds {
        let of = Filter::new().kinds([*kind]);
        filters.push(of.clone().limit(20));
        filters.push(of);
    }
    for (letter, value) in &tags {
        let tagged = Filter::new().tag(*letter, [*value]);
        filters.push(tagged.clone().kinds([1]));
        filters.push(tagged);
    }
    for time in times.iter().step_by(20) {
        filters.push(Filter::new().since(*time).limit(50));
        filters.push(Filter::new().until(*time).limit(50));
        filters.push(Filter::new().kinds([4]).since(*time));
        filters.push(Filter::new().since(*time - 86_400).until(*time));
    }
    filters.push(Filter::new().authors(authors.iter().copied()).kinds(kinds.iter().copied()));
    filters.push(Filter::new().tag('t', tags.iter().map(|(_, value)| *value)).limit(30));
    for filter in &filters {
        assert_eq!(answer(&store, filter, 17), naive(&kept, filter), "{filter:?}");
        let unlimited = Filter { limit: None, ..filter.clone() };
        assert_eq!(
            store.count(std::slice::from_ref(filter), NOW).unwrap(),
            naive(&kept, &unlimited).len() as u64,
            "{filter:?}"
        );
    }
}
