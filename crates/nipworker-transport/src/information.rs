//! Asking a relay about itself (NIP-11).

use std::time::Duration;

use nipworker_protocol::RelayUrl;

use crate::{BoxFuture, TransportError};

/// Fetches the information documents of relays (NIP-11).
///
/// It stands beside [`WebSocketTransport`](crate::WebSocketTransport) because the document lies at
/// the relay's own address and is reached the same way: same resolver, same trust, same proxy.
pub trait RelayInformation: Send + Sync {
    /// Asks the relay at `url` for its document and returns its text. What the text says is not
    /// looked at; it is whatever the relay claims.
    ///
    /// Dropping the future gives the attempt up and closes what was opened. Redirections are not
    /// followed: they are a [`InformationError::Status`].
    ///
    /// # Errors
    /// Each [`InformationError`].
    fn fetch(
        &self,
        url: RelayUrl,
        options: InformationOptions,
    ) -> BoxFuture<'static, Result<String, InformationError>>;
}

/// Limits of one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InformationOptions {
    /// Longest time from the call to the whole document. An implementation without a clock leaves
    /// this to its caller and says so.
    pub timeout: Duration,
    /// Largest document in bytes. A larger one is given up before it is held in memory as a whole.
    pub max_bytes: usize,
}

impl InformationOptions {
    /// Default for [`timeout`](Self::timeout).
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
    /// Default for [`max_bytes`](Self::max_bytes). Documents of real relays have some hundred to
    /// some thousand bytes.
    pub const DEFAULT_MAX_BYTES: usize = 128 * 1024;
}

impl Default for InformationOptions {
    fn default() -> Self {
        Self { timeout: Self::DEFAULT_TIMEOUT, max_bytes: Self::DEFAULT_MAX_BYTES }
    }
}

/// Why there is no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InformationError {
    /// There is no connection to the relay, or it broke before the document was complete.
    #[error(transparent)]
    Connection(#[from] TransportError),
    /// The relay answered with another status than 200.
    #[error("the relay answered with http status {status}")]
    Status {
        /// HTTP status, 100 to 599.
        status: u16,
    },
    /// The document is larger than the limit.
    #[error("the document of {got} bytes or more is over the limit of {limit} bytes")]
    TooLarge {
        /// Size known when the limit was passed, in bytes.
        got: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The document is not UTF-8.
    #[error("the document is not utf-8")]
    NotUtf8,
    /// The answer breaks HTTP/1.1 (RFC 9112).
    #[error("http: {reason}")]
    Protocol {
        /// The rule that was broken.
        reason: String,
    },
    /// It took too long.
    #[error("no document within {} ms", after.as_millis())]
    Timeout {
        /// The limit that passed.
        after: Duration,
    },
}
