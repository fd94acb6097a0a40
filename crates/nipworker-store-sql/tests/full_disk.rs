//! A disk that is full: the put is refused, reading goes on, and so does writing when there is space.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod place;

use std::{env, path::Path};

use nipworker_store::{
    KvError, StoreError,
    conformance::durable::full_disk::{self, Case},
};

const CASE: Case = Case {
    open: |path| match place::sqlite(path) {
        Ok(store) => Ok(Box::new(store)),
        Err(error) => Err(error.to_string()),
    },
    blocks: 2_048,
    // Of a disk without space SQLite says the first; of a limit on the length of files, as here, also the
    // second.
    is_told: |error| matches!(error, StoreError::Kv(KvError::Full { .. } | KvError::Io { .. })),
};

fn main() {
    let arguments: Vec<String> = env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some(full_disk::CHILD) => full_disk::fill(&CASE, Path::new(&arguments[2])),
        Some("--list") => println!("{}: test", full_disk::NAME),
        _ => full_disk::costs_the_commit_and_service_resumes_when_there_is_space(&CASE),
    }
}
