//! Bech32 without the length limit of bitcoin addresses.

use bech32::{Bech32, Checksum, primitives::decode::CheckedHrpstring};

/// Longest bech32 text that is read, in characters: what fits into one QR code (BOLT 11), more
/// than the 5,000 that NIP-19 asks readers to take.
pub(crate) const MAX_BECH32_CHARS: usize = 7_089;

/// The checksum of BIP-173 over texts of up to [`MAX_BECH32_CHARS`]. The crate's own type stops
/// at 1,023, where the checksum still finds errors for certain; longer texts are in use.
pub(crate) enum LongBech32 {}

impl Checksum for LongBech32 {
    type MidstateRepr = <Bech32 as Checksum>::MidstateRepr;
    type CorrectionField = <Bech32 as Checksum>::CorrectionField;
    const ROOT_GENERATOR: Self::CorrectionField = Bech32::ROOT_GENERATOR;
    const ROOT_EXPONENTS: core::ops::RangeInclusive<usize> = Bech32::ROOT_EXPONENTS;
    const CODE_LENGTH: usize = MAX_BECH32_CHARS;
    const CHECKSUM_LENGTH: usize = Bech32::CHECKSUM_LENGTH;
    const GENERATOR_SH: [u32; 5] = Bech32::GENERATOR_SH;
    const TARGET_RESIDUE: u32 = Bech32::TARGET_RESIDUE;
}

/// The text with its checksum verified; `None` when it is no bech32.
pub(crate) fn checked(text: &str) -> Option<CheckedHrpstring<'_>> {
    CheckedHrpstring::new::<LongBech32>(text).ok()
}
