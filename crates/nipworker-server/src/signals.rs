//! SIGTERM, SIGINT and SIGHUP: the first asks to stop, a second SIGTERM or SIGINT ends the
//! process at once. A terminal that closes may send SIGHUP twice, so a second one says nothing. What
//! signals a process and then its group, as `timeout` does, means one request: signals that come
//! within [`ONE_REQUEST`] count as one.
//!
//! They are taken on a thread of their own, so that the second one works even when everything
//! else hangs.

use std::{io, thread, time::Duration};

use tokio::sync::watch;

/// What a process that is ended by signal `n` exits with: 128 + n.
const EXIT_BY_SIGNAL: i32 = 128;

/// Signals that come within this time of the first are the same request. The stop begins after it.
const ONE_REQUEST: Duration = Duration::from_millis(50);

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
            let (name, _) = sources.first().await;
            let echoes = async {
                loop {
                    sources.second().await;
                }
            };
            drop(tokio::time::timeout(ONE_REQUEST, echoes).await);
            first.send_replace(Some(name));
            let (_, number) = sources.second().await;
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
    /// `None` when the process was told to ignore it, as `nohup` does.
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Sources {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    async fn first(&mut self) -> (&'static str, i32) {
        use tokio::signal::unix::SignalKind;
        let mut hangup = self.hangup.take();
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            stop = self.second() => stop,
            () = hung_up => ("SIGHUP", SignalKind::hangup().as_raw_value()),
        }
    }

    async fn second(&mut self) -> (&'static str, i32) {
        use tokio::signal::unix::SignalKind;
        tokio::select! {
            _ = self.interrupt.recv() => ("SIGINT", SignalKind::interrupt().as_raw_value()),
            _ = self.terminate.recv() => ("SIGTERM", SignalKind::terminate().as_raw_value()),
        }
    }
}

/// Whether the process was started with SIGHUP ignored. Only Linux tells; elsewhere it counts as
/// not ignored.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is signal 1, the lowest bit.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

#[cfg(not(unix))]
struct Sources;

#[cfg(not(unix))]
impl Sources {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn first(&mut self) -> (&'static str, i32) {
        self.second().await
    }

    async fn second(&mut self) -> (&'static str, i32) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        ("interrupt", 2)
    }
}
