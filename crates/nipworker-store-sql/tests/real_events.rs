//! The real events in a file answer as they do in memory, before and after closing.

#![allow(clippy::unwrap_used)]

mod place;

use nipworker_store::conformance::durable;

#[test]
fn real_events_answer_from_sqlite_as_they_do_from_memory() {
    durable::real_events_answer_from_disk_as_they_do_from_memory(|path| {
        match place::sqlite(path) {
            Ok(store) => Ok(Box::new(store)),
            Err(error) => Err(error.to_string()),
        }
    });
}
