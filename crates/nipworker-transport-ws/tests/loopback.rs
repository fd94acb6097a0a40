//! The port's rules over real sockets, plain and encrypted.
#![allow(clippy::unwrap_used)]

use std::{net::TcpListener as StdListener, sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};
use nipworker_protocol::RelayUrl;
use nipworker_transport::{
    BoxFuture, CloseFrame, ConnectOptions, ProxyPolicy, ProxyUse, RelayInformation, TlsFault,
    TransportError, WebSocketTransport,
    conformance::{
        self, Harness, InformationHarness, InformationServer, Script, Server, ServerReport,
    },
    memory::InformationAnswer,
};
use nipworker_transport_ws::{SocksProxy, WsTransport};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{
        Message,
        protocol::frame::{
            CloseFrame as WireClose, Frame,
            coding::{Data, OpCode},
        },
    },
};

struct Identity {
    acceptor: TlsAcceptor,
    der: Vec<u8>,
}

fn identity(names: &[&str]) -> Identity {
    identity_within(names, 1975, 4096)
}

/// For these names, from the beginning of one year to the beginning of another.
fn identity_within(names: &[&str], from: i32, to: i32) -> Identity {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = rcgen::CertificateParams::new(names).unwrap();
    parameters.not_before = rcgen::date_time_ymd(from, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(to, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let der = parameters.self_signed(&key).unwrap().der().to_vec();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der.clone().into()], key)
        .unwrap();
    Identity { acceptor: TlsAcceptor::from(Arc::new(config)), der }
}

mod socks;
use socks::Socks;

struct Loopback {
    transport: WsTransport,
    identity: Option<Identity>,
    /// Where relays have names that only the proxy knows.
    proxy: Option<Socks>,
}

impl Loopback {
    fn plain() -> Self {
        Self { transport: WsTransport::builder().build().unwrap(), identity: None, proxy: None }
    }

    fn encrypted() -> Self {
        let identity = identity(&["localhost", "127.0.0.1"]);
        let transport = WsTransport::builder().root_certificate_der(&identity.der).unwrap();
        Self { transport: transport.build().unwrap(), identity: Some(identity), proxy: None }
    }

    async fn encrypted_through_a_proxy() -> Self {
        let proxy = Socks::start().await;
        let identity = identity(&["relay.invalid"]);
        let transport = WsTransport::builder().root_certificate_der(&identity.der).unwrap();
        let transport = transport
            .proxy_policy(ProxyPolicy { usage: ProxyUse::All, ..ProxyPolicy::default() })
            .proxy(SocksProxy::parse(&proxy.address()).unwrap());
        let transport = transport.build().unwrap();
        Self { transport, identity: Some(identity), proxy: Some(proxy) }
    }

    fn bind(&self) -> (RelayUrl, TcpListener) {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if self.identity.is_some() { "wss" } else { "ws" };
        let host = if self.proxy.is_some() { "relay.invalid" } else { "localhost" };
        let url = RelayUrl::parse(&format!("{scheme}://{host}:{port}/path?key=value")).unwrap();
        (url, TcpListener::from_std(listener).unwrap())
    }
}

async fn play_over<S>(socket: S, script: Script) -> ServerReport
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    play(accept_async(socket).await.unwrap(), script).await
}

async fn play<S>(mut socket: WebSocketStream<S>, script: Script) -> ServerReport
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut report = ServerReport::default();
    match script {
        Script::Echo => {}
        Script::Flood { messages, bytes } => {
            for _ in 0..messages {
                if socket.send(Message::text("x".repeat(bytes))).await.is_err() {
                    return report;
                }
                report.sent += 1;
            }
        }
        Script::Binary { bytes } => {
            socket.send(Message::binary(vec![7_u8; bytes])).await.unwrap();
        }
        Script::InvalidUtf8 => {
            let frame = Frame::message(vec![b'a', 0xff, 0xc0], OpCode::Data(Data::Text), true);
            socket.send(Message::Frame(frame)).await.unwrap();
        }
        Script::Close(frame) => {
            socket.send(Message::text("last words")).await.unwrap();
            let frame = WireClose { code: frame.code.into(), reason: frame.reason.into() };
            socket.send(Message::Close(Some(frame))).await.unwrap();
        }
        Script::Abort => {
            socket.send(Message::text("last words")).await.unwrap();
            return report;
        }
        Script::Stall => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            return report;
        }
    }
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(text) => {
                report.received += 1;
                if socket.send(Message::Text(text)).await.is_err() {
                    break;
                }
            }
            Message::Close(frame) => {
                report.close =
                    frame.map(|frame| CloseFrame::new(frame.code.into(), frame.reason.as_str()));
            }
            _ => {}
        }
    }
    report
}

impl Harness for Loopback {
    fn transport(&self) -> Arc<dyn WebSocketTransport> {
        Arc::new(self.transport.clone())
    }

    fn serve(&self, script: Script) -> Server {
        let (url, listener) = self.bind();
        let acceptor = self.identity.as_ref().map(|identity| identity.acceptor.clone());
        let server = async move {
            let (socket, _) = listener.accept().await.unwrap();
            match acceptor {
                None => play_over(socket, script).await,
                Some(acceptor) => play_over(acceptor.accept(socket).await.unwrap(), script).await,
            }
        };
        (url, Box::pin(server))
    }

    fn nobody(&self) -> RelayUrl {
        self.bind().0
    }

    fn reject(&self, status: u16) -> Server {
        let (url, listener) = self.bind();
        let acceptor = self.identity.as_ref().map(|identity| identity.acceptor.clone());
        let server = async move {
            let (socket, _) = listener.accept().await.unwrap();
            match acceptor {
                None => refuse(socket, status).await,
                Some(acceptor) => refuse(acceptor.accept(socket).await.unwrap(), status).await,
            }
            ServerReport::default()
        };
        (url, Box::pin(server))
    }

    fn black_hole(&self) -> Option<Server> {
        let (url, listener) = self.bind();
        let server = async move {
            // Takes the connection and says nothing until the client has given up.
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            while socket.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
            ServerReport::default()
        };
        Some((url, Box::pin(server)))
    }

    fn hidden_service(&self) -> Option<RelayUrl> {
        self.proxy.is_none().then(|| RelayUrl::parse("ws://hidden.onion").unwrap())
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

impl InformationHarness for Loopback {
    fn information(&self) -> Arc<dyn RelayInformation> {
        Arc::new(self.transport.clone())
    }

    fn answering(&self, answer: InformationAnswer) -> InformationServer {
        let (url, listener) = self.bind();
        let acceptor = self.identity.as_ref().map(|identity| identity.acceptor.clone());
        let server = async move {
            let (socket, _) = listener.accept().await.unwrap();
            match acceptor {
                None => inform(socket, answer).await,
                Some(acceptor) => inform(acceptor.accept(socket).await.unwrap(), answer).await,
            }
        };
        (url, Box::pin(server))
    }

    fn nobody_to_ask(&self) -> RelayUrl {
        self.bind().0
    }

    fn keeps_time(&self) -> bool {
        true
    }

    fn pause(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// Answers the question for the information document; a client that has read enough may be gone.
async fn inform<S: AsyncRead + AsyncWrite + Unpin>(mut socket: S, answer: InformationAnswer) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(socket.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    assert!(request.starts_with("GET /path?key=value HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nAccept: application/nostr+json\r\n"), "{request}");
    let bytes = match answer {
        InformationAnswer::Document(text) => text.into_bytes(),
        InformationAnswer::Bytes(bytes) => bytes,
        InformationAnswer::Status(status) => {
            let head = format!("HTTP/1.1 {status} No\r\nlocation: /\r\ncontent-length: 0\r\n\r\n");
            socket.write_all(head.as_bytes()).await.unwrap();
            drop(socket.shutdown().await);
            return;
        }
        InformationAnswer::Cut => {
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}").await.unwrap();
            drop(socket.shutdown().await);
            return;
        }
        InformationAnswer::Silence => {
            while socket.read_u8().await.is_ok() {}
            return;
        }
    };
    // Each way of telling the length in turn, by the size.
    let sent = match bytes.len() % 3 {
        0 => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
            socket.write_all(&[head.as_bytes(), &bytes].concat()).await
        }
        1 => socket.write_all(&[&b"HTTP/1.0 200 OK\r\n\r\n"[..], &bytes].concat()).await,
        _ => {
            let mut text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in bytes.chunks(1_000) {
                text.extend(format!("{:x}\r\n", chunk.len()).bytes());
                text.extend(chunk);
                text.extend(b"\r\n");
            }
            text.extend(b"0\r\n\r\n");
            socket.write_all(&text).await
        }
    };
    if sent.is_ok() {
        drop(socket.shutdown().await);
    }
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut socket: S, status: u16) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(socket.read_u8().await.unwrap());
    }
    let request = String::from_utf8(request).unwrap();
    assert!(request.starts_with("GET /path?key=value HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("user-agent: nipworker/"), "{request}");
    let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n");
    socket.write_all(answer.as_bytes()).await.unwrap();
    socket.flush().await.unwrap();
}

#[tokio::test]
async fn plain_connections_obey_every_rule_of_the_port() {
    conformance::all(&Loopback::plain()).await;
}

#[tokio::test]
async fn encrypted_connections_obey_every_rule_of_the_port() {
    conformance::all(&Loopback::encrypted()).await;
}

#[tokio::test]
async fn connections_through_a_proxy_obey_every_rule_of_the_ports() {
    let harness = Loopback::encrypted_through_a_proxy().await;
    conformance::all(&harness).await;
    conformance::all_of_information(&harness).await;
}

#[tokio::test]
async fn plain_relays_are_asked_about_themselves_as_the_port_demands() {
    conformance::all_of_information(&Loopback::plain()).await;
}

#[tokio::test]
async fn encrypted_relays_are_asked_about_themselves_as_the_port_demands() {
    conformance::all_of_information(&Loopback::encrypted()).await;
}

async fn dial_encrypted(
    transport: WsTransport,
    identity: Identity,
) -> Result<nipworker_transport::Connection, TransportError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = RelayUrl::parse(&format!("wss://localhost:{port}")).unwrap();
    let server = async {
        let (socket, _): (TcpStream, _) = listener.accept().await.unwrap();
        if let Ok(socket) = identity.acceptor.accept(socket).await {
            drop(accept_async(socket).await);
        }
    };
    futures::join!(transport.connect(url, ConnectOptions::default()), server).0
}

#[tokio::test]
async fn an_unknown_certificate_is_a_tls_error() {
    let transport = WsTransport::builder().build().unwrap();
    let error = dial_encrypted(transport, identity(&["localhost"])).await.unwrap_err();
    assert_eq!(fault(&error), Some(TlsFault::UntrustedCertificate), "{error}");
}

#[tokio::test]
async fn a_certificate_for_another_host_is_a_tls_error() {
    let identity = identity(&["elsewhere.test"]);
    let transport = WsTransport::builder().root_certificate_der(&identity.der).unwrap();
    let error = dial_encrypted(transport.build().unwrap(), identity).await.unwrap_err();
    assert_eq!(fault(&error), Some(TlsFault::WrongName), "{error}");
    assert!(error.to_string().contains("elsewhere.test"), "{error}");
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_a_tls_error() {
    for (from, to) in [(1990, 2000), (2990, 3000)] {
        let identity = identity_within(&["localhost"], from, to);
        let transport = WsTransport::builder().root_certificate_der(&identity.der).unwrap();
        let error = dial_encrypted(transport.build().unwrap(), identity).await.unwrap_err();
        assert_eq!(fault(&error), Some(TlsFault::ExpiredCertificate), "{error}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_within_the_tls_handshake_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = RelayUrl::parse(&format!("wss://localhost:{port}")).unwrap();
    let server = async { drop(listener.accept().await.unwrap()) };
    let transport = WsTransport::builder().build().unwrap();
    let (got, ()) = futures::join!(transport.connect(url, ConnectOptions::default()), server);
    let error = got.unwrap_err();
    assert_eq!(fault(&error), Some(TlsFault::Broken), "{error}");
}

fn fault(error: &TransportError) -> Option<TlsFault> {
    if let TransportError::Tls { fault, .. } = error { Some(*fault) } else { None }
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_a_tls_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = RelayUrl::parse(&format!("wss://localhost:{port}")).unwrap();
    let server = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"SSH-2.0-nothing here\r\n").await.unwrap();
        drop(socket.read(&mut [0; 4096]).await);
    };
    let transport = WsTransport::builder().build().unwrap();
    let (got, ()) = futures::join!(transport.connect(url, ConnectOptions::default()), server);
    let error = got.unwrap_err();
    assert_eq!(fault(&error), Some(TlsFault::Protocol), "{error}");
}

#[tokio::test]
async fn a_server_that_speaks_no_http_is_a_protocol_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = RelayUrl::parse(&format!("ws://localhost:{port}")).unwrap();
    let server = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"\0\0\0garbage\r\n\r\n").await.unwrap();
        drop(socket.read(&mut [0; 4096]).await);
    };
    let transport = WsTransport::builder().build().unwrap();
    let (got, ()) = futures::join!(transport.connect(url, ConnectOptions::default()), server);
    assert!(matches!(got, Err(TransportError::Protocol { .. })), "{got:?}");
}

#[tokio::test]
async fn a_host_without_an_address_is_a_dns_error() {
    let url = RelayUrl::parse("ws://no-such-host.invalid:7777").unwrap();
    let transport = WsTransport::builder().build().unwrap();
    let error = transport.connect(url, ConnectOptions::default()).await.unwrap_err();
    assert!(matches!(&error, TransportError::Dns { host, .. } if host == "no-such-host.invalid"));
}

#[tokio::test]
async fn a_host_that_no_certificate_can_name_is_hopeless() {
    let url = RelayUrl::parse("wss://a..b").unwrap();
    let transport = WsTransport::builder().build().unwrap();
    let error = transport.connect(url, ConnectOptions::default()).await.unwrap_err();
    assert!(matches!(error, TransportError::Address { .. }), "{error}");
    assert!(!error.is_transient());
}

#[test]
fn a_root_certificate_that_is_none_is_refused() {
    assert!(WsTransport::builder().root_certificate_der(b"nothing").is_err());
    assert!(WsTransport::builder().root_certificates_pem(b"nothing").is_err());
}
