//! Relay connections over TCP and TLS: [`WebSocketTransport`] by tokio-tungstenite and rustls.
//!
//! * dialling: all addresses of the host, the next one begun while the former is still silent
//!   (RFC 8305), Nagle's algorithm off, one deadline over name resolution, TCP, TLS and handshake;
//! * `wss://`: rustls with Mozilla's root certificates compiled in, and roots of your own;
//! * pings of the relay are answered while the stream is read; when to ping the relay is decided
//!   by whoever holds the connection.
//!
//! Needs a tokio runtime with time and IO. There is no compression (permessage-deflate).
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

mod dial;
mod frames;
mod tls;

use std::sync::Arc;

use futures::StreamExt;
use nipworker_protocol::RelayUrl;
use nipworker_transport::{
    BoxFuture, ConnectOptions, Connection, TransportError, WebSocketTransport,
};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{
        client::IntoClientRequest,
        handshake::client::Request,
        http::{HeaderValue, header::USER_AGENT},
        protocol::WebSocketConfig,
    },
};

pub use tls::{TlsError, WsTransportBuilder};

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
}

impl WsTransport {
    /// Begins a transport with Mozilla's root certificates.
    pub fn builder() -> WsTransportBuilder {
        WsTransportBuilder::new()
    }

    async fn dial(self, url: RelayUrl, limit: usize) -> Result<Connection, TransportError> {
        let mut request = url.as_str().into_client_request().map_err(address)?;
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let host = request.uri().host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = request.uri().port_u16().unwrap_or(if url.is_secure() { 443 } else { 80 });
        let name = if url.is_secure() { Some(tls::server_name(&host)?) } else { None };
        let socket = dial::tcp(&host, port).await?;
        match name {
            None => handshake(request, socket, limit).await,
            Some(name) => {
                let socket = TlsConnector::from(self.tls)
                    .connect(name, socket)
                    .await
                    .map_err(|error| TransportError::Tls { reason: error.to_string() })?;
                handshake(request, socket, limit).await
            }
        }
    }
}

fn address(error: impl std::fmt::Display) -> TransportError {
    TransportError::Address { reason: error.to_string() }
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
        let dial = self.clone().dial(url, options.max_message_bytes);
        Box::pin(async move {
            tokio::time::timeout(after, dial)
                .await
                .unwrap_or(Err(TransportError::Timeout { after }))
        })
    }
}
