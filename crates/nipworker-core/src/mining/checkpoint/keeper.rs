//! When the file is written.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::file::{CheckpointStore, FileError, Found, Saved};
use crate::{
    StartError,
    clock::UnixClock,
    mining::desk::{Roll, lock},
};

/// How often the file is written at most while jobs go on. What a crash costs is what was tried
/// since the last time.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// How long somebody waits for a write: a disk that hangs must not hold everybody for ever.
const SAVE_WAIT: Duration = Duration::from_secs(10);

/// What became of the jobs in a file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::mining) struct Restored {
    pub(in crate::mining) jobs: usize,
    /// Why the others were not taken.
    pub(in crate::mining) refused: Vec<String>,
}

/// The file that keeps mining jobs over a restart of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointStatus {
    /// The file.
    pub file: PathBuf,
    /// Jobs that were taken over at the start.
    pub restored: usize,
    /// Why other jobs of the file were not taken over.
    pub refused: Vec<String>,
    /// Where a file was put that could not be read, or of which not every job was taken over.
    pub set_aside: Option<PathBuf>,
    /// Jobs in the file now.
    pub jobs: usize,
    /// Times it was written since the start.
    pub writes: u64,
    /// Unix seconds of the last time.
    pub written_at: Option<i64>,
    /// Why the last attempt to write failed; the file is as it was before then.
    pub last_error: Option<String>,
}

/// Writes the file from a thread of its own.
pub(in crate::mining) struct Keeper {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    store: CheckpointStore,
    roll: Arc<Roll>,
    clock: UnixClock,
    wishes: Mutex<Wishes>,
    changed: Condvar,
    /// Told when `done` has grown, and at the end.
    answered: Condvar,
    status: Mutex<CheckpointStatus>,
    /// What the file holds, without what changes by itself; held while it is written.
    written: Mutex<Option<Saved>>,
}

#[derive(Default)]
struct Wishes {
    asked: bool,
    over: bool,
    /// Writes that somebody waits for: how many were asked for, and of how many of those the
    /// state was written or could not be.
    waited_for: u64,
    done: u64,
    /// Whether the last of them could not be.
    failed: bool,
}

impl Keeper {
    /// Takes the file, and the jobs in it.
    pub(in crate::mining) fn open(
        path: &Path,
        roll: Arc<Roll>,
        clock: UnixClock,
    ) -> Result<Self, StartError> {
        let failed = |error: FileError| StartError::Checkpoint(error.to_string());
        let store = CheckpointStore::open(path).map_err(failed)?;
        let found = store.read().map_err(failed)?;
        let mut status = CheckpointStatus { file: path.to_owned(), ..Default::default() };
        let mut aside = None;
        match found {
            Found::Nothing => {}
            Found::Saved(saved) => {
                let restored = roll.restore(saved.next_job, &saved.book);
                status.restored = restored.jobs;
                if !restored.refused.is_empty() {
                    aside = Some(restored.refused.join("; "));
                    status.refused = restored.refused;
                }
                tracing::info!(
                    file = %path.display(), jobs = status.restored, "mining jobs taken over"
                );
            }
            Found::Damaged(reason) => aside = Some(reason),
        }
        if let Some(reason) = aside {
            let moved = store
                .set_aside(clock())
                .map_err(|cause| failed(FileError::Io { path: path.to_owned(), cause }))?;
            tracing::error!(
                cause = %reason, moved_to = %moved.display(),
                "the checkpoint of mining jobs could not be read in full and has been set aside"
            );
            status.set_aside = Some(moved);
        }
        let shared = Arc::new(Shared {
            store,
            roll,
            clock,
            wishes: Mutex::default(),
            changed: Condvar::new(),
            answered: Condvar::new(),
            status: Mutex::new(status),
            written: Mutex::new(None),
        });
        // Now, so that a file that cannot be written is told at the start.
        shared.save().map_err(|cause| failed(FileError::Io { path: path.to_owned(), cause }))?;
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("nipworker-keep".to_owned())
            .spawn(move || writer.run())
            .map_err(|cause| StartError::Checkpoint(format!("no thread to write it: {cause}")))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Has the file written soon.
    pub(in crate::mining) fn ask(&self) {
        lock(&self.shared.wishes).asked = true;
        self.shared.changed.notify_one();
    }

    /// Has the file written, if something has changed, and waits for that. However many wait, the
    /// thread writes for all of them at once.
    ///
    /// Returns `false` when it could not be written, or the end came first, or it
    /// takes longer than [`SAVE_WAIT`].
    pub(in crate::mining) fn save(&self) -> bool {
        let mut wishes = lock(&self.shared.wishes);
        wishes.asked = true;
        wishes.waited_for += 1;
        let mine = wishes.waited_for;
        self.shared.changed.notify_one();
        let (wishes, _) = self
            .shared
            .answered
            .wait_timeout_while(wishes, SAVE_WAIT, |wishes| wishes.done < mine && !wishes.over)
            .unwrap_or_else(PoisonError::into_inner);
        wishes.done >= mine && !wishes.failed
    }

    pub(in crate::mining) fn status(&self) -> CheckpointStatus {
        lock(&self.shared.status).clone()
    }

    /// Writes the file for the last time, ends the thread, and leaves the file to whoever comes
    /// next.
    pub(in crate::mining) fn finish(&self) {
        self.end();
        if let Err(error) = self.shared.save() {
            self.shared.told(&error);
        }
        self.shared.store.release();
    }

    fn end(&self) {
        lock(&self.shared.wishes).over = true;
        self.shared.changed.notify_one();
        self.shared.answered.notify_all();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the writer of the mining checkpoint panicked");
        }
    }
}

impl Drop for Keeper {
    /// Ends the thread; the file stays as it was last written.
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn run(&self) {
        loop {
            let wishes = lock(&self.wishes);
            let (mut wishes, _) = self
                .changed
                .wait_timeout_while(wishes, SAVE_EVERY, |wishes| !wishes.asked && !wishes.over)
                .unwrap_or_else(PoisonError::into_inner);
            if wishes.over {
                return;
            }
            wishes.asked = false;
            let waited_for = wishes.waited_for;
            drop(wishes);
            let failed = self.save().inspect_err(|error| self.told(error)).is_err();
            let mut wishes = lock(&self.wishes);
            wishes.done = waited_for;
            wishes.failed = failed;
            drop(wishes);
            self.answered.notify_all();
        }
    }

    fn told(&self, error: &std::io::Error) {
        let file = self.store.path().display();
        tracing::error!(%file, %error, "the checkpoint of mining jobs was not written");
        lock(&self.status).last_error = Some(error.to_string());
    }

    /// Writes the file if something has changed.
    fn save(&self) -> std::io::Result<()> {
        let mut written = lock(&self.written);
        let saved = Saved::new(self.roll.next(), self.roll.checkpoint());
        let essence = essence(&saved);
        if written.as_ref() == Some(&essence) {
            return Ok(());
        }
        self.store.write(&saved)?;
        *written = Some(essence);
        let mut status = lock(&self.status);
        status.jobs = saved.book.jobs.len();
        status.writes += 1;
        status.written_at = Some((self.clock)());
        status.last_error = None;
        Ok(())
    }
}

/// The state without the time that a job has run: that alone is not worth a write.
pub(super) fn essence(saved: &Saved) -> Saved {
    let mut essence = saved.clone();
    for job in &mut essence.book.jobs {
        job.elapsed = Duration::ZERO;
    }
    essence
}
