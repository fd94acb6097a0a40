//! Garbage at the gateway's port: the daemon lives, serves the others, and nothing in it failed.

use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use nipworker_tests::{
    daemon::{Daemon, Home},
    events::Author,
    http,
    socket::Socket,
    turn,
};
use rand::{RngCore, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::{
    Bytes, Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Somebody who uses the gateway meanwhile.
struct Bystander {
    socket: Socket,
    author: Author,
    slowest: Duration,
}

impl Bystander {
    async fn of(daemon: &Daemon) -> Self {
        let socket = Socket::open(&daemon.url()).await;
        Self { socket, author: Author::new(), slowest: Duration::ZERO }
    }

    async fn is_served(&mut self, after: &str) {
        let start = Instant::now();
        let (accepted, reason) = self.socket.publish(&self.author.note("fine").to_json()).await;
        assert!(accepted, "after {after}: {reason}");
        self.slowest = self.slowest.max(start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(5), "after {after}: {:?}", start.elapsed());
    }
}

/// That nothing broke inside: no restart, no panic.
async fn is_unharmed(daemon: &mut Daemon, bystander: &mut Bystander) {
    bystander.is_served("all of it").await;
    assert!(daemon.process.is_running());
    let said = daemon.process.stderr();
    assert!(!said.contains("panicked"), "{said}");
    let status = daemon.status().await;
    assert!(status["engine"]["supervisor"].is_object(), "{status}");
    assert_eq!(sum_of(&status["engine"]["supervisor"], "panics"), 0, "{status}");
    assert_eq!(sum_of(&status["engine"]["supervisor"], "restarts"), 0, "{status}");
    println!("the bystander waited {:?} at most", bystander.slowest);
}

/// The sum of all numbers with this name anywhere in `value`.
fn sum_of(value: &Value, name: &str) -> u64 {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| match value.as_u64() {
                Some(number) if key == name => number,
                _ => sum_of(value, name),
            })
            .sum(),
        Value::Array(items) => items.iter().map(|item| sum_of(item, name)).sum(),
        _ => 0,
    }
}

#[tokio::test]
async fn random_bytes_and_ambiguous_http_requests_harm_nobody() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let mut daemon = home.daemon(&[]).await;
    let mut bystander = Bystander::of(&daemon).await;
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for size in [1, 10, 1_000, 100_000] {
        for _ in 0..5 {
            let mut bytes = vec![0; size];
            random.fill_bytes(&mut bytes);
            http::throw(&daemon.address, &bytes).await;
            bystander.is_served("random bytes").await;
        }
    }

    let long_header = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let many_headers = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(10_000));
    // Two lengths, or a length and chunks: who takes these for two requests can be made to serve
    // one client's bytes as another's. Each must be refused or its connection closed.
    let ambiguous = [
        "POST /api/v1/query HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 40\r\n\r\n\
         {}GET /api/v1/status HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /api/v1/query HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/v1/status HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /api/v1/query HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n\
         0\r\n\r\n",
        "POST /api/v1/query HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        "POST /api/v1/query HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}",
        "POST /api/v1/query HTTP/1.1\r\nHost: a\r\nContent-Length: \
         99999999999999999999999\r\n\r\n{}",
        "GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET /healthz HTTP/9.9\r\n\r\n",
        &long_header,
        &many_headers,
    ];
    for request in ambiguous {
        let answer = http::throw(&daemon.address, request.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer);
        let shown: String = request.chars().take(120).collect();
        assert!(
            answer.matches("HTTP/1.1 ").count() <= 1 && !answer.contains("\"supervisor\""),
            "{shown:?} was taken for two requests: {answer}"
        );
        assert!(!answer.starts_with("HTTP/1.1 200"), "{shown:?} was served: {answer}");
        bystander.is_served(&shown).await;
    }

    let no_path = http::get(&daemon.address, "/../../etc/passwd").await.unwrap();
    assert!((400..500).contains(&no_path.status));
    // A request that never ends must not be waited for in silence by others.
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(&daemon.address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHo").await.unwrap();
        slow.push(stream);
    }
    bystander.is_served("fifty half requests").await;
    is_unharmed(&mut daemon, &mut bystander).await;
}

#[tokio::test]
async fn broken_websocket_frames_end_their_own_connection_only() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let mut daemon = home.daemon(&[]).await;
    let mut bystander = Bystander::of(&daemon).await;
    let mut random = StdRng::seed_from_u64(1);
    let mut noise = vec![0; 4_000];
    random.fill_bytes(&mut noise);
    let gigabytes = [0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4];
    for (name, bytes) in [
        ("noise", noise.as_slice()),
        ("an unmasked frame", &[0x81, 0x02, b'h', b'i']),
        ("reserved bits", &[0xf1, 0x82, 0, 0, 0, 0, b'h', b'i']),
        ("an unknown opcode", &[0x83, 0x82, 0, 0, 0, 0, b'h', b'i']),
        ("a control frame in fragments", &[0x09, 0x80, 0, 0, 0, 0]),
        ("a continuation of nothing", &[0x80, 0x82, 0, 0, 0, 0, b'h', b'i']),
        ("an announced exabyte", &gigabytes),
        ("a text that is not UTF-8", &[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28]),
    ] {
        let mut stream = TcpStream::connect(&daemon.address).await.unwrap();
        stream.write_all(UPGRADE.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 101", "the upgrade was refused");
        stream.write_all(bytes).await.unwrap();
        // The connection ends: what is left is read to its end.
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest));
        assert!(ended.await.is_ok(), "{name}: the connection stays open");
        bystander.is_served(name).await;
    }
    is_unharmed(&mut daemon, &mut bystander).await;
}

#[tokio::test]
async fn oversized_deep_and_senseless_messages_are_answered_or_end_their_connection() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let mut daemon = home.daemon(&[]).await;
    let mut bystander = Bystander::of(&daemon).await;

    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let id = "ab".repeat(32);
    for (name, frame) in [
        ("deep JSON", deep(100_000)),
        ("deep JSON as an event", format!("[\"EVENT\",{}]", deep(100_000))),
        ("deep JSON as a filter", format!("[\"REQ\",\"a\",{}]", deep(100_000))),
        ("deep objects", "{\"a\":".repeat(100_000)),
        ("no JSON", "hello".to_owned()),
        ("null", "null".to_owned()),
        ("an empty array", "[]".to_owned()),
        ("an unknown verb", "[\"HELLO\",1]".to_owned()),
        ("a NUL character", "[\"REQ\",\"\\u0000\",{\"kinds\":[1e999]}]".to_owned()),
        ("half a surrogate pair", "[\"REQ\",\"\\ud800\",{}]".to_owned()),
        ("numbers beyond range", format!("[\"EVENT\",{{\"id\":\"{id}\",\"kind\":-1}}]")),
        ("a REQ without filter", "[\"REQ\",\"a\"]".to_owned()),
        (
            "900 KB of text in an event",
            format!("[\"EVENT\",{{\"id\":\"{}\"}}]", "x".repeat(900_000)),
        ),
    ] {
        let mut socket = Socket::open(&daemon.url()).await;
        assert!(socket.send(Message::text(frame)).await, "{name}");
        let answer = socket.hear_one_of(&["NOTICE", "CLOSED", "OK"]).await;
        println!("{name}: {}", answer.to_string().chars().take(160).collect::<String>());
        assert!(answer[0] != "OK" || answer[2] == false, "{name}: {answer}");
        bystander.is_served(name).await;
    }

    let mut socket = Socket::open(&daemon.url()).await;
    assert!(socket.send(Message::text("")).await);
    assert!(
        socket.fetch(&json!({ "kinds": [40_000] })).await.is_empty(),
        "an empty text says nothing"
    );

    let mut socket = Socket::open(&daemon.url()).await;
    let sent = socket.send(Message::text("x".repeat(3 * 1024 * 1024))).await;
    let end = socket.message().await;
    assert!(
        !sent || matches!(end, None | Some(Message::Close(_) | Message::Text(_))),
        "3 MB in one message: {end:?}"
    );
    bystander.is_served("3 MB in one message").await;

    let mut socket = Socket::open(&daemon.url()).await;
    let binary = Frame::message(Bytes::from_static(b"\xff\xfe"), OpCode::Data(Data::Binary), true);
    assert!(socket.send(Message::Frame(binary)).await);
    assert!(socket.message().await.is_some_and(|m| m.is_close() || m.is_text()), "binary frame");
    bystander.is_served("a binary frame").await;

    // Bad messages without end: the daemon loses patience with this client, with nobody else.
    let (mut sink, mut stream) =
        tokio_tungstenite::connect_async(daemon.url()).await.unwrap().0.split();
    let flood = async { while sink.send(Message::text("{")).await.is_ok() {} };
    let drain = async { while stream.next().await.is_some_and(|m| m.is_ok()) {} };
    tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(flood, drain) })
        .await
        .expect("a client that only sends nonsense is disconnected");
    is_unharmed(&mut daemon, &mut bystander).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_cannot_make_the_daemon_keep_its_answers_for_ever() {
    let _turn = turn::beside_others().await;
    let home = Home::new();
    let mut daemon = home.daemon(&[]).await;
    let mut bystander = Bystander::of(&daemon).await;
    let author = Author::new();
    let long = "x".repeat(20_000);
    for number in 0..100 {
        let event = author.event(1, vec![], &format!("{long}{number}"), 1_700_000_000 + number);
        assert!(bystander.socket.publish(&event.to_json()).await.0);
    }
    let before = nipworker_tests::cost::Cost::of(daemon.process.id()).rss_bytes;
    // 20 clients ask for 2 MB each and read nothing.
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(&daemon.address).await.unwrap();
        stream.write_all(UPGRADE.as_bytes()).await.unwrap();
        let mut frame = vec![0x81, 0x80, 0, 0, 0, 0];
        let text = json!(["REQ", "s", { "kinds": [1] }]).to_string();
        frame[1] = 0x80 | u8::try_from(text.len()).unwrap();
        frame.extend_from_slice(text.as_bytes());
        stream.write_all(&frame).await.unwrap();
        silent.push(stream);
    }
    for _ in 0..20 {
        bystander.is_served("clients that do not read").await;
    }
    let after = nipworker_tests::cost::Cost::of(daemon.process.id()).rss_bytes;
    println!("resident: {} MB, then {} MB", before >> 20, after >> 20);
    // 20 clients with 4 MiB of queue each, and what the allocator keeps.
    assert!(after < before + 200 * 1024 * 1024, "{before} bytes, then {after}");
    is_unharmed(&mut daemon, &mut bystander).await;
}
