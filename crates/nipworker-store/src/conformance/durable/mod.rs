//! What a backend with a disk has to show on top of the suites: it forgets nothing when it is closed,
//! when its process is killed, and with real events in it.

use std::path::Path;

use tempfile::TempDir;

use crate::{Direction, EventStore, KeyRange, KvError, KvSnapshot, KvStats, OrderedKv, WriteBatch};

pub mod crash;
pub mod damage;
pub mod full_disk;
mod in_folder;
mod real_events;

pub use in_folder::InFolder;
pub use real_events::real_events_answer_from_disk_as_they_do_from_memory;

/// Opens or makes a store at a path; an error is told in words.
pub type OpenStore = fn(&Path) -> Result<Box<dyn EventStore>, String>;

/// A backend whose folder goes when it does.
#[derive(Debug)]
pub struct Temporary<K> {
    kv: K,
    _folder: TempDir,
}

impl<K> Temporary<K> {
    /// What `open` makes of a path in a fresh folder.
    pub fn new(open: impl FnOnce(&Path) -> K) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { kv: open(&folder.path().join("events")), _folder: folder }
    }
}

impl<K: OrderedKv> OrderedKv for Temporary<K> {
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

/// What is committed is there after the backend was closed and opened again.
///
/// # Panics
/// When it is not.
pub fn everything_is_there_after_closing_and_opening_again<K: OrderedKv>(open: fn(&Path) -> K) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events");
    for round in 0..5_u8 {
        let kv = open(&path);
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
