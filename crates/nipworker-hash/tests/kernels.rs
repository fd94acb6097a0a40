//! Every kernel gives the bits of FIPS 180-4, as the `sha2` crate computes them.
#![allow(clippy::unwrap_used)]

use nipworker_hash::{Candidate, INITIAL_STATE, LANES, Midstates, Row, Schedule, Seed, kernels};
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
