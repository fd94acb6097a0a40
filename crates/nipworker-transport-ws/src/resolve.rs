//! From a host name to addresses.

use std::{io, net::SocketAddr};

use nipworker_transport::BoxFuture;

/// Resolves host names. It is never asked for an address in digits, for a hidden service
/// (`.onion`), nor for a relay that is reached through the proxy.
pub trait Resolver: Send + Sync {
    /// The addresses of `host` with `port`, the best first (RFC 6724).
    ///
    /// # Errors
    /// What the name service said. An empty list means that the host has no address.
    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// The system's resolver (`getaddrinfo`), which orders the addresses by RFC 6724.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}
