//! sled against both suites.

#![allow(clippy::unwrap_used)]

use nipworker_store::{
    Direction, EventStore, KeyRange, KvError, KvSnapshot, KvStats, KvStore, OrderedKv, WriteBatch,
};
use nipworker_store_sled::{SledKv, SledOptions};
use tempfile::TempDir;

/// A backend whose folder goes when it does.
struct Temporary {
    kv: SledKv,
    _folder: TempDir,
}

impl Temporary {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kv = SledKv::open(folder.path().join("events.sled"), SledOptions::default()).unwrap();
        Self { kv, _folder: folder }
    }
}

impl OrderedKv for Temporary {
    fn name(&self) -> &'static str {
        self.kv.name()
    }

    fn snapshot(&self) -> Result<Box<dyn KvSnapshot>, KvError> {
        self.kv.snapshot()
    }

    fn commit(&self, batch: &WriteBatch) -> Result<(), KvError> {
        self.kv.commit(batch)
    }

    fn stats(&self) -> Result<KvStats, KvError> {
        self.kv.stats()
    }

    fn flush(&self) -> Result<(), KvError> {
        self.kv.flush()
    }
}

mod ordered_kv {
    use super::*;

    nipworker_store::ordered_kv_conformance!(|| -> Box<dyn OrderedKv> {
        Box::new(Temporary::new())
    });
}

mod event_store {
    use super::*;

    nipworker_store::event_store_conformance!(|| -> Box<dyn EventStore> {
        Box::new(KvStore::open(Temporary::new()).unwrap())
    });
}

#[test]
fn everything_is_there_after_closing_and_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.sled");
    for round in 0..5_u8 {
        let kv = SledKv::open(&path, SledOptions::default()).unwrap();
        let snapshot = kv.snapshot().unwrap();
        let range = KeyRange { start: vec![0], end: vec![255] };
        let mut cursor = snapshot.scan(range, Direction::Forward).unwrap();
        for earlier in 0..round {
            assert_eq!(cursor.advance().unwrap(), Some((&[earlier][..], &[earlier, 7][..])));
        }
        assert_eq!(cursor.advance().unwrap(), None);
        let mut batch = WriteBatch::new();
        batch.put([round], [round, 7]);
        kv.commit(&batch).unwrap();
    }
}
