//! Refuses a WebSocket frame by its announced length, before its payload is read.
//!
//! The frame parser below only checks a frame's length when all of it has arrived, so a client
//! could announce gigabytes and have them buffered. This guard reads the same headers
//! (RFC 6455 §5.2) as the bytes pass by and stops the stream at the first one that announces too
//! much, alone or together with the fragments before it.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_web::{dev, error::PayloadError, web::Bytes};
use futures::Stream;
use tokio::sync::Notify;

/// Longest frame header: 2 bytes, 8 of extended length, 4 of mask.
const MAX_HEADER_BYTES: usize = 14;
const FINAL: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const FIRST_CONTROL_OPCODE: u8 = 0x08;
const MASKED: u8 = 0x80;

/// Follows frame headers through a stream of bytes.
#[derive(Debug)]
pub(super) struct FrameGuard {
    limit: u64,
    header: [u8; MAX_HEADER_BYTES],
    header_len: usize,
    /// Payload bytes of the current frame that are still to come.
    payload_left: u64,
    /// Payload bytes of the current message in its fragments so far.
    message_bytes: u64,
}

impl FrameGuard {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit as u64,
            header: [0; MAX_HEADER_BYTES],
            header_len: 0,
            payload_left: 0,
            message_bytes: 0,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// The announced size in bytes, when it is over the limit.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<(), u64> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.payload_left > 0 {
                let skip =
                    usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
                self.payload_left -= skip as u64;
                bytes = &bytes[skip..];
                continue;
            }
            self.header[self.header_len] = *first;
            self.header_len += 1;
            bytes = rest;
            if let Some((length, control)) = self.complete_header() {
                let last = self.header[0] & FINAL != 0;
                self.header_len = 0;
                self.payload_left = length;
                if control {
                    // Control frames hold at most 125 bytes; the parser refuses longer ones.
                    if length > self.limit {
                        return Err(length);
                    }
                    continue;
                }
                self.message_bytes = self.message_bytes.saturating_add(length);
                if self.message_bytes > self.limit {
                    return Err(self.message_bytes);
                }
                if last {
                    self.message_bytes = 0;
                }
            }
        }
        Ok(())
    }

    /// Payload length, and whether this is a control frame, once the header is whole.
    fn complete_header(&self) -> Option<(u64, bool)> {
        let header = &self.header[..self.header_len];
        let [first, second, rest @ ..] = header else { return None };
        let mask = if second & MASKED == 0 { 0 } else { 4 };
        let (length, extended) = match second & !MASKED {
            126 => (u64::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?)), 2),
            127 => (u64::from_be_bytes(rest.get(..8)?.try_into().ok()?), 8),
            short => (u64::from(short), 0),
        };
        (rest.len() >= extended + mask).then_some((length, first & OPCODE >= FIRST_CONTROL_OPCODE))
    }
}

/// Tells that a frame was too large.
#[derive(Debug, Default)]
pub(super) struct Tripped {
    bytes: Cell<Option<u64>>,
    notify: Notify,
}

impl Tripped {
    /// Waits until a frame is too large and returns the announced bytes. Cancel safe.
    pub(super) async fn wait(&self) -> u64 {
        loop {
            if let Some(bytes) = self.bytes.get() {
                return bytes;
            }
            self.notify.notified().await;
        }
    }

    fn trip(&self, bytes: u64) {
        self.bytes.set(Some(bytes));
        self.notify.notify_one();
    }
}

/// A request's payload under guard. After a frame that is too large nothing more comes out of it;
/// what the client still sends is read and thrown away, so that the client can read why.
pub(super) fn guarded(payload: dev::Payload, limit: usize, tripped: Rc<Tripped>) -> dev::Payload {
    let stream = Guarded { payload, guard: FrameGuard::new(limit), tripped, discard: false };
    dev::Payload::Stream { payload: Box::pin(stream) }
}

struct Guarded {
    payload: dev::Payload,
    guard: FrameGuard,
    tripped: Rc<Tripped>,
    discard: bool,
}

impl Stream for Guarded {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(bytes) = ready!(Pin::new(&mut self.payload).poll_next(cx)) else {
                return Poll::Ready(None);
            };
            let bytes = bytes?;
            if self.discard {
                continue;
            }
            match self.guard.take(&bytes) {
                Ok(()) => return Poll::Ready(Some(Ok(bytes))),
                Err(announced) => {
                    self.discard = true;
                    self.tripped.trip(announced);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match payload {
            0..126 => frame.push(MASKED | payload as u8),
            126..65_536 => {
                frame.push(MASKED | 126);
                frame.extend((payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(MASKED | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.extend([1, 2, 3, 4]);
        frame.resize(frame.len() + payload, 0xff);
        frame
    }

    const TEXT: u8 = FINAL | 1;
    const PING: u8 = FINAL | 9;

    #[test]
    fn whole_frames_up_to_the_limit_pass_in_pieces_of_any_size() {
        let stream: Vec<u8> = [0, 1, 125, 126, 1_000, 65_535, 65_536, 70_000]
            .into_iter()
            .flat_map(|payload| frame(TEXT, payload))
            .collect();
        for piece in [1, 2, 3, 7, 64, 4_096, stream.len()] {
            let mut guard = FrameGuard::new(70_000);
            assert!(stream.chunks(piece).all(|bytes| guard.take(bytes).is_ok()), "{piece}");
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_by_its_header_alone() {
        let mut guard = FrameGuard::new(1_000);
        let large = frame(TEXT, 1_001);
        assert_eq!(guard.take(&large[..8]), Err(1_001));
        let mut guard = FrameGuard::new(1_000);
        let huge = [TEXT, MASKED | 127, 0, 0, 0x10, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        assert_eq!(guard.take(&huge[..13]), Ok(()));
        assert_eq!(guard.take(&huge[13..]), Err(0x1000_0000_0000));
    }

    #[test]
    fn fragments_count_together_and_control_frames_between_them_do_not() {
        let mut guard = FrameGuard::new(1_000);
        assert_eq!(guard.take(&frame(1, 600)), Ok(()));
        assert_eq!(guard.take(&frame(PING, 100)), Ok(()));
        assert_eq!(guard.take(&frame(0, 401)), Err(1_001));
        let mut guard = FrameGuard::new(1_000);
        for _ in 0..10 {
            assert_eq!(guard.take(&frame(1, 600)), Ok(()));
            assert_eq!(guard.take(&frame(FINAL, 400)), Ok(()));
        }
    }
}
