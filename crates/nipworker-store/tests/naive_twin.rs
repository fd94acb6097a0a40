//! Random events and filters on the engine and on a list that is searched from end to end.

#![allow(clippy::unwrap_used)]

use nipworker_store::{EventStore, KvStore, MemoryKv, conformance::agree_with_the_naive_store};

/// Cases of one run; `NIPWORKER_STORE_CASES` asks for another number.
const CASES_DEFAULT: u64 = 10_000;

#[test]
fn the_engine_agrees_with_its_naive_twin_on_thousands_of_random_histories() {
    let cases = std::env::var("NIPWORKER_STORE_CASES")
        .map_or(CASES_DEFAULT, |cases| cases.parse().expect("a number of cases"));
    agree_with_the_naive_store(
        &|| -> Box<dyn EventStore> { Box::new(KvStore::open(MemoryKv::new()).unwrap()) },
        1_000..1_000 + cases,
    );
}
