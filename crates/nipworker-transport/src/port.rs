//! The port itself.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use futures::{Sink, Stream};
use nipworker_protocol::RelayUrl;

use crate::{CloseFrame, TransportError};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// The sending half of a connection.
pub type FrameSink = Pin<Box<dyn Sink<Outgoing, Error = TransportError> + Send>>;
/// The receiving half of a connection. Its last item is always the error that says how the
/// connection ended.
pub type FrameStream = Pin<Box<dyn Stream<Item = Result<Incoming, TransportError>> + Send>>;

/// Opens WebSocket connections to relays.
pub trait WebSocketTransport: Send + Sync {
    /// Dials `url`: name resolution, TCP, TLS for `wss`, WebSocket handshake.
    ///
    /// Dropping the future gives the attempt up and closes what was opened. Each call is
    /// independent of all others.
    ///
    /// # Errors
    /// [`TransportError::Address`], [`Dns`](TransportError::Dns),
    /// [`Refused`](TransportError::Refused), [`NoProxy`](TransportError::NoProxy),
    /// [`Proxy`](TransportError::Proxy), [`Tls`](TransportError::Tls),
    /// [`Handshake`](TransportError::Handshake), [`Timeout`](TransportError::Timeout),
    /// [`Protocol`](TransportError::Protocol), [`Lost`](TransportError::Lost).
    fn connect(
        &self,
        url: RelayUrl,
        options: ConnectOptions,
    ) -> BoxFuture<'static, Result<Connection, TransportError>>;
}

/// Limits of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Longest time from the call to an open connection. An implementation without a clock leaves
    /// this to its caller and says so.
    pub connect_timeout: Duration,
    /// Largest message in bytes of payload, after fragments were joined. A larger one ends the
    /// connection with [`TransportError::TooLarge`] before it is held in memory as a whole.
    pub max_message_bytes: usize,
    /// Whether only addresses of the public internet may be dialled, see
    /// [`is_public`](crate::is_public): for relays that a stranger named. Others of the host are
    /// passed over; when none is left, the end is [`TransportError::Address`]. Default: no.
    pub public_only: bool,
}

impl ConnectOptions {
    /// Default for [`connect_timeout`](Self::connect_timeout).
    pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// Default for [`max_message_bytes`](Self::max_message_bytes).
    pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 2 * 1024 * 1024;
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Self::DEFAULT_CONNECT_TIMEOUT,
            max_message_bytes: Self::DEFAULT_MAX_MESSAGE_BYTES,
            public_only: false,
        }
    }
}

/// An open connection. Dropping both halves closes the socket.
pub struct Connection {
    /// What is sent. A sink that is not ready means that the other side does not read.
    pub sink: FrameSink,
    /// What comes. Not reading it holds the other side back; memory stays bounded.
    pub stream: FrameStream,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A text message.
    Text(String),
    /// A ping; the answer comes as [`Incoming::Alive`].
    Ping,
    /// The close frame. Nothing can be sent after it; the stream ends with
    /// [`TransportError::Closed`] when the other side agrees.
    Close(CloseFrame),
}

/// What comes from a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A text message, joined from its fragments.
    Text(String),
    /// A binary message, which Nostr does not use; only its size is told.
    Binary {
        /// Bytes of payload.
        bytes: usize,
    },
    /// A ping (already answered) or a pong: a sign of life without content.
    Alive,
}
