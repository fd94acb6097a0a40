//! What goes through a proxy, and that nothing goes past it.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use nipworker_protocol::RelayUrl;
use nipworker_transport::{
    BoxFuture, ConnectOptions, Incoming, InformationError, InformationOptions, Outgoing,
    ProxyDemand, ProxyPolicy, ProxyUse, RelayInformation, TransportError, WebSocketTransport,
};
use nipworker_transport_ws::{
    Resolver, SocksCredentials, SocksProxy, WsTransport, WsTransportBuilder,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_tungstenite::accept_async;

mod socks;
use socks::Socks;

/// Notes what it is asked and knows this machine by every name.
#[derive(Default)]
struct Spy {
    asked: Mutex<Vec<String>>,
}

impl Spy {
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Resolver for Spy {
    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        self.asked.lock().unwrap().push(host.to_owned());
        Box::pin(async move { Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]) })
    }
}

struct Case {
    spy: Arc<Spy>,
    builder: WsTransportBuilder,
}

impl Case {
    fn new(usage: ProxyUse) -> Self {
        Self::with(ProxyPolicy { usage, ..ProxyPolicy::default() })
    }

    fn with(policy: ProxyPolicy) -> Self {
        let spy = Arc::new(Spy::default());
        let builder = WsTransport::builder().resolver(Arc::clone(&spy) as _).proxy_policy(policy);
        Self { spy, builder }
    }

    fn proxy(mut self, address: &str) -> Self {
        self.builder = self.builder.proxy(SocksProxy::parse(address).unwrap());
        self
    }

    fn build(self) -> (WsTransport, Arc<Spy>) {
        (self.builder.build().unwrap(), self.spy)
    }
}

/// A relay that echoes, and how many connections it saw.
async fn relay() -> (u16, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            *count.lock().unwrap() += 1;
            tokio::spawn(async move {
                let Ok(mut socket) = accept_async(socket).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() && socket.send(message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, seen)
}

fn url(host: &str, port: u16) -> RelayUrl {
    RelayUrl::parse(&format!("ws://{host}:{port}")).unwrap()
}

async fn dial(transport: &WsTransport, url: RelayUrl) -> Result<(), TransportError> {
    let options =
        ConnectOptions { connect_timeout: Duration::from_secs(5), ..ConnectOptions::default() };
    let mut connection = transport.connect(url, options).await?;
    connection.sink.send(Outgoing::Text("hello".to_owned())).await?;
    assert_eq!(connection.stream.next().await, Some(Ok(Incoming::Text("hello".to_owned()))));
    Ok(())
}

#[tokio::test]
async fn a_relay_that_only_the_proxy_knows_is_reached_and_no_name_is_resolved_here() {
    let proxy = Socks::start().await;
    let (port, _) = relay().await;
    let (transport, spy) = Case::new(ProxyUse::All).proxy(&proxy.address()).build();
    dial(&transport, url("only-the-proxy-knows.invalid", port)).await.unwrap();
    dial(&transport, url("hidden.onion", port)).await.unwrap();
    dial(&transport, url("127.0.0.1", port)).await.unwrap();
    let names = ["only-the-proxy-knows.invalid", "hidden.onion", "127.0.0.1"];
    assert_eq!(proxy.asked(), names.map(|name| format!("{name}:{port}")));
    assert!(spy.asked().is_empty(), "resolved here: {:?}", spy.asked());
}

#[tokio::test]
async fn the_systems_resolver_is_not_needed_for_a_name_that_only_the_proxy_knows() {
    let proxy = Socks::start().await;
    let (port, _) = relay().await;
    let policy = ProxyPolicy { usage: ProxyUse::All, ..ProxyPolicy::default() };
    let builder = WsTransport::builder().proxy_policy(policy);
    let transport = builder.proxy(SocksProxy::parse(&proxy.address()).unwrap()).build().unwrap();
    dial(&transport, url("only-the-proxy-knows.invalid", port)).await.unwrap();
    let direct = WsTransport::builder().build().unwrap();
    let error = dial(&direct, url("only-the-proxy-knows.invalid", port)).await.unwrap_err();
    assert!(matches!(error, TransportError::Dns { .. }), "the control: {error}");
}

#[tokio::test]
async fn with_onion_only_hidden_services_go_through_the_proxy() {
    let proxy = Socks::start().await;
    let (port, _) = relay().await;
    let (transport, spy) = Case::new(ProxyUse::Onion).proxy(&proxy.address()).build();
    dial(&transport, url("hidden.onion", port)).await.unwrap();
    dial(&transport, url("plain.example", port)).await.unwrap();
    assert_eq!(proxy.asked(), [format!("hidden.onion:{port}")]);
    assert_eq!(spy.asked(), ["plain.example"]);
}

#[tokio::test]
async fn single_relays_are_reached_as_they_are_named() {
    let proxy = Socks::start().await;
    let (port, _) = relay().await;
    let [through, direct] = ["through.invalid", "direct.example"].map(|host| url(host, port));
    for usage in [ProxyUse::Off, ProxyUse::All] {
        let policy = ProxyPolicy {
            usage,
            through: BTreeSet::from([through.clone()]),
            direct: BTreeSet::from([direct.clone()]),
        };
        let (transport, spy) = Case::with(policy).proxy(&proxy.address()).build();
        dial(&transport, through.clone()).await.unwrap();
        dial(&transport, direct.clone()).await.unwrap();
        assert_eq!(spy.asked(), ["direct.example"], "{usage}");
    }
    assert_eq!(proxy.asked(), vec![format!("through.invalid:{port}"); 2]);
}

#[tokio::test]
async fn without_a_proxy_nothing_is_dialled_and_nothing_resolved() {
    let (port, seen) = relay().await;
    for usage in [ProxyUse::Off, ProxyUse::Onion, ProxyUse::All] {
        let (transport, spy) = Case::new(usage).build();
        let hidden = url("hidden.onion", port);
        let error = dial(&transport, hidden.clone()).await.unwrap_err();
        assert_eq!(error, TransportError::NoProxy { demand: ProxyDemand::Onion }, "{usage}");
        assert!(!error.is_transient());
        let asked = transport.fetch(hidden, InformationOptions::default()).await;
        assert_eq!(asked, Err(InformationError::Connection(error)));
        if usage == ProxyUse::All {
            let error = dial(&transport, url("plain.example", port)).await.unwrap_err();
            assert_eq!(error, TransportError::NoProxy { demand: ProxyDemand::Policy });
        }
        assert!(spy.asked().is_empty(), "{usage}: {:?}", spy.asked());
    }
    assert_eq!(*seen.lock().unwrap(), 0);
}

#[tokio::test]
async fn while_the_proxy_is_down_nothing_goes_past_it() {
    let (port, seen) = relay().await;
    let down = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let (transport, spy) = Case::new(ProxyUse::All).proxy(&down).build();
    for host in ["plain.example", "hidden.onion", "127.0.0.1"] {
        let error = dial(&transport, url(host, port)).await.unwrap_err();
        assert!(matches!(&error, TransportError::Proxy { proxy, .. } if *proxy == down), "{error}");
        assert!(error.is_transient(), "a proxy comes back");
        let asked = transport.fetch(url(host, port), InformationOptions::default()).await;
        let refused =
            matches!(&asked, Err(InformationError::Connection(TransportError::Proxy { .. })));
        assert!(refused, "{asked:?}");
    }
    assert!(spy.asked().is_empty(), "{:?}", spy.asked());
    assert_eq!(*seen.lock().unwrap(), 0);
}

#[tokio::test]
async fn a_proxy_with_a_password_lets_in_who_knows_it_and_the_refusal_is_told() {
    let proxy = Socks::with_password("alice", "correct horse").await;
    let (port, seen) = relay().await;
    let login = |password: &str| {
        let password = password.to_owned().into();
        let credentials = SocksCredentials::new("alice".to_owned(), password).unwrap();
        let socks = SocksProxy::parse(&proxy.address()).unwrap().credentials(credentials);
        let mut case = Case::new(ProxyUse::All);
        case.builder = case.builder.proxy(socks);
        case.build().0
    };
    dial(&login("correct horse"), url("relay.invalid", port)).await.unwrap();
    for transport in [login("wrong"), Case::new(ProxyUse::All).proxy(&proxy.address()).build().0] {
        let error = dial(&transport, url("relay.invalid", port)).await.unwrap_err();
        assert!(matches!(error, TransportError::Proxy { .. }), "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
    assert_eq!(*seen.lock().unwrap(), 1);
}

#[tokio::test]
async fn what_the_proxy_says_of_the_relay_is_no_fault_of_the_proxy() {
    let proxy = Socks::start().await;
    let (transport, _) = Case::new(ProxyUse::All).proxy(&proxy.address()).build();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    for (relay, told) in
        [(url("unknown.example", 80), "unreachable"), (url("r.invalid", nobody), "refused")]
    {
        let error = dial(&transport, relay).await.unwrap_err();
        let TransportError::Refused { reason } = error else { panic!("{error}") };
        assert!(reason.contains(told) && reason.contains(&proxy.address()), "{reason}");
    }
}

#[tokio::test]
async fn a_proxy_that_speaks_something_else_or_nothing_is_told_and_not_gone_past() {
    let (port, seen) = relay().await;
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"\x05\xff", b"\x05", b"\x04\x00", b""]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            drop(socket.read(&mut [0; 64]).await);
            drop(socket.write_all(answer).await);
        };
        let (transport, spy) = Case::new(ProxyUse::All).proxy(&address).build();
        let (got, ()) = tokio::join!(dial(&transport, url("plain.example", port)), server);
        assert!(matches!(got, Err(TransportError::Proxy { .. })), "{answer:?}: {got:?}");
        assert!(spy.asked().is_empty());
    }
    // One that takes the connection and is silent.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let (transport, _) = Case::new(ProxyUse::All).proxy(&address).build();
    let after = Duration::from_millis(200);
    let options = ConnectOptions { connect_timeout: after, ..ConnectOptions::default() };
    let got = transport.connect(url("plain.example", port), options).await;
    assert_eq!(got.err(), Some(TransportError::Timeout { after }));
    assert_eq!(*seen.lock().unwrap(), 0);
}

#[tokio::test]
async fn the_information_document_is_fetched_through_the_proxy() {
    let proxy = Socks::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        drop(socket.read(&mut [0; 1024]).await);
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
    };
    let (transport, spy) = Case::new(ProxyUse::Onion).proxy(&proxy.address()).build();
    let fetch = transport.fetch(url("hidden.onion", port), InformationOptions::default());
    let (document, ()) = tokio::join!(fetch, server);
    assert_eq!(document.as_deref(), Ok("{}"));
    assert_eq!(proxy.asked(), [format!("hidden.onion:{port}")]);
    assert!(spy.asked().is_empty());
}
