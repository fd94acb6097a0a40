//! From a host name to a TCP connection.

use std::{io, net::SocketAddr, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use nipworker_protocol::RelayUrl;
use nipworker_transport::{TransportError, is_public};
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio_tungstenite::tungstenite::{
    client::IntoClientRequest,
    handshake::client::Request,
    http::{HeaderValue, header::USER_AGENT},
};

use crate::{AGENT, tls};

/// How long an address may be silent before the next one is tried beside it (RFC 8305, section 5).
const NEXT_ADDRESS_DELAY: Duration = Duration::from_millis(250);
/// Addresses of one host that are tried at most.
const MAX_ADDRESSES: usize = 8;

/// What a relay's address means to a dialler.
pub(crate) struct Target {
    /// The handshake that opens a WebSocket there.
    pub(crate) request: Request,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The name on the certificate; `None` where nothing is encrypted.
    pub(crate) name: Option<ServerName<'static>>,
}

impl Target {
    pub(crate) fn of(url: &RelayUrl) -> Result<Self, TransportError> {
        let mut request = url
            .as_str()
            .into_client_request()
            .map_err(|error| TransportError::Address { reason: error.to_string() })?;
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let host = request.uri().host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = request.uri().port_u16().unwrap_or(if url.is_secure() { 443 } else { 80 });
        let name = if url.is_secure() { Some(tls::server_name(&host)?) } else { None };
        Ok(Self { request, host, port, name })
    }
}

/// Connects to the first address that answers.
pub(crate) async fn tcp(
    host: &str,
    port: u16,
    public_only: bool,
) -> Result<TcpStream, TransportError> {
    let dns = |reason: String| TransportError::Dns { host: host.to_owned(), reason };
    let addresses =
        lookup_host((host, port)).await.map_err(|error| dns(error.to_string()))?.collect();
    let addresses = families_in_turn(addresses);
    if addresses.is_empty() {
        return Err(dns("no address".to_owned()));
    }
    let addresses = if public_only { only_public(host, addresses)? } else { addresses };
    let socket = race(addresses).await.map_err(|(address, error)| TransportError::Refused {
        reason: format!("{address}: {error}"),
    })?;
    // Small frames must not wait for the acknowledgement of the former one.
    socket.set_nodelay(true).map_err(TransportError::lost)?;
    Ok(socket)
}

/// Leaves out what is no address of the internet. Looked at after the name was resolved, because
/// whoever owns a name decides what it means.
fn only_public(
    host: &str,
    mut addresses: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, TransportError> {
    addresses.retain(|address| is_public(address.ip()));
    if addresses.is_empty() {
        let reason = format!("{host} has no public address, and only such may be dialled for it");
        return Err(TransportError::Address { reason });
    }
    Ok(addresses)
}

/// Keeps the resolver's order within a family and alternates between them, beginning with the
/// resolver's first choice.
fn families_in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first_is_v6) = addresses.first().map(SocketAddr::is_ipv6) else {
        return addresses;
    };
    let (mut first, mut second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    first.reverse();
    second.reverse();
    let mut out = Vec::with_capacity(first.len() + second.len());
    while !(first.is_empty() && second.is_empty()) {
        out.extend(first.pop());
        out.extend(second.pop());
    }
    out.truncate(MAX_ADDRESSES);
    out
}

async fn race(addresses: Vec<SocketAddr>) -> Result<TcpStream, (SocketAddr, io::Error)> {
    let mut attempts = FuturesUnordered::new();
    let mut waiting = addresses.into_iter();
    let mut last = None;
    loop {
        if let Some(address) = waiting.next() {
            attempts.push(async move {
                TcpStream::connect(address).await.map_err(|error| (address, error))
            });
        }
        // One answer, or time for the next address. The sleep only matters while one is left.
        let pause = tokio::time::sleep(NEXT_ADDRESS_DELAY);
        let answer = tokio::select! {
            answer = attempts.next() => answer,
            () = pause, if waiting.len() > 0 => continue,
        };
        match answer {
            Some(Ok(socket)) => return Ok(socket),
            Some(Err(failure)) => last = Some(failure),
            None => {
                return Err(last.unwrap_or_else(|| {
                    (SocketAddr::from(([0, 0, 0, 0], 0)), io::ErrorKind::NotFound.into())
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn address_families_take_turns_and_their_number_is_bounded() {
        let [a, b, c] = ["[::1]:1", "[::2]:1", "[::3]:1"].map(address);
        let [x, y] = ["10.0.0.1:1", "10.0.0.2:1"].map(address);
        assert_eq!(families_in_turn(vec![a, b, c, x, y]), [a, x, b, y, c]);
        assert_eq!(families_in_turn(vec![x, a]), [x, a]);
        assert_eq!(families_in_turn(vec![x; 100]).len(), MAX_ADDRESSES);
        assert!(families_in_turn(vec![]).is_empty());
    }

    #[tokio::test]
    async fn a_name_or_address_that_is_not_public_is_not_dialled_for_strangers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["localhost", "127.0.0.1"] {
            let refused = tcp(host, port, true).await.unwrap_err();
            assert!(matches!(refused, TransportError::Address { .. }), "{refused}");
        }
        tcp("127.0.0.1", port, false).await.unwrap();
        let mixed = ["10.0.0.1:1", "1.1.1.1:1", "[::1]:1"].map(address).to_vec();
        assert_eq!(only_public("mixed.test", mixed).unwrap(), ["1.1.1.1:1"].map(address));
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hide_a_living_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let living = listener.local_addr().unwrap();
        let dead = {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap()
        };
        let socket = race(vec![dead, living]).await.unwrap();
        assert_eq!(socket.peer_addr().unwrap(), living);
        let (address, _) = race(vec![dead]).await.unwrap_err();
        assert_eq!(address, dead);
    }
}
