//! The lanes beside the `sha2` crate.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;

fn all() -> Vec<ManyDigests> {
    #[cfg(target_arch = "x86_64")]
    return ManyDigests::wide();
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}

fn check(messages: &[&[u8]]) {
    let wanted: Vec<[u8; 32]> =
        messages.iter().map(|message| Sha256::digest(message).into()).collect();
    for many in all() {
        assert_eq!(many.digest(messages), wanted, "{}", many.name());
    }
}

#[test]
fn every_length_around_the_padding_gives_the_right_digest() {
    let bytes: Vec<u8> = (0..=255).cycle().take(200).collect();
    let messages: Vec<&[u8]> = (0..bytes.len()).map(|len| &bytes[..len]).collect();
    check(&messages);
    messages.iter().for_each(|message| check(&[message]));
    check(&[]);
}

#[test]
fn the_lanes_are_offered_where_there_are_no_instructions_for_sha_256() {
    #[cfg(target_arch = "x86_64")]
    {
        let is_wide = is_x86_feature_detected!("avx2") || is_x86_feature_detected!("avx512f");
        let is_offered = ManyDigests::detect().is_some();
        assert_eq!(is_offered, is_wide && !is_x86_feature_detected!("sha"));
    }
    #[cfg(not(target_arch = "x86_64"))]
    assert!(ManyDigests::detect().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_messages_give_the_digests_of_sha2(
        messages in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..700), 0..60,
        ),
    ) {
        let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        check(&messages);
    }
}
