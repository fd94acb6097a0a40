use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::FutureExt;
use tokio::io::ReadBuf;

use super::*;

/// Gives its bytes in pieces of one size, and takes what is written.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    piece: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let end = (self.at + self.piece.min(buffer.remaining())).min(self.bytes.len());
        buffer.put_slice(&self.bytes[self.at..end]);
        self.at = end;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The body of an answer, read in pieces of many sizes; all must agree.
fn body(answer: &str) -> Result<String, InformationError> {
    let read = |piece| {
        let socket = Pieces { bytes: answer.as_bytes().to_vec(), at: 0, piece };
        let read = exchange(socket, "", 100).now_or_never().expect("these bytes never wait");
        read.map(|body| String::from_utf8(body).unwrap())
    };
    let whole = read(usize::MAX);
    // Reading a long head byte by byte only takes time.
    let smallest = if answer.len() < 4_000 { 1 } else { 1_000 };
    for piece in smallest..smallest + 20 {
        assert_eq!(read(piece), whole, "in pieces of {piece}");
    }
    whole
}

fn refused(answer: &str) -> String {
    body(answer).unwrap_err().to_string()
}

#[test]
fn a_body_ends_where_its_head_says() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}and more";
    assert_eq!(body(length).unwrap(), "{}");
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\n\
                   1;ext=1\r\n{\r\n009\r\n\"a\":\"\r\nb\"\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\n";
    assert_eq!(body(chunked).unwrap(), "{\"a\":\"\r\nb\"}");
    assert_eq!(body("HTTP/1.0 200 OK\r\n\r\n{\"a\":1}").unwrap(), "{\"a\":1}");
    let both = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n\
                2\r\n{}\r\n0\r\n\r\n";
    assert_eq!(body(both).unwrap(), "{}", "chunks go before a length");
}

#[test]
fn early_hints_come_before_the_answer_proper() {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                  HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(body(answer).unwrap(), "{}");
}

#[test]
fn what_breaks_the_rules_is_refused_with_the_rule() {
    let ok = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}");
    for (answer, why) in [
        (ok("content-length: 1\r\ncontent-length: 2\r\n\r\n{}"), "two content lengths"),
        (ok("content-length: -1\r\n\r\n{}"), "no content length"),
        (ok("content-length: +1\r\n\r\n{}"), "no content length"),
        (ok("transfer-encoding: gzip\r\n\r\n{}"), "unknown transfer encoding"),
        (ok("content-encoding: br\r\ncontent-length: 2\r\n\r\n{}"), "not asked for"),
        (ok("transfer-encoding: chunked\r\n\r\nzz\r\n{}"), "a chunk without a size"),
        (ok("transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n"), "does not end where it should"),
        (ok("transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"), "the stream ended within a chunk"),
        (ok("content-length: 3\r\n\r\n{}"), "the stream ended within the document"),
        (ok("x: y\r\n"), "the stream ended within the head"),
        (format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(40_000)), "a head of more than"),
        (ok(&"x: y\r\n".repeat(200)), "http: "),
        ("SSH-2.0-nothing here\r\n\r\n".to_owned(), "http: "),
    ] {
        let refused = refused(&answer);
        assert!(refused.contains(why), "{why}: {refused}");
    }
}

#[test]
fn a_size_over_the_limit_is_refused_before_it_is_read() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n65\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n".to_owned(),
    ] {
        let refused = body(&answer);
        assert!(
            matches!(refused, Err(InformationError::TooLarge { limit: 100, .. })),
            "{answer}: {refused:?}"
        );
    }
}

#[test]
fn the_question_names_host_path_and_media_type() {
    let url = RelayUrl::parse("wss://Relay.example:7777/sub?x=1").unwrap();
    let asked = request(&Target::of(&url).unwrap());
    assert!(asked.starts_with("GET /sub?x=1 HTTP/1.1\r\nHost: relay.example:7777\r\n"), "{asked}");
    assert!(asked.contains("\r\nAccept: application/nostr+json\r\n"), "{asked}");
    assert!(asked.ends_with("\r\n\r\n"), "{asked}");
    let bare = request(&Target::of(&RelayUrl::parse("ws://[::1]").unwrap()).unwrap());
    assert!(bare.starts_with("GET / HTTP/1.1\r\nHost: [::1]\r\n"), "{bare}");
}
