use bech32::{
    Fe32, Hrp,
    primitives::iter::{ByteIterExt, Fe32IterExt},
};

use super::{super::long_bech32::LongBech32, *};

/// From the examples of BOLT 11.
const COFFEE: &str = "lnbc2500u1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpuaztrnwngzn3kdzw5hydlzf03qdgm2hdq27cqv3agm2awhz5se903vruatfhq77w3ls4evs3ch9zw97j25emudupq63nyw24cg27h2rspfj9srp";
const DONATION: &str = "lnbc1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq8rkx3yf5tcsyz3d73gafnh3cax9rn449d9p5uxz9ezhhypd0elx87sjle52x86fux2ypatgddc6k63n7erqz25le42c4u4ecky03ylcqca784w";
const BY_HASH: &str = "lnbc20m1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqhp58yjmdan79s6qqdhdzgynm4zwqd5d7xmw5fk98klysy043l2ahrqscc6gd6ql3jrc5yzme8v4ntcewwz5cnw92tz0pc8qcuufvq7khhr8wpald05e92xw006sq94mg8v2ndf4sefvf9sygkshp5zfem29trqq2yxxz7";

/// An invoice with a right checksum and an empty signature.
pub(crate) fn invoice(prefix: &str, payment_hash: [u8; 32], description_hash: [u8; 32]) -> String {
    let group = |n: u8| Fe32::try_from(n).unwrap();
    let field = |number: u8, bytes: [u8; 32]| {
        let head = [group(number), group(1), group(20)];
        head.into_iter().chain(bytes.into_iter().bytes_to_fes()).collect::<Vec<_>>()
    };
    let time = std::iter::repeat_n(group(1), 7);
    let signature = std::iter::repeat_n(group(0), 104);
    let hrp = Hrp::parse(prefix).unwrap();
    time.chain(field(1, payment_hash))
        .chain(field(23, description_hash))
        .chain(signature)
        .with_checksum::<LongBech32>(&hrp)
        .chars()
        .collect()
}

fn amount(prefix: &str) -> Result<Option<u64>, InvoiceError> {
    Invoice::parse(&invoice(prefix, [1; 32], [2; 32])).map(|invoice| invoice.amount_msat)
}

#[test]
fn examples_of_the_specification_are_read() {
    let mut hash = [0; 32];
    hex::decode_to_slice(
        "0001020304050607080900010203040506070809000102030405060708090102",
        &mut hash,
    )
    .unwrap();
    let coffee = Invoice::parse(COFFEE).unwrap();
    let expected = Invoice {
        network: Network::Bitcoin,
        amount_msat: Some(250_000_000),
        created_at: 1_496_314_658,
        expiry_seconds: 60,
        payment_hash: Some(hash),
        description: Some("1 cup coffee".to_owned()),
        description_hash: None,
    };
    assert_eq!(coffee, expected);
    assert_eq!(Invoice::parse(&COFFEE.to_uppercase()), Ok(coffee));

    let donation = Invoice::parse(DONATION).unwrap();
    assert_eq!((donation.amount_msat, donation.expiry_seconds), (None, 3_600));
    let description = donation.description.as_deref();
    assert_eq!(description, Some("Please consider supporting this project"));

    let by_hash = Invoice::parse(BY_HASH).unwrap();
    assert_eq!(by_hash.amount_msat, Some(2_000_000_000));
    assert_eq!(
        hex::encode(by_hash.description_hash.unwrap()),
        "3925b6f67e2c340036ed12093dd44e0368df1b6ea26c53dbe4811f58fd5db8c1"
    );
}

/// An earlier engine split the invoice at its first `1` and took a missing multiplier for
/// satoshi: 10u became 0, 210n became 2, 1m became 0.
#[test]
fn amounts_are_exact_in_every_unit() {
    for (prefix, msat) in [
        ("lnbc10u", 1_000_000),
        ("lnbc210n", 21_000),
        ("lnbc1m", 100_000_000),
        ("lnbc1", 100_000_000_000),
        ("lnbc21000000", MAX_INVOICE_MSAT),
        ("lnbc10p", 1),
        ("lnbc9678785340p", 967_878_534),
        ("lntb20m", 2_000_000_000),
        ("lntbs1n", 100),
        ("lnbcrt500u", 50_000_000),
        ("lnsb1u", 100_000),
    ] {
        assert_eq!(amount(prefix), Ok(Some(msat)), "{prefix}");
    }
    assert_eq!(amount("lnbc"), Ok(None));
    assert_eq!(amount("lnbcrt"), Ok(None));
}

#[test]
fn amounts_that_are_none_are_refused() {
    for prefix in [
        "lnbc0",
        "lnbc01m",
        "lnbcm",
        "lnbc1x",
        "lnbc1mm",
        "lnbc1mu",
        "lnbc-1m",
        "lnbc1p",
        "lnbc2500000001p",
        "lnbc1.5m",
        "lnbcfoo",
    ] {
        assert_eq!(amount(prefix), Err(InvoiceError::Amount), "{prefix}");
    }
    for prefix in ["lnbc21000001", "lnbc99999999999999999999m", "lnbc18446744073709551615"] {
        assert_eq!(amount(prefix), Err(InvoiceError::TooMuch), "{prefix}");
    }
    for prefix in ["lnurl", "ln", "bc10u", "lnxx1m"] {
        assert_eq!(amount(prefix), Err(InvoiceError::Prefix), "{prefix}");
    }
}

#[test]
fn a_damaged_or_cut_invoice_is_refused() {
    let damaged = COFFEE.replace("2500u", "2600u");
    assert_eq!(Invoice::parse(&damaged), Err(InvoiceError::Bech32));
    assert_eq!(Invoice::parse(&COFFEE[..COFFEE.len() - 1]), Err(InvoiceError::Bech32));
    let hrp = Hrp::parse("lnbc1m").unwrap();
    for groups in 0..250 {
        // Every group is 1: fields of 33 groups.
        let data = std::iter::repeat_n(Fe32::try_from(1).unwrap(), groups);
        let text: String = data.with_checksum::<LongBech32>(&hrp).chars().collect();
        let whole = groups >= 111 && (groups - 111) % 36 == 0;
        assert_eq!(Invoice::parse(&text).is_ok(), whole, "{groups} groups");
    }
}

#[test]
fn an_invoice_in_a_text_is_found_with_and_without_its_scheme() {
    let text = format!("pay {COFFEE}, LIGHTNING:{} or x{COFFEE}", DONATION.to_uppercase());
    let blocks = Content::new(&text, &[]).blocks();
    assert_lossless(&text, &blocks);
    let amounts: Vec<_> = blocks
        .iter()
        .filter_map(|block| match &block.what {
            BlockKind::Invoice(invoice) => Some(invoice.amount_msat),
            _ => None,
        })
        .collect();
    assert_eq!(amounts, [Some(250_000_000), None]);
}
