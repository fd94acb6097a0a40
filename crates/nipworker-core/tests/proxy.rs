//! The configuration's proxy, from the client's side: what is sent through it arrives, and while
//! it is down nothing goes past it.
#![allow(clippy::unwrap_used)]

#[path = "../../nipworker-transport-ws/tests/socks/mod.rs"]
mod socks;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use nipworker_core::{
    ClientConfig, NostrClient, ProxyConfig, ProxyUse, StartError, SubscriptionEvent,
    protocol::{ClientMessage, Filter, RelayMessage, RelayUrl},
};
use socks::Socks;
use tokio::net::TcpListener;
use tokio_tungstenite::{accept_async, tungstenite::Message};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A relay that has stored nothing and says so; the number is that of its connections.
async fn relay() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let Ok(mut socket) = accept_async(socket).await else { return };
                while let Some(Ok(message)) = socket.next().await {
                    let Message::Text(text) = message else { continue };
                    let Ok(ClientMessage::Req { subscription, .. }) = ClientMessage::parse(&text)
                    else {
                        continue;
                    };
                    let eose =
                        RelayMessage::Eose { subscription, stored: Default::default() }.to_frame();
                    if socket.send(Message::text(eose)).await.is_err() {
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

fn through(address: String, usage: ProxyUse, relays: Vec<RelayUrl>) -> ClientConfig {
    let proxy = ProxyConfig { address, usage, ..ProxyConfig::default() };
    ClientConfig { relays, proxy, ..ClientConfig::default() }
}

/// Subscribes, and returns once the relays have answered or cannot.
async fn ask(client: &NostrClient) {
    let mut stream = client.subscribe(vec![Filter::new().limit(1)]).await.unwrap();
    let stored = async {
        while let Some(item) = stream.next().await {
            if matches!(item, SubscriptionEvent::EndOfStored) {
                return;
            }
        }
        panic!("the subscription ended");
    };
    tokio::time::timeout(PATIENCE, stored).await.expect("the end of stored events");
}

fn last_error(client: &NostrClient, relay: &RelayUrl) -> Option<String> {
    let status = client.status();
    let report = status.relays.iter().find(|report| report.url == relay.to_string());
    report.unwrap().last_error.clone()
}

#[tokio::test]
async fn a_client_reaches_its_relays_through_the_proxy() {
    let proxy = Socks::with_password("alice", "correct horse").await;
    let (port, seen) = relay().await;
    let relay = url("only-the-proxy-knows.invalid", port);
    let mut config = through(proxy.address(), ProxyUse::All, vec![relay.clone()]);
    let folder = tempfile::tempdir().unwrap();
    config.proxy.user = "alice".to_owned();
    config.proxy.password_file = folder.path().join("password");
    std::fs::write(&config.proxy.password_file, "correct horse\n").unwrap();
    let client = NostrClient::new(config).await.unwrap();
    ask(&client).await;
    assert_eq!(last_error(&client, &relay), None);
    // For the WebSocket, and perhaps for the information document.
    assert!(seen.load(Ordering::SeqCst) > 0);
    let asked = proxy.asked();
    let target = format!("only-the-proxy-knows.invalid:{port}");
    assert!(!asked.is_empty() && asked.iter().all(|asked| *asked == target), "{asked:?}");
    client.close().await;
}

#[tokio::test]
async fn while_the_proxy_is_down_the_client_reaches_nobody_and_says_why() {
    let (port, seen) = relay().await;
    let down = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let relay = url("127.0.0.1", port);
    let config = through(down.clone(), ProxyUse::All, vec![relay.clone()]);
    let client = NostrClient::new(config).await.unwrap();
    ask(&client).await;
    let error = last_error(&client, &relay).unwrap();
    assert!(error.contains("proxy") && error.contains(&down), "{error}");
    assert_eq!(seen.load(Ordering::SeqCst), 0, "the relay was dialled past the proxy");
    client.close().await;
}

#[tokio::test]
async fn a_hidden_service_without_a_proxy_is_not_dialled() {
    let relay = url("hidden.onion", 80);
    let config = ClientConfig { relays: vec![relay.clone()], ..ClientConfig::default() };
    let client = NostrClient::new(config).await.unwrap();
    ask(&client).await;
    let error = last_error(&client, &relay).unwrap();
    assert!(error.contains(".onion") && error.contains("not dialled"), "{error}");
    client.close().await;
}

#[tokio::test]
async fn a_section_that_cannot_be_kept_to_is_refused_at_the_start() {
    let key = |error: StartError| match error {
        StartError::Config { key, .. } => key,
        other => panic!("{other}"),
    };
    let mut config = through("127.0.0.1:9050".to_owned(), ProxyUse::All, Vec::new());
    let error = NostrClient::builder()
        .config(config.clone())
        .transport(Arc::new(nipworker_core::transport::memory::MemoryNetwork::new()))
        .build()
        .await
        .err();
    assert_eq!(key(error.unwrap()), "proxy");
    config.proxy.user = "alice".to_owned();
    config.proxy.password_file = "/no/such/file".into();
    let error = NostrClient::new(config.clone()).await.err();
    assert_eq!(key(error.unwrap()), "proxy.password_file");
    let folder = tempfile::tempdir().unwrap();
    config.proxy.password_file = folder.path().join("password");
    for wrong in ["", "\n", &"x".repeat(256), &"x".repeat(100_000)] {
        std::fs::write(&config.proxy.password_file, wrong).unwrap();
        let error = NostrClient::new(config.clone()).await.err();
        assert_eq!(key(error.unwrap()), "proxy.password_file", "{} bytes", wrong.len());
    }
}
