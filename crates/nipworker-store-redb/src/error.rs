//! Why a store cannot be opened, and how redb's errors are told to others.

use std::{
    io,
    path::{Path, PathBuf},
};

use nipworker_store::{KvError, StoreError};
use redb::{
    CommitError, CompactionError, DatabaseError, StorageError, TableError, TransactionError,
};

/// Why a store file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file or its folder cannot be created, read or written. Remedy: permissions, or
    /// another path.
    #[error("cannot write to {}: {source}", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process, or another part of this one, has the file open.
    #[error("{} is already open elsewhere; one file serves one process", path.display())]
    AlreadyOpen {
        /// The file.
        path: PathBuf,
    },
    /// The file is no database, or a damaged one. Remedy: [`set_aside`](crate::set_aside).
    #[error("{} is not a readable database: {detail}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// It is a database of a format that this release does not read. Remedy: another release.
    #[error("{} has database format {found}, which this release does not read", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Format that the file states.
        found: u8,
    },
    /// There is no space for the file.
    #[error("disk is full while opening {}: {source}", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Any other input/output error. Remedy: look at the disk.
    #[error("input/output error while opening {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The database opens, but its content is not for this release.
    #[error("{}: {source}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
}

impl OpenError {
    /// Whether the file can serve nobody as it is, so that setting it aside and starting with a
    /// fresh one loses nothing that could be read. Never true of a file that is in use, of a
    /// disk that refuses, or of a store of another release.
    pub fn may_be_set_aside(&self) -> bool {
        match self {
            Self::Corrupt { .. } => true,
            Self::Store { source, .. } => matches!(
                source,
                StoreError::Damaged { .. } | StoreError::Kv(KvError::Corrupt { .. })
            ),
            _ => false,
        }
    }

    pub(crate) fn from_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            _ if is_full(&source) => Self::Full { path, source },
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                Self::Corrupt { path, detail: source.to_string() }
            }
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotFound => Self::Unwritable { path, source },
            _ => Self::Io { path, source },
        }
    }

    pub(crate) fn from_database(path: &Path, error: DatabaseError) -> Self {
        let path_buf = path.to_owned();
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::AlreadyOpen { path: path_buf },
            DatabaseError::UpgradeRequired(found) => Self::Format { path: path_buf, found },
            DatabaseError::Storage(StorageError::Io(source)) => Self::from_io(path, source),
            other => Self::Corrupt { path: path_buf, detail: other.to_string() },
        }
    }

    pub(crate) fn from_kv(path: &Path, error: KvError) -> Self {
        match error {
            KvError::Io { source, .. } | KvError::Full { source, .. } => {
                Self::from_io(path, source)
            }
            KvError::Corrupt { detail, .. } => Self::Corrupt { path: path.to_owned(), detail },
            other => Self::Store { path: path.to_owned(), source: other.into() },
        }
    }

    pub(crate) fn from_store(path: &Path, error: StoreError) -> Self {
        match error {
            StoreError::Kv(error) => Self::from_kv(path, error),
            source => Self::Store { path: path.to_owned(), source },
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Tells an error of redb's storage.
pub(crate) fn storage(during: &'static str, error: StorageError) -> KvError {
    match error {
        StorageError::Io(source) if is_full(&source) => KvError::Full { during, source },
        StorageError::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
            KvError::Corrupt { during, detail: source.to_string() }
        }
        StorageError::Io(source) => KvError::Io { during, source },
        StorageError::ValueTooLarge(got_bytes) => KvError::TooLarge { got_bytes },
        error @ (StorageError::PreviousIo | StorageError::DatabaseClosed) => {
            KvError::Unavailable { during, detail: error.to_string() }
        }
        other => KvError::Corrupt { during, detail: other.to_string() },
    }
}

/// Tells an error of opening a table.
pub(crate) fn table(during: &'static str, error: TableError) -> KvError {
    match error {
        TableError::Storage(error) => storage(during, error),
        other => KvError::Corrupt { during, detail: other.to_string() },
    }
}

/// Tells an error of beginning a transaction.
pub(crate) fn transaction(during: &'static str, error: TransactionError) -> KvError {
    match error {
        TransactionError::Storage(error) => storage(during, error),
        other => KvError::Unavailable { during, detail: other.to_string() },
    }
}

/// Tells an error of a commit.
pub(crate) fn commit(during: &'static str, error: CommitError) -> KvError {
    match error {
        CommitError::Storage(error) => storage(during, error),
        other => KvError::Unavailable { during, detail: other.to_string() },
    }
}

/// Tells an error of a compaction.
pub(crate) fn compaction(during: &'static str, error: CompactionError) -> KvError {
    match error {
        CompactionError::Storage(error) => storage(during, error),
        other => KvError::Unavailable { during, detail: other.to_string() },
    }
}
