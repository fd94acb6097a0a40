//! Who listens where.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{StreamExt, channel::mpsc};
use nipworker_protocol::RelayUrl;

use super::{BACKLOG_CONNECTIONS, MemoryPeer, client, peer};
use crate::{BoxFuture, ConnectOptions, Connection, TransportError, WebSocketTransport};

/// The network: clones are the same network.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    hosts: Arc<Mutex<HashMap<RelayUrl, Host>>>,
}

struct Host {
    answer: Answer,
    dials: u64,
}

enum Answer {
    Accept(mpsc::Sender<MemoryPeer>),
    Refuse,
    Reject(u16),
    Swallow,
}

impl MemoryNetwork {
    /// A network without hosts: every dial is refused.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins to accept connections at `url`. A former listener there ends; connections that it
    /// accepted stay.
    pub fn listen(&self, url: &RelayUrl) -> MemoryListener {
        // A channel has one slot for each sender besides its buffer.
        let (sender, incoming) = mpsc::channel(BACKLOG_CONNECTIONS - 1);
        self.set(url, Answer::Accept(sender));
        MemoryListener { incoming }
    }

    /// From now on dials to `url` are refused, as if the process there had ended.
    pub fn refuse(&self, url: &RelayUrl) {
        self.set(url, Answer::Refuse);
    }

    /// From now on the handshake at `url` is answered with this HTTP status.
    pub fn reject(&self, url: &RelayUrl, status: u16) {
        self.set(url, Answer::Reject(status));
    }

    /// From now on dials to `url` neither succeed nor fail.
    pub fn black_hole(&self, url: &RelayUrl) {
        self.set(url, Answer::Swallow);
    }

    /// How often `url` was dialled, whatever came of it.
    pub fn dials(&self, url: &RelayUrl) -> u64 {
        self.hosts().get(url).map_or(0, |host| host.dials)
    }

    fn set(&self, url: &RelayUrl, answer: Answer) {
        let mut hosts = self.hosts();
        let dials = hosts.get(url).map_or(0, |host| host.dials);
        hosts.insert(url.clone(), Host { answer, dials });
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<RelayUrl, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dial(
        &self,
        url: RelayUrl,
        options: &ConnectOptions,
    ) -> Result<Option<Connection>, TransportError> {
        let mut hosts = self.hosts();
        let host = hosts.entry(url).or_insert(Host { answer: Answer::Refuse, dials: 0 });
        host.dials += 1;
        match &mut host.answer {
            Answer::Refuse => Err(refused("nobody listens")),
            Answer::Reject(status) => Err(TransportError::Handshake { status: *status }),
            Answer::Swallow => Ok(None),
            Answer::Accept(backlog) => {
                let (peer, ends) = peer::pair();
                backlog.try_send(peer).map_err(|error| {
                    refused(if error.is_full() { "backlog is full" } else { "nobody listens" })
                })?;
                Ok(Some(client::connection(ends, options.max_message_bytes)))
            }
        }
    }
}

fn refused(reason: &str) -> TransportError {
    TransportError::Refused { reason: reason.to_owned() }
}

impl WebSocketTransport for MemoryNetwork {
    fn connect(
        &self,
        url: RelayUrl,
        options: ConnectOptions,
    ) -> BoxFuture<'static, Result<Connection, TransportError>> {
        let network = self.clone();
        Box::pin(async move {
            match network.dial(url, &options)? {
                Some(connection) => Ok(connection),
                None => std::future::pending().await,
            }
        })
    }
}

/// Accepts the connections to one address. Dropping it makes further dials fail.
pub struct MemoryListener {
    incoming: mpsc::Receiver<MemoryPeer>,
}

impl MemoryListener {
    /// The next connection. Waits for ever when the address was given to another listener.
    ///
    /// Cancel safe.
    pub async fn accept(&mut self) -> MemoryPeer {
        match self.incoming.next().await {
            Some(peer) => peer,
            None => std::future::pending().await,
        }
    }
}
