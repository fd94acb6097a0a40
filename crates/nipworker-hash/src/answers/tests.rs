use sha2::block_api::compress256;

use super::*;
use crate::digits::digit_word;

#[test]
fn the_known_answers_are_those_of_an_independent_implementation() {
    let sums = ANSWERS.each_ref().map(|answer| {
        let words = (0..LANES).map(|lane| {
            let mut before = block(0);
            before[61..].copy_from_slice(&digit_word(lane).to_be_bytes()[1..]);
            let mut state = INITIAL_STATE;
            compress256(&mut state, &[before]);
            for number in 1..2 + answer.tail {
                compress256(&mut state, &[block(number)]);
            }
            state[0]
        });
        checksum(words)
    });
    assert_eq!(ANSWERS.map(|answer| answer.sum), sums, "{sums:#x?}");
}

#[test]
fn the_checksum_depends_on_every_word_and_on_their_order() {
    assert_ne!(checksum([1, 2]), checksum([2, 1]));
    assert_ne!(checksum([1, 2]), checksum([1, 3]));
    assert_ne!(checksum([1, 2]), checksum([0, 2]));
}
