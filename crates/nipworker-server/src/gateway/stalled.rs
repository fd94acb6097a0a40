//! Ends connections whose client does not read the answer that it asked for.
//!
//! The HTTP server asks an answer's body for more only when the client took most of what came
//! before. So a body that has more to give and is not asked shows that the client has stalled.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    dev::ServiceResponse,
    http::StatusCode,
    web::Bytes,
};
use tokio::sync::oneshot;

use super::{
    counters::{Counters, count},
    socket::Socket,
};

/// Bytes of a body that are handed to the server at a time, so that little is left unwatched when
/// the last piece was asked for.
const PIECE_BYTES: usize = 16 * 1024;

/// Bodies up to this many bytes fit in the buffers of any socket: once asked for, they are sent.
const SMALL_BYTES: u64 = 32 * 1024;

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Without taking more of an answer.
    pub(super) stalled: Duration,
    /// Without another request on the same connection; the server itself ends it after that.
    pub(super) keep_alive: Duration,
}

/// What the body tells the watch.
#[derive(Debug)]
struct Progress {
    /// When the body was last asked, and whether it had nothing to give then.
    asked: Mutex<(Instant, bool)>,
    bytes: AtomicU64,
}

impl Progress {
    fn asked(&self) -> MutexGuard<'_, (Instant, bool)> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that is watched.
struct Watched {
    body: BoxBody,
    rest: Bytes,
    progress: Arc<Progress>,
    /// Dropped with the body, which tells the watch that it is over.
    _over: oneshot::Sender<()>,
}

impl MessageBody for Watched {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            let polled = Pin::new(&mut self.body).poll_next(cx);
            *self.progress.asked() = (Instant::now(), polled.is_pending());
            match polled {
                Poll::Ready(Some(Ok(bytes))) => self.rest = bytes,
                other => return other,
            }
        } else {
            *self.progress.asked() = (Instant::now(), false);
        }
        let len = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(len);
        self.progress.bytes.fetch_add(len as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(piece)))
    }
}

/// Watches how the client takes this answer.
pub(super) fn watch(
    response: ServiceResponse,
    counters: Arc<Counters>,
    patience: Patience,
) -> ServiceResponse {
    // WebSockets have a watch of their own.
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    let Some(socket) = response.request().conn_data::<Arc<Socket>>() else { return response };
    let request_number = socket.next_request();
    let socket = Arc::downgrade(socket);
    let progress =
        Arc::new(Progress { asked: Mutex::new((Instant::now(), false)), bytes: AtomicU64::new(0) });
    let (over, is_over) = oneshot::channel();
    actix_web::rt::spawn(guard(
        progress.clone(),
        is_over,
        socket,
        request_number,
        counters,
        patience,
    ));
    response.map_body(|_, body| {
        BoxBody::new(Watched { body, rest: Bytes::new(), progress, _over: over })
    })
}

async fn guard(
    progress: Arc<Progress>,
    mut is_over: oneshot::Receiver<()>,
    socket: Weak<Socket>,
    request_number: u64,
    counters: Arc<Counters>,
    patience: Patience,
) {
    let end = || {
        if let Some(socket) = socket.upgrade() {
            count(&counters.slow_readers);
            tracing::debug!("a client that does not read its answer is disconnected");
            socket.end();
        }
    };
    loop {
        let (since, waits) = *progress.asked();
        let since = if waits { Instant::now() } else { since };
        let stalled_at = since + patience.stalled;
        // An error is the sender's end, and what is waited for.
        if tokio::time::timeout_at(stalled_at.into(), &mut is_over).await.is_ok() {
            break;
        }
        let (since, waits) = *progress.asked();
        if !waits && since.elapsed() >= patience.stalled {
            return end();
        }
    }
    if progress.bytes.load(Ordering::Relaxed) <= SMALL_BYTES {
        return;
    }
    // The last pieces may still lie in buffers. A client that takes them sends another request or
    // is parted from when the keep-alive is over.
    tokio::time::sleep(patience.stalled + patience.keep_alive).await;
    if socket.upgrade().is_some_and(|socket| socket.requests() == request_number) {
        end();
    }
}
