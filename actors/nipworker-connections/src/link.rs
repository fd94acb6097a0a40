//! One socket: its two halves and the tasks that hold them.

use std::{collections::VecDeque, time::Duration};

use futures::{FutureExt, SinkExt, StreamExt, future::AbortHandle};
use nipworker_relay::{
    AuthConfig, ConnectionId,
    transport::{
        CloseFrame, Connection, FrameSink, FrameStream, Incoming, Outgoing, TransportError,
    },
};

/// Messages taken from a socket in one go at most.
const READ_BATCH_MESSAGES: usize = 256;
/// Bytes of text after which no further message is taken in the same go.
const READ_BATCH_BYTES: usize = 1024 * 1024;
/// How long a close frame may take to be sent.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// A connection, or the attempt to make one.
pub(crate) struct Link {
    pub(crate) connection: ConnectionId,
    pub(crate) state: State,
    /// Signatures that only this connection waits for.
    signing: Vec<AbortHandle>,
}

pub(crate) enum State {
    Dialling(AbortHandle),
    Open { reading: Half<FrameStream>, writing: Half<FrameSink>, queue: VecDeque<Outgoing> },
}

/// A half of the socket: at rest, or with the task that uses it.
pub(crate) enum Half<T> {
    Idle(T),
    Busy(AbortHandle),
}

impl Link {
    pub(crate) fn dialling(connection: ConnectionId, task: AbortHandle) -> Self {
        Self { connection, state: State::Dialling(task), signing: Vec::new() }
    }

    /// Ends `task` with the connection. The session asks for one signature of each key at a time,
    /// so that those before are over or void.
    pub(crate) fn signing(&mut self, task: AbortHandle) {
        if self.signing.len() >= AuthConfig::MAX_KEYS {
            self.signing.remove(0);
        }
        self.signing.push(task);
    }

    pub(crate) fn open(connection: ConnectionId, socket: Connection) -> Self {
        let reading = Half::Idle(socket.stream);
        let writing = Half::Idle(socket.sink);
        let state = State::Open { reading, writing, queue: VecDeque::new() };
        Self { connection, state, signing: Vec::new() }
    }

    /// Ends what is under way. Gives the sink back when it is at rest, for a last word.
    pub(crate) fn abandon(self) -> Option<FrameSink> {
        for task in self.signing {
            task.abort();
        }
        match self.state {
            State::Dialling(task) => {
                task.abort();
                None
            }
            State::Open { reading, writing, .. } => {
                if let Half::Busy(task) = reading {
                    task.abort();
                }
                match writing {
                    Half::Idle(sink) => Some(sink),
                    Half::Busy(task) => {
                        task.abort();
                        None
                    }
                }
            }
        }
    }
}

/// Waits for a message and takes what else is there. The error is the end of the connection.
pub(crate) async fn read(
    mut stream: FrameStream,
) -> (FrameStream, Vec<Incoming>, Option<TransportError>) {
    let mut messages = Vec::new();
    let mut bytes = 0;
    let mut item = stream.next().await;
    loop {
        match item {
            Some(Ok(message)) => {
                if let Incoming::Text(text) = &message {
                    bytes += text.len();
                }
                messages.push(message);
            }
            Some(Err(error)) => return (stream, messages, Some(error)),
            None => {
                let error = TransportError::lost("the connection is over");
                return (stream, messages, Some(error));
            }
        }
        if messages.len() >= READ_BATCH_MESSAGES || bytes >= READ_BATCH_BYTES {
            return (stream, messages, None);
        }
        match stream.next().now_or_never() {
            Some(next) => item = next,
            None => return (stream, messages, None),
        }
    }
}

/// Sends everything and flushes; gives back how many messages went out.
pub(crate) async fn write(
    mut sink: FrameSink,
    frames: VecDeque<Outgoing>,
) -> (FrameSink, Result<usize, TransportError>) {
    let count = frames.len();
    for frame in frames {
        if let Err(error) = sink.feed(frame).await {
            return (sink, Err(error));
        }
    }
    let result = sink.flush().await.map(|()| count);
    (sink, result)
}

/// Says goodbye, for at most a second.
pub(crate) async fn farewell(mut sink: FrameSink, close: CloseFrame) {
    let sent = tokio::time::timeout(FAREWELL_LIMIT, sink.send(Outgoing::Close(close))).await;
    if !matches!(sent, Ok(Ok(()))) {
        tracing::debug!("a close frame could not be sent");
    }
}
