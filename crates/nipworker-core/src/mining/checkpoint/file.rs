//! The file: read once, replaced as a whole.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

use nipworker_mining::{BookCheckpoint, CHECKPOINT_VERSION};
use serde::{Deserialize, Serialize};

use crate::mining::desk::lock;

/// Version of the file that this release writes.
pub(super) const VERSION: u32 = 1;

/// Largest file that is read or written, in bytes.
pub(super) const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Names that are tried when the first is taken.
const NAMES_TRIED_MAX: u32 = 1_000;

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

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("{}: {cause}", path.display())]
    Io { path: PathBuf, cause: io::Error },
    #[error("{} is in use by another process", path.display())]
    InUse { path: PathBuf },
    #[error(
        "{} has version {version}, this release reads up to {known}; give it another name or use \
         the release that wrote it",
        path.display()
    )]
    Newer { path: PathBuf, version: u64, known: u32 },
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
pub(super) struct CheckpointStore {
    path: PathBuf,
    lock: Mutex<Option<File>>,
}

impl CheckpointStore {
    /// Takes the file at `path`, which need not exist; its folder is made.
    pub(super) fn open(path: &Path) -> Result<Self, FileError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |cause| FileError::Io { path, cause }
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(io(folder))?;
        }
        // The file itself is replaced at each write, and a lock would go with the old one.
        let beside = beside(path, ".lock");
        let lock = File::create(&beside).map_err(io(&beside))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock: Mutex::new(Some(lock)) }),
            Err(TryLockError::WouldBlock) => Err(FileError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(cause)) => Err(FileError::Io { path: beside, cause }),
        }
    }

    /// Leaves the file to whoever comes next; it must not be written any more.
    pub(super) fn release(&self) {
        drop(lock(&self.lock).take());
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn read(&self) -> Result<Found, FileError> {
        let io = |cause| FileError::Io { path: self.path.clone(), cause };
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(io(error)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Ok(Found::Damaged(format!("it is larger than {MAX_BYTES} bytes")));
        }
        let newer =
            |version, known| Err(FileError::Newer { path: self.path.clone(), version, known });
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
        let fresh = beside(&self.path, ".new");
        let mut file = File::create(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&fresh, &self.path)?;
        self.sync_folder()
    }

    /// Renames the file to `….damaged-<now>` beside it. Nothing is deleted and nothing
    /// overwritten. `now` is unix seconds.
    pub(super) fn set_aside(&self, now: i64) -> io::Result<PathBuf> {
        for attempt in 0..NAMES_TRIED_MAX {
            let mut name = format!(".damaged-{now}");
            if attempt > 0 {
                name.push_str(&format!("-{attempt}"));
            }
            let to = beside(&self.path, &name);
            if to.symlink_metadata().is_ok() {
                continue;
            }
            fs::rename(&self.path, &to)?;
            self.sync_folder()?;
            return Ok(to);
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name to set it aside under"))
    }

    #[cfg(unix)]
    fn sync_folder(&self) -> io::Result<()> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()
    }

    #[cfg(not(unix))]
    fn sync_folder(&self) -> io::Result<()> {
        // A folder cannot be opened there; the rename is durable by the file system's own means.
        Ok(())
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
