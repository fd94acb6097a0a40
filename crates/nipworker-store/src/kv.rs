//! The small ordered key-value port that backends implement.

mod memory;
mod sealed;

use std::{collections::BTreeMap, io};

pub use memory::MemoryKv;
pub(crate) use sealed::SealedKv;
pub use sealed::{SEAL_KEY_BYTES, Seal};

/// Keys and values as bytes, keys in the order of their bytes.
///
/// A commit is atomic and, on a backend with a disk, durable when it returns. A snapshot shows
/// one moment: later commits do not change it, and it never makes a commit wait.
pub trait OrderedKv: Send + Sync {
    /// A short name for status and logs.
    fn name(&self) -> &'static str;

    /// A view of what is committed now.
    ///
    /// # Errors
    /// [`KvError::Io`], [`KvError::Corrupt`], [`KvError::Unavailable`].
    fn snapshot(&self) -> Result<Box<dyn KvSnapshot>, KvError>;

    /// Applies a batch as a whole.
    ///
    /// # Errors
    /// Any [`KvError`]. Then the batch was not applied, except that after [`KvError::Io`],
    /// [`KvError::Full`] and [`KvError::Corrupt`] it may have been: as a whole, and visible to the
    /// next snapshot.
    fn commit(&self, batch: &WriteBatch) -> Result<(), KvError>;

    /// Figures that are cheap to have.
    ///
    /// # Errors
    /// [`KvError::Io`], [`KvError::Unavailable`].
    fn stats(&self) -> Result<KvStats, KvError>;

    /// Finishes work in the background, if there is any.
    ///
    /// # Errors
    /// Any [`KvError`].
    fn flush(&self) -> Result<(), KvError>;

    /// Gives back the room that removed entries left on the disk, as far as the backend can;
    /// without an own way to do so, nothing happens. It may take as long as writing everything
    /// anew, and other calls wait meanwhile.
    ///
    /// # Errors
    /// Any [`KvError`]; [`KvError::Unavailable`] while a snapshot is in use. Nothing is lost then.
    fn compact(&self) -> Result<(), KvError> {
        Ok(())
    }
}

/// One moment's view of an [`OrderedKv`].
pub trait KvSnapshot {
    /// The value of `key`.
    ///
    /// # Errors
    /// [`KvError::Io`], [`KvError::Corrupt`], [`KvError::Unavailable`].
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError>;

    /// The entries of `range`, one by one. A range whose end is not behind its start is empty.
    ///
    /// # Errors
    /// [`KvError::Io`], [`KvError::Corrupt`], [`KvError::Unavailable`].
    fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn KvCursor + '_>, KvError>;
}

/// A key and its value, valid until the cursor moves.
pub type KvEntry<'c> = (&'c [u8], &'c [u8]);

/// Walks over a range of a snapshot, holding only a bounded part of it in memory.
pub trait KvCursor {
    /// The next entry; `None` at the end, and ever after.
    ///
    /// # Errors
    /// [`KvError::Io`], [`KvError::Corrupt`], [`KvError::Unavailable`].
    fn advance(&mut self) -> Result<Option<KvEntry<'_>>, KvError>;
}

/// Keys from `start` (inclusive) to `end` (exclusive).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// First key that belongs to the range.
    pub start: Vec<u8>,
    /// First key that no longer does.
    pub end: Vec<u8>,
}

impl KeyRange {
    /// Every key that begins with `prefix`, which must hold a byte below 255.
    pub fn prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        while let Some(last) = end.last_mut() {
            if *last < u8::MAX {
                *last += 1;
                break;
            }
            end.pop();
        }
        Self { start: prefix.to_vec(), end }
    }

    /// Whether no key can belong to it.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

/// Which way a cursor walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the smallest key up.
    Forward,
    /// From the greatest key down.
    Backward,
}

/// Changes that are applied together. The last change to a key counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteBatch {
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl WriteBatch {
    /// Changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.insert(key.into(), Some(value.into()));
    }

    /// Removes `key`, whether it is there or not.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.insert(key.into(), None);
    }

    /// What the batch does to `key`: `None` when it leaves it alone.
    pub fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        self.changes.get(key).map(Option::as_deref)
    }

    /// The changes in the order of their keys; a value of `None` removes.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// The changes to keys that begin with `first`, in their order.
    pub(crate) fn starting_with(&self, first: u8) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes
            .range(vec![first]..)
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
            .take_while(move |(key, _)| key.first() == Some(&first))
    }

    /// Number of keys that are changed.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// Cheap figures of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvStats {
    /// Bytes on disk; `None` where there is no disk.
    pub disk_bytes: Option<u64>,
}

/// Why a backend failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KvError {
    /// The operating system refused. Remedy: look at the disk.
    #[error("input/output error while {during}: {source}")]
    Io {
        /// What was being done.
        during: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no space left on the disk. Nothing is lost; it goes on when there is space.
    #[error("disk is full while {during}: {source}")]
    Full {
        /// What was being done.
        during: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// The database contradicts itself. Remedy: set it aside and refill.
    #[error("database is corrupt while {during}: {detail}")]
    Corrupt {
        /// What was being done.
        during: &'static str,
        /// What was found.
        detail: String,
    },
    /// A key or value is larger than the backend takes.
    #[error("entry of {got_bytes} bytes is larger than the backend takes")]
    TooLarge {
        /// Size in bytes.
        got_bytes: usize,
    },
    /// The backend is closed or is recovering from an earlier error; asking again may help.
    #[error("database is not available while {during}: {detail}")]
    Unavailable {
        /// What was being done.
        during: &'static str,
        /// Why.
        detail: String,
    },
}
