//! [`SledKv`]: sled behind the ordered key-value port.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use nipworker_store::{
    KvError, KvSnapshot, KvStats, KvStore, OrderedKv, StoreError, WriteBatch,
    guard::{caught, guarded},
};
use sled::{Batch, Db, IVec};

use crate::{
    OpenError,
    error::{io, not_opened, told},
    folder::{COUNTER_FILE, Disk, is_locked, prepare},
    keys::encode,
    snapshot::Snapshot,
    versions::{Old, Versions},
    watch::Watch,
};

/// Bytes of sled's cache unless the options say otherwise.
pub const CACHE_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;

/// Bytes of old values that are kept for snapshots unless the options say otherwise.
pub const SNAPSHOT_BYTES_DEFAULT: usize = 64 * 1024 * 1024;

/// sled's own tree, which is always there.
const DEFAULT_TREE: &[u8] = b"__sled__default";

/// Holds the number of the newest commit. No key of the port is stored under this one, and none
/// stands behind it.
const COUNTER_KEY: &[u8] = &[u8::MAX; 2];

/// How a folder is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SledOptions {
    /// Bytes that sled aims to keep of the database in memory. It takes more: the table of its
    /// pages is always in memory as a whole.
    pub cache_bytes: u64,
    /// Bytes of old values that are kept for open snapshots, roughly. A snapshot that would need
    /// more turns [unavailable](KvError::Unavailable).
    pub snapshot_bytes: usize,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self { cache_bytes: CACHE_BYTES_DEFAULT, snapshot_bytes: SNAPSHOT_BYTES_DEFAULT }
    }
}

/// Opens or creates an event store in the folder at `path`; missing folders are created.
///
/// # Errors
/// Any [`OpenError`].
pub fn open_store(path: impl AsRef<Path>, options: SledOptions) -> Result<KvStore, OpenError> {
    let path = path.as_ref();
    let kv = SledKv::open(path, options)?;
    KvStore::open(kv).map_err(|error| OpenError::from_store(path, error))
}

/// An [`OrderedKv`] in one folder of sled.
///
/// Snapshots turn unavailable when it is dropped.
pub struct SledKv {
    path: PathBuf,
    options: SledOptions,
    shared: Arc<Shared>,
    /// Held by whoever commits or opens again.
    writer: Mutex<Writer>,
}

/// What one commit leaves to the next.
struct Writer {
    openings: u64,
    /// What the keys of a commit were that began and was not seen to end. sled may have applied
    /// a part of it; the next commit takes that back first.
    unfinished: Option<Vec<(IVec, Old)>>,
}

/// What snapshots share with the backend. `None` while it could not be opened again.
pub(crate) struct Shared(RwLock<Option<Open>>);

impl Shared {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Option<Open>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Open>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The database from one opening to the next. Dropped from the first field to the last.
pub(crate) struct Open {
    _watch: Watch,
    pub(crate) db: Db,
    disk: Disk,
    /// Which opening this is.
    pub(crate) opening: u64,
    versions: RwLock<Versions>,
    /// The number of the newest commit. Only the writer changes it.
    commit: AtomicU64,
    /// Set when a commit failed, after which sled answers nobody; the next call opens again.
    in_doubt: AtomicBool,
}

impl Open {
    pub(crate) fn versions(&self) -> RwLockReadGuard<'_, Versions> {
        self.versions.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn versions_mut(&self) -> RwLockWriteGuard<'_, Versions> {
        self.versions.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Acquire)
    }

    /// What the keys of a batch are now.
    fn old_values(
        &self,
        during: &'static str,
        batch: &WriteBatch,
    ) -> Result<Vec<(IVec, Old)>, KvError> {
        batch
            .iter()
            .map(|(key, _)| {
                let key = encode(key);
                let value = self.db.get(&key).map_err(|error| told(during, error))?;
                // A copy: sled's own may hold on to a whole page.
                Ok((key.into(), value.map(|value| IVec::from(&*value))))
            })
            .collect()
    }

    /// Applies the changes of the commit that was begun and shows them when they are durable.
    fn finish(
        &self,
        during: &'static str,
        changes: impl Iterator<Item = (IVec, Old)>,
    ) -> Result<(), KvError> {
        let commit = self.commit.load(Ordering::Relaxed) + 1;
        let mut batch = Batch::default();
        batch.insert(COUNTER_KEY, &commit.to_be_bytes());
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        let finished = guarded(during, || {
            self.db.apply_batch(batch).map_err(|error| told(during, error))?;
            self.db.flush().map_err(|error| told(during, error))?;
            self.disk.sync().map_err(|error| io(during, error))?;
            self.disk.acknowledge(commit).map_err(|error| io(during, error))
        });
        match &finished {
            Ok(()) => {
                self.commit.store(commit, Ordering::Relaxed);
                self.versions_mut().publish();
            }
            Err(_) => self.in_doubt.store(true, Ordering::Release),
        }
        finished
    }
}

impl SledKv {
    /// Opens or creates the database in the folder at `path`; missing folders are created.
    ///
    /// # Errors
    /// Any [`OpenError`]. sled writes to a folder while it opens it: a damaged one may be changed.
    pub fn open(path: impl AsRef<Path>, options: SledOptions) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        prepare(&path)?;
        let open = open_database(&path, &options, 1)?;
        Ok(Self {
            path,
            options,
            shared: Arc::new(Shared(RwLock::new(Some(open)))),
            writer: Mutex::new(Writer { openings: 1, unfinished: None }),
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the database again if the last commit failed or the last opening did.
    fn ensure_open(&self, during: &'static str, writer: &mut Writer) -> Result<(), KvError> {
        if self.shared.read().as_ref().is_some_and(|open| !open.is_in_doubt()) {
            return Ok(());
        }
        let mut slot = self.shared.write();
        if let Some(open) = slot.take()
            && let Err(detail) = caught(|| drop(open))
        {
            return Err(KvError::Unavailable { during, detail });
        }
        writer.openings += 1;
        let open = open_database(&self.path, &self.options, writer.openings)
            .map_err(|error| error.into_kv(during))?;
        if let Some(unfinished) = &writer.unfinished {
            // Nobody is shown what may be half a commit.
            open.versions_mut().begin(unfinished.iter().cloned());
        }
        *slot = Some(open);
        Ok(())
    }
}

impl Drop for SledKv {
    fn drop(&mut self) {
        let open = self.shared.write().take();
        // sled panics when the last sync fails. Whatever was acknowledged was synced before.
        drop(caught(|| drop(open)));
    }
}

fn open_database(path: &Path, options: &SledOptions, opening: u64) -> Result<Open, OpenError> {
    let opened = caught(|| {
        let db =
            sled::Config::new().path(path).cache_capacity(options.cache_bytes).open().map_err(
                |error| match error {
                    // sled does not say what the system said to locking.
                    sled::Error::Io(_) if is_locked(path) => {
                        OpenError::AlreadyOpen { path: path.to_owned() }
                    }
                    error => not_opened(path, error),
                },
            )?;
        if db.tree_names().iter().any(|name| name != DEFAULT_TREE) {
            let source = StoreError::Foreign;
            return Err(OpenError::Store { path: path.to_owned(), source });
        }
        let told = |source| OpenError::from_io(path, source);
        db.flush().map_err(|error| not_opened(path, error))?;
        let disk = Disk::open(path).map_err(told)?;
        let counter = db.get(COUNTER_KEY).map_err(|error| not_opened(path, error));
        let open = Open {
            _watch: Watch::start(db.clone()).map_err(told)?,
            db,
            disk,
            commit: AtomicU64::new(0),
            opening,
            versions: RwLock::new(Versions::new(options.snapshot_bytes)),
            in_doubt: AtomicBool::new(false),
        };
        // From here on, an error closes all of it in order.
        let commit =
            counter?.and_then(|number| (*number).try_into().ok()).map_or(0, u64::from_be_bytes);
        let acknowledged = open.disk.acknowledged;
        if commit < acknowledged {
            let detail = format!(
                "its last commit is number {commit}, but number {acknowledged} was acknowledged; \
                 to read what is left, remove {COUNTER_FILE}"
            );
            return Err(OpenError::Corrupt { path: path.to_owned(), detail });
        }
        open.commit.store(commit, Ordering::Relaxed);
        Ok(open)
    });
    opened.unwrap_or_else(|detail| Err(OpenError::Corrupt { path: path.to_owned(), detail }))
}

fn closed(during: &'static str) -> KvError {
    KvError::Unavailable { during, detail: "database is closed".into() }
}

impl OrderedKv for SledKv {
    fn name(&self) -> &'static str {
        "sled"
    }

    fn snapshot(&self) -> Result<Box<dyn KvSnapshot>, KvError> {
        let during = "taking a snapshot";
        if self.shared.read().as_ref().is_none_or(Open::is_in_doubt) {
            self.ensure_open(during, &mut self.writer())?;
        }
        let slot = self.shared.read();
        let open = slot.as_ref().ok_or_else(|| closed(during))?;
        Ok(Box::new(Snapshot::new(self.shared.clone(), open)))
    }

    fn commit(&self, batch: &WriteBatch) -> Result<(), KvError> {
        if batch.is_empty() {
            return Ok(());
        }
        let during = "committing";
        let mut writer = self.writer();
        self.ensure_open(during, &mut writer)?;
        let slot = self.shared.read();
        let open = slot.as_ref().ok_or_else(|| closed(during))?;
        if let Some(unfinished) = &writer.unfinished {
            open.finish("taking back half a commit", unfinished.iter().cloned())?;
            writer.unfinished = None;
        }
        let old = guarded(during, || open.old_values(during, batch))?;
        open.versions_mut().begin(old.iter().cloned());
        writer.unfinished = Some(old);
        let changes = batch.iter().map(|(key, value)| (encode(key).into(), value.map(IVec::from)));
        open.finish(during, changes)?;
        writer.unfinished = None;
        Ok(())
    }

    fn stats(&self) -> Result<KvStats, KvError> {
        let during = "asking for the size on disk";
        let slot = self.shared.read();
        let open = slot.as_ref().ok_or_else(|| closed(during))?;
        let bytes = guarded(during, || open.db.size_on_disk().map_err(|e| told(during, e)))?;
        Ok(KvStats { disk_bytes: Some(bytes) })
    }

    fn flush(&self) -> Result<(), KvError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
