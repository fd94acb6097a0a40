mod blocks;
mod cashu;
mod invoices;
mod markdown;
mod names;

use proptest::prelude::*;

use super::*;
pub(crate) use invoices::invoice;

/// Pieces that mean something, whole and broken, so that random texts hold many of them.
pub(crate) const PIECES: &[&str] = &[
    "```",
    "#",
    "#[0]",
    "#[99999]",
    ":",
    ":cat:",
    "nostr:",
    "NOSTR:",
    "npub1",
    "lnbc",
    "lightning:",
    "cashuA",
    "cashuBaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "https://",
    "https://a.b/c.png",
    "wss://r.x",
    "(",
    ")",
    ".",
    "\n",
    " ",
    "é",
    "漢",
    "🐈",
    "1",
    "a_b",
    "&",
    "\u{0}",
    "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6",
];

/// Any text, and texts put together from pieces.
pub(crate) fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(PIECES).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop_oneof![any::<String>(), proptest::collection::vec(piece, 0..30).prop_map(|it| it.concat())]
}

pub(crate) fn assert_lossless(text: &str, blocks: &[Block<'_>]) {
    let together: String = blocks.iter().map(|block| block.raw).collect();
    assert_eq!(together, text);
    assert!(blocks.iter().all(|block| !block.raw.is_empty()));
}

proptest! {
    #[test]
    fn the_blocks_of_any_text_put_together_are_the_text(text in texts()) {
        let tags = [
            Tag::new(["p", &"11".repeat(32)]),
            Tag::new(["emoji", "cat", "https://a.b/cat.png"]),
            Tag::new(["imeta", "url https://a.b/c.png", "m video/mp4"]),
        ];
        let blocks = Content::new(&text, &tags).blocks();
        assert_lossless(&text, &blocks);
        let limits = Shortening { max_chars: 20, max_media: 1, max_lines: 2 };
        if let Some(short) = shortened(&blocks, limits) {
            let short: String = short.iter().map(|block| block.raw).collect();
            prop_assert!(text.starts_with(&short) && short.len() < text.len());
        }
        for gallery in galleries(&blocks) {
            prop_assert!(gallery.len() > 1 && gallery.end <= blocks.len());
        }
    }

    #[test]
    fn any_text_is_a_name_or_an_invoice_or_neither(text in texts()) {
        if let Ok(entity) = Entity::parse(&text) {
            let name = entity.to_bech32();
            prop_assert_eq!(name.and_then(|name| Entity::parse(&name)), Ok(entity));
        }
        if let Ok(invoice) = Invoice::parse(&text) {
            prop_assert!(invoice.amount_msat.is_none_or(|msat| msat <= MAX_INVOICE_MSAT));
        }
    }
}
