//! The file: read once, replaced as a whole.

use std::{
    io,
    path::{Path, PathBuf},
};

use nipworker_mining::{BookCheckpoint, CHECKPOINT_VERSION};
use serde::{Deserialize, Serialize};

pub(super) use crate::kept_file::FileError;
use crate::kept_file::KeptFile;

/// Version of the file that this release writes.
pub(super) const VERSION: u32 = 1;

/// Largest file that is read or written, in bytes.
pub(super) const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Saved {
    version: u32,
    /// The number of the next job, so that no number is given twice.
    pub(super) next_job: u64,
    /// The jobs.
    pub(super) book: BookCheckpoint,
}

impl Saved {
    pub(super) fn new(next_job: u64, book: BookCheckpoint) -> Self {
        Self { version: VERSION, next_job, book }
    }
}

/// What is read before all else: a later form may differ in everything but this.
#[derive(Deserialize)]
struct Versions {
    version: u64,
    #[serde(default)]
    book: Version,
}

#[derive(Deserialize, Default)]
struct Version {
    #[serde(default)]
    version: u64,
}

/// What was found.
#[derive(Debug)]
pub(super) enum Found {
    /// There is no file.
    Nothing,
    /// A file that can be read.
    Saved(Box<Saved>),
    /// A file that cannot, and why. It is where it was.
    Damaged(String),
}

/// A checkpoint file of one process: until it is released, no other process uses it.
#[derive(Debug)]
pub(super) struct CheckpointStore(KeptFile);

impl CheckpointStore {
    /// Takes the file at `path`, which need not exist; its folder is made.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        KeptFile::open(path).map(Self)
    }

    /// Leaves the file to whoever comes next; it must not be written any more.
    pub(super) fn release(&self) {
        self.0.release();
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn read(&self) -> Result<Found, FileError> {
        let Some(bytes) = self.0.read(MAX_BYTES)? else { return Ok(Found::Nothing) };
        if bytes.len() as u64 > MAX_BYTES {
            return Ok(Found::Damaged(format!("it is larger than {MAX_BYTES} bytes")));
        }
        let newer =
            |version, known| Err(FileError::Newer { path: self.path().to_owned(), version, known });
        match serde_json::from_slice(&bytes) {
            Ok(Versions { version, .. }) if version > u64::from(VERSION) => {
                return newer(version, VERSION);
            }
            Ok(Versions { book: Version { version }, .. })
                if version > u64::from(CHECKPOINT_VERSION) =>
            {
                return newer(version, CHECKPOINT_VERSION);
            }
            Ok(_) => {}
            Err(error) => return Ok(Found::Damaged(error.to_string())),
        }
        Ok(match serde_json::from_slice(&bytes) {
            Ok(saved) => Found::Saved(saved),
            Err(error) => Found::Damaged(error.to_string()),
        })
    }

    /// Replaces the file: after a crash there is the old one or the new one, never a part.
    pub(super) fn write(&self, saved: &Saved) -> io::Result<()> {
        let bytes = serde_json::to_vec(saved)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{} bytes of jobs, the most is {MAX_BYTES}", bytes.len()),
            ));
        }
        self.0.replace(&bytes).map(drop)
    }

    /// Renames the file to `….damaged-<now>` beside it. `now` is unix seconds.
    pub(super) fn set_aside(&self, now: i64) -> io::Result<PathBuf> {
        self.0.set_aside(now)
    }
}
