//! The suites that every implementation of [`WebSocketTransport`] and of
//! [`RelayInformation`](crate::RelayInformation) passes.
//!
//! An implementation brings a [`Harness`] that can run a server with a given [`Script`]; each
//! public function is one rule. [`all`] runs them one after the other and names the rule that
//! was broken; [`all_of_information`] does so for the other port.

mod information;

use std::{future::Future, sync::Arc, time::Duration};

use futures::{
    FutureExt, SinkExt, StreamExt,
    future::{Either, select},
};
use nipworker_protocol::RelayUrl;

use crate::{
    BoxFuture, CloseFrame, ConnectOptions, Connection, Incoming, Outgoing, ProxyDemand,
    TransportError, WebSocketTransport,
};

pub use information::{
    InformationHarness, InformationServer, a_broken_connection_is_told, a_document_comes_unchanged,
    a_document_over_the_limit_is_given_up, all_of_information, another_status_than_200_is_told,
    asking_keeps_its_time_limit, asking_nobody_is_refused, what_is_no_text_is_refused,
};

/// Longest time one rule may take before it counts as broken.
pub const RULE_DEADLINE: Duration = Duration::from_secs(20);

/// What the server of one rule does after it accepted one connection. Unless it says otherwise it
/// reads on until the client is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// Sends back each text.
    Echo,
    /// Sends so many texts of so many bytes, as fast as the client takes them.
    Flood {
        /// Number of messages.
        messages: usize,
        /// Size of each.
        bytes: usize,
    },
    /// Sends one binary message.
    Binary {
        /// Its size.
        bytes: usize,
    },
    /// Sends a text message whose payload is not UTF-8.
    InvalidUtf8,
    /// Sends the text `last words`, then a close frame.
    Close(CloseFrame),
    /// Sends the text `last words` and ends without a close frame.
    Abort,
    /// Never reads and never writes.
    Stall,
}

/// What the server saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerReport {
    /// Messages that the server could hand to the network.
    pub sent: usize,
    /// Texts that came.
    pub received: usize,
    /// The client's close frame.
    pub close: Option<CloseFrame>,
}

/// An address and the server behind it, to be polled to its end.
pub type Server = (RelayUrl, BoxFuture<'static, ServerReport>);

/// What the suite needs from an implementation.
pub trait Harness: Send + Sync {
    /// The transport under test.
    fn transport(&self) -> Arc<dyn WebSocketTransport>;
    /// A server for one connection.
    fn serve(&self, script: Script) -> Server;
    /// An address where nobody listens.
    fn nobody(&self) -> RelayUrl;
    /// A server that answers the handshake with this HTTP status.
    fn reject(&self, status: u16) -> Server;
    /// An address where dialling neither succeeds nor fails, when the implementation promises to
    /// keep [`ConnectOptions::connect_timeout`] itself.
    fn black_hole(&self) -> Option<Server>;
    /// A hidden service (`.onion`), when the implementation reaches the real network and this one
    /// has no proxy.
    fn hidden_service(&self) -> Option<RelayUrl> {
        None
    }
    /// Passes time.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
}

/// Runs every rule.
///
/// # Panics
/// When a rule is broken.
pub async fn all(harness: &dyn Harness) {
    texts_come_back_unchanged_and_in_order(harness).await;
    a_ping_brings_a_sign_of_life(harness).await;
    binary_messages_are_told_by_size(harness).await;
    a_close_of_the_server_gives_code_and_reason(harness).await;
    a_close_of_the_client_reaches_the_server(harness).await;
    an_end_without_close_frame_is_told(harness).await;
    nothing_comes_after_the_end(harness).await;
    dropping_a_connection_frees_the_server(harness).await;
    a_message_over_the_limit_ends_the_connection(harness).await;
    a_message_at_the_limit_is_taken(harness).await;
    invalid_utf8_ends_the_connection(harness).await;
    an_unread_stream_holds_the_server_back(harness).await;
    an_unread_server_holds_the_sink_back(harness).await;
    dialling_nobody_is_refused(harness).await;
    a_refused_handshake_gives_its_status(harness).await;
    dialling_keeps_its_time_limit(harness).await;
    a_hidden_service_is_not_dialled_without_a_proxy(harness).await;
}

/// Texts of 0 bytes to 300 kB, with all of Unicode's lengths, in order.
///
/// # Panics
/// When the rule is broken.
pub async fn texts_come_back_unchanged_and_in_order(harness: &dyn Harness) {
    let server = harness.serve(Script::Echo);
    rule(harness, "texts come back unchanged and in order", server, |mut connection| async move {
        let texts: Vec<String> = [0, 1, 125, 126, 127, 65_535, 65_536, 300_000]
            .into_iter()
            .map(|bytes| "x".repeat(bytes))
            .chain(["æ€𝄞\u{0}\n\"".to_owned()])
            .chain((0..500).map(|number| format!("message {number}")))
            .collect();
        let mut sink = connection.sink;
        let sending = async {
            for text in &texts {
                sink.send(Outgoing::Text(text.clone()))
                    .await
                    .expect("an open connection takes texts");
            }
        };
        let receiving = async {
            for text in &texts {
                let got = next_frame(&mut connection.stream).await;
                assert!(got == Ok(Incoming::Text(text.clone())), "a text of {} bytes", text.len());
            }
        };
        futures::join!(sending, receiving);
    })
    .await;
}

/// # Panics
/// When the rule is broken.
pub async fn a_ping_brings_a_sign_of_life(harness: &dyn Harness) {
    let server = harness.serve(Script::Echo);
    rule(harness, "a ping brings a sign of life", server, |mut connection| async move {
        for _ in 0..3 {
            connection.sink.send(Outgoing::Ping).await.expect("an open connection takes pings");
            assert_eq!(next(&mut connection).await, Ok(Incoming::Alive));
        }
    })
    .await;
}

/// # Panics
/// When the rule is broken.
pub async fn binary_messages_are_told_by_size(harness: &dyn Harness) {
    let server = harness.serve(Script::Binary { bytes: 1_000 });
    rule(harness, "binary messages are told by size", server, |mut connection| async move {
        assert_eq!(next(&mut connection).await, Ok(Incoming::Binary { bytes: 1_000 }));
    })
    .await;
}

/// # Panics
/// When the rule is broken.
pub async fn a_close_of_the_server_gives_code_and_reason(harness: &dyn Harness) {
    for frame in [CloseFrame::new(1001, "going away"), CloseFrame::new(4000, "")] {
        let server = harness.serve(Script::Close(frame.clone()));
        rule(harness, "a close of the server gives code and reason", server, |mut c| async move {
            assert_eq!(next(&mut c).await, Ok(Incoming::Text("last words".to_owned())));
            assert_eq!(next(&mut c).await, Err(TransportError::Closed(frame)));
        })
        .await;
    }
}

/// # Panics
/// When the rule is broken.
pub async fn a_close_of_the_client_reaches_the_server(harness: &dyn Harness) {
    let server = harness.serve(Script::Echo);
    let frame = CloseFrame::normal("done");
    let sent = frame.clone();
    let report =
        rule(harness, "a close of the client reaches the server", server, |c| async move {
            let Connection { mut sink, mut stream } = c;
            sink.send(Outgoing::Text("one".to_owned()))
                .await
                .expect("an open connection takes texts");
            sink.send(Outgoing::Close(sent)).await.expect("an open connection takes a close");
            while next_frame(&mut stream).await.is_ok() {}
            let late = sink.send(Outgoing::Text("late".to_owned())).await;
            assert!(late.is_err(), "a text was taken after the close");
        })
        .await;
    assert_eq!((report.received, report.close), (1, Some(frame)));
}

/// # Panics
/// When the rule is broken.
pub async fn an_end_without_close_frame_is_told(harness: &dyn Harness) {
    let server = harness.serve(Script::Abort);
    rule(harness, "an end without close frame is told", server, |mut connection| async move {
        assert_eq!(next(&mut connection).await, Ok(Incoming::Text("last words".to_owned())));
        let end = next(&mut connection).await;
        assert!(matches!(end, Err(TransportError::Lost { .. })), "got {end:?}");
    })
    .await;
}

/// # Panics
/// When the rule is broken.
pub async fn nothing_comes_after_the_end(harness: &dyn Harness) {
    let server = harness.serve(Script::Abort);
    rule(harness, "nothing comes after the end", server, |mut connection| async move {
        while next(&mut connection).await.is_ok() {}
        assert_eq!(connection.stream.next().await, None);
        assert_eq!(connection.stream.next().await, None);
    })
    .await;
}

/// # Panics
/// When the rule is broken.
pub async fn dropping_a_connection_frees_the_server(harness: &dyn Harness) {
    // The rule's server only ends when it notices that the client is gone.
    let server = harness.serve(Script::Echo);
    let report = rule(harness, "dropping a connection frees the server", server, |c| async move {
        drop(c);
    })
    .await;
    assert_eq!(report.close, None);
}

/// # Panics
/// When the rule is broken.
pub async fn a_message_over_the_limit_ends_the_connection(harness: &dyn Harness) {
    let server = harness.serve(Script::Flood { messages: 1, bytes: 10_001 });
    let options = ConnectOptions { max_message_bytes: 10_000, ..ConnectOptions::default() };
    let name = "a message over the limit ends the connection";
    rule_with(harness, name, options, server, |mut connection| async move {
        let end = next(&mut connection).await;
        assert!(matches!(end, Err(TransportError::TooLarge { limit: 10_000, .. })), "got {end:?}");
        assert_eq!(connection.stream.next().await, None);
    })
    .await;
}

/// # Panics
/// When the rule is broken.
pub async fn a_message_at_the_limit_is_taken(harness: &dyn Harness) {
    let server = harness.serve(Script::Flood { messages: 1, bytes: 10_000 });
    let options = ConnectOptions { max_message_bytes: 10_000, ..ConnectOptions::default() };
    let name = "a message at the limit is taken";
    rule_with(harness, name, options, server, |mut connection| async move {
        let got = next(&mut connection).await;
        assert!(matches!(&got, Ok(Incoming::Text(text)) if text.len() == 10_000), "got {got:?}");
    })
    .await;
}

/// # Panics
/// When the rule is broken.
pub async fn invalid_utf8_ends_the_connection(harness: &dyn Harness) {
    let server = harness.serve(Script::InvalidUtf8);
    rule(harness, "invalid utf-8 ends the connection", server, |mut connection| async move {
        assert_eq!(next(&mut connection).await, Err(TransportError::InvalidUtf8));
        assert_eq!(connection.stream.next().await, None);
    })
    .await;
}

/// # Panics
/// When the rule is broken.
pub async fn an_unread_stream_holds_the_server_back(harness: &dyn Harness) {
    const MESSAGES: usize = 2_000;
    let (url, server) = harness.serve(Script::Flood { messages: MESSAGES, bytes: 65_536 });
    let server = server.shared();
    let progress = server.clone();
    let pause = harness.sleep(Duration::from_millis(300));
    let server: Server = (url, Box::pin(server));
    rule(harness, "an unread stream holds the server back", server, |mut c| async move {
        // The server is polled by the rule meanwhile; 128 MiB are more than any socket buffers.
        pause.await;
        assert_eq!(progress.peek(), None, "the server could send all without a reader");
        for at in 0..MESSAGES {
            let got = next(&mut c).await;
            assert!(
                matches!(&got, Ok(Incoming::Text(text)) if text.len() == 65_536),
                "message {at} is missing"
            );
        }
    })
    .await;
}

/// # Panics
/// When the rule is broken.
pub async fn an_unread_server_holds_the_sink_back(harness: &dyn Harness) {
    let server = harness.serve(Script::Stall);
    let pause = harness.sleep(Duration::from_millis(300));
    rule(harness, "an unread server holds the sink back", server, |mut c| async move {
        let sending = async {
            // 128 MiB are more than any socket buffers.
            for _ in 0..2_000 {
                if c.sink.send(Outgoing::Text("x".repeat(65_536))).await.is_err() {
                    break;
                }
            }
        };
        let sending = std::pin::pin!(sending);
        assert!(
            matches!(select(sending, pause).await, Either::Right(_)),
            "the sink took all without a reader"
        );
    })
    .await;
}

/// # Panics
/// When the rule is broken.
pub async fn dialling_nobody_is_refused(harness: &dyn Harness) {
    let got = harness.transport().connect(harness.nobody(), ConnectOptions::default()).await;
    let error = got.err();
    assert!(matches!(error, Some(TransportError::Refused { .. })), "got {error:?}");
    assert!(error.is_some_and(|error| error.is_transient()));
}

/// # Panics
/// When the rule is broken.
pub async fn a_refused_handshake_gives_its_status(harness: &dyn Harness) {
    for status in [403, 429, 503] {
        let (url, server) = harness.reject(status);
        let dial = harness.transport().connect(url, ConnectOptions::default());
        let (got, _) = futures::join!(dial, server);
        assert_eq!(got.err(), Some(TransportError::Handshake { status }));
    }
}

/// # Panics
/// When the rule is broken.
pub async fn dialling_keeps_its_time_limit(harness: &dyn Harness) {
    let Some((url, server)) = harness.black_hole() else { return };
    let after = Duration::from_millis(100);
    let options = ConnectOptions { connect_timeout: after, ..ConnectOptions::default() };
    let dial = harness.transport().connect(url, options);
    let dial = async move {
        let got = dial.await;
        assert_eq!(got.err(), Some(TransportError::Timeout { after }));
    };
    let both = std::pin::pin!(async { futures::join!(dial, server) });
    let rule = select(both, harness.sleep(RULE_DEADLINE)).await;
    assert!(matches!(rule, Either::Left(_)), "rule broken: dialling keeps its time limit");
}

/// # Panics
/// When the rule is broken.
pub async fn a_hidden_service_is_not_dialled_without_a_proxy(harness: &dyn Harness) {
    let Some(url) = harness.hidden_service() else { return };
    let got = harness.transport().connect(url, ConnectOptions::default()).await;
    let error = got.err();
    let expected = TransportError::NoProxy { demand: ProxyDemand::Onion };
    assert_eq!(error, Some(expected), "rule broken: a hidden service is not dialled");
}

async fn rule<F: Future<Output = ()>>(
    harness: &dyn Harness,
    name: &str,
    server: Server,
    client: impl FnOnce(Connection) -> F,
) -> ServerReport {
    rule_with(harness, name, ConnectOptions::default(), server, client).await
}

/// Server and client side by side until both have ended.
async fn rule_with<F: Future<Output = ()>>(
    harness: &dyn Harness,
    name: &str,
    options: ConnectOptions,
    (url, server): Server,
    client: impl FnOnce(Connection) -> F,
) -> ServerReport {
    let transport = harness.transport();
    let client = async {
        let connection = transport.connect(url, options).await;
        client(connection.unwrap_or_else(|error| panic!("rule broken: {name}: {error}"))).await;
    };
    let both = std::pin::pin!(async { futures::join!(server, client).0 });
    match select(both, harness.sleep(RULE_DEADLINE)).await {
        Either::Left((report, _)) => report,
        Either::Right(_) => panic!("rule broken: {name}: not done within {RULE_DEADLINE:?}"),
    }
}

async fn next(connection: &mut Connection) -> Result<Incoming, TransportError> {
    next_frame(&mut connection.stream).await
}

async fn next_frame(stream: &mut crate::FrameStream) -> Result<Incoming, TransportError> {
    stream.next().await.unwrap_or_else(|| Err(TransportError::lost("end of the stream")))
}
