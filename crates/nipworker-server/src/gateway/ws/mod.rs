//! The relay face: NIP-01 over WebSocket.

mod connection;
mod end;
mod guard;
mod outgoing;
mod reconciliations;
mod requests;
mod subscriptions;
mod work;

use std::{rc::Rc, sync::Arc};

use actix_web::{FromRequest, HttpRequest, HttpResponse, dev, http::StatusCode, web};

use self::connection::Connection;
use super::{
    counters::{Held, count},
    error::ApiError,
    socket::Socket,
    state::Gateway,
};

pub(crate) use requests::{CREATED_AT_UPPER_LIMIT_SECONDS, NO_SEARCH};

/// Whether a request asks to become a WebSocket.
pub(crate) fn is_upgrade(request: &HttpRequest) -> bool {
    let header = request.headers().get(actix_web::http::header::UPGRADE);
    header.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Turns a request into a WebSocket that is served until either side ends it.
pub(crate) async fn upgrade(
    request: HttpRequest,
    payload: web::Payload,
    gateway: web::Data<Gateway>,
) -> Result<HttpResponse, actix_web::Error> {
    if *gateway.stopping.borrow() {
        count(&gateway.counters.websockets_refused);
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "this relay is shutting down",
        )
        .into());
    }
    // Clients that went count until their events are published; come-and-go must have a bound.
    let open = gateway.counters.websockets.load(std::sync::atomic::Ordering::Relaxed);
    if open >= 2 * gateway.config.max_connections as u64 {
        count(&gateway.counters.websockets_refused);
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            format_args!("{open} connections are being worked on"),
        )
        .into());
    }
    let limits = &gateway.config.websocket;
    let tripped = Rc::new(guard::Tripped::default());
    let mut guarded: dev::Payload =
        guard::guarded(payload.into_inner(), limits.max_message_bytes, tripped.clone());
    let payload = web::Payload::from_request(&request, &mut guarded).await?;
    let (response, session, stream) = actix_ws::handle(&request, payload)?;
    let messages = stream
        .max_frame_size(limits.max_message_bytes)
        .aggregate_continuations()
        .max_continuation_size(limits.max_message_bytes);
    count(&gateway.counters.websockets_opened);
    let open = Held::new(gateway.counters.clone(), |counters| &counters.websockets);
    let socket = request.conn_data::<Arc<Socket>>().map(Arc::downgrade);
    let connection = Connection::new(gateway.into_inner(), session, messages, tripped, socket);
    actix_web::rt::spawn(async move {
        connection.run().await;
        drop(open);
    });
    Ok(response)
}
