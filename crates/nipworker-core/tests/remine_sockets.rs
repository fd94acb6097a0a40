//! A relay on a real socket that demands work and says how much only in its information document,
//! which it serves at its own address (NIP-11).
#![allow(clippy::unwrap_used)]

mod common;

use common::{PATIENCE, note, sign_in};
use futures::{SinkExt, StreamExt};
use nipworker_core::{
    ClientConfig, DemandSource, NostrClient, ReceiptStatus, Remine, RemineResult,
    pow::check,
    protocol::{ClientMessage, Event, RelayMessage, RelayUrl},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{accept_async, tungstenite::Message};

const BITS: u32 = 11;

/// Answers as a relay that is asked about itself, or as one that is sent events.
async fn serve(mut socket: TcpStream) {
    let mut head = [0; 4096];
    let seen = loop {
        let seen = socket.peek(&mut head).await.unwrap();
        if seen == 0 || head[..seen].ends_with(b"\r\n\r\n") {
            break seen;
        }
    };
    let head = String::from_utf8_lossy(&head[..seen]).to_lowercase();
    if head.contains("accept: application/nostr+json") {
        let document = format!(r#"{{"limitation":{{"min_pow_difficulty":{BITS}}}}}"#);
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/nostr+json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{document}",
            document.len()
        );
        socket.write_all(answer.as_bytes()).await.unwrap();
        return;
    }
    let Ok(mut socket) = accept_async(socket).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let Ok(ClientMessage::Event(event)) = ClientMessage::parse(&text) else { continue };
        let event: Event = serde_json::from_str(event.get()).unwrap();
        let accepted = check(&event, BITS).is_ok();
        let message = if accepted { "" } else { "pow: not enough work" }.to_owned();
        let answer = RelayMessage::Ok { id: event.id, accepted, message }.to_frame();
        if socket.send(Message::text(answer)).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_relay_is_asked_at_its_own_address_what_it_demands() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://127.0.0.1:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket));
        }
    });
    let relays = vec![RelayUrl::parse(&url).unwrap()];
    let mut config = ClientConfig { relays, ..ClientConfig::default() };
    config.miner.threads = 1;
    config.miner.remine = Remine::Refused;
    let client = NostrClient::new(config).await.unwrap();
    let me = sign_in(&client).await;
    let event = note(&client, me, "over the wire").await;

    let report = tokio::time::timeout(PATIENCE, client.publish(event)).await.unwrap().unwrap();

    assert_eq!(report.receipts[0].message, "pow: not enough work");
    let remined = report.remined.unwrap();
    assert_eq!(remined.demands[0].bits, Some(BITS), "{remined:?}");
    assert_eq!(remined.demands[0].source, DemandSource::Information);
    let RemineResult::Published { event, receipts, .. } = remined.result else { panic!() };
    assert_eq!(receipts[0].status, ReceiptStatus::Accepted, "{receipts:?}");
    assert!(check(&event, BITS).is_ok());
    client.close().await;
}
