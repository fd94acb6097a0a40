//! Why a store cannot be opened: the same reasons for every backend that is not in memory.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{KvError, StoreError};

/// Why a store's place, a file or a folder, cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The place cannot be created, read or written, or something else stands there. Remedy:
    /// permissions, or another path.
    #[error("cannot write to {}: {source}", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process, or another part of this one, has the place open.
    #[error("{} is already open elsewhere; a store serves one process", path.display())]
    AlreadyOpen {
        /// The file or folder.
        path: PathBuf,
    },
    /// The place holds no database, or a damaged one. Remedy: [`set_aside`](crate::set_aside).
    #[error("{} is not a readable database: {detail}", path.display())]
    Corrupt {
        /// The file or folder.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// It states a format that this release does not read. Remedy: the release that wrote it.
    #[error("{} cannot be read by this release: {detail}", path.display())]
    Format {
        /// The file or folder.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// There is no space for the database.
    #[error("disk is full while opening {}: {source}", path.display())]
    Full {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A database server does not answer, or refuses. Remedy: start it, or look at its address, user
    /// and password.
    #[error("cannot use the database at {}: {detail}", path.display())]
    Unreachable {
        /// Its address, without the password.
        path: PathBuf,
        /// What it or the network said.
        detail: String,
    },
    /// Any other input/output error. Remedy: look at the disk.
    #[error("input/output error while opening {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The database opens, but its content is not for this release; or something else is there.
    #[error("{}: {source}", path.display())]
    Store {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
}

impl OpenError {
    /// Whether what is there can serve nobody as it is, so that setting it aside and starting with
    /// a fresh one loses nothing that could be read. Never true of a place that is in use, of a
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

    /// What the operating system said to an attempt to open `path`.
    pub fn from_io(path: &Path, source: io::Error) -> Self {
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
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotFound => Self::Unwritable { path, source },
            _ => Self::Io { path, source },
        }
    }

    /// What the backend said while `path` was opened.
    pub fn from_kv(path: &Path, error: KvError) -> Self {
        match error {
            KvError::Io { source, .. } | KvError::Full { source, .. } => {
                Self::from_io(path, source)
            }
            KvError::Corrupt { detail, .. } => Self::Corrupt { path: path.to_owned(), detail },
            other => Self::Store { path: path.to_owned(), source: other.into() },
        }
    }

    /// What the store said while `path` was opened.
    pub fn from_store(path: &Path, error: StoreError) -> Self {
        match error {
            StoreError::Kv(error) => Self::from_kv(path, error),
            source => Self::Store { path: path.to_owned(), source },
        }
    }

    /// The same trouble, when the database is opened again in the middle of the work.
    pub fn into_kv(self, during: &'static str) -> KvError {
        match self {
            Self::Full { source, .. } => KvError::Full { during, source },
            Self::Io { source, .. } | Self::Unwritable { source, .. } => {
                KvError::Io { during, source }
            }
            Self::AlreadyOpen { .. } | Self::Unreachable { .. } => {
                KvError::Unavailable { during, detail: self.to_string() }
            }
            other => KvError::Corrupt { during, detail: other.to_string() },
        }
    }
}

/// Whether the operating system says that there is no room left on the disk for this.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
