//! The port through which relay connections reach the network.
//!
//! [`WebSocketTransport`] opens a [`Connection`] to a relay; a connection is a sink of
//! [`Outgoing`] and a stream of [`Incoming`]. Who implements it answers the pings of the other
//! side, joins fragments and enforces the size limits of [`ConnectOptions`]; who uses it decides
//! when to dial, to ping and to give up. Nothing here knows Nostr messages, and nothing here has
//! a clock.
//!
//! * [`WebSocketTransport`], [`Connection`], [`ConnectOptions`]: the port;
//! * [`TransportError`]: how dialling fails and how connections end;
//! * [`RelayInformation`], [`InformationOptions`], [`InformationError`]: the port beside it, which
//!   asks a relay for its information document (NIP-11);
//! * [`ProxyPolicy`], [`Route`]: which relays are reached through a proxy;
//! * [`memory`]: an in-process network for tests and for embedding a relay in the same process.
//!
//! Features: `conformance` adds the `conformance` module, the suite that every implementation
//! runs.
//!
//! Units: sizes are bytes of payload. Sources: RFC 6455, RFC 7686, NIP-11.
//!
//! ```
//! use futures::{SinkExt, StreamExt};
//! use nipworker_protocol::RelayUrl;
//! use nipworker_transport::{
//!     ConnectOptions, Incoming, Outgoing, WebSocketTransport,
//!     memory::{ClientFrame, MemoryNetwork},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let network = MemoryNetwork::new();
//! let url = RelayUrl::parse("ws://relay.test")?;
//! let mut listener = network.listen(&url);
//! let mut connection = network.connect(url, ConnectOptions::default()).await?;
//! let mut peer = listener.accept().await;
//! connection.sink.send(Outgoing::Text("hello".into())).await?;
//! assert_eq!(peer.receive().await, Some(ClientFrame::Text("hello".into())));
//! peer.send_text("welcome").await?;
//! assert_eq!(connection.stream.next().await, Some(Ok(Incoming::Text("welcome".into()))));
//! # Ok(()) }
//! ```

mod address;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod information;
pub mod memory;
mod port;
mod proxy;

pub use address::is_public;
pub use error::{CloseFrame, ProxyDemand, TlsFault, TransportError};
pub use information::{InformationError, InformationOptions, RelayInformation};
pub use port::{
    BoxFuture, ConnectOptions, Connection, FrameSink, FrameStream, Incoming, Outgoing,
    WebSocketTransport,
};
pub use proxy::{ProxyPolicy, ProxyPolicyError, ProxyUse, Route};
