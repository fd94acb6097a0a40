//! The information document of a relay by one HTTP/1.1 GET (NIP-11, RFC 9112).

use nipworker_protocol::RelayUrl;
use nipworker_transport::{InformationError, TransportError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{AGENT, WsTransport, dial::Target};

/// The media type that asks for the document.
const MEDIA_TYPE: &str = "application/nostr+json";
/// Largest head of an answer in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Most header fields of an answer.
const MAX_HEADERS: usize = 100;
/// Longest line that states the size of a chunk, in bytes.
const MAX_CHUNK_LINE_BYTES: usize = 256;
/// Bytes that one read takes from the socket at most.
const READ_BYTES: usize = 8 * 1024;

/// Dials, asks, and reads the whole answer.
pub(crate) async fn fetch(
    transport: WsTransport,
    url: RelayUrl,
    limit: usize,
) -> Result<String, InformationError> {
    let target = Target::of(&url)?;
    let request = request(&target);
    let socket = transport.open(&target, false).await?;
    let body = match socket {
        crate::Socket::Plain(socket) => exchange(socket, &request, limit).await?,
        crate::Socket::Tls(socket) => exchange(*socket, &request, limit).await?,
    };
    String::from_utf8(body).map_err(|_| InformationError::NotUtf8)
}

fn request(target: &Target) -> String {
    let uri = target.request.uri();
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {MEDIA_TYPE}\r\nUser-Agent: {AGENT}\r\n\
         Connection: close\r\n\r\n"
    )
}

async fn exchange<S>(socket: S, request: &str, limit: usize) -> Result<Vec<u8>, InformationError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut answer = Answer { socket, buffer: Vec::new() };
    answer.socket.write_all(request.as_bytes()).await.map_err(TransportError::lost)?;
    answer.socket.flush().await.map_err(TransportError::lost)?;
    let head = loop {
        let head = answer.head().await?;
        // What comes before the answer proper (RFC 9110, section 15.2).
        if !(100..200).contains(&head.status) || head.status == 101 {
            break head;
        }
    };
    if head.status != 200 {
        return Err(InformationError::Status { status: head.status });
    }
    if let Some(coding) = head.coding {
        return Err(broken(format!("the document is {coding}, which was not asked for")));
    }
    match head.length {
        Length::Chunked => answer.chunks(limit).await,
        Length::Bytes(length) => {
            within(length, limit)?;
            answer.exactly(length).await
        }
        Length::ToTheEnd => answer.up_to_the_end(limit).await,
    }
}

/// How long the body of an answer is (RFC 9112, section 6.3).
#[derive(Debug, PartialEq, Eq)]
enum Length {
    Bytes(usize),
    Chunked,
    ToTheEnd,
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    length: Length,
    /// A content coding other than none.
    coding: Option<String>,
}

impl Head {
    /// The head at the beginning of `bytes` and its size; `None` while it is not complete.
    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, InformationError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        let size = match answer.parse(bytes).map_err(broken)? {
            httparse::Status::Complete(size) => size,
            httparse::Status::Partial => return Ok(None),
        };
        let status = answer.code.unwrap_or_default();
        let mut head = Self { status, length: Length::ToTheEnd, coding: None };
        for header in answer.headers {
            let value = String::from_utf8_lossy(header.value).trim().to_ascii_lowercase();
            if header.name.eq_ignore_ascii_case("transfer-encoding") {
                if value != "chunked" {
                    return Err(broken(format!("unknown transfer encoding {value:?}")));
                }
                head.length = Length::Chunked;
            } else if header.name.eq_ignore_ascii_case("content-length") {
                let length = decimal(&value)
                    .ok_or_else(|| broken(format!("{value:?} is no content length")))?;
                match head.length {
                    // The chunks say it themselves, and go before.
                    Length::Chunked => {}
                    Length::Bytes(other) if other != length => {
                        return Err(broken(format!("two content lengths, {other} and {length}")));
                    }
                    _ => head.length = Length::Bytes(length),
                }
            } else if header.name.eq_ignore_ascii_case("content-encoding") && value != "identity" {
                head.coding = Some(value);
            }
        }
        Ok(Some((head, size)))
    }
}

/// A number in digits alone; what no `usize` holds is the largest one.
fn decimal(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(usize::MAX))
}

fn within(got: usize, limit: usize) -> Result<(), InformationError> {
    if got > limit { Err(InformationError::TooLarge { got, limit }) } else { Ok(()) }
}

fn broken(reason: impl std::fmt::Display) -> InformationError {
    InformationError::Protocol { reason: reason.to_string() }
}

/// What was read and not yet used.
struct Answer<S> {
    socket: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Answer<S> {
    /// Reads once; `false` at the end.
    async fn more(&mut self) -> Result<bool, InformationError> {
        let before = self.buffer.len();
        self.buffer.resize(before + READ_BYTES, 0);
        let read = self.socket.read(&mut self.buffer[before..]).await;
        self.buffer.truncate(before + read.as_ref().map_or(0, |bytes| *bytes));
        match read {
            Ok(bytes) => Ok(bytes > 0),
            // A TLS stream that ends without saying so.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(TransportError::lost(error).into()),
        }
    }

    async fn need(&mut self, what: &str) -> Result<(), InformationError> {
        if self.more().await? {
            return Ok(());
        }
        Err(TransportError::lost(format!("the stream ended within {what}")).into())
    }

    async fn head(&mut self) -> Result<Head, InformationError> {
        loop {
            if let Some((head, size)) = Head::parse(&self.buffer)? {
                self.buffer.drain(..size);
                return Ok(head);
            }
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Err(broken(format!("a head of more than {MAX_HEAD_BYTES} bytes")));
            }
            self.need("the head").await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, InformationError> {
        while self.buffer.len() < length {
            self.need("the document").await?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    async fn up_to_the_end(&mut self, limit: usize) -> Result<Vec<u8>, InformationError> {
        loop {
            within(self.buffer.len(), limit)?;
            if !self.more().await? {
                return Ok(std::mem::take(&mut self.buffer));
            }
        }
    }

    async fn chunks(&mut self, limit: usize) -> Result<Vec<u8>, InformationError> {
        let mut body = Vec::new();
        loop {
            let size = self.chunk_size().await?;
            if size == 0 {
                // What may follow are fields that nobody here reads.
                return Ok(body);
            }
            within(size.saturating_add(body.len()), limit)?;
            body.extend(self.exactly(size).await?);
            if self.exactly(2).await? != b"\r\n" {
                return Err(broken("a chunk does not end where it should"));
            }
        }
    }

    async fn chunk_size(&mut self) -> Result<usize, InformationError> {
        loop {
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete((line, size))) => {
                    self.buffer.drain(..line);
                    return Ok(usize::try_from(size).unwrap_or(usize::MAX));
                }
                Ok(httparse::Status::Partial) if self.buffer.len() <= MAX_CHUNK_LINE_BYTES => {
                    self.need("a chunk").await?;
                }
                Ok(httparse::Status::Partial) | Err(_) => {
                    return Err(broken("a chunk without a size"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
