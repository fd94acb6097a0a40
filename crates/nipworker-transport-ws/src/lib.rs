//! Relay connections over TCP and TLS: [`WebSocketTransport`] by tokio-tungstenite and rustls, and
//! [`RelayInformation`] by a small HTTP/1.1 client over the same sockets.
//!
//! * dialling: all addresses of the host, the next one begun while the former is still silent
//!   (RFC 8305), Nagle's algorithm off, one deadline over name resolution, TCP, TLS and handshake;
//! * a SOCKS5 proxy for the relays that a [`ProxyPolicy`] sends
//!   through it, see below;
//! * `wss://`: rustls with Mozilla's root certificates compiled in, and roots of your own;
//! * pings of the relay are answered while the stream is read; when to ping the relay is decided
//!   by whoever holds the connection;
//! * an information document (NIP-11) is fetched by one GET, whose answer is bounded in size and
//!   time; redirections are not followed.
//!
//! Needs a tokio runtime with time and IO. There is no compression (permessage-deflate).
//!
//! # What a proxy keeps from whom
//!
//! A relay that is reached through the proxy does not see this machine's address, and the name
//! service of this machine is not asked for its name: the proxy gets the name and resolves it
//! ("SOCKS5h"). The same holds for the relay's information document. It fails closed: without a
//! proxy, or while the proxy is down, refuses us or breaks the protocol, such a relay is not
//! reached at all, and no attempt goes past the proxy. A hidden service (`.onion`) is only ever
//! reached through the proxy.
//!
//! What the proxy does not do: it learns every name, and reads what is sent to `ws://` relays, as
//! whoever stands behind it does. All connections go over one proxy login, so that it can tell
//! them to be of one client. What is sent (the keys of subscriptions, events, the user agent)
//! names the user to the relay as before. Names of relays that are reached directly go to the
//! system's resolver. Of a relay that a stranger named
//! ([`public_only`](ConnectOptions::public_only)) the proxy alone knows what address its name
//! means; what is refused here is an address in digits that is not public.
//!
//! # Connections that die in silence
//!
//! No TCP keep-alive is set: whoever holds the connection pings the relay through the WebSocket,
//! which also finds a relay whose system still acknowledges bytes, and is the earlier one
//! (`ping_interval` and `ping_grace` of `nipworker_relay::RelayConfig`).
//!
//! ```no_run
//! use nipworker_protocol::RelayUrl;
//! use nipworker_transport::{ConnectOptions, WebSocketTransport};
//! use nipworker_transport_ws::WsTransport;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let transport = WsTransport::builder().build()?;
//! let url = RelayUrl::parse("wss://relay.example.com")?;
//! let connection = transport.connect(url, ConnectOptions::default()).await?;
//! # Ok(()) }
//! ```

mod builder;
mod dial;
mod frames;
mod information;
mod proxy;
mod resolve;
mod tls;

use std::sync::Arc;

use futures::StreamExt;
use nipworker_protocol::RelayUrl;
use nipworker_transport::{
    BoxFuture, ConnectOptions, Connection, InformationError, InformationOptions, ProxyPolicy,
    RelayInformation, Route, TransportError, WebSocketTransport, is_public,
};
use rustls::ClientConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{handshake::client::Request, protocol::WebSocketConfig},
};

use crate::dial::Target;

pub use builder::{BuildError, WsTransportBuilder};
pub use proxy::{MAX_CREDENTIAL_BYTES, ProxyError, SocksCredentials, SocksProxy};
pub use resolve::{Resolver, SystemResolver};

/// Bytes that one read takes from a socket at most; allocated once for each connection.
const READ_BUFFER_BYTES: usize = 32 * 1024;
/// Outgoing bytes that are gathered before they are written without a flush.
const WRITE_BUFFER_BYTES: usize = 32 * 1024;
/// What the HTTP handshake says about us.
const AGENT: &str = concat!("nipworker/", env!("CARGO_PKG_VERSION"));

/// The transport; cloning is cheap and shares the TLS session cache.
#[derive(Clone)]
pub struct WsTransport {
    tls: Arc<ClientConfig>,
    network: Arc<Network>,
}

/// The ways to a host.
struct Network {
    policy: ProxyPolicy,
    proxy: Option<SocksProxy>,
    resolver: Arc<dyn Resolver>,
}

impl Network {
    /// Every socket of this crate comes from here.
    async fn tcp(&self, url: &RelayUrl, public_only: bool) -> Result<TcpStream, TransportError> {
        let (host, port) = (url.host(), url.port());
        match self.policy.route(url)? {
            Route::Direct => dial::tcp(&*self.resolver, host, port, public_only).await,
            // What a name means is known to the proxy alone.
            Route::Proxy(_)
                if public_only && host.parse().is_ok_and(|address| !is_public(address)) =>
            {
                Err(dial::not_public(host))
            }
            Route::Proxy(demand) => match &self.proxy {
                Some(proxy) => proxy.connect(&*self.resolver, host, port).await,
                None => Err(TransportError::NoProxy { demand }),
            },
        }
    }
}

impl WsTransport {
    /// Begins a transport with Mozilla's root certificates, the system's resolver, and no proxy.
    pub fn builder() -> WsTransportBuilder {
        WsTransportBuilder::new()
    }

    async fn dial(
        self,
        url: RelayUrl,
        limit: usize,
        public_only: bool,
    ) -> Result<Connection, TransportError> {
        let target = Target::of(&url)?;
        match self.open(&target, public_only).await? {
            Socket::Plain(socket) => handshake(target.request, socket, limit).await,
            Socket::Tls(socket) => handshake(target.request, *socket, limit).await,
        }
    }

    /// Resolves, connects, and encrypts where the address says so.
    async fn open(&self, target: &Target, public_only: bool) -> Result<Socket, TransportError> {
        let socket = self.network.tcp(&target.url, public_only).await?;
        let Some(name) = target.name.clone() else { return Ok(Socket::Plain(socket)) };
        TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, socket)
            .await
            .map(|socket| Socket::Tls(Box::new(socket)))
            .map_err(|error| tls::error(&error))
    }
}

/// A connection to a relay's host.
enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

async fn handshake<S>(
    request: Request,
    socket: S,
    limit: usize,
) -> Result<Connection, TransportError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit));
    let (socket, _) =
        client_async_with_config(request, socket, Some(config)).await.map_err(frames::error)?;
    let (sink, stream) = socket.split();
    Ok(Connection {
        sink: Box::pin(frames::FramesOut::new(sink)),
        stream: Box::pin(frames::FramesIn::new(stream)),
    })
}

impl WebSocketTransport for WsTransport {
    fn connect(
        &self,
        url: RelayUrl,
        options: ConnectOptions,
    ) -> BoxFuture<'static, Result<Connection, TransportError>> {
        let after = options.connect_timeout;
        let dial = self.clone().dial(url, options.max_message_bytes, options.public_only);
        Box::pin(async move {
            tokio::time::timeout(after, dial)
                .await
                .unwrap_or(Err(TransportError::Timeout { after }))
        })
    }
}

impl RelayInformation for WsTransport {
    fn fetch(
        &self,
        url: RelayUrl,
        options: InformationOptions,
    ) -> BoxFuture<'static, Result<String, InformationError>> {
        let InformationOptions { timeout: after, max_bytes } = options;
        let fetch = information::fetch(self.clone(), url, max_bytes);
        Box::pin(async move {
            tokio::time::timeout(after, fetch)
                .await
                .unwrap_or(Err(InformationError::Timeout { after }))
        })
    }
}
