//! Between tungstenite's messages and the port's.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{
    Sink, SinkExt, Stream, StreamExt,
    stream::{SplitSink, SplitStream},
};
use nipworker_transport::{CloseFrame, Incoming, Outgoing, TlsFault, TransportError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Bytes, Message, Utf8Bytes,
        error::{CapacityError, ProtocolError},
        protocol,
    },
};

pub(crate) fn error(error: tungstenite::Error) -> TransportError {
    use tungstenite::Error;
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => TransportError::lost("already closed"),
        Error::Io(error) => TransportError::lost(error),
        Error::Tls(error) => {
            TransportError::Tls { fault: TlsFault::Protocol, reason: error.to_string() }
        }
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            TransportError::TooLarge { got: size, limit: max_size }
        }
        Error::Protocol(error @ ProtocolError::ResetWithoutClosingHandshake) => {
            TransportError::lost(error)
        }
        Error::Utf8(_) => TransportError::InvalidUtf8,
        Error::Http(response) => TransportError::Handshake { status: response.status().as_u16() },
        Error::Url(error) => TransportError::Address { reason: error.to_string() },
        other => TransportError::Protocol { reason: other.to_string() },
    }
}

fn close_frame(frame: Option<protocol::CloseFrame>) -> CloseFrame {
    match frame {
        Some(frame) => CloseFrame::new(frame.code.into(), frame.reason.as_str()),
        None => CloseFrame::new(CloseFrame::NO_STATUS, ""),
    }
}

pub(crate) struct FramesOut<S> {
    sink: SplitSink<WebSocketStream<S>, Message>,
}

impl<S> FramesOut<S> {
    pub(crate) fn new(sink: SplitSink<WebSocketStream<S>, Message>) -> Self {
        Self { sink }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sink<Outgoing> for FramesOut<S> {
    type Error = TransportError;

    fn poll_ready(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        self.sink.poll_ready_unpin(cx).map_err(error)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Outgoing) -> Result<(), TransportError> {
        let message = match frame {
            Outgoing::Text(text) => Message::Text(text.into()),
            Outgoing::Ping => Message::Ping(Bytes::new()),
            Outgoing::Close(CloseFrame { code: CloseFrame::NO_STATUS, .. }) => Message::Close(None),
            Outgoing::Close(frame) => Message::Close(Some(protocol::CloseFrame {
                code: frame.code.into(),
                reason: Utf8Bytes::from(frame.reason),
            })),
        };
        self.sink.start_send_unpin(message).map_err(error)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        self.sink.poll_flush_unpin(cx).map_err(error)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        self.sink.poll_close_unpin(cx).map_err(error)
    }
}

pub(crate) struct FramesIn<S> {
    /// `None` once the end was told.
    stream: Option<SplitStream<WebSocketStream<S>>>,
}

impl<S> FramesIn<S> {
    pub(crate) fn new(stream: SplitStream<WebSocketStream<S>>) -> Self {
        Self { stream: Some(stream) }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for FramesIn<S> {
    type Item = Result<Incoming, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let item = match ready!(stream.poll_next_unpin(cx)) {
            Some(Ok(Message::Text(text))) => Ok(Incoming::Text(text.as_str().to_owned())),
            Some(Ok(Message::Binary(data))) => Ok(Incoming::Binary { bytes: data.len() }),
            // Whole messages only come as the variants above; a raw frame is never read.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                Ok(Incoming::Alive)
            }
            Some(Ok(Message::Close(frame))) => {
                // Reading on is what writes our half of the closing handshake. Whether the relay
                // then ends its side is not waited for.
                let _ended = stream.poll_next_unpin(cx);
                Err(TransportError::Closed(close_frame(frame)))
            }
            Some(Err(cause)) => Err(error(cause)),
            None => Err(TransportError::lost("the stream ended")),
        };
        if item.is_err() {
            self.stream = None;
        }
        Poll::Ready(Some(item))
    }
}
