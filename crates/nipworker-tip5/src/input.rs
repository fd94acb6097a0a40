//! What is searched.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ELEMENTS, field};

/// Name of the workload: what a [`nipworker_mining::JobRequest`] asks for.
pub const WORKLOAD_NAME: &str = "tip5-search";

/// The modulus of the field, 2^64 − 2^32 + 1: every element is below it.
pub const MODULUS: u64 = field::P;

/// Input of the workload. Elements are JSON integers from 0 to [`MODULUS`] − 1; the largest are
/// beyond what a JSON reader with 64-bit floats can hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tip5Input {
    /// The five elements that the nonce is sought for.
    pub header: [u64; ELEMENTS],
    /// The largest digest that is a hit, as five digits to the base [`MODULUS`], the lowest first.
    pub target: [u64; ELEMENTS],
    /// Elements 1 to 4 of the nonce; element 0 is the index. With different ones several machines
    /// share a job. Default: zeros.
    #[serde(default)]
    pub nonce_tail: [u64; ELEMENTS - 1],
}

impl Tip5Input {
    /// Reads the input of a job.
    pub(crate) fn read(input: &Value) -> Result<Self, String> {
        // Read as a struct, a list would pass for one with its fields in order.
        if !input.is_object() {
            return Err("it is not an object".into());
        }
        let input = Self::deserialize(input).map_err(|error| error.to_string())?;
        let fields: [(&str, &[u64]); 3] = [
            ("header", &input.header),
            ("target", &input.target),
            ("nonce_tail", &input.nonce_tail),
        ];
        for (name, elements) in fields {
            for (at, element) in elements.iter().enumerate() {
                if *element >= MODULUS {
                    let most = MODULUS - 1;
                    return Err(format!("{name}[{at}] is {element}, allowed is at most {most}"));
                }
            }
        }
        Ok(input)
    }

    /// The nonce of an index.
    pub(crate) fn nonce(&self, index: u64) -> [u64; ELEMENTS] {
        let [a, b, c, d] = self.nonce_tail;
        [index, a, b, c, d]
    }

    /// Whether a digest solves the job.
    #[inline]
    pub(crate) fn is_met_by(&self, digest: &[u64; ELEMENTS]) -> bool {
        digest.iter().rev().le(self.target.iter().rev())
    }

    /// The part of all digests that solve the job.
    pub(crate) fn chance(&self) -> f64 {
        let base = MODULUS as f64;
        // The target itself is one of them.
        (self.target.iter().fold(1.0, |chance, digit| chance / base + *digit as f64 / base))
            .min(1.0)
    }
}

/// The leading zero bits of a digest's elements, the highest digit first: 0 to 320.
pub(crate) fn score(digest: &[u64; ELEMENTS]) -> u64 {
    let whole = digest.iter().rev().take_while(|digit| **digit == 0).count();
    let next = digest.iter().rev().nth(whole).map_or(0, |digit| digit.leading_zeros());
    whole as u64 * u64::from(u64::BITS) + u64::from(next)
}
