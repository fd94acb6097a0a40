//! Lightning invoices (BOLT 11).

use nipworker_pipeline::content::{Invoice, MAX_INVOICE_MSAT};

use crate::checked_bech32;

/// Groups of five bits before and behind the fields: time, signature.
const TIME: [u8; 7] = [1; 7];
const SIGNATURE: [u8; 104] = [0; 104];

pub(super) fn run(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
    // Up to the first zero stands what follows `ln`, behind it the groups of five bits.
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let Ok(amount) = std::str::from_utf8(&bytes[..at]) else { return };
    let groups = bytes.get(at + 1..).unwrap_or_default();
    let prefix = format!("ln{amount}");
    let Some(text) = checked_bech32::of_low_bits(&prefix, groups) else { return };
    read(&text);
    let framed = [&TIME, groups, &SIGNATURE].concat();
    let Some(text) = checked_bech32::of_low_bits(&prefix, &framed) else { return };
    read(&text);
    read(&text.to_uppercase());
}

fn read(text: &str) {
    let Ok(invoice) = Invoice::parse(text) else { return };
    assert!(invoice.amount_msat.is_none_or(|amount| amount <= MAX_INVOICE_MSAT));
    assert!((0..1 << 35).contains(&invoice.created_at));
    if let Some(amount) = invoice.amount_msat {
        assert_eq!(naive_amount_msat(text), Some(u128::from(amount)), "{text}");
    }
}

/// The amount by exact arithmetic in picobitcoin; the last `1` ends the prefix.
fn naive_amount_msat(text: &str) -> Option<u128> {
    let text = text.to_lowercase();
    let prefix = &text[..text.rfind('1')?];
    let digits: String = prefix.chars().filter(char::is_ascii_digit).collect();
    let pico = match prefix.chars().last()? {
        'm' => 1_000_000_000,
        'u' => 1_000_000,
        'n' => 1_000,
        'p' => 1,
        _ => 1_000_000_000_000,
    };
    let amount = digits.parse::<u128>().ok()?.checked_mul(pico)?;
    amount.is_multiple_of(10).then_some(amount / 10)
}
