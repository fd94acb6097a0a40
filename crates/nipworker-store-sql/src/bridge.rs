//! From blocking calls to sqlx, which is asynchronous, and back.

use std::{future::Future, io};

use tokio::runtime::{Builder, Runtime};

/// Threads that drive sockets and timers. SQLite has a thread for each connection besides.
const THREADS: usize = 1;

/// A small runtime of a store's own, so that its calls may come from any thread.
pub(crate) struct Bridge {
    runtime: Option<Runtime>,
}

impl Bridge {
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("nipworker-sql")
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Waits on this thread until `work` is done.
    pub(crate) fn wait<F: Future>(&self, work: F) -> F::Output {
        // Not the runtime's own way to block, which panics on a thread that serves another runtime.
        let _context = self.runtime.as_ref().map(Runtime::enter);
        pollster::block_on(work)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // A runtime that is dropped waits for its threads, which panics within another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
