//! What happens in a tree, as a stream.

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::status::FailureReport;
use crate::util::block_on;

/// Events kept for a subscriber that is slow; older ones are dropped and counted.
pub const EVENTS_KEPT: usize = 256;

/// Something that happened to a child or a supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
#[non_exhaustive]
pub enum SupervisorEvent {
    /// A child is up.
    ChildStarted {
        /// Its supervisor.
        supervisor: String,
        /// Its name.
        child: String,
        /// Which incarnation.
        generation: u64,
    },
    /// A child failed.
    ChildFailed {
        /// Its supervisor.
        supervisor: String,
        /// Its name.
        child: String,
        /// Why.
        failure: FailureReport,
    },
    /// A child will be started again.
    ChildRestarting {
        /// Its supervisor.
        supervisor: String,
        /// Its name.
        child: String,
        /// After this many milliseconds.
        after_ms: u64,
    },
    /// A child has ended without a failure.
    ChildStopped {
        /// Its supervisor.
        supervisor: String,
        /// Its name.
        child: String,
    },
    /// A supervisor gave up.
    Escalated {
        /// Its name.
        supervisor: String,
        /// The child because of which.
        child: String,
        /// That child's failure.
        failure: FailureReport,
    },
}

/// A subscription to the events of a tree. It begins with what happens after it was made.
#[derive(Debug)]
pub struct Events {
    rx: broadcast::Receiver<SupervisorEvent>,
    missed: u64,
}

impl Events {
    pub(crate) fn new(rx: broadcast::Receiver<SupervisorEvent>) -> Self {
        Self { rx, missed: 0 }
    }

    /// The next event; `None` when the supervisor has ended and its last handle is dropped: who holds
    /// one waits for [`SupervisorHandle::wait`](crate::SupervisorHandle::wait) beside this. Cancel
    /// safe; runs under any executor.
    pub async fn next(&mut self) -> Option<SupervisorEvent> {
        loop {
            match self.rx.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(n)) => self.missed += n,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<SupervisorEvent> {
        loop {
            match self.rx.try_recv() {
                Ok(event) => return Some(event),
                Err(broadcast::error::TryRecvError::Lagged(n)) => self.missed += n,
                Err(_) => return None,
            }
        }
    }

    /// As [`next`](Self::next), blocking the thread.
    pub fn next_blocking(&mut self) -> Option<SupervisorEvent> {
        block_on(self.next())
    }

    /// Events that this subscriber was too slow for.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}
