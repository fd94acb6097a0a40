//! Keys as sled gets them.
//!
//! sled 0.34 walks backwards from a node to the one before it by a guess: it lowers the last byte
//! of the node's first key and appends four bytes of 255. Where a boundary lies between that
//! guess and the node, it goes round in circles and panics after a million rounds. So no key may
//! hold 255 twice in a row: each 255 is followed by a 0, which keeps the order of all keys.

use std::ops::Bound;

const LAST: u8 = u8::MAX;
const MARK: u8 = 0;

/// The key as it is stored.
pub(crate) fn encode(key: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(key.len() + 8);
    for &byte in key {
        stored.push(byte);
        if byte == LAST {
            stored.push(MARK);
        }
    }
    stored
}

/// The key that is stored as `stored`; `None` when nothing is.
pub(crate) fn decode(stored: &[u8]) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(stored.len());
    let mut bytes = stored.iter();
    while let Some(&byte) = bytes.next() {
        key.push(byte);
        if byte == LAST && bytes.next() != Some(&MARK) {
            return None;
        }
    }
    Some(key)
}

/// One end of a range of stored keys.
pub(crate) type KeyBound = Bound<Vec<u8>>;

/// A bound that borrows.
pub(crate) fn borrowed(bound: &KeyBound) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use nipworker_store::conformance::Rng;

    use super::*;

    #[test]
    fn every_key_comes_back_and_keeps_its_place() {
        let mut rng = Rng::new(1);
        let mut keys: Vec<Vec<u8>> = (0..2_000)
            .map(|_| (0..rng.below(7)).map(|_| *rng.pick(&[0, 1, 254, 255])).collect())
            .collect();
        keys.sort();
        let stored: Vec<_> = keys.iter().map(|key| encode(key)).collect();
        assert!(stored.is_sorted());
        for (key, stored) in keys.iter().zip(&stored) {
            assert_eq!(decode(stored).as_ref(), Some(key));
            assert!(!stored.windows(2).any(|two| two == [LAST, LAST]), "{stored:?}");
        }
    }

    #[test]
    fn a_key_that_was_never_stored_is_noticed() {
        assert_eq!(decode(&[1, 255]), None);
        assert_eq!(decode(&[255, 255, 0]), None);
        assert_eq!(decode(&[255, 1]), None);
    }
}
