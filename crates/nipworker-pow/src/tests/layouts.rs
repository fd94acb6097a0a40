//! Where the digits lie, and what an index means.

use std::collections::HashSet;

use nipworker_hash::{BLOCK_BYTES, INITIAL_STATE, LANES, compress};
use nipworker_protocol::Tag;
use proptest::prelude::*;

use super::{content, event};
use crate::digits::{Digits, MAX_BEHIND, PADDING};
use crate::input::without_nonce;
use crate::layout::Layout;

/// The index of a nonce, by the rule in the documentation of the digits.
fn index_of(digits: Digits, nonce: &str) -> u128 {
    let hoisted = 4 * digits.hoisted();
    let number = |text: &str| if text.is_empty() { 0 } else { text.parse::<u128>().unwrap() };
    let (before, behind) = nonce.split_at(digits.before);
    let (high, lane) = before.split_at(before.len() - 3);
    let (middle, inner) = behind.split_at(hoisted);
    let rows = 10u128.pow(inner.len() as u32);
    let high = number(high);
    let outer = if high == 0 { 0 } else { high * 10u128.pow(hoisted as u32) } + number(middle);
    (outer * rows + number(inner)) * 1000 + number(lane)
}

#[test]
fn an_attempt_hashes_as_few_blocks_as_the_content_allows() {
    for len in 0..=300 {
        let layout = Layout::new(event(&content(len, false), 1, 1_700_000_000), 20);
        // 21 bytes besides the content follow the nonce: the rest of the tags, the quotes, the
        // end, the marker and the length. At least one digit lies in the first block.
        assert_eq!(layout.blocks(), (21 + len + 1).div_ceil(BLOCK_BYTES), "content {len}");
    }
}

#[test]
fn the_digits_end_where_the_suffix_needs_them_and_the_lane_ends_at_a_block() {
    for prefix in 80..=400 {
        for suffix in 12..=150 {
            let digits = Digits::between(prefix, suffix);
            let place = format!("prefix {prefix}, suffix {suffix}, {digits:?}");
            assert_eq!((prefix + digits.before) % BLOCK_BYTES, 0, "{place}");
            assert!((1..=MAX_BEHIND).contains(&digits.behind), "{place}");
            assert!(digits.before >= 3 && digits.width() >= 20, "{place}");
            let blocks = (digits.behind + suffix + PADDING).div_ceil(BLOCK_BYTES);
            assert_eq!(blocks, (1 + suffix + PADDING).div_ceil(BLOCK_BYTES), "{place}");
            assert!((1..=4).contains(&(digits.behind - 4 * digits.hoisted())), "{place}");
        }
    }
}

#[test]
fn few_rows_to_a_set_are_chosen_only_where_there_is_no_room_for_more() {
    for suffix in 12..=75 {
        let digits = Digits::between(94, suffix);
        let room = (suffix + PADDING + 1).next_multiple_of(BLOCK_BYTES) - suffix - PADDING;
        assert!(digits.rows() >= 100 || room == 1, "suffix {suffix}: {digits:?}");
        assert!(digits.rows() >= 1000 || room == 1 || room % 4 == 2, "suffix {suffix}: {digits:?}");
    }
}

#[test]
fn short_content_has_eight_rounds_hoisted() {
    let layout = Layout::new(event("", 0, 1_700_000_000), 20);
    assert_eq!((layout.digits.behind, layout.digits.hoisted()), (35, 8));
    let layout = Layout::new(event(&content(35, false), 0, 1_700_000_000), 20);
    assert_eq!((layout.digits.behind, layout.digits.hoisted()), (8, 1));
}

#[test]
fn the_bytes_that_are_hashed_are_those_of_the_serialisation() {
    // Each residue, and times of other lengths.
    for len in (0..=130).chain([1_000]) {
        for (tags, created_at) in [(0, 1_700_000_000), (1, 9), (3, -5), (2, i64::MAX)] {
            let layout = Layout::new(event(&content(len, true), tags, created_at), 7);
            let preimage = layout.event_at(0).id_preimage();
            let padded_len = (preimage.len() + PADDING).next_multiple_of(BLOCK_BYTES);
            let boundary = padded_len - layout.blocks() * BLOCK_BYTES;
            assert_eq!(preimage[boundary - BLOCK_BYTES..boundary], layout.lanes, "content {len}");
            let shown = (preimage.len() - boundary).min(BLOCK_BYTES);
            let first = &preimage[boundary..][..shown];
            assert_eq!(first, &layout.first[..shown], "content {len}");
            let mut state = INITIAL_STATE;
            for block in preimage[..boundary - BLOCK_BYTES].as_chunks::<BLOCK_BYTES>().0 {
                compress(&mut state, block);
            }
            assert_eq!(state, layout.state, "content {len}");
        }
    }
}

#[test]
fn a_refreshed_layout_is_the_one_that_would_have_been_made() {
    for (tags, len) in [(0, 0), (2, 35), (1, 200)] {
        let old = Layout::new(event(&content(len, true), tags, 999_999_998), 20);
        // The number of digits of the time changes, or it does not.
        for now in [999_999_999, 1_000_000_000, 1_700_000_000] {
            let fresh = old.at(now);
            let made = Layout::new(event(&content(len, true), tags, now), 20);
            assert_ne!(fresh.id, old.id);
            assert_eq!(fresh.created_at(), now);
            assert_eq!(fresh.digits, made.digits);
            assert_eq!(
                (fresh.state, fresh.lanes, fresh.first),
                (made.state, made.lanes, made.first)
            );
            assert_eq!(fresh.tail, made.tail);
            assert_eq!(fresh.event_at(77), made.event_at(77));
            assert_eq!(old.nonce_at(now, 77), made.digits.nonce(77));
        }
    }
}

#[test]
fn neighbouring_indices_have_different_nonces_across_every_carry() {
    for suffix in 12..=80 {
        let digits = Digits::between(94, suffix);
        let set = LANES as u64 * digits.rows();
        for edge in [0, 1_000, set, 7 * set, 1_000_000_007, u64::MAX - 50] {
            let from = edge.saturating_sub(30);
            let nonces: HashSet<_> =
                (from..edge + 30.min(u64::MAX - edge)).map(|index| digits.nonce(index)).collect();
            assert_eq!(nonces.len() as u64, edge + 30.min(u64::MAX - edge) - from);
        }
    }
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn an_index_can_be_read_off_its_nonce_which_has_a_fixed_width_and_is_a_u128(
        prefix in 60usize..5_000,
        suffix in 12usize..5_000,
        index in prop_oneof![any::<u64>(), 0u64..100_000, (u64::MAX - 9)..=u64::MAX],
    ) {
        let digits = Digits::between(prefix, suffix);
        let nonce = digits.nonce(index);
        prop_assert_eq!(nonce.len(), digits.width());
        prop_assert!(nonce.parse::<u128>().is_ok());
        // With leading zeros taken off a reader may take it for shorter, but no number changes.
        prop_assert_eq!(index_of(digits, &nonce), u128::from(index));
    }
}
