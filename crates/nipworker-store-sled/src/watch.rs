//! Waking those who wait for a write that has failed.
//!
//! When one of sled's writes fails, sled remembers the error, but on one of its paths it does not
//! wake the thread that waits for that write: it would wait for ever. A flush by another thread
//! wakes it, and then it gets the error.

use std::{
    io,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use sled::Db;

/// How long a commit may wait after its write has failed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A thread that looks after one open database.
pub(crate) struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start(db: Db) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name("nipworker-sled".into()).spawn(move || {
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                if db.context.global_error().is_err() {
                    // Returns the same error at once.
                    drop(db.flush());
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been shown already.
            drop(thread.join());
        }
    }
}
