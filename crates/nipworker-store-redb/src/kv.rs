//! [`RedbKv`]: redb behind the ordered key-value port.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use nipworker_store::{
    KvError, KvSnapshot, KvStats, KvStore, OrderedKv, StoreError, WriteBatch,
    guard::{caught, guarded},
};
use redb::{Builder, Database, DatabaseError, ReadableDatabase, TableDefinition, TableError};

use crate::{
    OpenError,
    create::create_if_missing,
    error::{commit, compaction, not_opened, storage, table, transaction},
    snapshot::Snapshot,
};

/// Bytes of redb's cache unless the options say otherwise.
pub const CACHE_BYTES_DEFAULT: usize = 16 * 1024 * 1024;

/// Rounds of one compaction; two are usual.
const COMPACTION_ROUNDS_MAX: usize = 8;

/// The one table; its name is part of the file format.
pub(crate) const TABLE: TableDefinition<'static, &'static [u8], &'static [u8]> =
    TableDefinition::new("nipworker");

/// How a file is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedbOptions {
    /// Bytes that redb keeps of the file in memory. More makes reading faster.
    pub cache_bytes: usize,
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self { cache_bytes: CACHE_BYTES_DEFAULT }
    }
}

/// Opens or creates an event store in the file at `path`; missing folders are created.
///
/// # Errors
/// Any [`OpenError`].
pub fn open_store(path: impl AsRef<Path>, options: RedbOptions) -> Result<KvStore, OpenError> {
    let path = path.as_ref();
    let kv = RedbKv::open(path, options)?;
    KvStore::open(kv).map_err(|error| OpenError::from_store(path, error))
}

/// Opens or creates the database: the first time, and again after an error.
type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// An [`OrderedKv`] in one redb file.
pub struct RedbKv {
    path: PathBuf,
    opener: Opener,
    /// `None` while it could not be opened again.
    open: RwLock<Option<Open>>,
}

/// The database from one opening to the next.
struct Open {
    database: Database,
    /// Set by an error after which redb refuses to go on; the next call opens the file again.
    in_doubt: Arc<AtomicBool>,
}

impl Open {
    fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Acquire)
    }
}

impl From<Database> for Open {
    fn from(database: Database) -> Self {
        Self { database, in_doubt: Arc::default() }
    }
}

impl RedbKv {
    /// Opens or creates the file at `path`; missing folders are created.
    ///
    /// # Errors
    /// Any [`OpenError`]. The file is left as it was found.
    pub fn open(path: impl AsRef<Path>, options: RedbOptions) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|source| match source.kind() {
                // Something that is no folder stands in the way.
                io::ErrorKind::AlreadyExists => {
                    OpenError::Unwritable { path: folder.to_owned(), source }
                }
                _ => OpenError::from_io(folder, source),
            })?;
        }
        if path.is_dir() {
            return Err(OpenError::from_io(&path, io::ErrorKind::IsADirectory.into()));
        }
        create_if_missing(&path)?;
        let file = path.clone();
        Self::open_with(
            path,
            Box::new(move || Builder::new().set_cache_size(options.cache_bytes).create(&file)),
        )
    }

    fn open_with(path: PathBuf, opener: Opener) -> Result<Self, OpenError> {
        let open = RwLock::new(Some(open_database(&path, &opener)?.into()));
        Ok(Self { path, opener, open })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on the open database, opening it again first if the last error asks for it.
    fn with<T>(
        &self,
        during: &'static str,
        work: impl FnOnce(&Open) -> Result<T, KvError>,
    ) -> Result<T, KvError> {
        if self.read().as_ref().is_none_or(Open::is_in_doubt) {
            self.reopen(during)?;
        }
        let slot = self.read();
        let Some(open) = slot.as_ref() else {
            return Err(KvError::Unavailable { during, detail: "database is closed".into() });
        };
        let result = guarded(during, || work(open));
        if let Err(error) = &result {
            note(&open.in_doubt, error);
        }
        result
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<Open>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the database and opens it again. Snapshots that are still around turn unavailable.
    fn reopen(&self, during: &'static str) -> Result<(), KvError> {
        let mut slot = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(|open| !open.is_in_doubt()) {
            // Another thread was here first.
            return Ok(());
        }
        if let Some(open) = slot.take()
            && let Err(detail) = caught(|| drop(open))
        {
            return Err(KvError::Unavailable { during, detail });
        }
        let database = open_database(&self.path, &self.opener).map_err(|error| match error {
            OpenError::Full { source, .. } => KvError::Full { during, source },
            OpenError::Io { source, .. } | OpenError::Unwritable { source, .. } => {
                KvError::Io { during, source }
            }
            OpenError::AlreadyOpen { .. } => {
                KvError::Unavailable { during, detail: error.to_string() }
            }
            other => KvError::Corrupt { during, detail: other.to_string() },
        })?;
        *slot = Some(database.into());
        Ok(())
    }
}

/// Remembers an error after which the open database is not to be used any more.
pub(crate) fn note(in_doubt: &AtomicBool, error: &KvError) {
    if !matches!(error, KvError::TooLarge { .. }) {
        in_doubt.store(true, Ordering::Release);
    }
}

fn open_database(path: &Path, opener: &Opener) -> Result<Database, OpenError> {
    let opened = caught(|| {
        let database = opener().map_err(|error| not_opened(path, error))?;
        prepare(path, &database)?;
        Ok(database)
    });
    opened.unwrap_or_else(|detail| Err(OpenError::Corrupt { path: path.to_owned(), detail }))
}

/// Makes sure that our table is there and that nobody else's is.
pub(crate) fn prepare(path: &Path, database: &Database) -> Result<(), OpenError> {
    let during = "opening";
    let told = |error: KvError| OpenError::from_kv(path, error);
    let read = database.begin_read().map_err(|error| told(transaction(during, error)))?;
    match read.open_table(TABLE) {
        Ok(_) => return Ok(()),
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(TableError::Storage(error)) => return Err(told(storage(during, error))),
        Err(_) => return Err(foreign(path)),
    }
    let tables = read.list_tables().map_err(|error| told(storage(during, error)))?;
    let multimaps = read.list_multimap_tables().map_err(|error| told(storage(during, error)))?;
    if tables.count() + multimaps.count() > 0 {
        return Err(foreign(path));
    }
    drop(read);
    let write = database.begin_write().map_err(|error| told(transaction(during, error)))?;
    write.open_table(TABLE).map_err(|error| told(table(during, error)))?;
    write.commit().map_err(|error| told(commit(during, error)))
}

fn foreign(path: &Path) -> OpenError {
    OpenError::Store { path: path.to_owned(), source: StoreError::Foreign }
}

impl OrderedKv for RedbKv {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn snapshot(&self) -> Result<Box<dyn KvSnapshot>, KvError> {
        let during = "taking a snapshot";
        self.with(during, |open| {
            let read = open.database.begin_read().map_err(|error| transaction(during, error))?;
            let table = read.open_table(TABLE).map_err(|error| table(during, error))?;
            Ok(Box::new(Snapshot::new(table, open.in_doubt.clone())) as Box<dyn KvSnapshot>)
        })
    }

    fn commit(&self, batch: &WriteBatch) -> Result<(), KvError> {
        if batch.is_empty() {
            return Ok(());
        }
        let during = "committing";
        self.with(during, |open| {
            let write = open.database.begin_write().map_err(|error| transaction(during, error))?;
            {
                let mut table = write.open_table(TABLE).map_err(|error| table(during, error))?;
                for (key, value) in batch.iter() {
                    match value {
                        Some(value) => table.insert(key, value).map(drop),
                        None => table.remove(key).map(drop),
                    }
                    .map_err(|error| storage(during, error))?;
                }
            }
            write.commit().map_err(|error| commit(during, error))
        })
    }

    fn stats(&self) -> Result<KvStats, KvError> {
        let file = fs::metadata(&self.path)
            .map_err(|source| KvError::Io { during: "asking for the file's size", source })?;
        Ok(KvStats { disk_bytes: Some(file.len()) })
    }

    fn flush(&self) -> Result<(), KvError> {
        Ok(())
    }

    fn compact(&self) -> Result<(), KvError> {
        let during = "compacting";
        // An error of an earlier call is got over first.
        self.with(during, |_| Ok(()))?;
        let mut slot = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = slot.as_mut() else {
            return Err(KvError::Unavailable { during, detail: "database is closed".into() });
        };
        let in_doubt = Arc::clone(&open.in_doubt);
        // Each round moves pages to the front; the last one finds nothing to move.
        let result = guarded(during, || {
            for _ in 0..COMPACTION_ROUNDS_MAX {
                if !open.database.compact().map_err(|error| compaction(during, error))? {
                    break;
                }
            }
            Ok(())
        });
        if let Err(error) = &result
            && !matches!(error, KvError::Unavailable { .. })
        {
            note(&in_doubt, error);
        }
        result
    }
}

#[cfg(test)]
mod tests;
