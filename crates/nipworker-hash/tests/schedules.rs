//! Schedules made together are those made one by one.
#![allow(clippy::unwrap_used)]

use nipworker_hash::{Schedule, kernels};
use proptest::prelude::*;

proptest! {
    #[test]
    fn rows_have_the_schedules_of_their_blocks(
        block in proptest::collection::vec(any::<u8>(), 64),
        at in 0usize..16,
        values in any::<[u32; 8]>(),
    ) {
        let mut block: [u8; 64] = block.try_into().unwrap();
        let mut schedules = values.map(|_| Schedule::new(&[0; 64]));
        Schedule::rows(&block, at, &values, &mut schedules);
        for (value, schedule) in values.iter().zip(&schedules) {
            block[4 * at..][..4].copy_from_slice(&value.to_be_bytes());
            prop_assert_eq!(schedule, &Schedule::new(&block));
        }
    }
}

#[test]
#[should_panic(expected = "word 16 of a block of 16")]
fn a_block_has_no_seventeenth_word() {
    let mut schedules = [Schedule::new(&[0; 64])];
    Schedule::rows(&[0; 64], 16, &[0], &mut schedules);
}

#[test]
fn every_kernel_hashes_at_least_one_lane_at_once() {
    for kernel in kernels() {
        assert!(kernel.stride() >= 1, "{}", kernel.name());
    }
}
