//! Fault injection (feature `chaos`), for tests of whole systems.

pub use nipworker_supervision::Fault;

use nipworker_supervision::SendError;

use crate::NostrClient;

/// One of the five workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Worker {
    /// Holds the sockets.
    Connections,
    /// Checks and delivers.
    Parser,
    /// Verifies and signs.
    Crypto,
    /// Stores and answers.
    Cache,
    /// Takes mining jobs.
    Miner,
}

impl Worker {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Connections, Self::Parser, Self::Crypto, Self::Cache, Self::Miner];

    /// Its name in the status.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Parser => "parser",
            Self::Crypto => "crypto",
            Self::Cache => "cache",
            Self::Miner => "miner",
        }
    }
}

impl NostrClient {
    /// Makes the next message of a worker go wrong.
    ///
    /// # Errors
    /// The fault comes back when the worker's control lane is full or its mailbox closed.
    pub fn inject(&self, worker: Worker, fault: Fault) -> Result<(), SendError<Fault>> {
        let addresses = self.addresses();
        match worker {
            Worker::Connections => addresses.connections.inject(fault),
            Worker::Parser => addresses.parser.inject(fault),
            Worker::Crypto => addresses.crypto.inject(fault),
            Worker::Cache => addresses.cache.inject(fault),
            Worker::Miner => addresses.miner.inject(fault),
        }
    }
}
