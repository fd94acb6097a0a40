//! Lightning invoices (BOLT 11): the amount exactly, and what a zap is checked against.

use super::long_bech32::checked;

/// Millisatoshi of one bitcoin.
const MSAT_PER_BITCOIN: u64 = 100_000_000_000;

/// Every bitcoin there will be, in millisatoshi: no honest invoice asks for more.
pub const MAX_INVOICE_MSAT: u64 = 21_000_000 * MSAT_PER_BITCOIN;

/// Seconds until an invoice that does not say otherwise is void.
const DEFAULT_EXPIRY_SECONDS: u64 = 3_600;

/// Groups of five bits that hold the time, and the signature with its recovery number.
const TIME_GROUPS: usize = 7;
const SIGNATURE_GROUPS: usize = 104;

/// Why a text is no invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvoiceError {
    /// Not bech32, too long, or the checksum is wrong.
    #[error("not bech32, or its checksum is wrong")]
    Bech32,
    /// It does not begin with `ln` and a known network.
    #[error("not an invoice of a known network")]
    Prefix,
    /// The amount is no number without leading zeros, has an unknown multiplier, or is no whole
    /// number of millisatoshi.
    #[error("invoice amount is no whole number of millisatoshi")]
    Amount,
    /// More than [`MAX_INVOICE_MSAT`].
    #[error("invoice amount is more than all bitcoin, {MAX_INVOICE_MSAT} millisatoshi")]
    TooMuch,
    /// Time, fields or signature are cut.
    #[error("invoice ends early")]
    Cut,
}

/// Which chain an invoice is paid on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// `bc`: real money.
    Bitcoin,
    /// `tb`.
    Testnet,
    /// `tbs`.
    Signet,
    /// `bcrt`.
    Regtest,
    /// `sb`.
    Simnet,
}

/// An invoice. Its checksum was verified, its signature was not.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Invoice {
    /// The chain.
    pub network: Network,
    /// Millisatoshi asked for; `None` leaves the amount to the payer.
    pub amount_msat: Option<u64>,
    /// When it was made, unix seconds.
    pub created_at: i64,
    /// Seconds after `created_at` when it is void.
    pub expiry_seconds: u64,
    /// SHA-256 of the preimage that proves the payment.
    #[serde(serialize_with = "crate::kinds::json::hex_if_any")]
    pub payment_hash: Option<[u8; 32]>,
    /// What it is for, in words.
    pub description: Option<String>,
    /// SHA-256 of a description that stands elsewhere: of a zap, its request (NIP-57).
    #[serde(serialize_with = "crate::kinds::json::hex_if_any")]
    pub description_hash: Option<[u8; 32]>,
}

impl Invoice {
    /// Reads an invoice, in lower or upper case, without `lightning:` before it.
    ///
    /// # Errors
    /// See [`InvoiceError`].
    pub fn parse(text: &str) -> Result<Self, InvoiceError> {
        let checked = checked(text).ok_or(InvoiceError::Bech32)?;
        let (network, amount_msat) = read_prefix(&checked.hrp().to_lowercase())?;
        let groups: Vec<u8> = checked.fe32_iter().map(|group| group.to_u8()).collect();
        let (time, rest) = groups.split_at_checked(TIME_GROUPS).ok_or(InvoiceError::Cut)?;
        let fields = rest.len().checked_sub(SIGNATURE_GROUPS).ok_or(InvoiceError::Cut)?;
        let mut invoice = Self {
            network,
            amount_msat,
            // Seven groups are 35 bits.
            created_at: i64::try_from(number(time)).unwrap_or_default(),
            expiry_seconds: DEFAULT_EXPIRY_SECONDS,
            payment_hash: None,
            description: None,
            description_hash: None,
        };
        invoice.read_fields(&rest[..fields])?;
        Ok(invoice)
    }

    /// Of each field the first counts; one of an unexpected length is passed over, as BOLT 11
    /// asks.
    fn read_fields(&mut self, mut groups: &[u8]) -> Result<(), InvoiceError> {
        while let [field, high, low, rest @ ..] = groups {
            let length = usize::from(*high) * 32 + usize::from(*low);
            let (value, rest) = rest.split_at_checked(length).ok_or(InvoiceError::Cut)?;
            match field {
                1 if self.payment_hash.is_none() => self.payment_hash = hash(value),
                23 if self.description_hash.is_none() => self.description_hash = hash(value),
                13 if self.description.is_none() => {
                    self.description = String::from_utf8(bytes(value)).ok();
                }
                // Twelve groups are 60 bits; what is longer is no time.
                6 if length <= 12 => self.expiry_seconds = number(value),
                _ => {}
            }
            groups = rest;
        }
        if groups.is_empty() { Ok(()) } else { Err(InvoiceError::Cut) }
    }
}

fn read_prefix(prefix: &str) -> Result<(Network, Option<u64>), InvoiceError> {
    // The longer names first: each of them begins with a shorter one.
    const NETWORKS: [(&str, Network); 5] = [
        ("bcrt", Network::Regtest),
        ("tbs", Network::Signet),
        ("bc", Network::Bitcoin),
        ("tb", Network::Testnet),
        ("sb", Network::Simnet),
    ];
    let rest = prefix.strip_prefix("ln").ok_or(InvoiceError::Prefix)?;
    let (amount, network) = NETWORKS
        .iter()
        .find_map(|(name, network)| Some((rest.strip_prefix(name)?, *network)))
        .ok_or(InvoiceError::Prefix)?;
    if amount.is_empty() {
        return Ok((network, None));
    }
    amount_msat(amount).map(|amount| (network, Some(amount)))
}

/// `2500u` and its like, in millisatoshi.
fn amount_msat(text: &str) -> Result<u64, InvoiceError> {
    let digits = text.trim_end_matches(['m', 'u', 'n', 'p']);
    let is_number = digits.bytes().all(|c| c.is_ascii_digit()) && !digits.starts_with('0');
    if !is_number || digits.is_empty() {
        return Err(InvoiceError::Amount);
    }
    // Only digits: what does not parse is too large.
    let count: u64 = digits.parse().map_err(|_| InvoiceError::TooMuch)?;
    let unit_msat = match &text[digits.len()..] {
        "" => MSAT_PER_BITCOIN,
        "m" => MSAT_PER_BITCOIN / 1_000,
        "u" => MSAT_PER_BITCOIN / 1_000_000,
        "n" => MSAT_PER_BITCOIN / 1_000_000_000,
        // A tenth of a millisatoshi.
        "p" if count.is_multiple_of(10) => return within_supply(count / 10),
        _ => return Err(InvoiceError::Amount),
    };
    within_supply(count.checked_mul(unit_msat).ok_or(InvoiceError::TooMuch)?)
}

fn within_supply(amount_msat: u64) -> Result<u64, InvoiceError> {
    if amount_msat <= MAX_INVOICE_MSAT { Ok(amount_msat) } else { Err(InvoiceError::TooMuch) }
}

/// Groups of five bits as one number; at most twelve groups.
fn number(groups: &[u8]) -> u64 {
    groups.iter().fold(0, |number, group| number << 5 | u64::from(*group))
}

/// Groups of five bits as bytes; bits that fill no byte are padding.
fn bytes(groups: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(groups.len() * 5 / 8);
    let (mut held, mut bits) = (0_u32, 0);
    for group in groups {
        held = (held << 5 | u32::from(*group)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits & 0xff) as u8);
        }
    }
    out
}

/// A hash is 52 groups; others are to be passed over.
fn hash(groups: &[u8]) -> Option<[u8; 32]> {
    if groups.len() == 52 { bytes(groups).try_into().ok() } else { None }
}
