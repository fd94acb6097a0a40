//! sled against the suites.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use nipworker_store::{
    EventStore, KvStore, OrderedKv,
    conformance::durable::{self, Temporary},
};
use nipworker_store_sled::{SledKv, SledOptions};

fn open(path: &Path) -> SledKv {
    SledKv::open(path, SledOptions::default()).unwrap()
}

mod ordered_kv {
    use super::*;

    nipworker_store::ordered_kv_conformance!(|| -> Box<dyn OrderedKv> {
        Box::new(Temporary::new(open))
    });
}

mod event_store {
    use super::*;

    nipworker_store::event_store_conformance!(|| -> Box<dyn EventStore> {
        Box::new(KvStore::open(Temporary::new(open)).unwrap())
    });
}

#[test]
fn everything_is_there_after_closing_and_opening_again() {
    durable::everything_is_there_after_closing_and_opening_again(open);
}
