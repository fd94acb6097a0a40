//! SIGTERM and SIGINT: the first asks to stop, the second ends the process at once.
//!
//! They are taken on a thread of their own, so that the second one works even when everything
//! else hangs.

use std::{io, thread};

use tokio::sync::watch;

/// What a process that is ended by signal `n` exits with: 128 + n.
const EXIT_BY_SIGNAL: i32 = 128;

/// Tells when the first signal came.
#[derive(Debug, Clone)]
pub(crate) struct Signals(watch::Receiver<Option<&'static str>>);

impl Signals {
    /// Waits for the first signal and returns its name. Cancel safe.
    pub(crate) async fn first(&mut self) -> &'static str {
        match self.0.wait_for(Option::is_some).await {
            Ok(name) => name.unwrap_or("signal"),
            // The thread is gone; then there are no signals to wait for.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Begins to take signals.
///
/// # Errors
/// The system refuses a thread or a handler.
pub(crate) fn listen() -> io::Result<Signals> {
    let (first, seen) = watch::channel(None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ready, is_ready) = std::sync::mpsc::channel();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async move {
            let mut sources = match Sources::new() {
                Ok(sources) => sources,
                Err(error) => {
                    drop(ready.send(Err(error)));
                    return;
                }
            };
            drop(ready.send(Ok(())));
            let (name, _) = sources.next().await;
            first.send_replace(Some(name));
            let (_, number) = sources.next().await;
            std::process::exit(EXIT_BY_SIGNAL + number);
        });
    })?;
    is_ready.recv().map_err(io::Error::other)??;
    Ok(Signals(seen))
}

#[cfg(unix)]
struct Sources {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Sources {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> (&'static str, i32) {
        use tokio::signal::unix::SignalKind;
        tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", SignalKind::interrupt().as_raw_value()),
            _ = self.terminate.recv() => ("SIGTERM", SignalKind::terminate().as_raw_value()),
        }
    }
}

#[cfg(not(unix))]
struct Sources;

#[cfg(not(unix))]
impl Sources {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> (&'static str, i32) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        ("interrupt", 2)
    }
}
