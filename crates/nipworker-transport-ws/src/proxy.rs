//! Through a SOCKS5 proxy (RFC 1928, RFC 1929), which resolves the names ("SOCKS5h").

use std::fmt;

use nipworker_protocol::RelayUrl;
use nipworker_transport::TransportError;
use tokio::net::TcpStream;
use tokio_socks::{Error as SocksError, tcp::Socks5Stream};
use zeroize::Zeroizing;

use crate::{Resolver, dial};

/// Most bytes of a user name and of a password (RFC 1929, section 2).
pub const MAX_CREDENTIAL_BYTES: usize = 255;

/// Why a proxy cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The address is not `host:port`.
    #[error("{0:?} is no address of a proxy; write host:port, such as \"127.0.0.1:9050\"")]
    Address(String),
    /// The user name is empty or too long.
    #[error("a user name of {0} bytes is not within 1 to 255 bytes")]
    User(usize),
    /// The password is empty or too long.
    #[error("a password of {0} bytes is not within 1 to 255 bytes")]
    Password(usize),
}

/// User and password for a proxy. The password is wiped on drop and never shown.
#[derive(Clone)]
pub struct SocksCredentials {
    user: String,
    password: Zeroizing<String>,
}

impl SocksCredentials {
    /// Takes them over.
    ///
    /// # Errors
    /// When one is empty or longer than [`MAX_CREDENTIAL_BYTES`].
    pub fn new(user: String, password: Zeroizing<String>) -> Result<Self, ProxyError> {
        let fits = |text: &str| (1..=MAX_CREDENTIAL_BYTES).contains(&text.len());
        if !fits(&user) {
            return Err(ProxyError::User(user.len()));
        }
        if !fits(&password) {
            return Err(ProxyError::Password(password.len()));
        }
        Ok(Self { user, password })
    }
}

impl fmt::Debug for SocksCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocksCredentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A SOCKS5 proxy.
#[derive(Debug, Clone)]
pub struct SocksProxy {
    host: String,
    port: u16,
    credentials: Option<SocksCredentials>,
}

impl SocksProxy {
    /// The proxy at `host:port`. An IPv6 address stands in brackets. A name is resolved on this
    /// machine: the proxy's, never a relay's.
    ///
    /// # Errors
    /// [`ProxyError::Address`].
    pub fn parse(address: &str) -> Result<Self, ProxyError> {
        let wrong = || ProxyError::Address(address.to_owned());
        // The same rules hold for the host and port of a relay.
        let url = RelayUrl::parse(&format!("ws://{address}")).map_err(|_| wrong())?;
        let is_bare = !address.contains(['/', '?', '#']) && address.trim() == address;
        let names_port = address.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
        if !is_bare || !names_port || url.is_onion() {
            return Err(wrong());
        }
        Ok(Self { host: url.host().to_owned(), port: url.port(), credentials: None })
    }

    /// Shows these credentials to the proxy if it wants some.
    #[must_use]
    pub fn credentials(mut self, credentials: SocksCredentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Connects to the proxy, and through it to `host`, whose name goes to the proxy as it is.
    pub(crate) async fn connect(
        &self,
        resolver: &dyn Resolver,
        host: &str,
        port: u16,
    ) -> Result<TcpStream, TransportError> {
        let broken = |reason: String| TransportError::Proxy { proxy: self.to_string(), reason };
        let socket = dial::tcp(resolver, &self.host, self.port, false)
            .await
            .map_err(|error| broken(error.to_string()))?;
        let target = (host, port);
        let tunnel = match &self.credentials {
            None => Socks5Stream::connect_with_socket(socket, target).await,
            Some(SocksCredentials { user, password }) => {
                Socks5Stream::connect_with_password_and_socket(socket, target, user, password).await
            }
        };
        tunnel.map(Socks5Stream::into_inner).map_err(|error| match error {
            // What the proxy says of the relay.
            SocksError::GeneralSocksServerFailure
            | SocksError::NetworkUnreachable
            | SocksError::HostUnreachable
            | SocksError::ConnectionRefused
            | SocksError::TtlExpired
            | SocksError::UnknownError => TransportError::Refused {
                reason: format!("proxy {self}: {}", error.to_string().to_lowercase()),
            },
            error => broken(error.to_string().to_lowercase()),
        })
    }
}

impl fmt::Display for SocksProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_proxy_is_a_host_and_a_port() {
        for (text, shown) in [
            ("127.0.0.1:9050", "127.0.0.1:9050"),
            ("Proxy.Example:80", "proxy.example:80"),
            ("[::1]:1080", "[::1]:1080"),
        ] {
            assert_eq!(SocksProxy::parse(text).unwrap().to_string(), shown);
        }
        for text in [
            "",
            "proxy.example",
            "proxy.example:",
            "proxy.example:0",
            "proxy.example:1/",
            " proxy.example:1",
            "socks5://proxy.example:1",
            "user:password@proxy.example:1",
            "::1:1080",
            "[::1]",
            "hidden.onion:1080",
        ] {
            let error = SocksProxy::parse(text).unwrap_err();
            assert_eq!(error, ProxyError::Address(text.to_owned()));
        }
    }

    #[test]
    fn a_password_is_bounded_and_never_shown() {
        let new = |user: &str, password: &str| {
            SocksCredentials::new(user.to_owned(), Zeroizing::new(password.to_owned()))
        };
        let credentials = new("alice", "correct horse").unwrap();
        let proxy = SocksProxy::parse("127.0.0.1:9050").unwrap().credentials(credentials);
        let shown = format!("{proxy:?} {proxy}");
        assert!(shown.contains("alice") && !shown.contains("correct"), "{shown}");
        assert_eq!(new("", "x").unwrap_err(), ProxyError::User(0));
        assert_eq!(new("x", "").unwrap_err(), ProxyError::Password(0));
        assert_eq!(new("x", &"y".repeat(256)).unwrap_err(), ProxyError::Password(256));
    }
}
