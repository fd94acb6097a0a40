//! The threads that actors live on.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc;

use crate::util::{lock, thread_name};

/// Makes a task on the thread it is sent to.
pub(crate) type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

enum Command {
    Run(Job),
    #[cfg(feature = "chaos")]
    Quit,
}

/// A thread with an actix system of its own, so that all of actix works on it (`actix_rt::spawn`,
/// timers, `Arbiter::current()`). It ends when the last handle is dropped.
pub(crate) struct Worker {
    tx: mpsc::UnboundedSender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[cfg(feature = "chaos")]
thread_local! {
    static QUIT: std::cell::RefCell<Option<mpsc::WeakUnboundedSender<Command>>> =
        const { std::cell::RefCell::new(None) };
}

/// Ends the thread under its actors.
#[cfg(feature = "chaos")]
pub(crate) fn quit_this_thread() {
    QUIT.with_borrow(|quit| {
        if let Some(tx) = quit.as_ref().and_then(mpsc::WeakUnboundedSender::upgrade) {
            drop(tx.send(Command::Quit));
        }
    });
}

/// Runs when the thread ends, however it ends.
struct Sentinel<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Sentinel<F> {
    fn drop(&mut self) {
        if let Some(gone) = self.0.take() {
            gone();
        }
    }
}

impl Worker {
    /// Starts a thread; `gone` runs on it at its very end.
    pub(crate) fn spawn(name: &str, gone: impl FnOnce() + Send + 'static) -> io::Result<Arc<Self>> {
        let (tx, mut rx) = mpsc::unbounded_channel();
        // Made here, so that a lack of file handles is an error and not a panic over there.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        #[cfg(feature = "chaos")]
        let quit = tx.downgrade();
        let thread = thread::Builder::new().name(thread_name(name)).spawn(move || {
            let _sentinel = Sentinel(Some(gone));
            #[cfg(feature = "chaos")]
            QUIT.set(Some(quit));
            let system = actix_rt::System::with_tokio_rt(move || runtime);
            system.block_on(async move {
                while let Some(command) = rx.recv().await {
                    match command {
                        Command::Run(job) => drop(tokio::task::spawn_local(job())),
                        #[cfg(feature = "chaos")]
                        Command::Quit => break,
                    }
                }
            });
        })?;
        Ok(Arc::new(Self { tx, thread: Mutex::new(Some(thread)) }))
    }

    /// Starts a task there. False if the thread has ended.
    pub(crate) fn run(&self, job: Job) -> bool {
        self.tx.send(Command::Run(job)).is_ok()
    }

    /// Gives this handle up. The last one gets the thread, to be joined once it has ended.
    pub(crate) fn release(self: Arc<Self>) -> Option<JoinHandle<()>> {
        let worker = Arc::into_inner(self)?;
        lock(&worker.thread).take()
    }
}
