//! The fast search against a naive one that serialises the event anew for each nonce.

mod layouts;
mod searches;

use std::sync::atomic::AtomicU64;

use nipworker_hash::SearchKernel;
use nipworker_mining::{BatchContext, Span};
use nipworker_protocol::{PublicKey, Tag, UnsignedEvent};

use crate::layout::Layout;
use crate::search::{Found, Paced, search};

fn event(content: &str, tags: usize, created_at: i64) -> UnsignedEvent {
    let tags = (0..tags).map(|n| Tag::new(["e".to_owned(), format!("{n:064x}")])).collect();
    UnsignedEvent::new(PublicKey::from_bytes([0xab; 32]), created_at, 1, tags, content)
}

/// Bits of the real id of `index`, by the real serialisation.
fn naive_bits(layout: &Layout, index: u64) -> u32 {
    layout.event_at(index).compute_id().leading_zero_bits()
}

/// What a search of `span` must find.
fn naive(layout: &Layout, target: u32, span: Span) -> Found {
    let mut found = Found::default();
    for index in span.start..span.end() {
        let bits = naive_bits(layout, index);
        found.attempts += 1;
        if found.best.is_none_or(|(_, best)| bits > best) {
            found.best = Some((index, bits));
        }
        if bits >= target {
            found.hit = Some((index, bits));
            break;
        }
    }
    found
}

fn fast(layout: &Layout, kernel: &dyn SearchKernel, target: u32, span: Span) -> Found {
    let current = AtomicU64::new(0);
    search(layout, paced(kernel), target, span, &BatchContext::new(0, &current, 0))
}

fn paced(kernel: &dyn SearchKernel) -> Paced<'_> {
    Paced { kernel, blocks_per_look: 2048 }
}

/// `len` bytes of serialised content: plain, or with characters that are escaped or multibyte.
fn content(len: usize, escaped: bool) -> String {
    if !escaped {
        return "x".repeat(len);
    }
    // Serialised lengths: 2, 2, 6, 2, 4, 3, 1.
    let pieces: [(&str, usize); 7] =
        [("\"", 2), ("\n", 2), ("\u{1}", 6), ("\\", 2), ("🦀", 4), ("€", 3), ("x", 1)];
    let mut text = String::new();
    let mut left = len;
    for (piece, cost) in pieces.iter().cycle() {
        if left == 0 {
            break;
        }
        if *cost <= left {
            text.push_str(piece);
            left -= cost;
        }
    }
    text
}
