//! The fast search against a naive one that serialises the event anew for each nonce.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nipworker_mining::{BatchContext, Span, WorkloadFactory};
use nipworker_protocol::{PublicKey, Tag, UnsignedEvent};
use proptest::prelude::*;
use serde_json::json;

use crate::input::without_nonce;
use crate::kernel::{Found, search};
use crate::layout::{BLOCK, Layout};
use crate::workload::PowFactory;

fn event(content: &str, tags: usize, created_at: i64) -> UnsignedEvent {
    let tags = (0..tags).map(|n| Tag::new(["e".to_owned(), format!("{n:064x}")])).collect();
    UnsignedEvent::new(PublicKey::from_bytes([0xab; 32]), created_at, 1, tags, content)
}

/// Bits of the real id of `index`, by the real serialisation.
fn naive_bits(layout: &Layout, index: u64) -> u32 {
    layout.event_at(index).compute_id().leading_zero_bits()
}

fn fast(layout: &Layout, target: u32, span: Span) -> Found {
    let current = AtomicU64::new(0);
    search(layout, target, span, &BatchContext::new(0, &current, 0))
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

#[test]
fn the_first_hit_is_real_for_every_length_of_content_tags_escapes_and_difficulty() {
    for len in 0..=130 {
        for tags in [0, 1, 4] {
            for escaped in [false, true] {
                for difficulty in 1..=14 {
                    let event = event(&content(len, escaped), tags, 1_700_000_000);
                    let layout = Layout::new(event, difficulty);
                    let found = fast(&layout, difficulty, Span::new(0, 1 << 22));
                    let (index, bits) = found.hit.unwrap();
                    let place = format!("content {len}, {tags} tags, {difficulty} bits");
                    assert_eq!(bits, naive_bits(&layout, index), "{place}");
                    assert!(bits >= difficulty, "{place}");
                    assert_eq!(found.attempts, index + 1, "{place}");
                    assert_eq!(found.best, found.hit, "{place}");
                    // Nothing was passed over. All would take minutes; the first ones do.
                    for earlier in 0..index.min(12) {
                        assert!(naive_bits(&layout, earlier) < difficulty, "{place}");
                    }
                }
            }
        }
    }
}

#[test]
fn the_layout_hashes_as_few_blocks_per_attempt_as_the_content_allows() {
    for len in 0..=300 {
        let layout = Layout::new(event(&content(len, false), 1, 1_700_000_000), 20);
        // 21 bytes besides the content follow the nonce: the rest of the tags, the quotes, the
        // end, the marker and the length. At least one digit lies in the first block.
        assert_eq!(layout.inner.len(), (21 + len + 1).div_ceil(BLOCK), "content {len}");
        assert!((1..=34).contains(&layout.inner_digits));
        assert!(layout.outer_digits >= 3);
        assert!(layout.outer_digits + layout.inner_digits >= 20);
    }
}

#[test]
fn the_nonce_keeps_its_width_and_parses_as_a_u128() {
    for len in 0..=130 {
        let layout = Layout::new(event(&content(len, true), 4, 1_700_000_000), 8);
        let widths: Vec<usize> = [0, 9, 10, 99_999, u64::MAX]
            .map(|index| {
                let mined = layout.event_at(index);
                let nonce = mined.tags.last().unwrap().value().unwrap().to_owned();
                assert_eq!(nonce.parse(), Ok(u128::from(index)));
                nonce.len()
            })
            .to_vec();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{widths:?}");
    }
}

#[test]
fn a_target_of_zero_takes_the_first_nonce_and_one_of_256_none() {
    let layout = Layout::new(event("gm", 0, 1_700_000_000), 0);
    assert_eq!(fast(&layout, 0, Span::new(5, 10)).hit.unwrap().0, 5);
    let layout = Layout::new(event("gm", 0, 1_700_000_000), 256);
    let found = fast(&layout, 256, Span::new(0, 5_000));
    assert_eq!((found.attempts, found.hit), (5_000, None));
}

#[test]
fn a_cancelled_search_reports_what_it_has_done() {
    let layout = Layout::new(event("gm", 0, 1_700_000_000), 256);
    let current = AtomicU64::new(1);
    let found = search(&layout, 256, Span::new(0, 10_000), &BatchContext::new(0, &current, 0));
    assert_eq!(found, Found::default());
}

#[test]
fn nonce_tags_that_are_there_are_taken_out() {
    let mut event = event("gm", 2, 1_700_000_000);
    event.tags.insert(0, Tag::new(["nonce", "1", "2"]));
    event.tags.push(Tag::new(["nonce"]));
    let clean = without_nonce(event);
    assert!(clean.tags.iter().all(|tag| tag.name() == "e"));
    assert_eq!(clean.tags.len(), 2);
}

#[test]
fn a_list_is_no_input() {
    let factory = PowFactory::new(Arc::new(|| 1));
    let event = serde_json::to_value(event("gm", 0, 1)).unwrap();
    assert!(factory.prepare(&json!({ "event": event, "difficulty": 8 })).is_ok());
    assert!(factory.prepare(&json!([event, 8, true])).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_span_of_any_event_gives_the_bits_of_the_naive_loop(
        content in "\\PC{0,90}|[\\x00-\\x7f]{0,200}",
        tags in 0usize..6,
        created_at in prop_oneof![0i64..2_000_000_000, any::<i64>()],
        power in 0u32..20,
        before in 0u64..20,
        difficulty in 0u32..=256,
    ) {
        let layout = Layout::new(event(&content, tags, created_at), difficulty);
        // Around a power of ten, where digits roll over.
        let start = 10u64.pow(power).saturating_sub(before);
        let want: Vec<u32> = (start..start + 40).map(|index| naive_bits(&layout, index)).collect();
        for (index, bits) in (start..).zip(&want) {
            let found = fast(&layout, 0, Span::new(index, 1));
            prop_assert_eq!(found.hit, Some((index, *bits)));
        }
        let highest = want.iter().copied().max().unwrap_or(0);
        let first = start + want.iter().position(|bits| *bits == highest).unwrap_or(0) as u64;
        let found = fast(&layout, 256, Span::new(start, 40));
        prop_assert_eq!((found.attempts, found.best), (40, Some((first, highest))));
        let found = fast(&layout, highest, Span::new(start, 40));
        prop_assert_eq!(found.hit, Some((first, highest)));
    }
}
