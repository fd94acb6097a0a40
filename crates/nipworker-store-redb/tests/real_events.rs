//! The real events on disk answer as they do in memory, before and after closing.

use nipworker_store::conformance::durable;
use nipworker_store_redb::{RedbOptions, open_store};

#[test]
fn real_events_answer_from_disk_as_they_do_from_memory() {
    durable::real_events_answer_from_disk_as_they_do_from_memory(|path| {
        match open_store(path, RedbOptions::default()) {
            Ok(store) => Ok(Box::new(store)),
            Err(error) => Err(error.to_string()),
        }
    });
}
