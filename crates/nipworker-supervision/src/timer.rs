//! Timeouts that need no async runtime: one thread for the process, gone when nothing is due.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::util::{guarded, lock};

/// How long the thread stays around with nothing to wait for, and the longest that it sleeps: most
/// alarms are taken back before they go off, and taking back does not wake it.
const LINGER: Duration = Duration::from_millis(500);

static TIMER: Mutex<Table> =
    Mutex::new(Table { due: BTreeMap::new(), next_id: 0, running: false, wakes_at: None });
static CHANGED: Condvar = Condvar::new();

struct Table {
    due: BTreeMap<(Instant, u64), Waker>,
    next_id: u64,
    running: bool,
    /// When the thread looks again by itself.
    wakes_at: Option<Instant>,
}

/// A point in time that a future waits for.
pub(crate) struct Alarm {
    /// `None` is too far away to be represented: never.
    at: Option<Instant>,
    limit: Duration,
    entry: Option<(Instant, u64)>,
}

impl Alarm {
    pub(crate) fn new(at: Option<Instant>, limit: Duration) -> Self {
        Self { at, limit, entry: None }
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        if Instant::now() >= at {
            return Poll::Ready(());
        }
        let mut table = lock(&TIMER);
        let key = *self.entry.get_or_insert_with(|| {
            table.next_id += 1;
            (at, table.next_id)
        });
        let too_late = table.wakes_at.is_some_and(|wakes_at| at < wakes_at);
        let old = table.due.insert(key, cx.waker().clone());
        let start = !table.running;
        table.running = true;
        drop(table);
        drop(old);
        if start {
            let spawned = thread::Builder::new().name("nipworker-timer".to_owned()).spawn(run);
            if spawned.is_err() {
                // Without a thread deadlines would pass unseen, those of others too that came in the
                // meantime: everybody tries again at the next poll, now.
                let mut table = lock(&TIMER);
                table.running = false;
                let waiting: Vec<Waker> = table.due.values().cloned().collect();
                drop(table);
                for waker in waiting {
                    guarded(|| waker.wake());
                }
            }
        } else if too_late {
            CHANGED.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(key) = self.entry {
            let removed = lock(&TIMER).due.remove(&key);
            drop(removed);
        }
    }
}

fn run() {
    let mut table = lock(&TIMER);
    loop {
        let now = Instant::now();
        let wait = match table.due.first_key_value() {
            Some((&(at, id), _)) if at <= now => {
                let waker = table.due.remove(&(at, id));
                drop(table);
                guarded(|| waker.into_iter().for_each(Waker::wake));
                table = lock(&TIMER);
                continue;
            }
            Some((&(at, _), _)) => (at - now).min(LINGER),
            None => LINGER,
        };
        let idle = table.due.is_empty();
        table.wakes_at = Some(now + wait);
        let (back, timed_out) =
            CHANGED.wait_timeout(table, wait).unwrap_or_else(std::sync::PoisonError::into_inner);
        table = back;
        table.wakes_at = None;
        if idle && timed_out.timed_out() && table.due.is_empty() {
            table.running = false;
            return;
        }
    }
}
