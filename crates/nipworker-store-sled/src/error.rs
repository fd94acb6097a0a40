//! How sled's errors are told to others.

use std::{io, path::Path};

use nipworker_store::{KvError, OpenError, is_full};

/// Tells an error of opening the database in `path`.
pub(crate) fn not_opened(path: &Path, error: sled::Error) -> OpenError {
    match error {
        sled::Error::Io(source) => OpenError::from_io(path, source),
        sled::Error::Unsupported(detail) => {
            OpenError::Format { path: path.to_owned(), detail: format!("sled says: {detail}") }
        }
        other => OpenError::Corrupt { path: path.to_owned(), detail: text_of(&other) },
    }
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
