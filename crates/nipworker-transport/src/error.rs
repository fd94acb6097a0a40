//! How dialling fails and how connections end.

use std::{fmt, time::Duration};

/// Why a side closes a connection (RFC 6455, section 7.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseFrame {
    /// Status code; 1000 is the normal end, 1005 stands for a close frame without a code.
    pub code: u16,
    /// Text for a person; at most 123 bytes go over the wire.
    pub reason: String,
}

impl CloseFrame {
    /// Status code of a normal end.
    pub const NORMAL: u16 = 1000;
    /// Status code that stands for a close frame that has none. It is never sent.
    pub const NO_STATUS: u16 = 1005;
    /// Longest reason in bytes (RFC 6455: a control frame holds 125 bytes, two are the code).
    pub const MAX_REASON_BYTES: usize = 123;

    /// A normal end; a longer reason than fits is cut at a character boundary.
    pub fn normal(reason: impl Into<String>) -> Self {
        Self::new(Self::NORMAL, reason)
    }

    /// With this code; a longer reason than fits is cut at a character boundary.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        let mut end = reason.len().min(Self::MAX_REASON_BYTES);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        Self { code, reason }
    }
}

impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}", self.code)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({:?})", self.reason) }
    }
}

/// What demands a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyDemand {
    /// The address is a hidden service: no other network leads there (RFC 7686).
    Onion,
    /// The policy sends this relay through a proxy.
    Policy,
}

impl fmt::Display for ProxyDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Onion => "a hidden service (.onion) is only reached through a proxy",
            Self::Policy => "this relay is only reached through a proxy",
        })
    }
}

/// What is wrong with an encrypted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFault {
    /// Nobody whom we trust vouches for the certificate, or it is malformed, revoked, or not meant
    /// for servers.
    UntrustedCertificate,
    /// The certificate is past its time or before it. The clock of this machine may be wrong.
    ExpiredCertificate,
    /// The certificate is for another name.
    WrongName,
    /// The other side ended the handshake with an alert.
    Alert,
    /// The other side does not speak TLS, or no version or cipher that both know.
    Protocol,
    /// The connection broke within the handshake.
    Broken,
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UntrustedCertificate => "untrusted certificate",
            Self::ExpiredCertificate => "certificate out of its time",
            Self::WrongName => "certificate for another name",
            Self::Alert => "refused by the server",
            Self::Protocol => "no common protocol",
            Self::Broken => "the connection broke",
        })
    }
}

/// Why there is no connection, or no longer one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The implementation cannot dial this address at all. Dialling again does not help.
    #[error("cannot dial this address: {reason}")]
    Address {
        /// What is wrong with it.
        reason: String,
    },
    /// The host name has no address, or the name service does not answer.
    #[error("cannot resolve {host}: {reason}")]
    Dns {
        /// Host name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// No TCP connection to any address of the host.
    #[error("cannot connect: {reason}")]
    Refused {
        /// What the system said about each address that was tried, or what the proxy said.
        reason: String,
    },
    /// The relay is to be reached through a proxy, and there is none to reach it through. Nothing
    /// was dialled and no name was asked for. Dialling again does not help.
    #[error("not dialled: {demand}, and no proxy is configured for it")]
    NoProxy {
        /// What demands the proxy.
        demand: ProxyDemand,
    },
    /// The proxy is not there, does not let us in, or does not speak SOCKS5. The relay was not
    /// dialled past it.
    #[error("proxy {proxy}: {reason}")]
    Proxy {
        /// The proxy's `host:port`.
        proxy: String,
        /// What it did.
        reason: String,
    },
    /// No encrypted connection.
    #[error("tls: {fault}: {reason}")]
    Tls {
        /// What is wrong.
        fault: TlsFault,
        /// The TLS library's words.
        reason: String,
    },
    /// The server answered the WebSocket handshake with another status than 101.
    #[error("handshake refused with http status {status}")]
    Handshake {
        /// HTTP status, 100 to 599.
        status: u16,
    },
    /// Dialling took too long.
    #[error("no connection within {} ms", after.as_millis())]
    Timeout {
        /// The limit that passed.
        after: Duration,
    },
    /// A message is larger than the limit. The connection is over.
    #[error("message of {got} bytes or more is over the limit of {limit} bytes")]
    TooLarge {
        /// Size known when the limit was passed, in bytes.
        got: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A text message is not UTF-8. The connection is over.
    #[error("text message is not utf-8")]
    InvalidUtf8,
    /// The other side broke RFC 6455. The connection is over.
    #[error("websocket protocol: {reason}")]
    Protocol {
        /// The rule that was broken.
        reason: String,
    },
    /// The connection was closed with a close frame, by either side.
    #[error("closed with {0}")]
    Closed(CloseFrame),
    /// The connection ended without a close frame.
    #[error("connection lost: {reason}")]
    Lost {
        /// What the system said.
        reason: String,
    },
}

impl TransportError {
    /// A connection that is lost for this reason.
    pub fn lost(reason: impl fmt::Display) -> Self {
        Self::Lost { reason: reason.to_string() }
    }

    /// Whether dialling again later may help. Only an address that cannot be dialled is hopeless,
    /// or one that needs a proxy where there is none: certificates are renewed and servers and
    /// proxies are repaired.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Address { .. } | Self::NoProxy { .. })
    }
}
