//! The worker over real sockets.
#![allow(clippy::unwrap_used)]

mod common;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use common::{House, Relay, event, eventually, quick};
use futures::{SinkExt, StreamExt};
use nipworker_connections::{RelayConfig, RelayUrl};
use nipworker_schema::ReceiptStatus;
use nipworker_transport_ws::WsTransport;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_tungstenite::{accept_async, tungstenite::Message};

async fn serve(socket: TcpStream, relay: Relay) {
    let Ok(mut socket) = accept_async(socket).await else { return };
    let mut session = relay.session();
    loop {
        let frames = tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => session.answer(&text),
                Some(Ok(_)) => Vec::new(),
                _ => return,
            },
            () = session.changed() => session.live(),
        };
        for frame in frames {
            if socket.send(Message::text(frame)).await.is_err() {
                return;
            }
        }
    }
}

fn listen(at: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(at).unwrap();
    socket.listen(64).unwrap()
}

fn start(listener: TcpListener, relay: Relay) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut sessions = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            sessions.spawn(serve(socket, relay.clone()));
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_is_found_again_by_the_timer_alone() {
    let relay = Relay::default();
    let listener = listen("127.0.0.1:0".parse().unwrap());
    let address = listener.local_addr().unwrap();
    let server = start(listener, relay.clone());
    let url = RelayUrl::parse(&format!("ws://{address}")).unwrap();
    let transport = WsTransport::builder().build().unwrap();
    let config = RelayConfig { relays: vec![url], ..quick() };
    let house = House::build(Arc::new(transport), config).await;
    house.open("s", "a", false).await;
    eventually("the end of stored events", || house.ear.eoses() == 1).await;

    server.abort();
    assert!(server.await.unwrap_err().is_cancelled());
    eventually("attempts that fail", || house.book.report()[0].dial_failures > 1).await;
    let missed = event("a", 1);
    relay.appear(&missed);
    let server = start(listen(address), relay.clone());
    eventually("the missed event", || house.ear.heard_event("s", &missed)).await;
    let live = event("a", 2);
    relay.appear(&live);
    eventually("the live event", || house.ear.heard_event("s", &live)).await;

    let receipts = house.publish(&event("b", 3), Duration::from_secs(10)).await;
    assert_eq!(receipts[0].status, ReceiptStatus::Accepted);
    assert!(house.supervisor.stop().await.is_clean());
    eventually("the server saw the end", || relay.open() == 0).await;
    server.abort();
}
