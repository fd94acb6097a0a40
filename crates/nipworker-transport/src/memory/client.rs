//! The client's end of a connection.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures::{Sink, Stream, StreamExt, channel::mpsc};

use super::peer::{ClientEnds, ServerFrame};
use crate::{CloseFrame, Connection, Incoming, Outgoing, TransportError};

pub(super) fn connection(ends: ClientEnds, max_message_bytes: usize) -> Connection {
    let ClientEnds { to_server, from_server, pongs, half_open } = ends;
    let closed = Arc::new(std::sync::Mutex::new(None));
    Connection {
        sink: Box::pin(ClientSink {
            to_server,
            pongs: Some(pongs),
            half_open: Arc::clone(&half_open),
            closed: Arc::clone(&closed),
        }),
        stream: Box::pin(ClientStream {
            from_server,
            max_message_bytes,
            half_open,
            closed,
            over: false,
        }),
    }
}

/// The close frame that the client sent, if it did.
type Closed = Arc<std::sync::Mutex<Option<CloseFrame>>>;

fn own_close(closed: &Closed) -> Option<CloseFrame> {
    closed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
}

struct ClientSink {
    to_server: mpsc::Sender<Outgoing>,
    /// Given up with the close frame, so that the stream sees the end.
    pongs: Option<mpsc::Sender<ServerFrame>>,
    half_open: Arc<AtomicBool>,
    closed: Closed,
}

impl ClientSink {
    fn gone() -> TransportError {
        TransportError::lost("the server is gone")
    }

    fn check_open(&self) -> Result<(), TransportError> {
        own_close(&self.closed).map_or(Ok(()), |frame| Err(TransportError::Closed(frame)))
    }
}

impl Sink<Outgoing> for ClientSink {
    type Error = TransportError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        self.check_open()?;
        if self.half_open.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        self.to_server.poll_ready(cx).map_err(|_| Self::gone())
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Outgoing) -> Result<(), TransportError> {
        self.check_open()?;
        if let Outgoing::Close(frame) = &frame {
            *self.closed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                Some(frame.clone());
            self.pongs = None;
        }
        if self.half_open.load(Ordering::Acquire) {
            return Ok(());
        }
        if frame == Outgoing::Ping
            && let Some(pongs) = &mut self.pongs
        {
            // When there is no room, the client has other signs of life to read first.
            drop(pongs.try_send(ServerFrame::Pong));
        }
        self.to_server.start_send(frame).map_err(|_| Self::gone())
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        // What was accepted is in the server's hands.
        Poll::Ready(Ok(()))
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        self.pongs = None;
        Pin::new(&mut self.to_server).poll_close(cx).map_err(|_| Self::gone())
    }
}

struct ClientStream {
    from_server: mpsc::Receiver<ServerFrame>,
    max_message_bytes: usize,
    half_open: Arc<AtomicBool>,
    closed: Closed,
    over: bool,
}

impl ClientStream {
    fn check_size(&self, got: usize) -> Result<(), TransportError> {
        if got > self.max_message_bytes {
            return Err(TransportError::TooLarge { got, limit: self.max_message_bytes });
        }
        Ok(())
    }

    fn receive(&self, frame: Option<ServerFrame>) -> Result<Incoming, TransportError> {
        match frame {
            Some(ServerFrame::Text(text)) => {
                self.check_size(text.len())?;
                Ok(Incoming::Text(text))
            }
            Some(ServerFrame::Binary(bytes)) => {
                self.check_size(bytes)?;
                Ok(Incoming::Binary { bytes })
            }
            Some(ServerFrame::Pong) => Ok(Incoming::Alive),
            Some(ServerFrame::InvalidUtf8) => Err(TransportError::InvalidUtf8),
            Some(ServerFrame::Close(frame)) => Err(TransportError::Closed(frame)),
            None => match own_close(&self.closed) {
                Some(frame) => Err(TransportError::Closed(frame)),
                None => Err(ClientSink::gone()),
            },
        }
    }
}

impl Stream for ClientStream {
    type Item = Result<Incoming, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let frame = ready!(self.from_server.poll_next_unpin(cx));
        if frame.is_none() && self.half_open.load(Ordering::Acquire) {
            // The end of the server's process does not come through a cut cable either.
            return Poll::Pending;
        }
        let item = self.receive(frame);
        if item.is_err() {
            self.over = true;
            self.from_server.close();
        }
        Poll::Ready(Some(item))
    }
}
