//! How a program starts a tree and holds on to it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, oneshot, watch};

use crate::clock::Clock;
use crate::driver::{Driver, Msg};
use crate::events::{EVENTS_KEPT, Events, SupervisorEvent};
use crate::failure::{Failure, StartError};
use crate::hook;
use crate::policy::StopMode;
use crate::spec::SupervisorBuilder;
use crate::status::{NodeCell, TreeStatus};
use crate::util::{block_on, guarded, lock, thread_name};

/// Where a tree of supervisors and actors begins; see [`Supervisor::builder`].
#[derive(Debug)]
pub struct Supervisor;

impl Supervisor {
    /// A supervisor without children yet.
    pub fn builder(name: impl Into<Arc<str>>) -> SupervisorBuilder {
        SupervisorBuilder::new(name.into())
    }
}

/// How a tree ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "exit")]
#[non_exhaustive]
pub enum Exit {
    /// It was asked to.
    Stopped,
    /// A child failed too often; everything else was stopped in order. A process whose root ends so
    /// should end too, with a non-zero exit code.
    Escalated {
        /// The child.
        child: String,
        /// Its last failure.
        failure: Failure,
    },
}

/// What stopping a tree cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopReport {
    /// Accepted messages that were given up, over all workers.
    pub dropped_messages: u64,
    /// Workers that did not stop within their limit and were given up.
    pub killed: Vec<String>,
    /// Threads that hang and could not be joined.
    pub hung_threads: usize,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

impl StopReport {
    /// Whether everything that was accepted was handled, and every thread joined.
    pub fn is_clean(&self) -> bool {
        self.dropped_messages == 0 && self.killed.is_empty() && self.hung_threads == 0
    }
}

pub(crate) struct Shared {
    pub(crate) root: Arc<NodeCell>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: broadcast::Sender<SupervisorEvent>,
    pub(crate) started: watch::Sender<Option<Result<(), StartError>>>,
    pub(crate) ended: watch::Sender<Option<(Exit, StopReport)>>,
}

struct Owner {
    tx: mpsc::Sender<Msg>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.tx.send(Msg::Stop(StopMode::Drain)).ok();
    }
}

/// A running tree. Clones belong to the same tree; when the last one is dropped, the tree stops in
/// order, in the background.
///
/// Everything here works inside and outside of async runtimes, and none of it asks a worker.
#[derive(Clone)]
pub struct SupervisorHandle {
    shared: Arc<Shared>,
    owner: Arc<Owner>,
}

impl fmt::Debug for SupervisorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SupervisorHandle").field(&self.shared.root.name).finish()
    }
}

impl SupervisorBuilder {
    /// Starts the tree: its children one after the other, each when the one before is up.
    ///
    /// The supervisor runs on a thread of its own, and so does each worker. **Cancel safety:**
    /// dropped before it is ready, the tree is stopped again.
    ///
    /// # Errors
    /// When a child does not start; those that had are stopped in reverse order first.
    pub async fn start(self) -> Result<SupervisorHandle, StartError> {
        let handle = self.launch()?;
        let mut started = handle.shared.started.subscribe();
        let result = match started.wait_for(Option::is_some).await {
            Ok(result) => result.clone(),
            Err(_) => None,
        };
        match result.unwrap_or(Err(StartError::Stopped)) {
            Ok(()) => Ok(handle),
            Err(error) => {
                handle.ended().await;
                Err(error)
            }
        }
    }

    /// As [`start`](Self::start), blocking the thread.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_blocking(self) -> Result<SupervisorHandle, StartError> {
        block_on(self.start())
    }

    fn launch(mut self) -> Result<SupervisorHandle, StartError> {
        hook::install();
        if self.seed == 0 {
            static STARTS: AtomicU64 = AtomicU64::new(1);
            let n = STARTS.fetch_add(1, Ordering::Relaxed);
            self.seed = (self.clock.unix_ms() ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
        let (tx, rx) = mpsc::channel();
        let run_at_end = self.at_end.take();
        let driver = Driver::new(self, tx.clone(), rx)?;
        let shared = driver.shared();
        let name = thread_name(&format!("sup-{}", shared.root.name));
        let at_end = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || {
                let ended =
                    catch_unwind(AssertUnwindSafe(|| driver.run())).unwrap_or_else(|panic| {
                        let message = hook::text(&*panic);
                        let failure = Failure::Panicked { message, place: None };
                        let child = at_end.root.name.to_string();
                        (Exit::Escalated { child, failure }, StopReport::default())
                    });
                guarded(|| {
                    at_end.started.send_if_modified(|started| {
                        let missing = started.is_none();
                        if missing {
                            *started = Some(Err(StartError::Stopped));
                        }
                        missing
                    })
                });
                if let Some(run) = run_at_end
                    && catch_unwind(AssertUnwindSafe(|| run(&ended.0))).is_err()
                {
                    tracing::error!("what was to be done at the end of the tree panicked");
                }
                guarded(|| at_end.ended.send_replace(Some(ended)));
            })
            .map_err(|error| StartError::Thread { reason: error.to_string() })?;
        let owner = Owner { tx, thread: Mutex::new(Some(thread)) };
        Ok(SupervisorHandle { shared, owner: Arc::new(owner) })
    }
}

impl Shared {
    pub(crate) fn new(root: Arc<NodeCell>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            root,
            clock,
            events: broadcast::Sender::new(EVENTS_KEPT),
            started: watch::Sender::new(None),
            ended: watch::Sender::new(None),
        })
    }
}

impl SupervisorHandle {
    /// The state of the whole tree, from counters. Takes microseconds, whatever the workers do.
    pub fn status(&self) -> TreeStatus {
        self.shared.root.status(self.shared.clock.now())
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        Events::new(self.shared.events.subscribe())
    }

    /// Stops the tree in order, the last started child first. Each works off what is queued, within
    /// its shutdown limit; what is left then gets [`AskError::Dropped`](crate::AskError::Dropped).
    /// Every thread is joined. If the tree has ended already, tells how that went.
    ///
    /// **Cancel safety:** the stop goes on when this is dropped.
    pub async fn stop(&self) -> StopReport {
        self.owner.tx.send(Msg::Stop(StopMode::Drain)).ok();
        self.ended().await.1
    }

    /// As [`stop`](Self::stop), blocking the thread. Not to be called from a worker of the tree, which
    /// would wait for itself until its shutdown limit.
    pub fn stop_blocking(&self) -> StopReport {
        block_on(self.stop())
    }

    /// Gives everything up at once: nothing is worked off, no stop hook runs. Also during a stop.
    /// Does not wait; see [`wait`](Self::wait).
    pub fn kill(&self) {
        self.owner.tx.send(Msg::Stop(StopMode::Kill)).ok();
    }

    /// Waits until the tree has ended, for whatever reason. Cancel safe.
    pub async fn wait(&self) -> Exit {
        self.ended().await.0
    }

    /// As [`wait`](Self::wait), blocking the thread.
    pub fn wait_blocking(&self) -> Exit {
        block_on(self.wait())
    }

    /// Replaces a worker by a fresh one, in order: it finishes the message in hand, gives the answers
    /// that it owes (within its shutdown limit), runs its stop hooks, and what is queued waits for
    /// the next. Does not count as a failure. False if there is no such worker or it is not running.
    pub async fn restart_child(&self, name: &str) -> bool {
        self.request(|reply| Msg::Restart(name.to_owned(), reply)).await
    }

    /// Gives the present incarnation of a worker up, as if it had failed: its restart policy
    /// decides what comes next. The decision is made where incarnations are started, so it never
    /// hits the next one. False if there is no such worker or it is not running.
    pub async fn kill_child(&self, name: &str) -> bool {
        self.request(|reply| Msg::KillChild(name.to_owned(), reply)).await
    }

    async fn request(&self, msg: impl FnOnce(oneshot::Sender<bool>) -> Msg) -> bool {
        let (tx, rx) = oneshot::channel();
        self.owner.tx.send(msg(tx)).ok();
        rx.await.unwrap_or(false)
    }

    async fn ended(&self) -> (Exit, StopReport) {
        let mut ended = self.shared.ended.subscribe();
        // The sender lives in `shared`, which we hold: there is always an end to wait for.
        let result = ended.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        // The thread has nothing left to do; joined so that it is gone when this returns.
        if let Some(thread) = lock(&self.owner.thread).take() {
            thread.join().ok();
        }
        result.unwrap_or((Exit::Stopped, StopReport::default()))
    }
}
