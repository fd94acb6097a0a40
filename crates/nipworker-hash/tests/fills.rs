//! Midstates are made piece by piece, in whatever order a search comes to need them.
#![allow(clippy::unwrap_used)]

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nipworker_hash::{
    Candidate, INITIAL_STATE, LANES, Midstates, Row, Schedule, SearchKernel, Seed, compress,
    kernels,
};
use proptest::prelude::*;

fn block() -> impl Strategy<Value = [u8; 64]> {
    proptest::collection::vec(any::<u8>(), 64).prop_map(|bytes| bytes.try_into().unwrap())
}

fn lanes() -> impl Strategy<Value = Range<usize>> {
    (0..=LANES, 0..=LANES).prop_map(|(a, b)| a.min(b)..a.max(b))
}

fn words(block: &[u8; 64]) -> Vec<u32> {
    block.chunks(4).map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap())).collect()
}

/// As many cases as `PROPTEST_CASES` says, else `usual`.
fn cases(usual: u32) -> ProptestConfig {
    let set = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig { cases: if set { default.cases } else { usual }, ..default }
}

/// One search: the block with the digits, the block behind it, how many of its rounds are hoisted.
type Search = ([u8; 64], [u8; 64], usize);

fn fill(
    kernel: &dyn SearchKernel,
    (before, first, hoisted): &Search,
    lanes: Range<usize>,
    midstates: &mut Midstates,
) {
    let hoisted = &words(first)[..*hoisted];
    kernel.fill(&Seed { state: &INITIAL_STATE, block: before, hoisted }, lanes, midstates);
}

fn scan(
    kernel: &dyn SearchKernel,
    (_, first, _): &Search,
    midstates: &Midstates,
    lanes: Range<usize>,
    limit: u32,
) -> Vec<Candidate> {
    let mut found = Vec::new();
    let first = Schedule::new(first);
    kernel.scan(&Row { midstates, first: &first, tail: &[] }, lanes, limit, &mut found);
    found
}

/// The attempts of `lanes` one by one.
fn naive((before, first, _): &Search, lanes: Range<usize>, limit: u32) -> Vec<Candidate> {
    let attempt = |lane| {
        let mut block = *before;
        block[61..].copy_from_slice(format!("{lane:03}").as_bytes());
        let mut state = INITIAL_STATE;
        compress(&mut state, &block);
        compress(&mut state, first);
        Candidate { lane, word: state[0] }
    };
    lanes.map(attempt).filter(|found| found.word <= limit).collect()
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn pieces_filled_in_any_order_hold_what_each_kernel_and_the_naive_loop_find(
        search in (block(), block(), 0usize..=15),
        earlier in (block(), block(), 0usize..=15),
        pieces in proptest::collection::vec(lanes(), 1..6),
        limit in any::<u32>(),
    ) {
        for kernel in kernels() {
            let mut midstates = Midstates::new();
            // What an earlier search left behind must not show.
            fill(kernel, &earlier, 0..LANES, &mut midstates);
            for piece in &pieces {
                fill(kernel, &search, piece.clone(), &mut midstates);
            }
            for piece in &pieces {
                prop_assert_eq!(
                    scan(kernel, &search, &midstates, piece.clone(), limit),
                    naive(&search, piece.clone(), limit),
                    "{} on {:?}", kernel.name(), piece
                );
            }
        }
    }

    #[test]
    fn lanes_filled_one_by_one_are_those_filled_at_once(
        search in (block(), block(), 0usize..=15),
        from in 0..LANES - 40,
        backwards in any::<bool>(),
    ) {
        let lanes = from..from + 40;
        for kernel in kernels() {
            let mut midstates = Midstates::new();
            for at in 0..40 {
                let lane = if backwards { lanes.end - 1 - at } else { from + at };
                fill(kernel, &search, lane..lane + 1, &mut midstates);
            }
            let found = scan(kernel, &search, &midstates, lanes.clone(), u32::MAX);
            prop_assert_eq!(found, naive(&search, lanes.clone(), u32::MAX), "{}", kernel.name());
        }
    }
}

/// The last group of sixteen holds only eight lanes: those behind them must never be reported.
#[test]
fn the_last_lanes_are_found_and_nothing_behind_them() {
    let search = ([b'a'; 64], [b'b'; 64], 8);
    for kernel in kernels() {
        for start in LANES - 33..=LANES {
            let mut midstates = Midstates::new();
            fill(kernel, &search, start..LANES, &mut midstates);
            let found = scan(kernel, &search, &midstates, start..LANES, u32::MAX);
            assert_eq!(found, naive(&search, start..LANES, u32::MAX), "{}", kernel.name());
        }
    }
}

/// A search that goes on appends; what was found before stays as it is.
#[test]
fn a_scan_leaves_earlier_candidates_alone() {
    let search = ([b'a'; 64], [b'b'; 64], 0);
    for kernel in kernels() {
        let mut midstates = Midstates::new();
        fill(kernel, &search, 0..LANES, &mut midstates);
        let earlier = Candidate { lane: 7, word: 7 };
        let mut found = vec![earlier];
        let first = Schedule::new(&search.1);
        let row = Row { midstates: &midstates, first: &first, tail: &[] };
        kernel.scan(&row, 10..20, u32::MAX, &mut found);
        assert_eq!(found[0], earlier, "{}", kernel.name());
        assert_eq!(found[1..], naive(&search, 10..20, u32::MAX), "{}", kernel.name());
        kernel.scan(&row, 20..20, u32::MAX, &mut found);
        assert_eq!(found.len(), 11, "{}", kernel.name());
    }
}

/// Each kernel has an order of its own in the memory, and reads it without looking twice. One of
/// them read beyond its end when it was given the midstates of another.
#[test]
fn no_kernel_scans_what_another_filled() {
    let search = ([b'a'; 64], [b'b'; 64], 7);
    let mut midstates = Midstates::new();
    for filler in kernels() {
        fill(filler, &search, 0..LANES, &mut midstates);
        for scanner in kernels() {
            let scan = || scan(scanner, &search, &midstates, 0..10, 0).len();
            let same = filler.name() == scanner.name();
            assert_eq!(
                catch_unwind(AssertUnwindSafe(scan)).is_ok(),
                same,
                "{filler:?} {scanner:?}"
            );
        }
    }
}

#[test]
fn midstates_that_nobody_filled_are_not_scanned() {
    for kernel in kernels() {
        let search = ([b'a'; 64], [b'b'; 64], 0);
        let midstates = Midstates::new();
        let scan = || scan(kernel, &search, &midstates, 0..10, 0).len();
        assert!(catch_unwind(AssertUnwindSafe(scan)).is_err(), "{}", kernel.name());
    }
}
