//! How redb's errors are told to others.

use std::{io, path::Path};

use nipworker_store::{KvError, OpenError, is_full};
use redb::{
    CommitError, CompactionError, DatabaseError, StorageError, TableError, TransactionError,
};

/// Tells an error of opening the database in `path`.
pub(crate) fn not_opened(path: &Path, error: DatabaseError) -> OpenError {
    let path_buf = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenError::AlreadyOpen { path: path_buf },
        DatabaseError::UpgradeRequired(found) => {
            OpenError::Format { path: path_buf, detail: format!("it has database format {found}") }
        }
        DatabaseError::Storage(StorageError::Io(source)) => OpenError::from_io(path, source),
        other => OpenError::Corrupt { path: path_buf, detail: other.to_string() },
    }
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
