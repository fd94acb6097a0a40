//! What a search finds.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use nipworker_hash::{Candidate, LANES, Midstates, Row, SearchKernel, Seed, kernels};
use nipworker_mining::{BatchContext, Span};
use proptest::prelude::*;

use super::{content, event, fast, naive, naive_bits, paced};
use crate::layout::Layout;
use crate::search::{Found, search};

#[test]
fn the_first_hit_is_real_for_every_length_of_content_tags_escapes_and_kernel() {
    for (number, kernel) in kernels().into_iter().enumerate() {
        for len in 0..=130 {
            for tags in 0..=4 {
                for escaped in [false, true] {
                    // Over the lengths each difficulty meets each number of tags.
                    let difficulty = 1 + ((len + 3 * tags + number) % 13) as u32;
                    let event = event(&content(len, escaped), tags, 1_700_000_000);
                    let layout = Layout::new(event, difficulty);
                    let found = fast(&layout, kernel, difficulty, Span::new(0, 1 << 22));
                    let (index, bits) = found.hit.unwrap();
                    let place =
                        format!("{}: content {len}, {tags} tags, {difficulty} bits", kernel.name());
                    assert_eq!(bits, naive_bits(&layout, index), "{place}");
                    assert!(bits >= difficulty, "{place}");
                    assert_eq!(found.attempts, index + 1, "{place}");
                    assert_eq!(found.best, found.hit, "{place}");
                    // Nothing was passed over. All would take minutes; the first ones do.
                    for earlier in 0..index.min(8) {
                        assert!(naive_bits(&layout, earlier) < difficulty, "{place}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_target_of_zero_takes_the_first_nonce_and_one_of_256_none() {
    for kernel in kernels() {
        let layout = Layout::new(event("gm", 0, 1_700_000_000), 0);
        let found = fast(&layout, kernel, 0, Span::new(5, 10));
        assert_eq!((found.attempts, found.hit.unwrap().0), (1, 5));
        let layout = Layout::new(event("gm", 0, 1_700_000_000), 256);
        let found = fast(&layout, kernel, 256, Span::new(0, 5_000));
        assert_eq!((found.attempts, found.hit), (5_000, None));
    }
}

#[test]
fn the_last_indices_of_all_can_be_tried() {
    for len in [0, 35, 42, 100] {
        let layout = Layout::new(event(&content(len, false), 1, 1_700_000_000), 256);
        let span = Span::new(u64::MAX - 1_700, u64::MAX);
        for kernel in kernels() {
            let found = fast(&layout, kernel, 256, span);
            assert_eq!(found, naive(&layout, 256, span), "{} at {len}", kernel.name());
            assert_eq!(found.attempts, 1_700);
        }
    }
}

#[test]
fn a_cancelled_search_reports_what_it_has_done() {
    let layout = Layout::new(event("gm", 0, 1_700_000_000), 256);
    let current = AtomicU64::new(1);
    let ctx = BatchContext::new(0, &current, 0);
    for kernel in kernels() {
        let found = search(&layout, paced(kernel), 256, Span::new(0, 10_000), &ctx);
        assert_eq!(found, Found::default());
    }
}

/// The portable kernel, watched.
#[derive(Debug)]
struct Spy {
    kernel: &'static dyn SearchKernel,
    /// Number of scans, of lanes filled, and the most blocks in one scan.
    scans: AtomicU64,
    filled: AtomicU64,
    most_blocks: AtomicU64,
    /// It cancels what it works on in this scan.
    cancels_in: u64,
    generation: AtomicU64,
    /// What it claims in each scan.
    lie: Option<Candidate>,
}

impl Spy {
    fn new() -> Self {
        Self {
            kernel: kernels()[0],
            scans: AtomicU64::new(0),
            filled: AtomicU64::new(0),
            most_blocks: AtomicU64::new(0),
            cancels_in: u64::MAX,
            generation: AtomicU64::new(0),
            lie: None,
        }
    }

    fn search(&self, layout: &Layout, target: u32, span: Span) -> Found {
        search(layout, paced(self), target, span, &BatchContext::new(0, &self.generation, 0))
    }
}

impl SearchKernel for Spy {
    fn name(&self) -> &'static str {
        "spy"
    }

    fn stride(&self) -> usize {
        16
    }

    fn fill(&self, seed: &Seed<'_>, lanes: Range<usize>, midstates: &mut Midstates) {
        self.filled.fetch_add(lanes.len() as u64, SeqCst);
        self.kernel.fill(seed, lanes, midstates);
    }

    fn scan(&self, row: &Row<'_>, lanes: Range<usize>, limit: u32, found: &mut Vec<Candidate>) {
        let scans = self.scans.fetch_add(1, SeqCst) + 1;
        self.most_blocks.fetch_max((lanes.len() * (1 + row.tail.len())) as u64, SeqCst);
        if scans == self.cancels_in {
            self.generation.store(1, SeqCst);
        }
        self.kernel.scan(row, lanes, limit, found);
        found.extend(self.lie);
    }
}

#[test]
fn a_cancel_is_seen_after_one_scan_and_what_was_done_before_counts() {
    for len in [0, 280, 3_000, 64 * 1024] {
        let layout = Layout::new(event(&content(len, false), 0, 1_700_000_000), 256);
        let spy = Spy { cancels_in: 3, ..Spy::new() };
        let found = spy.search(&layout, 256, Span::new(0, 100_000));
        let most_lanes = paced(&spy).lanes_per_look(&layout, 256) as u64;
        assert_eq!(spy.scans.load(SeqCst), 3);
        assert!(found.attempts > most_lanes && found.attempts <= 3 * most_lanes, "{found:?}");
        let blocks = spy.most_blocks.load(SeqCst);
        // Sixteen attempts at 64 KiB are that many blocks.
        assert!(blocks <= 2048.max(16 * layout.blocks() as u64), "{blocks} at content {len}");
        assert_eq!(found.best, naive(&layout, 256, Span::new(0, found.attempts)).best);
    }
}

#[test]
fn midstates_are_made_once_and_only_those_that_are_needed() {
    let layout = Layout::new(event("", 0, 1_700_000_000), 256);
    assert_eq!(layout.digits.rows(), 1_000);
    let spy = Spy::new();
    // Within one row: the groups that lanes 20 to 39 lie in.
    spy.search(&layout, 256, Span::new(20, 20));
    assert_eq!(spy.filled.load(SeqCst), 32);
    // The rest of the row, and more rows of the same set.
    spy.search(&layout, 256, Span::new(40, 5_000));
    assert_eq!(spy.filled.load(SeqCst), LANES as u64);
    spy.search(&layout, 256, Span::new(700_000, 50_000));
    assert_eq!(spy.filled.load(SeqCst), LANES as u64);
    // Another value of the outer counter, another time, another event.
    spy.search(&layout, 256, Span::new(1_000_000, 1_000));
    assert_eq!(spy.filled.load(SeqCst), 2 * LANES as u64);
    spy.search(&layout.at(1_700_000_001), 256, Span::new(1_000_000, 1_000));
    assert_eq!(spy.filled.load(SeqCst), 3 * LANES as u64);
    // Another kernel cannot use them.
    let other = fast(&layout, kernels()[0], 256, Span::new(1_000_000, 3_000));
    assert_eq!(other, naive(&layout, 256, Span::new(1_000_000, 3_000)));
}

#[test]
fn an_easy_target_does_not_make_the_midstates_of_a_whole_row() {
    let layout = Layout::new(event("gm", 0, 1_700_000_000), 4);
    let spy = Spy::new();
    let found = spy.search(&layout, 4, Span::new(0, 1_000_000));
    assert!(found.hit.is_some());
    assert!(spy.filled.into_inner() <= found.attempts + 32);
}

#[test]
fn a_hit_that_is_none_is_never_reported_but_ends_the_batch_loudly() {
    let layout = Layout::new(event("gm", 0, 1_700_000_000), 200);
    for word in [0u32, 1, 0x00ff_ffff] {
        for target in [8, 32, 200] {
            let claims_a_hit = word.leading_zeros() >= target.min(32);
            let spy = Spy { lie: Some(Candidate { lane: 5, word }), ..Spy::new() };
            let span = Span::new(0, 16);
            let outcome = catch_unwind(AssertUnwindSafe(|| spy.search(&layout, target, span)));
            assert_eq!(outcome.is_err(), claims_a_hit, "{word:x} for {target}");
            if let Err(payload) = outcome {
                let text = payload.downcast_ref::<String>().unwrap();
                assert!(text.contains("the kernel spy states"), "{text}");
            }
        }
    }
    // The thread goes on with a sound kernel.
    let found = fast(&layout, kernels()[0], 200, Span::new(0, 100));
    assert_eq!(found, naive(&layout, 200, Span::new(0, 100)));
}

#[test]
fn little_is_looked_at_twice() {
    let layout = Layout::new(event("gm", 0, 1_700_000_000), 256);
    #[derive(Debug)]
    struct Counting(AtomicU64);
    impl SearchKernel for Counting {
        fn name(&self) -> &'static str {
            "counting"
        }
        fn fill(&self, seed: &Seed<'_>, lanes: Range<usize>, midstates: &mut Midstates) {
            kernels()[0].fill(seed, lanes, midstates);
        }
        fn scan(&self, row: &Row<'_>, lanes: Range<usize>, limit: u32, found: &mut Vec<Candidate>) {
            kernels()[0].scan(row, lanes, limit, found);
            self.0.fetch_add(found.len() as u64, SeqCst);
        }
    }
    let counting = Counting(AtomicU64::new(0));
    let current = AtomicU64::new(0);
    let ctx = BatchContext::new(0, &current, 0);
    search(&layout, paced(&counting), 256, Span::new(0, 100_000), &ctx);
    let looked_at = counting.0.into_inner();
    assert!(looked_at < 1_000, "{looked_at} candidates of 100,000 attempts");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_span_of_any_event_gives_what_the_naive_loop_gives(
        content in "\\PC{0,90}|[\\x00-\\x7f]{0,200}|x{40,44}|x{0,3000}",
        tags in 0usize..6,
        created_at in prop_oneof![0i64..2_000_000_000, any::<i64>()],
        power in 0u32..20,
        before in 0u64..2_500,
        len in prop_oneof![0u64..40, 0u64..2_500],
        difficulty in prop_oneof![0u32..14, 0u32..=256],
    ) {
        let layout = Layout::new(event(&content, tags, created_at), difficulty);
        // Around a power of ten, where digits roll over.
        let start = 10u64.pow(power).saturating_sub(before);
        let span = Span::new(start, len);
        let all = naive(&layout, 257, span);
        prop_assert_eq!(all.attempts, len);
        let first_hit = naive(&layout, difficulty, span);
        for kernel in kernels() {
            prop_assert_eq!(fast(&layout, kernel, 256, span), all, "{}", kernel.name());
            let found = fast(&layout, kernel, difficulty, span);
            prop_assert_eq!(found, first_hit, "{}", kernel.name());
            if let Some((_, highest)) = all.best {
                let found = fast(&layout, kernel, highest, span);
                prop_assert_eq!(found.hit, all.best, "{}", kernel.name());
            }
        }
    }
}
