//! A bare WebSocket client: frames in, frames out, no engine behind it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::wait::within;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);

/// A connection to a relay.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// Connects.
    ///
    /// # Panics
    /// When the relay does not take the connection.
    pub async fn open(url: &str) -> Self {
        let connected = within(&format!("a connection to {url}"), ANSWER, connect_async(url)).await;
        let (stream, _) = connected.unwrap_or_else(|error| panic!("{url}: {error}"));
        Self { stream }
    }

    /// Connects, or not.
    pub async fn try_open(url: &str) -> Option<Self> {
        let (stream, _) = connect_async(url).await.ok()?;
        Some(Self { stream })
    }

    /// Sends a message of any kind; `false` when the other side is gone.
    pub async fn send(&mut self, message: Message) -> bool {
        self.stream.send(message).await.is_ok()
    }

    /// Sends a text frame.
    ///
    /// # Panics
    /// When the other side is gone.
    pub async fn say(&mut self, frame: &Value) {
        assert!(self.send(Message::text(frame.to_string())).await, "the relay is gone: {frame}");
    }

    /// The next message as it is, pings included; `None` when the connection has ended.
    ///
    /// # Panics
    /// When nothing comes for 20 s.
    pub async fn message(&mut self) -> Option<Message> {
        within("a message from the relay", ANSWER, self.stream.next()).await?.ok()
    }

    /// The next text frame.
    ///
    /// # Panics
    /// When the connection ends or no frame comes.
    pub async fn hear(&mut self) -> Value {
        loop {
            let message = self.message().await.expect("the relay ended the connection");
            if let Message::Text(text) = message {
                return serde_json::from_str(text.as_str()).expect("a relay sends JSON");
            }
        }
    }

    /// The next text frame of one of these types.
    ///
    /// # Panics
    /// When the connection ends or none comes.
    pub async fn hear_one_of(&mut self, types: &[&str]) -> Value {
        loop {
            let frame = self.hear().await;
            if frame[0].as_str().is_some_and(|kind| types.contains(&kind)) {
                return frame;
            }
        }
    }

    /// Publishes an event and waits for the verdict.
    ///
    /// # Panics
    /// When no verdict comes.
    pub async fn publish(&mut self, event_json: &str) -> (bool, String) {
        let frame = format!(r#"["EVENT",{event_json}]"#);
        assert!(self.send(Message::text(frame)).await, "the relay is gone");
        let verdict = self.hear_one_of(&["OK"]).await;
        (verdict[2] == true, verdict[3].as_str().unwrap_or_default().to_owned())
    }

    /// The stored events for a filter.
    ///
    /// # Panics
    /// When the relay refuses, or the end does not come.
    pub async fn fetch(&mut self, filter: &Value) -> Vec<Value> {
        // Each time another name: some relays answer a CLOSE, and late.
        static FETCHES: AtomicU64 = AtomicU64::new(0);
        let name = format!("fetch-{}", FETCHES.fetch_add(1, Ordering::Relaxed));
        self.say(&json!(["REQ", name, filter])).await;
        let mut events = Vec::new();
        loop {
            let mut frame = self.hear_one_of(&["EVENT", "EOSE", "CLOSED"]).await;
            if frame[1] != *name {
                continue;
            }
            match frame[0].as_str() {
                Some("EVENT") => events.push(frame[2].take()),
                Some("EOSE") => break,
                _ => panic!("refused: {frame}"),
            }
        }
        self.say(&json!(["CLOSE", name])).await;
        events
    }
}
