//! Who listens where.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{StreamExt, channel::mpsc};
use nipworker_protocol::RelayUrl;

use super::{BACKLOG_CONNECTIONS, MemoryPeer, client, peer};
use crate::{
    BoxFuture, ConnectOptions, Connection, InformationError, InformationOptions, RelayInformation,
    TransportError, WebSocketTransport,
};

/// The network: clones are the same network.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    hosts: Arc<Mutex<HashMap<RelayUrl, Host>>>,
    information: Arc<Mutex<HashMap<RelayUrl, InformationAnswer>>>,
}

/// How an address answers the question for its information document (NIP-11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InformationAnswer {
    /// With this text.
    Document(String),
    /// With these bytes, which need not be text.
    Bytes(Vec<u8>),
    /// With this HTTP status and nothing else.
    Status(u16),
    /// It breaks the connection off.
    Cut,
    /// Never.
    Silence,
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

    /// From now on the question for the information document of `url` is answered so. Where
    /// nothing was set, nobody listens.
    pub fn inform(&self, url: &RelayUrl, answer: InformationAnswer) {
        lock(&self.information).insert(url.clone(), answer);
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
        lock(&self.hosts)
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Has no clock: [`InformationOptions::timeout`] is left to the caller.
impl RelayInformation for MemoryNetwork {
    fn fetch(
        &self,
        url: RelayUrl,
        options: InformationOptions,
    ) -> BoxFuture<'static, Result<String, InformationError>> {
        let network = self.clone();
        Box::pin(async move {
            let answer = lock(&network.information).get(&url).cloned();
            let bytes = match answer {
                None => return Err(refused("nobody listens").into()),
                Some(InformationAnswer::Silence) => std::future::pending().await,
                Some(InformationAnswer::Cut) => return Err(TransportError::lost("cut").into()),
                Some(InformationAnswer::Status(status)) => {
                    return Err(InformationError::Status { status });
                }
                Some(InformationAnswer::Document(text)) => text.into_bytes(),
                Some(InformationAnswer::Bytes(bytes)) => bytes,
            };
            let (got, limit) = (bytes.len(), options.max_bytes);
            if got > limit {
                return Err(InformationError::TooLarge { got, limit });
            }
            String::from_utf8(bytes).map_err(|_| InformationError::NotUtf8)
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
