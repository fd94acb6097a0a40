//! How many different authors, in 256 bytes that add up over relays (NIP-45).

use sha2::{Digest, Sha256};

use crate::{Filter, PublicKey};

/// Where in an author's key a filter's registers are read from: 8 to 23, the same at every relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HllOffset(u8);

impl HllOffset {
    /// Bytes of the first place, and the number of places.
    const FIRST: u8 = 8;
    /// The character of the tag's value, as 32 bytes of hex, that decides.
    const DECIDING: usize = 32;

    /// The place for a count of what `filters` match: of one filter with values for one tag, of which
    /// the first decides. `None` for others, for which NIP-45 names none.
    pub fn of(filters: &[Filter]) -> Option<Self> {
        let [filter] = filters else { return None };
        let mut tags = filter.tags.values();
        let (values, None) = (tags.next()?, tags.next()) else { return None };
        let value = values.first()?;
        let is_key = |text: &str| {
            text.len() == 64 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
        };
        let hex = if is_key(value) {
            value.clone()
        } else if let Some(author) = author_of_address(value).filter(|key| is_key(key)) {
            author.to_owned()
        } else {
            hex::encode(Sha256::digest(value))
        };
        let digit = char::from(*hex.as_bytes().get(Self::DECIDING)?).to_digit(16)?;
        Some(Self(Self::FIRST + u8::try_from(digit).ok()?))
    }
}

/// What stands between the kind and the identifier of an address.
fn author_of_address(value: &str) -> Option<&str> {
    let (kind, rest) = value.split_once(':')?;
    let (author, _identifier) = rest.split_once(':')?;
    kind.parse::<u16>().ok().map(|_| author)
}

/// 256 registers of a HyperLogLog over the authors of events.
#[derive(Clone, PartialEq, Eq)]
pub struct HyperLogLog([u8; Self::REGISTERS]);

impl HyperLogLog {
    /// Registers, one byte each.
    pub const REGISTERS: usize = 256;
    /// Bytes behind the one that names the register: their leading zeros are counted.
    const COUNTED_BYTES: usize = 7;

    /// Of nobody yet.
    pub fn new() -> Self {
        Self([0; Self::REGISTERS])
    }

    /// Reads the registers; `None` when there are not 256.
    pub fn from_bytes(registers: &[u8]) -> Option<Self> {
        registers.try_into().ok().map(Self)
    }

    /// Reads the registers as they stand in a COUNT; `None` for anything but 512 hex characters.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut registers = [0; Self::REGISTERS];
        hex::decode_to_slice(text, &mut registers).ok()?;
        Some(Self(registers))
    }

    /// The registers.
    pub fn as_bytes(&self) -> &[u8; Self::REGISTERS] {
        &self.0
    }

    /// The registers as they stand in a COUNT.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Takes an author in; the same one again changes nothing.
    pub fn add(&mut self, author: &PublicKey, offset: HllOffset) {
        let at = usize::from(offset.0);
        let key = author.as_bytes();
        let behind = &key[at + 1..=at + Self::COUNTED_BYTES];
        let zeros = match behind.iter().position(|byte| *byte != 0) {
            Some(whole) => whole * 8 + behind[whole].leading_zeros() as usize,
            None => Self::COUNTED_BYTES * 8,
        };
        let register = &mut self.0[usize::from(key[at])];
        // At most 57.
        *register = (*register).max(zeros as u8 + 1);
    }

    /// Takes in whoever `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(other.0) {
            *own = (*own).max(other);
        }
    }

    /// About how many authors were taken in; within 7 % of it two times out of three (Flajolet et al.,
    /// "HyperLogLog", 2007, with its correction for few).
    pub fn estimate(&self) -> u64 {
        let registers = Self::REGISTERS as f64;
        let alpha = 0.7213 / (1.0 + 1.079 / registers);
        let sum: f64 = self.0.iter().map(|zeros| 0.5_f64.powi(i32::from(*zeros))).sum();
        let raw = alpha * registers * registers / sum;
        let empty = self.0.iter().filter(|zeros| **zeros == 0).count();
        let estimate = if raw <= 2.5 * registers && empty > 0 {
            registers * (registers / empty as f64).ln()
        } else {
            raw
        };
        // What strangers send may be beyond any number; then it is the greatest.
        estimate.round() as u64
    }
}

impl Default for HyperLogLog {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for HyperLogLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HyperLogLog(about {})", self.estimate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn author(number: u32) -> PublicKey {
        PublicKey::from_bytes(Sha256::digest(number.to_be_bytes()).into())
    }

    #[test]
    fn the_place_comes_from_the_first_value_of_the_only_tag() {
        let any = Filter::new;
        let key = format!("{}{}{}", "0".repeat(32), "e", "0".repeat(31));
        let of = |filter: Filter| HllOffset::of(&[filter]).map(|offset| offset.0);
        assert_eq!(of(any().tag('e', [key.clone()]).kinds([7])), Some(8 + 14));
        assert_eq!(of(any().tag('p', [key.clone(), "f".repeat(64)])), Some(8 + 14));
        assert_eq!(of(any().tag('a', [format!("30023:{key}:name:with:colons")])), Some(8 + 14));
        let hashed = hex::encode(Sha256::digest("nostr"));
        let digit = u8::from_str_radix(&hashed[32..33], 16).unwrap();
        assert_eq!(of(any().tag('t', ["nostr"])), Some(8 + digit));
        // Neither a key nor an address: hashed like any word.
        for word in [
            key.to_uppercase(),
            format!("kind:{key}:"),
            format!("1:{key}"),
            format!("70000:{key}:"),
        ] {
            let hashed = hex::encode(Sha256::digest(&word));
            let digit = u8::from_str_radix(&hashed[32..33], 16).unwrap();
            assert_eq!(of(any().tag('e', [word])), Some(8 + digit));
        }
        for other in [any(), any().kinds([7]), any().tag('e', ["a"]).tag('p', ["b"])] {
            assert_eq!(of(other.clone()), None, "{other:?}");
        }
        assert_eq!(of(any().tag('e', Vec::<String>::new())), None);
        assert_eq!(HllOffset::of(&[any().tag('e', ["a"]), any().tag('e', ["a"])]), None);
        assert_eq!(HllOffset::of(&[]), None);
    }

    #[test]
    fn a_register_holds_the_most_zeros_behind_its_own_byte_and_one() {
        let offset = HllOffset(23);
        let mut key = [0xff; 32];
        key[23] = 5;
        let mut registers = HyperLogLog::new();
        for (behind, expected) in [
            ([0x80, 0, 0, 0, 0, 0, 0], 1),
            ([0x01, 0, 0, 0, 0, 0, 0], 8),
            ([0x40, 0, 0, 0, 0, 0, 0], 8),
            ([0, 0x80, 0, 0, 0, 0, 0], 9),
            ([0, 0, 0, 0, 0, 0, 1], 56),
            ([0, 0, 0, 0, 0, 0, 0], 57),
        ] {
            key[24..31].copy_from_slice(&behind);
            registers.add(&PublicKey::from_bytes(key), offset);
            assert_eq!(registers.0[5], expected, "{behind:?}");
        }
        assert_eq!(registers.0.iter().filter(|register| **register > 0).count(), 1);
    }

    #[test]
    fn many_authors_are_estimated_within_a_fifth_and_few_within_two() {
        for offset in [HllOffset(8), HllOffset(15), HllOffset(23)] {
            let mut registers = HyperLogLog::new();
            let mut taken = 0;
            for (count, off) in
                [(0, 0), (1, 0), (10, 2), (100, 20), (5_000, 1_000), (50_000, 10_000)]
            {
                while taken < count {
                    registers.add(&author(taken), offset);
                    registers.add(&author(taken / 2), offset);
                    taken += 1;
                }
                let estimate = registers.estimate();
                assert!(estimate.abs_diff(count.into()) <= off, "{estimate} of {count}");
            }
        }
    }

    #[test]
    fn two_halves_merge_into_the_whole_and_hex_brings_all_back() {
        let offset = HllOffset(11);
        let (mut left, mut right, mut whole) = Default::default();
        for number in 0..600 {
            let half: &mut HyperLogLog = if number % 3 == 0 { &mut left } else { &mut right };
            half.add(&author(number), offset);
            HyperLogLog::add(&mut whole, &author(number), offset);
        }
        left.merge(&right);
        assert_eq!(left, whole);
        let hex = whole.to_hex();
        assert_eq!(hex.len(), 512);
        assert_eq!(HyperLogLog::from_hex(&hex), Some(whole.clone()));
        assert_eq!(HyperLogLog::from_bytes(whole.as_bytes()), Some(whole));
        for bad in ["", "0", &"g".repeat(512), &"0".repeat(510), &"0".repeat(514)] {
            assert_eq!(HyperLogLog::from_hex(bad), None);
        }
        assert_eq!(HyperLogLog::from_bytes(&[0; 255]), None);
    }

    #[test]
    fn registers_from_strangers_give_some_number() {
        for byte in [0, 1, 57, 58, u8::MAX] {
            let _ = HyperLogLog([byte; 256]).estimate();
        }
    }
}
