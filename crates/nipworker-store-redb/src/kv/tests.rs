//! A disk that refuses for a while, in the middle of the work.

use std::{
    fs::OpenOptions,
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64},
};

use nipworker_protocol::Filter;
use nipworker_store::{EventStore, PageRequest, PutOutcome, conformance::samples};
use redb::{BackendError, StorageBackend, backends::FileBackend};

use super::*;

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

/// What the disk does.
#[derive(Debug, Default)]
struct Disk {
    /// Writes, syncs and growths that still succeed; below zero all do.
    healthy: AtomicI64,
    errno: AtomicU64,
    refused: AtomicBool,
}

impl Disk {
    fn new() -> Arc<Self> {
        Arc::new(Self { healthy: AtomicI64::new(-1), ..Self::default() })
    }

    fn fail_after(&self, operations: i64, errno: i32) {
        self.errno.store(errno.unsigned_abs().into(), Ordering::Relaxed);
        self.refused.store(false, Ordering::Relaxed);
        self.healthy.store(operations, Ordering::Relaxed);
    }

    fn heal(&self) {
        self.healthy.store(-1, Ordering::Relaxed);
    }

    fn has_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    fn step(&self) -> io::Result<()> {
        let healthy = self.healthy.load(Ordering::Relaxed);
        if healthy == 0 {
            self.refused.store(true, Ordering::Relaxed);
            let errno = i32::try_from(self.errno.load(Ordering::Relaxed)).unwrap();
            return Err(io::Error::from_raw_os_error(errno));
        }
        if healthy > 0 {
            self.healthy.store(healthy - 1, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Faulty {
    file: FileBackend,
    disk: Arc<Disk>,
}

type Bound = std::ops::Bound<u64>;

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.step()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.step()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.step()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound, end: Bound) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound, end: Bound) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

fn store_on(disk: &Arc<Disk>, path: &Path) -> KvStore {
    let (file, disk) = (path.to_owned(), disk.clone());
    let opener: Opener = Box::new(move || {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&file)?;
        let backend = Faulty { file: FileBackend::new(file)?, disk: disk.clone() };
        Builder::new().set_cache_size(CACHE_BYTES_DEFAULT).create_with_backend(backend)
    });
    KvStore::open(RedbKv::open_with(path.to_owned(), opener).unwrap()).unwrap()
}

#[test]
fn a_disk_that_refuses_costs_the_commit_and_service_resumes_when_it_recovers() {
    for errno in [ENOSPC, EIO] {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new();
        let store = store_on(&disk, &folder.path().join("events.redb"));
        let mut acknowledged = Vec::new();
        // Refusing after each number of operations goes through every step of a commit.
        for healthy in 0..12 {
            let batch: Vec<_> = (0..6)
                .map(|n| samples::note(1, samples::NOW - healthy * 100 - n, &"x".repeat(3_000)))
                .collect();
            disk.fail_after(healthy, errno);
            match store.put_batch(&batch, samples::NOW) {
                Ok(outcomes) => assert_eq!(outcomes, vec![PutOutcome::Stored; 6]),
                Err(error) => {
                    assert!(disk.has_refused(), "{error}");
                    assert!(error.is_transient(), "{error:?}");
                    assert_eq!(error.is_fatal(), errno == EIO, "{error:?}");
                    let again = store.put_batch(&batch, samples::NOW);
                    assert!(again.is_err() || !disk.has_refused(), "the disk still refuses");
                }
            }
            disk.heal();
            let outcomes = store.put_batch(&batch, samples::NOW).unwrap();
            assert!(outcomes.iter().all(PutOutcome::is_kept), "{outcomes:?}");
            acknowledged.extend(batch);
            let report = store.check().unwrap();
            assert!(report.is_clean(), "{:?}", report.problems);
            let page =
                store.query(&[Filter::new()], &PageRequest::first(5_000), samples::NOW).unwrap();
            assert_eq!(page.unpack(), acknowledged, "errno {errno}, after {healthy} operations");
        }
    }
}

#[test]
fn a_snapshot_from_before_an_error_turns_unavailable_and_disturbs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    // Too small a cache to hold what is read below.
    let options = RedbOptions { cache_bytes: 256 * 1024 };
    let kv = RedbKv::open(folder.path().join("events.redb"), options).unwrap();
    let mut batch = WriteBatch::new();
    for number in 0..50_000_u32 {
        batch.put(number.to_be_bytes(), [7; 64]);
    }
    kv.commit(&batch).unwrap();
    let old = kv.snapshot().unwrap();
    note(
        &kv.read().as_ref().unwrap().in_doubt,
        &KvError::Unavailable { during: "testing", detail: String::new() },
    );
    let new = kv.snapshot().unwrap();
    let mut unavailable = 0;
    for number in 0..50_000_u32 {
        // What the cache still holds is right; what it does not is refused.
        match old.get(&number.to_be_bytes()) {
            Ok(value) => assert_eq!(value, Some(vec![7; 64])),
            Err(KvError::Unavailable { .. }) => unavailable += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(unavailable > 0, "nothing was refused");
    assert_eq!(new.get(&1_u32.to_be_bytes()).unwrap(), Some(vec![7; 64]));
    assert!(!kv.read().as_ref().unwrap().is_in_doubt());
}
