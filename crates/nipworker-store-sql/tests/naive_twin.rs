//! Random events and filters on both databases and on a list that is searched from end to end.

#![allow(clippy::unwrap_used)]

mod place;

use nipworker_store::{
    EventStore,
    conformance::{agree_with_the_naive_store, durable::InFolder},
};
use nipworker_store_sql::{SqlOptions, SqlStore};

/// Cases of one run for each database; `NIPWORKER_STORE_CASES` asks for another number.
const CASES_DEFAULT: u64 = 60;

fn cases() -> std::ops::Range<u64> {
    let cases = std::env::var("NIPWORKER_STORE_CASES")
        .map_or(CASES_DEFAULT, |cases| cases.parse().expect("a number of cases"));
    20_000..20_000 + cases
}

#[test]
fn sqlite_agrees_with_the_naive_twin_on_random_histories() {
    agree_with_the_naive_store(
        &|| -> Box<dyn EventStore> { Box::new(InFolder::new(|path| place::sqlite(path).unwrap())) },
        cases(),
    );
}

#[test]
fn postgres_agrees_with_the_naive_twin_on_random_histories() {
    agree_with_the_naive_store(
        &|| -> Box<dyn EventStore> {
            let schema = place::fresh_schema();
            Box::new(SqlStore::open_postgres(&schema, None, SqlOptions::default()).unwrap())
        },
        cases(),
    );
}
