//! Fixed-size byte strings with lower-case hex as their only text form (NIP-01).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not the hex form of a fixed-size value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseBytesError {
    /// The text has another length than twice the number of bytes.
    #[error("expected {expected} hex characters, got {got}")]
    Length {
        /// Characters that the value needs.
        expected: usize,
        /// Characters (bytes of UTF-8) that were given.
        got: usize,
    },
    /// A character is not `0-9` or `a-f`. NIP-01 asks for lower case.
    #[error("not lower-case hex at character {at}")]
    Character {
        /// Zero-based position of the first wrong character.
        at: usize,
    },
}

/// Set in the value of a character that is no lower-case hex digit.
const NO_DIGIT: u8 = 0x80;

/// The value of a lower-case hex digit. Without a table, so that compilers take many at a time.
const fn digit(character: u8) -> u8 {
    let number = character.wrapping_sub(b'0');
    let letter = character.wrapping_sub(b'a');
    if number < 10 {
        number
    } else if letter < 6 {
        letter + 10
    } else {
        NO_DIGIT
    }
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], ParseBytesError> {
    if text.len() != 2 * N {
        return Err(ParseBytesError::Length { expected: 2 * N, got: text.len() });
    }
    let mut out = [0; N];
    let mut seen = 0;
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
        let [high, low] = pair.map(digit);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    if seen & NO_DIGIT != 0 {
        let at =
            text.bytes().position(|character| digit(character) == NO_DIGIT).unwrap_or_default();
        return Err(ParseBytesError::Character { at });
    }
    Ok(out)
}

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps raw bytes; any value is allowed.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Copies from a slice; `None` when the length differs.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Reads lower-case hex.
            ///
            /// # Errors
            /// Another length, or a character that is not lower-case hex.
            pub fn from_hex(text: &str) -> Result<Self, ParseBytesError> {
                decode(text).map(Self)
            }

            /// Lower-case hex.
            pub fn to_hex(&self) -> String {
                hex::encode(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.to_hex())
            }
        }

        impl FromStr for $name {
            type Err = ParseBytesError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::from_hex(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut text = [0_u8; 2 * $len];
                hex::encode_to_slice(self.0, &mut text).map_err(serde::ser::Error::custom)?;
                serializer
                    .serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{} lower-case hex characters", 2 * $len)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::from_hex(text).map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
    };
}

fixed_bytes! {
    /// The SHA-256 of an event's NIP-01 serialisation.
    EventId, 32
}
fixed_bytes! {
    /// An x-only secp256k1 public key (BIP-340). Being 32 bytes does not make it a valid point:
    /// that is found when a signature is checked.
    PublicKey, 32
}
fixed_bytes! {
    /// A BIP-340 Schnorr signature.
    Signature, 64
}

impl EventId {
    /// Number of leading zero bits, 0 to 256: the proof of work of NIP-13.
    pub fn leading_zero_bits(&self) -> u32 {
        let mut bits = 0;
        for byte in self.0 {
            bits += byte.leading_zeros();
            if byte != 0 {
                break;
            }
        }
        bits
    }
}
