use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::content::Content;

#[test]
fn real_events_have_a_view_pass_through_or_give_a_reason() {
    let events = real_events();
    let mut views = BTreeMap::new();
    for event in &events {
        let view = match ParsedKind::of(event) {
            Ok(view) => view,
            Err(error) => {
                *views.entry(error.to_string()).or_insert(0) += 1;
                continue;
            }
        };
        let name = format!("{view:?}").split('(').next().unwrap_or_default().to_owned();
        *views.entry(name).or_insert(0) += 1;
        if let ParsedKind::TextNote(note) = view {
            let together: String = note.content.blocks().iter().map(|block| block.raw).collect();
            assert_eq!(together, event.content);
        }
    }
    let views: Vec<_> = views.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    let expected = [
        ("Addressable", 2),
        ("Contacts", 1),
        ("Deletion", 2),
        ("DirectMessage", 153),
        ("List", 1),
        ("LiveChatMessage", 1),
        ("Other", 43),
        ("Reaction", 111),
        ("Report", 8),
        ("Repost", 1),
        ("TextNote", 218),
        // Three have the names of byte arrays in memory (`[B@30f641e`) where the bytes should be.
        ("kind 4: content is not NIP-04 text", 3),
    ];
    assert_eq!(views, expected);
}

#[test]
fn a_kind_without_a_view_passes_through_whole() {
    let event = event(54_321, &[&["x", "y"], &[]], "text");
    let ParsedKind::Other(source) = ParsedKind::of(&event).unwrap() else { panic!() };
    assert_eq!((source.kind, source.content, source.tags), (54_321, "text", &event.tags[..]));
}

const KINDS: &[u16] = &[
    0, 1, 3, 4, 5, 6, 7, 8, 13, 14, 15, 16, 17, 20, 21, 22, 1_018, 1_059, 1_068, 1_111, 1_311,
    1_984, 7_374, 7_375, 7_376, 9_321, 9_734, 9_735, 10_000, 10_002, 10_008, 10_019, 17_375,
    21_059, 30_000, 30_008, 30_009, 30_023, 30_024, 30_311, 34_235, 34_236, 39_089, 60_000,
];

const NAMES: &[&str] = &[
    "",
    "e",
    "E",
    "p",
    "P",
    "a",
    "A",
    "i",
    "I",
    "k",
    "K",
    "q",
    "r",
    "t",
    "d",
    "u",
    "relay",
    "relays",
    "emoji",
    "imeta",
    "amount",
    "bolt11",
    "description",
    "preimage",
    "proof",
    "mint",
    "pubkey",
    "option",
    "polltype",
    "endsAt",
    "response",
    "segment",
    "duration",
    "title",
    "file-type",
    "encryption-algorithm",
    "decryption-key",
    "decryption-nonce",
    "word",
];

fn values() -> impl Strategy<Value = String> {
    let known: Vec<String> = [
        "",
        "1",
        "-1",
        "18446744073709551616",
        "root",
        "reply",
        "mention",
        "read",
        "write",
        "wss://a.b",
        "wss://",
        "url https://a.b/c.png",
        "dim 1x",
        "duration 9e9",
        "00:00:01.5",
        "99999999999999999:1:1",
        r#"{"id":"1","amount":18446744073709551615,"secret":"","C":""}"#,
        r#"["P2PK",{"data":"x"}]"#,
        "lnbc1",
        ":",
        "{",
        "[",
        "\"",
        "30023:x:",
    ]
    .iter()
    .map(|text| (*text).to_owned())
    .chain([hex(1), hex(2), format!("30023:{}:d", hex(1)), format!("0:{}", hex(2))])
    .collect();
    prop_oneof![4 => proptest::sample::select(known), 1 => any::<String>()]
}

fn contents() -> impl Strategy<Value = String> {
    prop_oneof![
        crate::content::tests::texts(),
        values(),
        (1..200_usize, "[=?]{0,3}").prop_map(|(n, end)| format!("{}{end}", nip44_text(n + 2))),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| format!(
            "{}?iv={}",
            "A".repeat(bytes.len()),
            "B".repeat(24)
        )),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_event_of_any_kind_makes_the_parser_panic(
        kind in proptest::sample::select(KINDS),
        tags in proptest::collection::vec(
            (proptest::sample::select(NAMES), proptest::collection::vec(values(), 0..5)), 0..12,
        ),
        content in contents(),
    ) {
        let tags: Vec<Tag> = tags
            .into_iter()
            .map(|(name, values)| Tag::new(std::iter::once(name.to_owned()).chain(values)))
            .collect();
        let event = UnsignedEvent::new(key(1), 0, kind, tags, content);
        match ParsedKind::of_rumor(&event) {
            Ok(view) => {
                let shown = format!("{view:?}");
                let json = serde_json::to_value(&view).unwrap();
                let is_typed = json.get("type").is_some_and(serde_json::Value::is_string);
                prop_assert!(is_typed, "{}", json);
                prop_assert!(!shown.is_empty());
            }
            Err(error) => prop_assert_eq!(error.kind, kind),
        }
        let blocks = Content::new(&event.content, &event.tags).blocks();
        let together: String = blocks.iter().map(|block| block.raw).collect();
        prop_assert_eq!(together, event.content);
    }

    /// The longest reason is a fixed text with two numbers: nothing of the input is in it.
    #[test]
    fn any_decrypted_text_is_read_or_refused_with_a_short_reason(text in contents()) {
        let reasons = [
            PrivateTags::parse(&text).err(),
            WalletContent::parse(&text).err(),
            TokenContent::parse(&text).err(),
            HistoryContent::parse(&text).err(),
        ];
        for reason in reasons.into_iter().flatten() {
            prop_assert!(reason.to_string().len() < 100, "{}", reason);
        }
    }
}
