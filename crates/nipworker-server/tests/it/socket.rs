//! A Nostr client over a real WebSocket.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use nipworker_core::protocol::Event;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, protocol::CloseFrame},
};

use crate::daemon::{Daemon, PATIENCE};

pub(crate) struct Socket(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn open(daemon: &Daemon) -> Self {
        Self(connect_async(format!("ws://{}/", daemon.address())).await.unwrap().0)
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_text(frame.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, frame: impl Into<String>) {
        self.0.send(Message::text(frame.into())).await.unwrap();
    }

    pub(crate) async fn publish(&mut self, event: &Event) -> (bool, String) {
        self.send(json!(["EVENT", event])).await;
        let answer = self.next().await;
        assert_eq!((&answer[0], &answer[1]), (&json!("OK"), &json!(event.id)), "{answer}");
        (answer[2].as_bool().unwrap(), answer[3].as_str().unwrap().to_owned())
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Value {
        match self.try_next().await {
            Ok(frame) => frame,
            Err(close) => panic!("closed: {close:?}"),
        }
    }

    /// The next frame, or how the connection was closed.
    pub(crate) async fn try_next(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("a message");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame),
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("{error}"),
                None => return Err(None),
            }
        }
    }

    /// Reads to the end: all frames, and the close code.
    pub(crate) async fn drained(&mut self) -> (Vec<Value>, u16) {
        let mut frames = Vec::new();
        loop {
            match self.try_next().await {
                Ok(frame) => frames.push(frame),
                Err(close) => return (frames, close.map_or(0, |close| close.code.into())),
            }
        }
    }

    /// Everything up to the EOSE of this subscription: the events' ids.
    pub(crate) async fn until_eose(&mut self, subscription: &str) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            let frame = self.next().await;
            assert_eq!(frame[1], subscription, "{frame}");
            match frame[0].as_str().unwrap() {
                "EVENT" => ids.push(frame[2]["id"].as_str().unwrap().to_owned()),
                "EOSE" => return ids,
                _ => panic!("{frame}"),
            }
        }
    }

    /// Asserts that a question is answered next, so that nothing else was waiting.
    pub(crate) async fn nothing_waits(&mut self) {
        self.send(json!(["COUNT", "nothing-waits", { "kinds": [65_000] }])).await;
        let answer = self.next().await;
        assert_eq!(answer, json!(["COUNT", "nothing-waits", { "count": 0 }]));
    }
}

/// Drives a test that uses sockets.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), test).await.expect("the test ends")
    })
}
