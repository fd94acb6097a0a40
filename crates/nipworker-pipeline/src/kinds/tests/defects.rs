//! What went wrong in an earlier engine. Each test opens with the story.

use super::*;
use crate::content::{BlockKind, Content, Entity};

/// A reaction of one colon, a profile cut in the middle and a message with a short vector each
/// stopped the whole parser.
#[test]
fn contents_that_stopped_an_earlier_parser_are_answered_with_a_reason() {
    let colon = event(7, &[&["e", &hex(2)]], ":");
    assert_eq!(view!(Reaction, &colon).feeling, Feeling::Custom(":"));
    let colon = event(17, &[&["r", "https://a.b"]], ":");
    assert_eq!(view!(ExternalReaction, &colon).feeling, Feeling::Custom(":"));
    for content in [r#"{"a":"#, "{", "", "\"", "[]", "7", "null", r#""{""#, r#""\"{}\"""#] {
        let flaw = flaw(&event(0, &[], content));
        assert!(matches!(flaw, Flaw::Json { .. } | Flaw::Content { .. }), "{content}: {flaw}");
    }
    let short = event(4, &[&["p", &hex(2)]], "AAAAAAAAAAAAAAAAAAAAAA==?iv=AAAA");
    assert_eq!(flaw(&short), Flaw::Content { expected: "NIP-04 text" });
}

/// Keys were found by searching the text: a hashtag `content` became the message, an `id` tag
/// lost the event, and escaped characters lost their backslash.
#[test]
fn the_words_of_tags_are_never_taken_for_fields() {
    let note = event(1, &[&["t", "content"], &["id", "x"], &["sig"]], "caf\u{e9} \u{8}\u{c} \"");
    let json = note.to_json().replace('é', "\\u00e9");
    let read = Event::from_json(json.as_bytes(), &EventLimits::default()).unwrap();
    assert_eq!(read.compute_id(), note.id);
    let view = view!(TextNote, &read);
    assert_eq!(view.content.text(), "caf\u{e9} \u{8}\u{c} \"");
    assert_eq!(view.hashtags, ["content"]);
}

/// The second `r` tag of a relay overwrote the first: read and write became write only.
#[test]
fn a_relay_for_reading_and_for_writing_in_two_tags_is_for_both() {
    let list = event(
        10_002,
        &[
            &["r", "wss://b.example/", "read"],
            &["r", "wss://a.example"],
            &["r", "WSS://B.example", "write"],
            &["r", "https://c.example"],
            &["r", "wss://d.example", "both"],
            &["r"],
        ],
        "",
    );
    let list = view!(RelayList, &list);
    let relays: Vec<_> =
        list.relays.iter().map(|it| (it.url.as_str(), it.read, it.write)).collect();
    assert_eq!(relays, [("wss://b.example", true, true), ("wss://a.example", true, true)]);
    assert_eq!(list.skipped, 3);
}

/// Topics and links of addressable events came out twice.
#[test]
fn topics_and_links_of_an_addressable_event_are_given_once() {
    let event = event(30_402, &[&["d", "x"], &["t", "a"], &["r", "https://a.b"], &["t", "a"]], "");
    let view = view!(Addressable, &event);
    assert_eq!((view.hashtags, view.links), (vec!["a"], vec!["https://a.b"]));
}

/// The private entries of a list joined the public ones, without a mark.
#[test]
fn private_entries_of_a_list_never_join_the_public_ones() {
    let ciphertext = nip44_text(132);
    let list = event(10_000, &[&["p", &hex(2)], &["word", "spam"]], &ciphertext);
    let list = view!(List, &list);
    assert!(matches!(list.private, Some(Ciphertext::Nip44(text)) if text.as_str() == ciphertext));
    let private = PrivateTags::parse(&format!(r#"[["p","{}"],["t","x"]]"#, hex(3))).unwrap();
    assert_eq!(private.entries().people[0].pubkey, key(3));
    assert_eq!(list.public.people.len(), 1);
    assert_eq!(list.public.people[0].pubkey, key(2));
    assert_eq!(list.public.words, ["spam"]);
    assert_eq!(format!("{private:?}"), "PrivateTags(2 hidden)");
}

/// The `naddr` of an article was `30023:key:d`, which no other program reads.
#[test]
fn the_name_of_an_article_is_bech32() {
    let article = event(30_023, &[&["d", "a:b"], &["title", "T"]], "# x");
    let article = view!(Article, &article);
    let name = article.naddr(vec![]).unwrap();
    assert!(name.starts_with("naddr1"));
    let address = Coordinate { kind: 30_023, pubkey: key(1), identifier: "a:b".to_owned() };
    assert_eq!(Entity::parse(&name), Ok(Entity::Address { address, relays: vec![] }));
}

/// The page that a kind 17 is about was not kept.
#[test]
fn a_reaction_to_a_page_keeps_the_page() {
    let reaction = event(17, &[&["r", "https://a.b/c"]], "+");
    assert_eq!(view!(ExternalReaction, &reaction).subject, "https://a.b/c");
    assert_eq!(flaw(&event(17, &[], "+")), Flaw::MissingTag("r or i"));
}

/// Tags marked `mention` were taken for answers, and the author of what is answered was guessed
/// from the order of `p` tags.
#[test]
fn a_mention_is_no_answer_and_authors_are_not_guessed() {
    let note = event(
        1,
        &[
            &["e", &hex(2), "", "mention"],
            &["p", &hex(7)],
            &["e", &hex(3), "", "root", &hex(8)],
            &["e", &hex(4), "wss://a.b", "reply"],
        ],
        "",
    );
    let thread = view!(TextNote, &note).thread;
    assert_eq!(thread.root.map(|it| (it.id, it.author)), Some((id(3), Some(key(8)))));
    assert_eq!(thread.reply.map(|it| it.id), Some(id(4)));
    assert_eq!(thread.replied_author(), None);
    assert_eq!(thread.mentions.iter().map(|it| it.id).collect::<Vec<_>>(), [id(2)]);

    let only_mention = event(1, &[&["e", &hex(2), "", "mention"]], "");
    let thread = view!(TextNote, &only_mention).thread;
    assert_eq!((thread.root, thread.reply, thread.mentions.len()), (None, None, 1));
}

/// Whatever stood in a repost was shown as the event, by whomever it was forged; and kind 16 was
/// unknown.
#[test]
fn a_forged_copy_in_a_repost_is_not_believed() {
    let note = event(1, &[], "hello");
    let copy = note.to_json();
    let repost = event(6, &[&["e", &note.id.to_hex()], &["p", &hex(1)]], &copy);
    let repost = view!(Repost, &repost);
    assert_eq!(repost.embedded, Some(Ok(Box::new(note.clone()))));
    assert_eq!((repost.kind, repost.author), (Some(1), Some(key(1))));

    let forged = event(6, &[&["e", &note.id.to_hex()]], &copy.replace("hello", "hullo"));
    assert_eq!(view!(Repost, &forged).embedded, Some(Err(Flaw::EmbeddedId)));
    let other = event(16, &[&["e", &hex(2)], &["k", "20"]], &copy);
    let other = view!(Repost, &other);
    assert_eq!((other.embedded, other.kind), (Some(Err(Flaw::OtherEvent("e"))), Some(20)));
    let broken = event(16, &[&["e", &hex(2)]], "{");
    let expected = Flaw::Content { expected: "an event in JSON" };
    assert_eq!(view!(Repost, &broken).embedded, Some(Err(expected)));
    assert_eq!(view!(Repost, &event(6, &[&["e", &hex(2)]], " ")).embedded, None);
}

/// A badge for something else than a badge definition lost the event.
#[test]
fn an_award_of_any_address_is_read() {
    let address = format!("31923:{}:party", hex(1));
    let award = event(8, &[&["a", &address], &["p", &hex(2)], &["p", "x"]], "thanks");
    let award = view!(BadgeAward, &award);
    assert_eq!((award.badge.address.kind, award.by_owner), (31_923, true));
    assert_eq!((award.recipients.len(), award.skipped), (1, 1));
    let foreign = format!("30009:{}:x", hex(9));
    assert!(!view!(BadgeAward, &event(8, &[&["a", &foreign], &["p", &hex(2)]], "")).by_owner);
}

/// One entry that could not be read must not cost the list; nor may an entry vanish unseen.
#[test]
fn bad_contacts_are_passed_over_and_counted() {
    let contacts = event(
        3,
        &[
            &["p", &hex(2), "wss://A.example/", "bob"],
            &["p", "npub1x"],
            &["p"],
            &["p", &hex(3), "", ""],
            &["p", &hex(2)],
        ],
        "",
    );
    let contacts = view!(Contacts, &contacts);
    let [bob, other] = contacts.people.as_slice() else { panic!("{contacts:?}") };
    assert_eq!((bob.pubkey, bob.label), (key(2), Some("bob")));
    assert_eq!(bob.relay.unwrap().url().unwrap().as_str(), "wss://a.example");
    assert_eq!((other.pubkey, other.relay, other.label), (key(3), None, None));
    assert_eq!(contacts.skipped, 2);
}

/// Profiles written as a string of JSON, or with numbers for texts, are in use.
#[test]
fn odd_profiles_are_read() {
    let inner = r#"{"username":"bob","display_name":"","displayName":"Bob","avatar":7,"bio":null,"lud16":"b@c.d","bot":true,"x":[1]}"#;
    let quoted = serde_json::to_string(inner).unwrap();
    for content in [inner, &quoted] {
        let profile = event(0, &[], content);
        let profile = view!(Metadata, &profile);
        assert_eq!((profile.name.as_deref(), profile.shown_name()), (Some("bob"), Some("Bob")));
        assert_eq!((profile.picture.as_deref(), profile.about), (Some("7"), None));
        assert!(profile.bot);
        assert_eq!(profile.others.keys().collect::<Vec<_>>(), ["x"]);
    }
    let name_only = event(0, &[], r#"{"name":"a"}"#);
    assert_eq!(view!(Metadata, &name_only).shown_name(), Some("a"));
}

/// Unknown kinds lost their content.
#[test]
fn unknown_kinds_keep_their_content() {
    let event = event(9_999, &[], "nostr:x #y");
    let ParsedKind::Other(source) = ParsedKind::of(&event).unwrap() else { panic!() };
    assert!(matches!(source.text().blocks()[1].what, BlockKind::Hashtag("y")));
}

/// Ecash of version 4 (`cashuB`) was not found.
#[test]
fn new_ecash_is_found_in_notes() {
    let token = format!("cashuB{}", "o2F0".repeat(10));
    let blocks = Content::new(&token, &[]).blocks();
    assert!(matches!(blocks[0].what, BlockKind::Cashu { text, .. } if text == token));
}
