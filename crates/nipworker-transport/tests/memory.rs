//! The in-memory network: the port's rules and what only it can do.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, SinkExt, StreamExt};
use nipworker_protocol::RelayUrl;
use nipworker_transport::{
    BoxFuture, CloseFrame, ConnectOptions, Incoming, InformationOptions, Outgoing,
    RelayInformation, TransportError, WebSocketTransport,
    conformance::{
        self, Harness, InformationHarness, InformationServer, Script, Server, ServerReport,
    },
    memory::{
        BACKLOG_CONNECTIONS, ClientFrame, InformationAnswer, MemoryNetwork, MemoryPeer,
        PIPE_MESSAGES,
    },
};

#[derive(Default)]
struct Memory {
    network: MemoryNetwork,
    hosts: AtomicU32,
}

impl Memory {
    fn host(&self) -> RelayUrl {
        let number = self.hosts.fetch_add(1, Ordering::Relaxed);
        RelayUrl::parse(&format!("ws://host-{number}.test")).unwrap()
    }
}

async fn play(mut peer: MemoryPeer, script: Script) -> ServerReport {
    let mut report = ServerReport::default();
    match script {
        Script::Echo => {}
        Script::Flood { messages, bytes } => {
            for _ in 0..messages {
                if peer.send_text("x".repeat(bytes)).await.is_err() {
                    return report;
                }
                report.sent += 1;
            }
        }
        Script::Binary { bytes } => peer.send_binary(bytes).await.unwrap(),
        Script::InvalidUtf8 => peer.send_invalid_utf8().await.unwrap(),
        Script::Close(frame) => {
            peer.send_text("last words").await.unwrap();
            peer.close(frame).await.unwrap();
            return report;
        }
        Script::Abort => {
            peer.send_text("last words").await.unwrap();
            return report;
        }
        Script::Stall => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            return report;
        }
    }
    while let Some(frame) = peer.receive().await {
        match frame {
            ClientFrame::Text(text) => {
                report.received += 1;
                if peer.send_text(text).await.is_err() {
                    break;
                }
            }
            ClientFrame::Close(frame) => {
                report.close = Some(frame);
                break;
            }
        }
    }
    report
}

impl Harness for Memory {
    fn transport(&self) -> Arc<dyn WebSocketTransport> {
        Arc::new(self.network.clone())
    }

    fn serve(&self, script: Script) -> Server {
        let url = self.host();
        let mut listener = self.network.listen(&url);
        (url, Box::pin(async move { play(listener.accept().await, script).await }))
    }

    fn nobody(&self) -> RelayUrl {
        self.host()
    }

    fn reject(&self, status: u16) -> Server {
        let url = self.host();
        self.network.reject(&url, status);
        (url, Box::pin(async { ServerReport::default() }))
    }

    fn black_hole(&self) -> Option<Server> {
        // Without a clock there is nobody to keep the limit.
        None
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

impl InformationHarness for Memory {
    fn information(&self) -> Arc<dyn RelayInformation> {
        Arc::new(self.network.clone())
    }

    fn answering(&self, answer: InformationAnswer) -> InformationServer {
        let url = self.host();
        self.network.inform(&url, answer);
        (url, Box::pin(async {}))
    }

    fn nobody_to_ask(&self) -> RelayUrl {
        self.host()
    }

    fn keeps_time(&self) -> bool {
        false
    }

    fn pause(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}

#[tokio::test]
async fn the_in_memory_network_obeys_every_rule_of_the_port() {
    conformance::all(&Memory::default()).await;
}

#[tokio::test]
async fn the_in_memory_network_tells_of_its_relays_as_the_port_demands() {
    conformance::all_of_information(&Memory::default()).await;
}

#[tokio::test]
async fn a_silent_relay_leaves_the_question_open() {
    let network = MemoryNetwork::new();
    network.inform(&url(), InformationAnswer::Silence);
    assert!(network.fetch(url(), InformationOptions::default()).now_or_never().is_none());
    network.inform(&url(), InformationAnswer::Document("{}".to_owned()));
    let told = network.fetch(url(), InformationOptions::default()).await;
    assert_eq!(told.as_deref(), Ok("{}"));
}

fn url() -> RelayUrl {
    RelayUrl::parse("ws://relay.test").unwrap()
}

#[tokio::test]
async fn a_cut_cable_is_silent_in_both_directions() {
    let network = MemoryNetwork::new();
    let mut listener = network.listen(&url());
    let mut client = network.connect(url(), ConnectOptions::default()).await.unwrap();
    let mut peer = listener.accept().await;
    peer.send_text("before").await.unwrap();
    peer.cut();
    peer.send_text("after").await.unwrap();
    client.sink.send(Outgoing::Text("lost".to_owned())).await.unwrap();
    client.sink.send(Outgoing::Ping).await.unwrap();
    assert_eq!(client.stream.next().await, Some(Ok(Incoming::Text("before".to_owned()))));
    assert_eq!(client.stream.next().now_or_never(), None);
    assert_eq!(peer.receive().now_or_never(), None);
    drop(peer);
    assert_eq!(client.stream.next().now_or_never(), None, "not even the end is told");
}

#[tokio::test]
async fn a_pipe_holds_a_bounded_number_of_messages() {
    let network = MemoryNetwork::new();
    let mut listener = network.listen(&url());
    let client = network.connect(url(), ConnectOptions::default()).await.unwrap();
    let mut peer = listener.accept().await;
    let mut sent = 0;
    while peer.send_text("x").now_or_never().is_some() {
        sent += 1;
    }
    // A channel gives each of the two senders one slot besides the shared ones.
    assert!((PIPE_MESSAGES..=PIPE_MESSAGES + 2).contains(&sent), "{sent} messages were taken");
    drop(client);
    assert!(peer.send_text("x").await.is_err());
}

#[tokio::test]
async fn a_listener_that_accepts_nobody_refuses_after_its_backlog() {
    let network = MemoryNetwork::new();
    let _listener = network.listen(&url());
    let mut kept = Vec::new();
    let error = loop {
        match network.connect(url(), ConnectOptions::default()).await {
            Ok(connection) => kept.push(connection),
            Err(error) => break error,
        }
    };
    assert_eq!(kept.len(), BACKLOG_CONNECTIONS);
    assert!(matches!(error, TransportError::Refused { .. }));
}

#[tokio::test]
async fn a_host_can_go_away_and_come_back() {
    let network = MemoryNetwork::new();
    let listener = network.listen(&url());
    drop(listener);
    assert!(network.connect(url(), ConnectOptions::default()).await.is_err());
    let mut listener = network.listen(&url());
    let mut client = network.connect(url(), ConnectOptions::default()).await.unwrap();
    network.refuse(&url());
    assert!(network.connect(url(), ConnectOptions::default()).await.is_err());
    listener.accept().await.send_text("still here").await.unwrap();
    assert_eq!(client.stream.next().await, Some(Ok(Incoming::Text("still here".to_owned()))));
    assert_eq!(network.dials(&url()), 3);
}

#[tokio::test]
async fn a_black_hole_neither_accepts_nor_fails() {
    let network = MemoryNetwork::new();
    network.black_hole(&url());
    assert!(network.connect(url(), ConnectOptions::default()).now_or_never().is_none());
}

#[test]
fn a_close_reason_is_cut_at_a_character_boundary() {
    let frame = CloseFrame::normal("€".repeat(100));
    assert_eq!(frame.reason.len(), 123);
    assert_eq!(frame.reason, "€".repeat(41));
}
