//! Every kernel gives the bits of FIPS 180-4, as the `sha2` crate computes them.
#![allow(clippy::unwrap_used)]

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nipworker_hash::{
    Candidate, INITIAL_STATE, LANES, Midstates, Row, Schedule, SearchKernel, Seed, kernels,
};
use proptest::prelude::*;
use sha2::block_api::compress256;

/// First word of the digest of lane `lane`, by the independent implementation.
fn naive(state: &[u32; 8], before: &[u8; 64], lane: usize, rest: &[[u8; 64]]) -> u32 {
    let mut block = *before;
    block[61..].copy_from_slice(format!("{lane:03}").as_bytes());
    let mut state = *state;
    compress256(&mut state, &[block]);
    compress256(&mut state, rest);
    state[0]
}

fn block() -> impl Strategy<Value = [u8; 64]> {
    proptest::collection::vec(any::<u8>(), 64).prop_map(|bytes| bytes.try_into().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_kernel_finds_what_the_naive_loop_finds(
        state in any::<[u32; 8]>(),
        before in block(),
        first in block(),
        tail in proptest::collection::vec(block(), 0..6),
        hoisted in 0usize..=15,
        bits in 0u32..8,
        (from, to) in (0..=LANES, 0..=LANES),
    ) {
        let lanes = from.min(to)..from.max(to);
        let limit = u32::MAX >> bits;
        let rest: Vec<_> = std::iter::once(first).chain(tail.iter().copied()).collect();
        let want: Vec<_> = lanes.clone()
            .map(|lane| Candidate { lane, word: naive(&state, &before, lane, &rest) })
            .filter(|candidate| candidate.word <= limit)
            .collect();
        let mut words = [0; 15];
        for (word, bytes) in words.iter_mut().zip(first.chunks(4)) {
            *word = u32::from_be_bytes(bytes.try_into().unwrap());
        }
        let seed = Seed { state: &state, block: &before, hoisted: &words[..hoisted] };
        let first = Schedule::new(&first);
        let tail: Vec<_> = tail.iter().map(Schedule::new).collect();
        for kernel in kernels() {
            let mut midstates = Midstates::new();
            kernel.fill(&seed, lanes.clone(), &mut midstates);
            let mut found = Vec::new();
            let row = Row { midstates: &midstates, first: &first, tail: &tail };
            kernel.scan(&row, lanes.clone(), limit, &mut found);
            prop_assert_eq!(&found, &want, "{}", kernel.name());
        }
    }
}

#[test]
fn the_initial_state_and_one_block_give_the_digest_of_abc() {
    let mut block = [0; 64];
    block[..4].copy_from_slice(b"abc\x80");
    block[63] = 24;
    let mut state = INITIAL_STATE;
    nipworker_hash::compress(&mut state, &block);
    assert_eq!(state[0], 0xba78_16bf);
    assert_eq!(state[7], 0xf200_15ad);
}

/// Makes the midstates of `lanes` before a block of the letter b, with some of its words hoisted.
fn filled(kernel: &dyn SearchKernel, hoisted: usize, lanes: Range<usize>) -> Midstates {
    let words = [0x6262_6262; 16];
    let seed = Seed { state: &INITIAL_STATE, block: &[b'a'; 64], hoisted: &words[..hoisted] };
    let mut midstates = Midstates::new();
    kernel.fill(&seed, lanes, &mut midstates);
    midstates
}

fn scanned(
    kernel: &dyn SearchKernel,
    midstates: &Midstates,
    tail: &[Schedule],
    lanes: Range<usize>,
    limit: u32,
) -> Vec<Candidate> {
    let first = Schedule::new(&[b'b'; 64]);
    let mut found = Vec::new();
    kernel.scan(&Row { midstates, first: &first, tail }, lanes, limit, &mut found);
    found
}

/// What the naive loop says of all lanes, with that many blocks of the letter c behind.
fn expected(tail: usize) -> Vec<Candidate> {
    let rest: Vec<_> = std::iter::once([b'b'; 64]).chain(vec![[b'c'; 64]; tail]).collect();
    let word = |lane| naive(&INITIAL_STATE, &[b'a'; 64], lane, &rest);
    (0..LANES).map(|lane| Candidate { lane, word: word(lane) }).collect()
}

#[test]
fn every_number_of_hoisted_words_and_of_blocks_behind_gives_the_same_digests() {
    let tail = vec![Schedule::new(&[b'c'; 64]); 20];
    for blocks in 0..=tail.len() {
        let want = expected(blocks);
        for kernel in kernels() {
            for hoisted in [blocks % 16, (blocks + 7) % 16] {
                let midstates = filled(kernel, hoisted, 0..LANES);
                let found = scanned(kernel, &midstates, &tail[..blocks], 0..LANES, u32::MAX);
                assert_eq!(found, want, "{} {hoisted} {blocks}", kernel.name());
            }
        }
    }
}

#[test]
fn every_range_gives_its_own_lanes_and_no_others() {
    let want = expected(0);
    let ends = [0, 1, 15, 16, 17, 31, 33, 43, 44, 45, 87, 500, 967, 968, 969, 991, 992, 999, 1000];
    for kernel in kernels() {
        let midstates = filled(kernel, 3, 0..LANES);
        for from in ends {
            for to in ends.into_iter().filter(|to| *to >= from) {
                let found = scanned(kernel, &midstates, &[], from..to, u32::MAX);
                assert_eq!(found, want[from..to], "{} {from}..{to}", kernel.name());
            }
        }
    }
}

#[test]
fn the_limit_is_part_of_what_is_found() {
    let want = expected(0);
    let least = want.iter().min_by_key(|candidate| candidate.word).unwrap();
    for kernel in kernels() {
        let midstates = filled(kernel, 0, 0..LANES);
        let scan = |limit| scanned(kernel, &midstates, &[], 0..LANES, limit);
        assert_eq!(scan(0), [], "{}", kernel.name());
        assert_eq!(scan(least.word - 1), [], "{}", kernel.name());
        assert_eq!(scan(least.word), [*least], "{}", kernel.name());
    }
}

#[test]
fn a_kernel_refuses_lanes_that_do_not_exist_and_a_whole_block_hoisted() {
    for kernel in kernels() {
        let refuses = |work: &dyn Fn()| catch_unwind(AssertUnwindSafe(work)).is_err();
        assert!(refuses(&|| drop(filled(kernel, 0, 0..LANES + 1))), "{}", kernel.name());
        assert!(refuses(&|| drop(filled(kernel, 16, 0..1))), "{}", kernel.name());
        let midstates = filled(kernel, 15, 0..LANES);
        let beyond = || drop(scanned(kernel, &midstates, &[], 990..LANES + 1, 0));
        assert!(refuses(&beyond), "{}", kernel.name());
    }
}

#[test]
#[allow(clippy::reversed_empty_ranges, reason = "they are what is tried")]
fn a_range_that_ends_before_it_begins_is_empty() {
    for kernel in kernels() {
        for lanes in [5..3, LANES..0, usize::MAX..0, usize::MAX..LANES, usize::MAX - 2..1] {
            let midstates = filled(kernel, 8, lanes.clone());
            let found = scanned(kernel, &midstates, &[], lanes, u32::MAX);
            assert_eq!(found, [], "{}", kernel.name());
        }
    }
}
