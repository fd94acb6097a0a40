//! What an [`EventStore`] must do: `keeping` holds the rules of what is kept, `answering` those of
//! what is found and in which order.

mod answering;
mod keeping;

use nipworker_protocol::{Event, EventId, Filter, Verified};

use crate::{EventStore, PageRequest, Position, PutOutcome, conformance::samples::NOW};

pub use answering::*;
pub use keeping::*;

/// Makes a fresh, empty instance.
pub type Make<'m> = &'m dyn Fn() -> Box<dyn EventStore>;

fn put(store: &dyn EventStore, event: &Verified<Event>) -> PutOutcome {
    store.put_batch(std::slice::from_ref(event), NOW).unwrap().remove(0)
}

fn all(store: &dyn EventStore, filters: &[Filter]) -> Vec<EventId> {
    let mut request = PageRequest::default();
    let mut found = Vec::new();
    loop {
        let page = store.query(filters, &request, NOW).unwrap();
        found.extend(page.events.iter().map(|event| event.view().id()));
        match page.next {
            Some(next) => request.after = Some(next),
            None => return found,
        }
    }
}

fn everything(store: &dyn EventStore) -> Vec<EventId> {
    all(store, &[Filter::new()])
}

fn clean(store: &dyn EventStore) {
    let report = store.check().unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
}

fn sorted(mut events: Vec<Verified<Event>>) -> Vec<Verified<Event>> {
    events.sort_by_key(|event| Position::of(event));
    events
}
