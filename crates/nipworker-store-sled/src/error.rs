//! Why a store cannot be opened, and how sled's errors are told to others.

use std::{
    io,
    path::{Path, PathBuf},
};

use nipworker_store::{KvError, StoreError};

/// Why a store's folder cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder cannot be created, read or written, or a file stands in its place. Remedy:
    /// permissions, or another path.
    #[error("cannot write to {}: {source}", path.display())]
    Unwritable {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process, or another part of this one, has the folder open.
    #[error("{} is already open elsewhere; one folder serves one process", path.display())]
    AlreadyOpen {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds a damaged database. Remedy: [`set_aside`](crate::set_aside).
    #[error("{} is not a readable database: {detail}", path.display())]
    Corrupt {
        /// The folder.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The folder states that it was written by another release of sled, or with other settings.
    /// Remedy: that release.
    #[error("{} cannot be read by sled 0.34: {detail}", path.display())]
    Format {
        /// The folder.
        path: PathBuf,
        /// What sled says.
        detail: String,
    },
    /// There is no space for the database.
    #[error("disk is full while opening {}: {source}", path.display())]
    Full {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Any other input/output error. Remedy: look at the disk.
    #[error("input/output error while opening {}: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The database opens, but its content is not for this release; or the folder holds
    /// something else.
    #[error("{}: {source}", path.display())]
    Store {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
}

impl OpenError {
    /// Whether the folder can serve nobody as it is, so that setting it aside and starting with
    /// a fresh one loses nothing that could be read. Never true of a folder that is in use, of a
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

    pub(crate) fn from_sled(path: &Path, error: sled::Error) -> Self {
        match error {
            sled::Error::Io(source) => Self::from_io(path, source),
            sled::Error::Unsupported(detail) => Self::Format { path: path.to_owned(), detail },
            other => Self::Corrupt { path: path.to_owned(), detail: text_of(&other) },
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

    /// The same trouble, when the database is opened again in the middle of the work.
    pub(crate) fn into_kv(self, during: &'static str) -> KvError {
        match self {
            Self::Full { source, .. } => KvError::Full { during, source },
            Self::Io { source, .. } | Self::Unwritable { source, .. } => {
                KvError::Io { during, source }
            }
            Self::AlreadyOpen { .. } => KvError::Unavailable { during, detail: self.to_string() },
            other => KvError::Corrupt { during, detail: other.to_string() },
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Tells an error of sled.
pub(crate) fn told(during: &'static str, error: sled::Error) -> KvError {
    match error {
        sled::Error::Io(source) => io(during, source),
        sled::Error::Unsupported(detail) => KvError::Unavailable { during, detail },
        other => KvError::Corrupt { during, detail: text_of(&other) },
    }
}

/// Tells an error of the operating system.
pub(crate) fn io(during: &'static str, source: io::Error) -> KvError {
    match source.kind() {
        _ if is_full(&source) => KvError::Full { during, source },
        io::ErrorKind::UnexpectedEof => KvError::Corrupt { during, detail: source.to_string() },
        _ => KvError::Io { during, source },
    }
}

/// sled asks its users to report bugs to it; ours have nothing to report.
fn text_of(error: &sled::Error) -> String {
    match error {
        sled::Error::ReportableBug(what) => what.clone(),
        sled::Error::Corruption { at: Some(at), .. } => format!("checksum fails at {at:?}"),
        sled::Error::Corruption { .. } => "checksum or order of the log fails".into(),
        other => other.to_string(),
    }
}
