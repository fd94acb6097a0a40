//! The hash once more, as its definition reads. It checks what the search reports and shares only
//! the defining numbers with it.

use crate::{
    ELEMENTS,
    constants::{COLUMN, LOOKUPS, ROUND, STATE},
    field::P,
};

const P128: u128 = P as u128;

fn times(a: u64, b: u64) -> u64 {
    (u128::from(a) * u128::from(b) % P128) as u64
}

fn power(x: u64, exponent: u64) -> u64 {
    (0..exponent).fold(1, |power, _| times(power, x))
}

fn s_box(element: usize, x: u64) -> u64 {
    if element >= LOOKUPS {
        return power(x, 7);
    }
    let two_to_64 = ((1u128 << 64) % P128) as u64;
    // 2^192 = 1, so that 2^128 undoes 2^64.
    let inverse = times(two_to_64, two_to_64);
    let bytes = times(x, two_to_64).to_le_bytes().map(|byte| {
        let next = u32::from(byte) + 1;
        // Below 256: see the table of the search.
        ((next * next * next - 1) % 257) as u8
    });
    times(u64::from_le_bytes(bytes), inverse)
}

/// The digest of a header and a nonce.
pub(crate) fn digest(header: [u64; ELEMENTS], nonce: [u64; ELEMENTS]) -> [u64; ELEMENTS] {
    let mut state = [1u64; STATE];
    state[..ELEMENTS].copy_from_slice(&header);
    state[ELEMENTS..2 * ELEMENTS].copy_from_slice(&nonce);
    for constants in ROUND.iter() {
        let boxed: [u64; STATE] = std::array::from_fn(|at| s_box(at, state[at]));
        state = std::array::from_fn(|row| {
            let products = (0..STATE)
                .map(|at| u128::from(COLUMN[(STATE + row - at) % STATE]) * u128::from(boxed[at]));
            ((products.sum::<u128>() + u128::from(constants[row])) % P128) as u64
        });
    }
    let mut digest = [0; ELEMENTS];
    digest.copy_from_slice(&state[..ELEMENTS]);
    digest
}
