//! The permutation as the search runs it.

use crate::{
    ELEMENTS,
    constants::{COLUMN, LOOKUP, LOOKUPS, ROUND, STATE},
    field::{add, lowered, mul, raised, reduce, to_the_seventh},
};

type State = [u64; STATE];

/// Where the element that changes from attempt to attempt stands: the first of the nonce.
const VARIABLE: usize = ELEMENTS;

/// The matrix, column by column.
const MATRIX: [[u32; STATE]; STATE] = {
    let mut matrix = [[0; STATE]; STATE];
    let mut row = 0;
    while row < STATE {
        let mut column = 0;
        while column < STATE {
            matrix[column][row] = COLUMN[(row + STATE - column) % STATE] as u32;
            column += 1;
        }
        row += 1;
    }
    matrix
};

#[inline]
fn looked_up(x: u64) -> u64 {
    let bytes = raised(x).to_le_bytes().map(|byte| LOOKUP[usize::from(byte)]);
    // Below the modulus again: the lookup keeps 0 and 255, so that four upper bytes of 255 come
    // from such only, and the four lower ones of them stay 0.
    lowered(u64::from_le_bytes(bytes))
}

#[inline]
fn s_boxes(state: &mut State) {
    let (low, high) = state.split_at_mut(LOOKUPS);
    for x in low {
        *x = looked_up(*x);
    }
    for x in high {
        *x = to_the_seventh(*x);
    }
}

/// The matrix times the state, plus constants. The halves of the elements are multiplied apart:
/// sums of sixteen products of 16 and 32 bits stay below 2^52, and compilers make vectors of them.
#[inline]
fn mixed(state: &State, constants: &State) -> State {
    let (mut low, mut high) = ([0u64; STATE], [0u64; STATE]);
    for (x, column) in state.iter().zip(&MATRIX) {
        let (x_low, x_high) = (x & 0xFFFF_FFFF, x >> 32);
        for row in 0..STATE {
            low[row] += u64::from(column[row]) * x_low;
            high[row] += u64::from(column[row]) * x_high;
        }
    }
    std::array::from_fn(|row| {
        let sum = u128::from(low[row]) + (u128::from(high[row]) << 32);
        reduce(sum + u128::from(constants[row]))
    })
}

/// A header and a nonce whose first element is open; what does not depend on it is done.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    /// The state after the first round if the open element were 0.
    first: State,
}

impl Prepared {
    /// Of `nonce` all but its first element. Elements are below the modulus.
    pub(crate) fn new(header: [u64; ELEMENTS], nonce: [u64; ELEMENTS]) -> Self {
        let mut state = [1; STATE];
        state[..ELEMENTS].copy_from_slice(&header);
        state[ELEMENTS..2 * ELEMENTS].copy_from_slice(&nonce);
        state[VARIABLE] = 0;
        s_boxes(&mut state);
        Self { first: mixed(&state, &ROUND[0]) }
    }

    /// The digest with `open` as the first element of the nonce.
    #[inline]
    pub(crate) fn digest(&self, open: u64) -> [u64; ELEMENTS] {
        let power = to_the_seventh(open);
        let column = &MATRIX[VARIABLE];
        let mut state: State =
            std::array::from_fn(|row| add(self.first[row], mul(power, u64::from(column[row]))));
        for constants in &ROUND[1..] {
            s_boxes(&mut state);
            state = mixed(&state, constants);
        }
        let mut digest = [0; ELEMENTS];
        digest.copy_from_slice(&state[..ELEMENTS]);
        digest
    }
}
