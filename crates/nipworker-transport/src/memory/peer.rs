//! The server's end of a connection.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::{SinkExt, StreamExt, channel::mpsc};

use super::PIPE_MESSAGES;
use crate::{CloseFrame, Outgoing};

/// What the client's stream is fed with.
pub(super) enum ServerFrame {
    Text(String),
    Binary(usize),
    InvalidUtf8,
    Pong,
    Close(CloseFrame),
}

/// The client's ends of both directions.
pub(super) struct ClientEnds {
    pub(super) to_server: mpsc::Sender<Outgoing>,
    pub(super) from_server: mpsc::Receiver<ServerFrame>,
    /// Answers the client's own pings.
    pub(super) pongs: mpsc::Sender<ServerFrame>,
    pub(super) half_open: Arc<AtomicBool>,
}

/// What the client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame {
    /// A text message.
    Text(String),
    /// The client wants to end the connection.
    Close(CloseFrame),
}

/// The client dropped the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone")]
pub struct PeerGone;

/// The server's end of a connection. Dropping it is a lost connection for the client.
pub struct MemoryPeer {
    to_client: mpsc::Sender<ServerFrame>,
    from_client: mpsc::Receiver<Outgoing>,
    half_open: Arc<AtomicBool>,
}

pub(super) fn pair() -> (MemoryPeer, ClientEnds) {
    let (to_server, from_client) = mpsc::channel(PIPE_MESSAGES);
    let (to_client, from_server) = mpsc::channel(PIPE_MESSAGES);
    let half_open = Arc::new(AtomicBool::new(false));
    let ends = ClientEnds {
        to_server,
        from_server,
        pongs: to_client.clone(),
        half_open: Arc::clone(&half_open),
    };
    (MemoryPeer { to_client, from_client, half_open }, ends)
}

impl MemoryPeer {
    /// Sends a text message; waits while the client does not read.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<(), PeerGone> {
        self.send(ServerFrame::Text(text.into())).await
    }

    /// Sends a binary message of so many bytes; waits while the client does not read.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn send_binary(&mut self, bytes: usize) -> Result<(), PeerGone> {
        self.send(ServerFrame::Binary(bytes)).await
    }

    /// Sends a text message that is not UTF-8, after which a client gives the connection up.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn send_invalid_utf8(&mut self) -> Result<(), PeerGone> {
        self.send(ServerFrame::InvalidUtf8).await
    }

    /// Closes in order: the client reads what was sent before, then the close frame.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn close(mut self, frame: CloseFrame) -> Result<(), PeerGone> {
        self.send(ServerFrame::Close(frame)).await
    }

    /// The next thing that the client sent; `None` when it dropped the connection. Pings are
    /// answered without coming here.
    ///
    /// Cancel safe.
    pub async fn receive(&mut self) -> Option<ClientFrame> {
        loop {
            match self.from_client.next().await? {
                Outgoing::Text(text) => return Some(ClientFrame::Text(text)),
                Outgoing::Close(frame) => return Some(ClientFrame::Close(frame)),
                Outgoing::Ping => {}
            }
        }
    }

    /// Cuts the cable: from now on the client's messages and pings vanish, nothing that is sent
    /// reaches it, and it is not told.
    pub fn cut(&self) {
        self.half_open.store(true, Ordering::Release);
    }

    async fn send(&mut self, frame: ServerFrame) -> Result<(), PeerGone> {
        if self.half_open.load(Ordering::Acquire) {
            return Ok(());
        }
        self.to_client.send(frame).await.map_err(|_| PeerGone)
    }
}

impl Drop for MemoryPeer {
    fn drop(&mut self) {
        if !self.half_open.load(Ordering::Acquire) {
            // The client's side holds a sender too, for its pongs.
            self.to_client.close_channel();
        }
    }
}
