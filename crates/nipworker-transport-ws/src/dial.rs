//! From a host name to a TCP connection.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use nipworker_protocol::RelayUrl;
use nipworker_transport::{TransportError, is_public};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{
    client::IntoClientRequest,
    handshake::client::Request,
    http::{HeaderValue, header::USER_AGENT},
};

use crate::{AGENT, Resolver, tls};

/// How long an address may be silent before the next one is tried beside it (RFC 8305, section 5).
const NEXT_ADDRESS_DELAY: Duration = Duration::from_millis(250);
/// Addresses of one host that are tried at most.
const MAX_ADDRESSES: usize = 8;

/// What a relay's address means to a dialler.
pub(crate) struct Target {
    /// The handshake that opens a WebSocket there.
    pub(crate) request: Request,
    pub(crate) url: RelayUrl,
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
        let name = if url.is_secure() { Some(tls::server_name(url.host())?) } else { None };
        Ok(Self { request, url: url.clone(), name })
    }
}

/// Connects to the first address that answers.
pub(crate) async fn tcp(
    resolver: &dyn Resolver,
    host: &str,
    port: u16,
    public_only: bool,
) -> Result<TcpStream, TransportError> {
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => {
            let dns = |reason: String| TransportError::Dns { host: host.to_owned(), reason };
            let found = resolver.resolve(host, port).await.map_err(|e| dns(e.to_string()))?;
            if found.is_empty() {
                return Err(dns("no address".to_owned()));
            }
            families_in_turn(found)
        }
    };
    let addresses = if public_only { only_public(host, addresses)? } else { addresses };
    let socket = race(addresses).await.map_err(|failures| {
        let told = failures.iter().map(|(address, error)| format!("{address}: {error}"));
        TransportError::Refused { reason: told.collect::<Vec<_>>().join("; ") }
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
    if addresses.is_empty() { Err(not_public(host)) } else { Ok(addresses) }
}

/// Why a host is not dialled for strangers.
pub(crate) fn not_public(host: &str) -> TransportError {
    let reason = format!("{host} has no public address, and only such may be dialled for it");
    TransportError::Address { reason }
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

/// Begins with the first address, and with the next one whenever one has failed or all have been
/// silent for [`NEXT_ADDRESS_DELAY`]. The first connection counts; the other attempts end with
/// this future. The failures are in the order in which they came.
async fn race(addresses: Vec<SocketAddr>) -> Result<TcpStream, Vec<(SocketAddr, io::Error)>> {
    let mut attempts = FuturesUnordered::new();
    let mut waiting = addresses.into_iter();
    let mut failures = Vec::new();
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
            Some(Err(failure)) => failures.push(failure),
            None => return Err(failures),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemResolver;

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

    async fn listener() -> (tokio::net::TcpListener, SocketAddr) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// A listener whose backlog is full: the kernel drops what comes, as a firewall does.
    struct BlackHole {
        address: SocketAddr,
        _listener: tokio::net::TcpListener,
        _waiting: Vec<TcpStream>,
    }

    impl BlackHole {
        async fn dig() -> Self {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind(address("127.0.0.1:0")).unwrap();
            let listener = socket.listen(1).unwrap();
            let address = listener.local_addr().unwrap();
            let mut waiting = Vec::new();
            // The kernel rounds the backlog up; it is full once a connection does not come about.
            loop {
                let attempt = TcpStream::connect(address);
                match tokio::time::timeout(Duration::from_millis(200), attempt).await {
                    Ok(socket) => waiting.push(socket.unwrap()),
                    Err(_) => return Self { address, _listener: listener, _waiting: waiting },
                }
            }
        }
    }

    #[tokio::test]
    async fn a_name_or_address_that_is_not_public_is_not_dialled_for_strangers() {
        let (_listener, living) = listener().await;
        for host in ["localhost", "127.0.0.1"] {
            let refused = tcp(&SystemResolver, host, living.port(), true).await.unwrap_err();
            assert!(matches!(refused, TransportError::Address { .. }), "{refused}");
        }
        tcp(&SystemResolver, "127.0.0.1", living.port(), false).await.unwrap();
        let mixed = ["10.0.0.1:1", "1.1.1.1:1", "[::1]:1"].map(address).to_vec();
        assert_eq!(only_public("mixed.test", mixed).unwrap(), ["1.1.1.1:1"].map(address));
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hide_a_living_one() {
        let (_listener, living) = listener().await;
        let dead = listener().await.1;
        let start = tokio::time::Instant::now();
        let socket = race(vec![dead, living]).await.unwrap();
        assert_eq!(socket.peer_addr().unwrap(), living);
        assert!(start.elapsed() < NEXT_ADDRESS_DELAY, "a refusal is not waited over");
    }

    #[tokio::test]
    async fn a_silent_address_costs_one_delay_and_is_given_up_with_the_race() {
        let hole = BlackHole::dig().await;
        let (listener, living) = listener().await;
        let start = tokio::time::Instant::now();
        let socket = race(vec![hole.address, living]).await.unwrap();
        let elapsed = start.elapsed();
        assert_eq!(socket.peer_addr().unwrap(), living);
        assert!(elapsed >= NEXT_ADDRESS_DELAY, "{elapsed:?}: the first address had its time");
        assert!(elapsed < 4 * NEXT_ADDRESS_DELAY, "{elapsed:?}");
        // One connection came about and no other attempt is left to make a second one.
        listener.accept().await.unwrap();
        let second = tokio::time::timeout(NEXT_ADDRESS_DELAY, listener.accept()).await;
        assert!(second.is_err(), "a second connection came");
    }

    #[tokio::test]
    async fn the_errors_of_all_addresses_are_told() {
        let dead = [listener().await.1, listener().await.1];
        let failures = race(dead.to_vec()).await.unwrap_err();
        assert_eq!(failures.iter().map(|(address, _)| *address).collect::<Vec<_>>(), dead);

        struct Two([SocketAddr; 2]);
        impl Resolver for Two {
            fn resolve(
                &self,
                _: &str,
                _: u16,
            ) -> nipworker_transport::BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
                let found = self.0.to_vec();
                Box::pin(async move { Ok(found) })
            }
        }
        let error = tcp(&Two(dead), "relay.example", 1, false).await.unwrap_err();
        let TransportError::Refused { reason } = error else { panic!("{error}") };
        assert!(dead.iter().all(|address| reason.contains(&address.to_string())), "{reason}");
    }
}
