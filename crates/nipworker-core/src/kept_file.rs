//! A file of one process, replaced as a whole: after a crash there is the old one or the new one.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Names that are tried when the first is taken.
const NAMES_TRIED_MAX: u32 = 1_000;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
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

/// The right to a path: until it is released, no other process uses it.
#[derive(Debug)]
pub(crate) struct KeptFile {
    path: PathBuf,
    lock: Mutex<Option<File>>,
}

impl KeptFile {
    /// Takes the file at `path`, which need not exist; its folder is made.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
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
    pub(crate) fn release(&self) {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// An error of this file.
    pub(crate) fn io(&self, cause: io::Error) -> FileError {
        FileError::Io { path: self.path.clone(), cause }
    }

    /// What the file holds, up to one byte more than `max_bytes`; `None` when there is none.
    pub(crate) fn read(&self, max_bytes: u64) -> Result<Option<Vec<u8>>, FileError> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io(error)),
        };
        let mut bytes = Vec::new();
        let most = max_bytes.saturating_add(1);
        file.take(most).read_to_end(&mut bytes).map_err(|cause| self.io(cause))?;
        Ok(Some(bytes))
    }

    /// Replaces the file and returns the new one, open at its end for more.
    pub(crate) fn replace(&self, bytes: &[u8]) -> io::Result<File> {
        let fresh = beside(&self.path, ".new");
        let mut file = File::create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        self.sync_folder()?;
        Ok(file)
    }

    /// Renames the file to `….damaged-<now>` beside it. Nothing is deleted and nothing
    /// overwritten. `now` is unix seconds.
    pub(crate) fn set_aside(&self, now: i64) -> io::Result<PathBuf> {
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
