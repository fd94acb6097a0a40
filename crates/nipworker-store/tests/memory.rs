//! The memory backend against both suites.

#![allow(clippy::unwrap_used)]

use nipworker_store::{EventStore, KvStore, MemoryKv, OrderedKv};

mod ordered_kv {
    use super::*;

    nipworker_store::ordered_kv_conformance!(|| -> Box<dyn OrderedKv> {
        Box::new(MemoryKv::new())
    });
}

mod event_store {
    use super::*;

    nipworker_store::event_store_conformance!(|| -> Box<dyn EventStore> {
        Box::new(KvStore::open(MemoryKv::new()).unwrap())
    });
}
