#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;
use crate::constants::{COLUMN, LOOKUP, ROUND};
use crate::field::{add, lowered, mul, raised, reduce, to_the_seventh};
use crate::input::score;

/// Elements of the field, its edges more often than chance would have them.
fn element() -> impl Strategy<Value = u64> {
    let edges = [0, 1, 2, 0xFFFF_FFFF, 1 << 32, MODULUS - (1 << 32), MODULUS - 2, MODULUS - 1];
    prop_oneof![0..MODULUS, proptest::sample::select(edges.to_vec())]
}

fn elements() -> impl Strategy<Value = [u64; ELEMENTS]> {
    proptest::array::uniform5(element())
}

proptest! {
    #[test]
    fn the_arithmetic_agrees_with_remainders_of_wide_numbers(
        a in element(), b in element(), wide in any::<u128>(),
    ) {
        let p = u128::from(MODULUS);
        let [a128, b128] = [a, b].map(u128::from);
        prop_assert_eq!(u128::from(reduce(wide)), wide % p);
        prop_assert_eq!(u128::from(add(a, b)), (a128 + b128) % p);
        prop_assert_eq!(u128::from(mul(a, b)), a128 * b128 % p);
        let seventh = (0..7).fold(1, |power, _| power * a128 % p);
        prop_assert_eq!(u128::from(to_the_seventh(a)), seventh);
        prop_assert_eq!(u128::from(raised(a)), (a128 << 64) % p);
        prop_assert_eq!(lowered(raised(a)), a);
    }

    #[test]
    fn the_search_hashes_as_the_definition_says(header in elements(), nonce in elements()) {
        prop_assert_eq!(hash(header, nonce), reference::digest(header, nonce));
    }

    #[test]
    fn a_digest_meets_a_target_as_the_numbers_compare(
        digest in elements(), target in elements(), same in 0..=ELEMENTS,
    ) {
        let mut digest = digest;
        digest[ELEMENTS - same..].copy_from_slice(&target[ELEMENTS - same..]);
        // Of equal length, lists of digits compare as the numbers, the highest digit first.
        let reversed = |mut digits: [u64; ELEMENTS]| { digits.reverse(); digits };
        let input = Tip5Input { header: [0; 5], target, nonce_tail: [0; 4] };
        prop_assert_eq!(input.is_met_by(&digest), reversed(digest) <= reversed(target));
    }
}

#[test]
fn numbers_at_the_edges_of_128_bits_are_reduced_rightly() {
    let p = u128::from(MODULUS);
    for base in [0, p, 1 << 32, 1 << 64, 1 << 96, (1 << 96) - 1, p << 32, p * p, p << 64, u128::MAX]
    {
        for near in 0..3 {
            for x in [base.wrapping_add(near), base.wrapping_sub(near)] {
                assert_eq!(u128::from(reduce(x)), x % p, "{x:#x}");
            }
        }
    }
}

#[test]
fn the_defining_numbers_are_derived_as_documented() {
    let bytes = Sha256::digest("Tip5");
    let column: Vec<u16> =
        bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    assert_eq!(column, COLUMN);
    assert_eq!(
        (ROUND[0][0], ROUND[6][15]),
        (17_903_426_936_756_553_171, 16_333_199_409_749_757_143)
    );
    let mut sorted = LOOKUP;
    sorted.sort_unstable();
    assert!(sorted.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at), "no permutation");
    assert_eq!((LOOKUP[0], LOOKUP[1], LOOKUP[255]), (0, 7, 255));
}

/// Made with integers of any size in another language. The same program, given the constants of a
/// published seven-round Tip5, gives that one's digests.
#[test]
fn known_inputs_have_known_digests() {
    let a = [
        2_977_285_544_793_697_764,
        8_573_079_213_791_329_436,
        14_740_515_030_531_427_526,
        14_389_955_978_682_590_192,
        1_689_728_978_827_025_832,
    ];
    let last = [MODULUS - 1; ELEMENTS];
    let known = [
        (
            a,
            a,
            [
                16_684_000_731_632_354_376,
                9_363_008_953_132_231_316,
                4_991_224_976_466_809_465,
                5_413_590_351_542_958_997,
                13_869_762_693_397_670_062,
            ],
        ),
        (
            [0; 5],
            [0; 5],
            [
                7_796_885_963_747_572_387,
                11_071_475_631_877_003_918,
                14_045_899_581_239_963_912,
                13_048_313_390_738_638_413,
                10_535_947_172_713_036_710,
            ],
        ),
        (
            [1, 2, 3, 4, 5],
            [6, 7, 8, 9, 10],
            [
                13_647_282_208_405_827_315,
                979_403_512_736_214_916,
                16_686_052_504_815_959_374,
                9_477_882_873_947_308_138,
                9_024_974_785_643_459_877,
            ],
        ),
        (
            last,
            last,
            [
                2_810_116_432_066_986_579,
                1_061_937_016_169_704_403,
                17_947_074_009_380_927_626,
                15_185_879_336_719_377_169,
                6_326_625_500_134_930_929,
            ],
        ),
        (
            [5, 4, 3, 2, 1],
            [1_234_567, 0, 0, 0, 0],
            [
                12_122_669_541_621_464,
                4_445_201_062_651_002_893,
                6_886_649_381_437_599_385,
                8_640_086_720_844_321_023,
                6_258_391_680_968_887_608,
            ],
        ),
    ];
    for (header, nonce, digest) in known {
        assert_eq!(hash(header, nonce), digest, "{header:?} {nonce:?}");
        assert_eq!(reference::digest(header, nonce), digest, "{header:?} {nonce:?}");
    }
}

#[test]
fn the_score_counts_zero_bits_from_the_highest_digit() {
    assert_eq!(score(&[0; 5]), 320);
    assert_eq!(score(&[0, 0, 0, 0, MODULUS - 1]), 0);
    assert_eq!(score(&[MODULUS - 1, 7, 7, 7, 1]), 63);
    assert_eq!(score(&[MODULUS - 1, 7, 7, 1 << 60, 0]), 67);
    assert_eq!(score(&[1, 0, 0, 0, 0]), 319);
}

#[test]
fn the_chance_is_the_targets_share_of_all_digests() {
    let chance = |target| Tip5Input { header: [0; 5], target, nonce_tail: [0; 4] }.chance();
    assert!((chance([MODULUS - 1; 5]) - 1.0).abs() < 1e-9);
    assert!((chance([0, 0, 0, 0, 1 << 56]) * 256.0 - 1.0).abs() < 1e-9);
    assert!((chance([0, 0, 0, 1 << 63, 0]).log2() + 65.0).abs() < 1e-6);
    assert!(chance([0; 5]) > 0.0 && chance([0; 5]).log2() < -319.0);
}

#[test]
fn an_element_outside_the_field_is_named_in_the_refusal() {
    let refusal = |input| Tip5Input::read(&input).unwrap_err();
    let text = refusal(json!({ "header": [0, 0, 0, MODULUS, 0], "target": [0, 0, 0, 0, 0] }));
    assert!(text.contains("header[3]") && text.contains("18446744069414584320"), "{text}");
    let text = refusal(json!({ "header": [0, 0, 0, 0], "target": [0, 0, 0, 0, 0] }));
    assert!(text.contains("5"), "{text}");
}
