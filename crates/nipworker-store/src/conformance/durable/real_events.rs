//! The real events on disk answer as they do in memory, before and after closing.

use std::path::Path;

use nipworker_protocol::{Attestation, Event, EventId, EventLimits, Filter, Verified};

use super::OpenStore;
use crate::{EventStore, KvStore, MemoryKv, PageRequest};

/// Later than every event of the file; none of them expires.
const NOW: i64 = 1_800_000_000;

fn real_events() -> Vec<Verified<Event>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/real-events.jsonl");
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| {
            let event = Event::from_json(line.as_bytes(), &EventLimits::default()).unwrap();
            Verified::attest(event, Attestation::Checked)
        })
        .collect()
}

fn answer(store: &dyn EventStore, filter: &Filter) -> Vec<EventId> {
    let mut request = PageRequest::first(40);
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

/// # Panics
/// When an answer differs.
pub fn real_events_answer_from_disk_as_they_do_from_memory(open: OpenStore) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events");
    let memory = KvStore::open(MemoryKv::new()).unwrap();
    let events = real_events();
    assert_eq!(events.len(), 544);
    let disk = open(&path).unwrap();
    for batch in events.chunks(256) {
        assert_eq!(disk.put_batch(batch, NOW).unwrap(), memory.put_batch(batch, NOW).unwrap());
    }
    let mut filters = vec![Filter::new(), Filter::new().limit(100), Filter::new().kinds([1, 7])];
    for event in events.iter().step_by(3) {
        filters.push(Filter::new().ids([event.id]));
        filters.push(Filter::new().authors([event.pubkey]).kinds([event.kind]).limit(30));
        filters.push(Filter::new().since(event.created_at).limit(20));
        filters.push(Filter::new().until(event.created_at).limit(20));
        for (letter, value) in event.tags.iter().filter_map(|tag| tag.indexed()).take(3) {
            filters.push(Filter::new().tag(letter.as_char(), [value]));
        }
    }
    let compare = |disk: &dyn EventStore| {
        for filter in &filters {
            assert_eq!(answer(disk, filter), answer(&memory, filter), "{filter:?}");
        }
        let report = disk.check().unwrap();
        assert!(report.is_clean(), "{:?}", report.problems);
        assert_eq!(report, memory.check().unwrap());
    };
    compare(&*disk);
    drop(disk);
    compare(&*open(&path).unwrap());
}
