//! Numbers that define the hash, derived as the crate's documentation says.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::field::P;

/// Elements of the state.
pub(crate) const STATE: usize = 16;
/// Elements that go through the lookup; the others through the seventh power.
pub(crate) const LOOKUPS: usize = 4;
/// Rounds of the permutation.
pub(crate) const ROUNDS: usize = 7;

/// First column of the circulant matrix: ePrint 2023/107, section 2.3; a test derives it again.
pub(crate) const COLUMN: [u16; STATE] = [
    61402, 1108, 28750, 33823, 7454, 43244, 53865, 12034, 56951, 27521, 41351, 40901, 12021, 59689,
    26798, 17845,
];

/// The S-box of a byte: x ↦ (x + 1)^3 − 1 modulo 257, which keeps 0 and 255 where they are and
/// permutes the bytes between them.
pub(crate) const LOOKUP: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let next = byte + 1;
        // Never 256: the cube is not 0 modulo 257, because x + 1 is not.
        table[byte] = ((next * next * next + 256) % 257) as u8;
        byte += 1;
    }
    table
};

/// The round constants.
pub(crate) static ROUND: LazyLock<[[u64; STATE]; ROUNDS]> = LazyLock::new(|| {
    std::array::from_fn(|round| {
        std::array::from_fn(|element| {
            let number = round * STATE + element;
            let text = format!("nipworker tip5-search round constant {number}");
            let hash = Sha256::digest(text);
            let mut low = [0; 16];
            low.copy_from_slice(&hash[..16]);
            // The remainder is below the modulus, which fits.
            (u128::from_le_bytes(low) % u128::from(P)) as u64
        })
    })
});
