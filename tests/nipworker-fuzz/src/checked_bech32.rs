//! Bech32 with a right checksum around arbitrary parts: chance never finds one.

use bech32::{Bech32, ByteIterExt, Checksum, Fe32, Fe32IterExt, Hrp};

/// Bech32 longer than anything that NIP-19 and BOLT 11 know.
enum AnyLength {}

impl Checksum for AnyLength {
    type MidstateRepr = <Bech32 as Checksum>::MidstateRepr;
    type CorrectionField = <Bech32 as Checksum>::CorrectionField;
    const ROOT_GENERATOR: Self::CorrectionField = Bech32::ROOT_GENERATOR;
    const ROOT_EXPONENTS: core::ops::RangeInclusive<usize> = Bech32::ROOT_EXPONENTS;
    const CODE_LENGTH: usize = usize::MAX;
    const CHECKSUM_LENGTH: usize = Bech32::CHECKSUM_LENGTH;
    const GENERATOR_SH: [u32; 5] = Bech32::GENERATOR_SH;
    const TARGET_RESIDUE: u32 = Bech32::TARGET_RESIDUE;
}

/// `prefix` and `bytes` as bech32; `None` when the prefix cannot be one.
pub(crate) fn of_bytes(prefix: &str, bytes: &[u8]) -> Option<String> {
    of_groups(prefix, bytes.iter().copied().bytes_to_fes())
}

/// `prefix` and groups of five bits as bech32; `None` when the prefix cannot be one.
pub(crate) fn of_groups(prefix: &str, groups: impl Iterator<Item = Fe32>) -> Option<String> {
    let prefix = Hrp::parse(prefix).ok()?;
    Some(groups.with_checksum::<AnyLength>(&prefix).chars().collect())
}

/// `prefix` and the low five bits of each byte as bech32.
pub(crate) fn of_low_bits(prefix: &str, bytes: &[u8]) -> Option<String> {
    let group = |byte: &u8| Fe32::try_from(byte & 31).ok();
    of_groups(prefix, bytes.iter().filter_map(group).collect::<Vec<_>>().into_iter())
}
