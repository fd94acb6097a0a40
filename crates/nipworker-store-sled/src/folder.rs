//! The folder that sled works in: what it may hold, and making it durable.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nipworker_store::StoreError;

use crate::OpenError;

/// Holds the number of the newest commit that was acknowledged; see [`Disk::acknowledge`].
pub(crate) const COUNTER_FILE: &str = "nipworker.commits";
/// sled's threads give the lock back some microseconds after the database is gone.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// sled's log.
pub(crate) fn log_file(folder: &Path) -> PathBuf {
    folder.join("db")
}

/// Makes sure that there is a folder for sled alone.
///
/// sled writes its settings first and its log second. A kill in between may leave settings that
/// are cut short, which sled refuses later; as long as there is no log, they may go.
pub(crate) fn prepare(folder: &Path) -> Result<(), OpenError> {
    let told = |source| OpenError::from_io(folder, source);
    if fs::metadata(folder).is_ok_and(|found| !found.is_dir()) {
        return Err(told(io::ErrorKind::NotADirectory.into()));
    }
    fs::create_dir_all(folder).map_err(|source| match source.kind() {
        // Something that is no folder stands in the way.
        io::ErrorKind::AlreadyExists => OpenError::Unwritable { path: folder.to_owned(), source },
        _ => told(source),
    })?;
    if fs::metadata(log_file(folder)).is_ok_and(|log| log.len() > 0) {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(told)? {
        let name = entry.map_err(told)?.file_name();
        if !["conf", "db", "blobs", COUNTER_FILE].iter().any(|ours| name == *ours) {
            return Err(OpenError::Store { path: folder.to_owned(), source: StoreError::Foreign });
        }
    }
    match fs::remove_file(folder.join("conf")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(told(error)),
        _ => Ok(()),
    }
}

/// Whether somebody has the database open.
pub(crate) fn is_locked(folder: &Path) -> bool {
    File::open(log_file(folder))
        .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// sled's files, as they are made durable.
///
/// On Linux sled 0.34 only asks for its pages to be written (`sync_file_range`), which neither
/// covers the file's length nor a disk's own cache, and it never syncs its blobs.
pub(crate) struct Disk {
    folder: PathBuf,
    log: File,
    /// The newest blob that was synced. They are numbered in the order of their writing.
    blobs_synced: Mutex<i64>,
    counter: Mutex<File>,
    /// The newest commit that was ever acknowledged, as it was found.
    pub(crate) acknowledged: u64,
}

impl Disk {
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let log = File::open(log_file(folder))?;
        let mut counter = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join(COUNTER_FILE))?;
        let mut number = Vec::new();
        counter.read_to_end(&mut number)?;
        let disk = Self {
            folder: folder.to_owned(),
            log,
            blobs_synced: Mutex::new(-1),
            counter: Mutex::new(counter),
            // What is cut short was never written as a whole.
            acknowledged: number.as_slice().try_into().map_or(0, u64::from_be_bytes),
        };
        // Names first: the folder may be new.
        sync_folder(&disk.folder)?;
        if let Some(parent) = folder.parent() {
            sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        }
        disk.sync()?;
        Ok(disk)
    }

    /// Makes durable what sled has written.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let blobs = self.folder.join("blobs");
        let mut synced = self.blobs_synced.lock().unwrap_or_else(PoisonError::into_inner);
        let mut newest = *synced;
        for entry in fs::read_dir(&blobs)? {
            let entry = entry?;
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(number) = number.filter(|number| number > &*synced) else { continue };
            match File::open(entry.path()).and_then(|blob| blob.sync_all()) {
                // sled removes blobs that are replaced.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
            newest = newest.max(number);
        }
        if newest > *synced {
            sync_folder(&blobs)?;
            *synced = newest;
        }
        self.log.sync_data()
    }

    /// Writes down that a commit is durable, outside of sled.
    ///
    /// A damaged log makes sled go back to what was before the damage, and say nothing of it.
    /// This number tells. It is not synced: should it fall behind, only such a loss is missed.
    pub(crate) fn acknowledge(&self, commit: u64) -> io::Result<()> {
        let mut counter = self.counter.lock().unwrap_or_else(PoisonError::into_inner);
        counter.rewind()?;
        counter.write_all(&commit.to_be_bytes())
    }
}

impl Drop for Disk {
    /// Waits until the lock is free, so that whoever closes a database can open it again.
    fn drop(&mut self) {
        let end = Instant::now() + CLOSE_TIME_MAX;
        while matches!(self.log.try_lock(), Err(TryLockError::WouldBlock)) && Instant::now() < end {
            thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Makes the names in a folder durable, where folders can be opened for that.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use nipworker_store::EventStore;

    use super::*;
    use crate::{SledOptions, open_store};

    #[test]
    fn settings_that_were_cut_short_before_anything_was_stored_are_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.sled");
        drop(open_store(&path, SledOptions::default()).unwrap());
        let conf = fs::read(path.join("conf")).unwrap();
        for length in 0..conf.len() {
            fs::remove_dir_all(&path).unwrap();
            fs::create_dir(&path).unwrap();
            fs::write(path.join("conf"), &conf[..length]).unwrap();
            let store = open_store(&path, SledOptions::default()).unwrap();
            assert_eq!(store.stats().unwrap().events, 0, "{length} bytes of settings");
        }
    }

    #[test]
    fn a_folder_of_something_else_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("letter.txt"), "dear").unwrap();
        let error = open_store(folder.path(), SledOptions::default()).err().unwrap();
        assert!(matches!(error, OpenError::Store { source: StoreError::Foreign, .. }), "{error:?}");
        assert!(!error.may_be_set_aside());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
