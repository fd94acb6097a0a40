//! Arithmetic modulo p = 2^64 − 2^32 + 1. Every value that comes in or goes out is below p.

/// The modulus.
pub(crate) const P: u64 = 0xFFFF_FFFF_0000_0001;
/// 2^64 modulo p.
const EPSILON: u64 = 0xFFFF_FFFF;
/// The inverse of 2^64. As 2^96 = −1, it is 2^128 = (2^32 − 1)^2 = −2^32.
const INVERSE_OF_TWO_TO_64: u64 = P - (1 << 32);

/// The remainder of any number that fits: 2^64 counts as 2^32 − 1, and 2^96 as −1.
#[inline]
pub(crate) fn reduce(x: u128) -> u64 {
    let low = x as u64;
    let middle = (x >> 64) as u64 & EPSILON;
    let high = (x >> 96) as u64;
    let (mut sum, borrow) = low.overflowing_sub(high);
    if borrow {
        // It wrapped around 2^64, which was 2^32 − 1 too much; at most 2^32 was taken away from a
        // number that is thereby near 2^64, so that this does not wrap again.
        sum -= EPSILON;
    }
    let (sum, carry) = sum.overflowing_add(middle * EPSILON);
    // After a carry the rest is below 2^64 − 2^33: no second one. Half of all products carry, which
    // no processor can foresee: a product instead of a branch.
    canonical(sum + EPSILON * u64::from(carry))
}

#[inline]
fn canonical(x: u64) -> u64 {
    if x >= P { x - P } else { x }
}

#[inline]
pub(crate) fn add(a: u64, b: u64) -> u64 {
    reduce(u128::from(a) + u128::from(b))
}

#[inline]
pub(crate) fn mul(a: u64, b: u64) -> u64 {
    reduce(u128::from(a) * u128::from(b))
}

#[inline]
pub(crate) fn to_the_seventh(x: u64) -> u64 {
    let square = mul(x, x);
    mul(mul(square, x), mul(square, square))
}

/// `x` times 2^64: the form whose bytes the S-box looks up.
#[inline]
pub(crate) fn raised(x: u64) -> u64 {
    mul(x, EPSILON)
}

/// The inverse of [`raised`].
#[inline]
pub(crate) fn lowered(x: u64) -> u64 {
    mul(x, INVERSE_OF_TWO_TO_64)
}
