//! What kinds of errors end attempts and connections.

use nipworker_transport::TransportError;
use serde::{Deserialize, Serialize};

/// Why an attempt to connect failed or a connection ended, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The address cannot be dialled at all, or only through a proxy that is not there.
    Address,
    /// The name has no address, or the name service does not answer.
    Dns,
    /// No TCP connection.
    Refused,
    /// The proxy fails.
    Proxy,
    /// No encrypted connection.
    Tls,
    /// The server answered the WebSocket handshake with another status than 101.
    Handshake,
    /// No connection in time, or nothing heard on it for too long.
    Timeout,
    /// The connection ended, or the relay closed it.
    Lost,
    /// The relay broke a rule of the protocol or a limit, or reads nothing.
    Protocol,
}

impl ErrorKind {
    /// The kind of a transport's error.
    pub fn of(error: &TransportError) -> Self {
        match error {
            TransportError::Address { .. } | TransportError::NoProxy { .. } => Self::Address,
            TransportError::Dns { .. } => Self::Dns,
            TransportError::Refused { .. } => Self::Refused,
            TransportError::Proxy { .. } => Self::Proxy,
            TransportError::Tls { .. } => Self::Tls,
            TransportError::Handshake { .. } => Self::Handshake,
            TransportError::Timeout { .. } => Self::Timeout,
            TransportError::TooLarge { .. }
            | TransportError::InvalidUtf8
            | TransportError::Protocol { .. } => Self::Protocol,
            _ => Self::Lost,
        }
    }

    /// Its name, as in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::Handshake => "handshake",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
            Self::Protocol => "protocol",
        }
    }
}
