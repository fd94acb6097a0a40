//! One test for each kind that an earlier engine read, and for each NIP that views are promised
//! for: an event with every field of it, and every field is read.

use super::*;
use crate::content::{BlockKind, Content, MarkdownBlock, Shortening, shortened};

const NPUB: &str = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6";

fn address(kind: u16, author: u8) -> String {
    format!("{kind}:{}:d", hex(author))
}

/// Not a macro: the relay of a reference in the one spelling of URLs.
fn relay(hint: Option<RelayHint<'_>>) -> String {
    hint.unwrap().url().unwrap().to_string()
}

fn words(content: &Content<'_>) -> usize {
    content.blocks().len()
}

#[test]
fn kind_0_says_who_somebody_is() {
    let fields = [
        "name",
        "display_name",
        "about",
        "picture",
        "banner",
        "website",
        "nip05",
        "lud06",
        "lud16",
        "github",
        "twitter",
        "mastodon",
        "nostr",
    ];
    let json: serde_json::Map<String, serde_json::Value> =
        fields.iter().map(|name| ((*name).to_owned(), format!("the {name}").into())).collect();
    let content = serde_json::to_string(&json).unwrap();
    let profile = event(0, &[], &content);
    let profile = view!(Metadata, &profile);
    let shown = serde_json::to_value(&profile).unwrap();
    for name in fields {
        assert_eq!(shown[name], format!("the {name}"), "{name}");
    }
    for (other, name) in [
        ("username", "name"),
        ("displayName", "display_name"),
        ("bio", "about"),
        ("image", "picture"),
        ("avatar", "picture"),
        ("background", "banner"),
    ] {
        // As a JSON string of JSON, and a number where a text should be.
        let inner = format!(r#"{{"{other}":7}}"#);
        let profile = event(0, &[], &serde_json::to_string(&inner).unwrap());
        let shown = serde_json::to_value(view!(Metadata, &profile)).unwrap();
        assert_eq!(shown[name], "7", "{other}");
    }
}

#[test]
fn kind_1_has_blocks_a_beginning_a_place_in_its_thread_and_references() {
    let text = format!("nostr:{NPUB} {} https://a.b/1.png", "word ".repeat(200));
    let quoted = address(30_023, 6);
    let note = event(
        1,
        &[
            &["e", &hex(2), "wss://Root.example", "root", &hex(7)],
            &["e", &hex(3), "wss://reply.example", "reply"],
            &["e", &hex(8), "", "mention"],
            &["p", &hex(7), "wss://people.example"],
            &["q", &hex(4), "wss://quotes.example"],
            &["q", &quoted],
        ],
        &text,
    );
    let references = References::of((&note).into());
    let note = view!(TextNote, &note);
    let blocks = note.content.blocks();
    assert!(matches!(blocks[0].what, BlockKind::Mention(_)));
    assert!(shortened(&blocks, Shortening::default()).is_some());
    let (root, reply) = (note.thread.root.unwrap(), note.thread.reply.unwrap());
    assert_eq!((root.id, root.author, root.marker), (id(2), Some(key(7)), Some("root")));
    assert_eq!(relay(root.relay), "wss://root.example");
    assert_eq!((reply.id, note.thread.mentions[0].id), (id(3), id(8)));
    assert_eq!((note.people[0].pubkey, note.quotes.len()), (key(7), 2));

    let ids: Vec<_> = references.events.iter().map(|event| event.target).collect();
    assert_eq!(ids, [id(2), id(3), id(8), id(4)]);
    assert_eq!(references.people.len(), 2);
    assert_eq!(references.people[0].relays[0].as_str(), "wss://people.example");
    assert_eq!(references.addresses[0].target.pubkey, key(6));
    let [people, events, articles] = &references.filters()[..] else { panic!() };
    assert_eq!(people.kinds.as_deref(), Some(&[0][..]));
    assert_eq!(events.ids.as_ref().unwrap().len(), 4);
    let article = event(30_023, &[&["d", "d"]], "");
    let article = Event { pubkey: key(6), ..article };
    assert!(articles.matches(&article));
}

#[test]
fn references_are_bounded_and_what_is_left_out_is_counted() {
    let names: Vec<String> = (0..MAX_REFERENCES + 7).map(|n| format!("{n:064x}")).collect();
    let mut note = event(1, &[], "");
    note.tags =
        names.iter().flat_map(|name| [Tag::new(["e", name]), Tag::new(["e", name])]).collect();
    let references = References::of((&note).into());
    assert_eq!((references.events.len(), references.left_out), (MAX_REFERENCES, 14));
    assert_eq!(References::of((&event(1, &[], "hi")).into()).filters(), []);
}

#[test]
fn kind_3_has_key_relay_and_pet_name() {
    let list = event(3, &[&["p", &hex(2), "WSS://Relay.example:443/", "bob"], &["p", "x"]], "");
    let list = view!(Contacts, &list);
    let person = list.people[0];
    assert_eq!((person.pubkey, person.label, list.skipped), (key(2), Some("bob"), 1));
    assert_eq!(relay(person.relay), "wss://relay.example");
}

#[test]
fn kind_4_has_chat_recipient_and_ciphertext() {
    let text = format!("{}?iv={}", "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAA==");
    let message = event(4, &[&["p", &hex(2)], &["e", &hex(3)]], &text);
    let message = view!(DirectMessage, &message);
    assert_eq!(message.chat_id(), format!("{}_{}", hex(1), hex(2)));
    assert_eq!((message.sender, message.recipient), (key(1), key(2)));
    assert_eq!((message.ciphertext.as_str(), message.previous), (text.as_str(), Some(id(3))));
    assert_eq!((message.peer_of(&key(2)), message.peer_of(&key(3))), (Some(key(1)), None));
    // What a signer has decrypted is cut into blocks like any text.
    assert_eq!(words(&Content::new("hi #nostr", &[])), 2);
}

#[test]
fn kind_5_and_unknown_kinds_keep_tags_and_content() {
    let own = address(30_023, 1);
    let deletion = event(5, &[&["e", &hex(2)], &["a", &own], &["k", "1"]], "typo");
    let deletion = view!(Deletion, &deletion);
    assert_eq!((deletion.ids, deletion.addresses.len()), (vec![id(2)], 1));
    assert_eq!((deletion.kinds, deletion.reason), (vec![1], "typo"));
    let unknown = event(9_999, &[&["x", "y"]], "text");
    let ParsedKind::Other(source) = ParsedKind::of(&unknown).unwrap() else { panic!() };
    assert_eq!((source.tags, source.content), (&unknown.tags[..], "text"));
}

#[test]
fn kinds_6_and_16_hold_the_event_that_is_shown_again() {
    let note = event(1, &[], "gm #nostr");
    let address = address(30_023, 1);
    for kind in [6, 16] {
        let tags: &[&[&str]] = &[
            &["e", &note.id.to_hex(), "wss://a.b"],
            &["p", &hex(1)],
            &["k", "1"],
            &["a", &address],
        ];
        let repost = event(kind, tags, &note.to_json());
        let repost = view!(Repost, &repost);
        let embedded = repost.embedded.unwrap().unwrap();
        assert_eq!(words(&view!(TextNote, &embedded).content), 2);
        assert_eq!((repost.kind, repost.author, repost.event.id), (Some(1), Some(key(1)), note.id));
        let named = event(kind, tags, "");
        assert!(view!(Repost, &named).embedded.is_none());
        assert_eq!(References::of((&named).into()).events[0].target, note.id);
    }
}

#[test]
fn kind_7_has_feeling_event_author_kind_emoji_and_address() {
    let target = address(30_023, 4);
    let reaction = event(
        7,
        &[
            &["e", &hex(2)],
            &["e", &hex(3)],
            &["p", &hex(4)],
            &["k", "30023"],
            &["a", &target],
            &["emoji", "x", "https://a.b/x.png"],
        ],
        ":x:",
    );
    let reaction = view!(Reaction, &reaction);
    let emoji = Emoji { shortcode: "x", url: "https://a.b/x.png" };
    assert_eq!(reaction.feeling, Feeling::Emoji(emoji));
    assert_eq!((reaction.event.unwrap().id, reaction.author), (id(3), Some(key(4))));
    assert_eq!((reaction.kind, reaction.address.unwrap().address.pubkey), (Some(30_023), key(4)));
    for (content, feeling) in [("+", Feeling::Like), ("", Feeling::Like), ("-", Feeling::Dislike)] {
        let reaction = event(7, &[&["e", &hex(2)]], content);
        assert_eq!(view!(Reaction, &reaction).feeling, feeling);
    }
}

#[test]
fn kind_8_has_badge_relay_recipients_and_words() {
    for kind in [30_009, 30_402, 31_922, 31_923] {
        let badge = address(kind, 1);
        let award =
            event(8, &[&["a", &badge, "wss://a.b"], &["p", &hex(2), "wss://c.d"]], "well done");
        let award = view!(BadgeAward, &award);
        assert_eq!((award.badge.address.kind, award.by_owner), (kind, true));
        assert_eq!(relay(award.badge.relay), "wss://a.b");
        assert_eq!((award.recipients[0].pubkey, award.comment), (key(2), "well done"));
        assert_eq!(relay(award.recipients[0].relay), "wss://c.d");
    }
    let awarded = address(30_009, 1);
    let worn = event(30_008, &[&["d", "profile_badges"], &["a", &awarded], &["e", &hex(3)]], "");
    assert_eq!(view!(ProfileBadges, &worn).badges[0].award.id, id(3));
    let badge = event(
        30_009,
        &[&["d", "d"], &["name", "n"], &["description", "s"], &["image", "i"], &["thumb", "t"]],
        "",
    );
    let badge = view!(BadgeDefinition, &badge);
    assert_eq!((badge.name, badge.description), (Some("n"), Some("s")));
    assert_eq!((badge.image, badge.thumbs), (Some("i"), vec!["t"]));
}

#[test]
fn kinds_14_and_15_have_who_takes_part_and_what_is_said() {
    let mut tags: Vec<&[&str]> = Vec::new();
    let (person, answered) = (hex(2), hex(3));
    let (person, answered) = (["p", &person, "wss://a.b"], ["e", &answered]);
    tags.extend([&person[..], &answered[..], &["subject", "s"]]);
    let message = event(14, &[&tags[..], &[&["q", &hex(4)]]].concat(), "hi #nostr");
    let message = view!(ChatMessage, &message);
    assert_eq!(message.conversation.participants(), [key(1), key(2)]);
    assert_eq!(
        (message.conversation.reply, message.conversation.subject),
        (Some(id(3)), Some("s"))
    );
    assert_eq!((words(&message.content), message.quotes.len()), (2, 1));
    let more: &[&[&str]] = &[
        &["file-type", "image/png"],
        &["encryption-algorithm", "aes-gcm"],
        &["decryption-key", "secret-key"],
        &["decryption-nonce", "nonce"],
        &["x", &hex(5)],
        &["size", "9"],
    ];
    let file = event(15, &[&tags[..], more].concat(), "https://a.b/file");
    let file = view!(FileMessage, &file);
    assert_eq!((file.url, file.mime, file.algorithm), ("https://a.b/file", "image/png", "aes-gcm"));
    assert_eq!((file.key.expose(), file.nonce), ("secret-key", "nonce"));
    assert_eq!((file.sha256, file.size_bytes), (Some([5; 32]), Some(9)));
    let wrap = event(1_059, &[&["p", &hex(2)]], &nip44_text(132));
    assert_eq!(view!(GiftWrap, &wrap).seal.as_str().len(), 132);
}

#[test]
fn kind_17_keeps_the_url_that_it_is_about() {
    let reaction = event(17, &[&["r", "https://a.b/c"], &["k", "web"]], "-");
    let reaction = view!(ExternalReaction, &reaction);
    assert_eq!(reaction.feeling, Feeling::Dislike);
    assert_eq!((reaction.subject, reaction.sort), ("https://a.b/c", Some("web")));
}

const FILE: [&str; 13] = [
    "imeta",
    "url https://a.b/1",
    "m image/png",
    "dim 640x480",
    "alt two words",
    "blurhash eVF$",
    "x 0505050505050505050505050505050505050505050505050505050505050505",
    "fallback https://c.d/1",
    "fallback https://e.f/1",
    "duration 1.5",
    "bitrate 3000",
    "image https://a.b/preview",
    "annotate-user 0202020202020202020202020202020202020202020202020202020202020202:10:20",
];

fn assert_file(file: &crate::content::Imeta<'_>) {
    assert_eq!((file.url, file.mime), ("https://a.b/1", Some("image/png")));
    assert_eq!((file.pixels, file.alt), (Some((640, 480)), Some("two words")));
    assert_eq!((file.blurhash, file.sha256), (Some("eVF$"), Some([5; 32])));
    assert_eq!(file.fallbacks, ["https://c.d/1", "https://e.f/1"]);
    assert_eq!((file.duration_ms, file.bitrate_bps), (Some(1_500), Some(3_000)));
    assert_eq!(file.previews, ["https://a.b/preview"]);
    let person = file.annotations[0];
    assert_eq!((person.pubkey, person.x, person.y), (key(2), 10, 20));
}

#[test]
fn kind_20_has_its_pictures_and_where_they_were_taken() {
    let picture = event(
        20,
        &[
            &FILE,
            &["title", "t"],
            &["content-warning", "w"],
            &["location", "l"],
            &["g", "u0"],
            &["t", "tag"],
            &["p", &hex(2)],
        ],
        "what #is seen",
    );
    let picture = view!(Picture, &picture);
    assert_file(&picture.images[0]);
    assert_eq!((picture.title, words(&picture.description)), (Some("t"), 3));
    assert_eq!((picture.content_warning, picture.location), (Some("w"), Some("l")));
    assert_eq!((picture.geohash, picture.hashtags), (Some("u0"), vec!["tag"]));
    assert_eq!(picture.people[0].pubkey, key(2));
}

#[test]
fn kinds_21_and_22_have_their_films() {
    for kind in [21, 22, 34_235, 34_236] {
        let film = event(
            kind,
            &[
                &["d", "name"],
                &FILE,
                &["title", "t"],
                &["alt", "a"],
                &["content-warning", "w"],
                &["duration", "9"],
                &["published_at", "7"],
                &["t", "tag"],
                &["p", &hex(2), "wss://a.b"],
                &["segment", "00:00:01", "00:00:02.5", "intro"],
            ],
            "what #is seen",
        );
        let film = view!(Video, &film);
        assert_file(&film.versions[0]);
        assert_eq!((film.is_short, film.title), (matches!(kind, 22 | 34_236), Some("t")));
        assert_eq!((film.alt, film.content_warning), (Some("a"), Some("w")));
        assert_eq!((film.duration_ms, film.published_at), (Some(1_500), Some(7)));
        assert_eq!((film.hashtags, words(&film.description)), (vec!["tag"], 3));
        assert_eq!((film.people[0].pubkey, film.segments[0].end_ms), (key(2), 2_500));
    }
}

#[test]
fn kind_1018_has_the_poll_and_what_was_chosen() {
    let response = event(1_018, &[&["e", &hex(2)], &["response", "a"], &["response", "b"]], "");
    let response = view!(PollResponse, &response);
    assert_eq!((response.poll.id, response.choices), (id(2), vec!["a", "b"]));
}

#[test]
fn kind_1068_has_question_options_sort_end_and_relays() {
    let poll = event(
        1_068,
        &[
            &["option", "a", "A"],
            &["option", "b", "B"],
            &["polltype", "multiplechoice"],
            &["endsAt", "9"],
            &["relay", "wss://a.b"],
        ],
        "which #one?",
    );
    let poll = view!(Poll, &poll);
    assert_eq!((words(&poll.question), poll.multiple_choice, poll.ends_at), (3, true, Some(9)));
    assert_eq!(poll.options[1], PollOption { id: "b", label: "B" });
    assert_eq!(poll.relays[0].as_str(), "wss://a.b");
}

#[test]
fn kind_1111_has_root_and_parent_quotes_and_mentions() {
    let root = address(30_023, 4);
    let comment = event(
        1_111,
        &[
            &["E", &hex(2), "wss://root.example", &hex(4)],
            &["A", &root, "wss://root.example"],
            &["I", "https://a.b"],
            &["K", "30023"],
            &["P", &hex(4), "wss://people.example"],
            &["e", &hex(3), "wss://parent.example"],
            &["a", &root],
            &["i", "https://c.d"],
            &["k", "1111"],
            &["p", &hex(5)],
            &["q", &hex(6)],
        ],
        "so #true",
    );
    let comment = view!(Comment, &comment);
    let (root, parent) = (&comment.root, &comment.parent);
    assert_eq!((root.event.unwrap().id, parent.event.unwrap().id), (id(2), id(3)));
    assert_eq!(relay(root.event.unwrap().relay), "wss://root.example");
    assert_eq!(relay(root.author.unwrap().relay), "wss://people.example");
    assert_eq!(root.address.as_ref().unwrap().address.pubkey, key(4));
    assert_eq!((root.external, parent.external), (Some("https://a.b"), Some("https://c.d")));
    assert_eq!((root.event_kind(), parent.kind), (Some(30_023), Some("1111")));
    assert_eq!((root.author_key(), parent.author_key()), (Some(key(4)), Some(key(5))));
    assert_eq!((words(&comment.content), comment.quotes.len()), (2, 1));
    assert_eq!(comment.people[0].pubkey, key(5));
}

#[test]
fn kind_1311_has_activity_thread_and_mentions() {
    let activity = address(30_311, 4);
    let message = event(
        1_311,
        &[&["a", &activity, "wss://a.b", "root"], &["e", &hex(2), "", "reply"], &["p", &hex(3)]],
        "hi #all",
    );
    let message = view!(LiveChatMessage, &message);
    let Coordinate { kind, pubkey, identifier } = message.activity.address;
    assert_eq!((kind, pubkey, identifier.as_str()), (30_311, key(4), "d"));
    assert_eq!(relay(message.activity.relay), "wss://a.b");
    assert_eq!((message.replies[0].id, message.people[0].pubkey), (id(2), key(3)));
    assert_eq!(words(&message.content), 2);
}

#[test]
fn kind_1984_has_who_and_what_is_reported_and_why() {
    let report = event(
        1_984,
        &[
            &["p", &hex(2), "spam"],
            &["e", &hex(3), "illegal"],
            &["x", &hex(4), "malware"],
            &["server", "https://files.example"],
            &["e", "x"],
        ],
        "look",
    );
    let view = view!(Report, &report);
    assert_eq!((view.people[0].target, view.people[0].reason), (key(2), Some(ReportReason::Spam)));
    assert_eq!(
        (view.events[0].target, view.events[0].reason),
        (id(3), Some(ReportReason::Illegal))
    );
    assert_eq!(view.files[0].target, [4; 32]);
    assert_eq!((view.reason(), view.comment), (Some(ReportReason::Malware), "look"));
    assert_eq!((&view.servers[..], view.skipped), (&["https://files.example"][..], 1));
    assert_eq!(view_json(&report)["files"][0]["target"], hex(4));
    let odd = event(1_984, &[&["p", &hex(2), "rude"]], "");
    assert_eq!(view!(Report, &odd).reason(), Some(ReportReason::Unknown("rude")));
    assert_eq!(flaw(&event(1_984, &[&["e", &hex(3)]], "")), Flaw::MissingTag("p"));
}

#[test]
fn kind_7374_has_mint_end_and_the_quote_that_was_decrypted() {
    let quote = event(7_374, &[&["mint", "https://m"], &["expiration", "9"]], &nip44_text(132));
    let quote = view!(WalletEvent, &quote);
    assert_eq!((quote.mints, quote.expiration, quote.owner), (vec!["https://m"], Some(9), key(1)));
    let content = QuoteContent::parse(" quote-1\n").unwrap();
    assert_eq!(content.quote_id.expose(), "quote-1");
    assert!(!format!("{content:?}").contains("quote-1"));
    for text in ["", "two words"] {
        assert!(matches!(QuoteContent::parse(text), Err(Flaw::Content { .. })), "{text}");
    }
}

const PROOF: &str =
    r#"{"id":"00ad","amount":8,"secret":"s1","C":"02ab","dleq":{"e":"1","s":"2","r":"3"}}"#;

#[test]
fn kind_7375_has_mint_proofs_and_what_it_replaces() {
    let token = event(7_375, &[], &nip44_text(132));
    assert_eq!(view!(WalletEvent, &token).ciphertext.as_str().len(), 132);
    let text =
        format!(r#"{{"mint":"https://m","unit":"sat","proofs":[{PROOF}],"del":["{}"]}}"#, hex(2));
    let token = TokenContent::parse(&text).unwrap();
    assert_eq!((token.mint.as_str(), token.unit.as_str(), token.amount), ("https://m", "sat", 8));
    assert_eq!(token.deleted, [id(2)]);
    let proof = &token.proofs[0];
    assert_eq!((proof.keyset.as_str(), proof.amount), ("00ad", 8));
    assert_eq!((proof.secret.expose(), proof.signature.as_str()), ("s1", "02ab"));
    assert!(proof.dleq.is_some());
}

#[test]
fn kind_7376_has_direction_amount_and_events() {
    let history = event(7_376, &[&["e", &hex(4), "", "redeemed"]], &nip44_text(132));
    assert_eq!(view!(WalletEvent, &history).redeemed[0].id, id(4));
    let text = format!(
        r#"[["direction","in"],["amount","18446744073709551615"],["unit","msat"],
            ["e","{}","","created"],["e","{}","","destroyed"],["e","{}","","redeemed"]]"#,
        hex(2),
        hex(3),
        hex(4)
    );
    let history = HistoryContent::parse(&text).unwrap();
    assert_eq!((history.direction, history.amount), (Direction::In, u64::MAX));
    assert_eq!(history.unit, "msat");
    assert_eq!(
        (history.created, history.destroyed, history.redeemed),
        (vec![id(2)], vec![id(3)], vec![id(4)])
    );
    // Every tag, also those that have no field.
    assert_eq!(PrivateTags::parse(&text).unwrap().tags().len(), 6);
}

#[test]
fn kind_9321_has_mint_amount_proofs_lock_and_for_whom() {
    let lock = format!("02{}", hex(7));
    let secret = format!(r#"[\"P2PK\",{{\"nonce\":\"1\",\"data\":\"{lock}\"}}]"#);
    let proof = PROOF.replace("s1", &secret);
    let nutzap = event(
        9_321,
        &[
            &["proof", &proof],
            &["u", "https://m"],
            &["unit", "usd"],
            &["p", &hex(2)],
            &["e", &hex(3), "wss://a.b"],
        ],
        "for you",
    );
    let nutzap = view!(Nutzap, &nutzap);
    assert_eq!((nutzap.sender, nutzap.recipient, nutzap.amount), (key(1), key(2), 8));
    assert_eq!((nutzap.mint, nutzap.unit, nutzap.comment), ("https://m", "usd", "for you"));
    assert_eq!((nutzap.event.unwrap().id, nutzap.proofs.len()), (id(3), 1));
    assert_eq!(nutzap.locked_to(), Some(lock));
}

#[test]
fn kind_10002_has_relays_and_what_each_is_for() {
    let list = event(
        10_002,
        &[
            &["r", "wss://both.example"],
            &["r", "wss://one.example", "read"],
            &["r", "wss://one.example", "write"],
            &["r", "wss://read.example", "read"],
        ],
        "",
    );
    let relays = view!(RelayList, &list).relays;
    let relays: Vec<_> =
        relays.iter().map(|relay| (relay.url.as_str(), relay.read, relay.write)).collect();
    let expected = [
        ("wss://both.example", true, true),
        ("wss://one.example", true, true),
        ("wss://read.example", true, false),
    ];
    assert_eq!(relays, expected);
}

#[test]
fn kind_10019_has_mints_with_units_key_and_relays() {
    let lock = format!("02{}", hex(7));
    let info = event(
        10_019,
        &[&["mint", "https://m", "sat", "usd"], &["pubkey", &lock], &["relay", "wss://a.b"]],
        "",
    );
    let info = view!(NutzapInfo, &info);
    assert_eq!((info.mints[0].url, &info.mints[0].units[..]), ("https://m", &["sat", "usd"][..]));
    assert_eq!((info.lock_key, info.relays[0].as_str()), (lock.as_str(), "wss://a.b"));
}

#[test]
fn kind_17375_has_mints_and_both_halves_of_its_key() {
    let wallet = event(17_375, &[&["mint", "https://old"]], &nip44_text(132));
    assert_eq!(view!(WalletEvent, &wallet).mints, ["https://old"]);
    let one = format!("{:064x}", 1);
    let text = format!(r#"[["privkey","{one}"],["mint","https://m"],["mint","https://n"]]"#);
    let wallet = WalletContent::parse(&text).unwrap();
    assert_eq!(wallet.mints, ["https://m", "https://n"]);
    assert_eq!(wallet.private_key.as_ref().unwrap().expose(), one);
    // The generator of the curve.
    let generator = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    assert_eq!(wallet.lock_key().as_deref(), Some(generator));
    for bad in ["00".repeat(32), "x".to_owned()] {
        let wallet = WalletContent::parse(&format!(r#"[["privkey","{bad}"]]"#)).unwrap();
        assert_eq!(wallet.lock_key(), None);
    }
}

#[test]
fn kind_30023_has_its_description_and_its_text_as_blocks() {
    let text = format!("# Title\n\nHello *you*, nostr:{NPUB} #tag\n\n- a\n- b\n");
    let article = event(
        30_023,
        &[
            &["d", "slug"],
            &["title", "t"],
            &["summary", "s"],
            &["image", "i"],
            &["canonical", "https://a.b"],
            &["published_at", "7"],
            &["t", "tag"],
        ],
        &text,
    );
    let json = view_json(&article);
    let article = view!(Article, &article);
    assert_eq!((article.address.identifier.as_str(), article.title), ("slug", Some("t")));
    assert_eq!((article.summary, article.image), (Some("s"), Some("i")));
    assert_eq!((article.canonical, article.published_at), (Some("https://a.b"), Some(7)));
    assert_eq!(article.hashtags, ["tag"]);
    assert!(article.naddr(vec![]).unwrap().starts_with("naddr1"));
    let blocks = article.content.markdown().blocks;
    let [MarkdownBlock::Heading { .. }, MarkdownBlock::Paragraph(_), MarkdownBlock::List { .. }] =
        &blocks[..]
    else {
        panic!("{blocks:?}")
    };
    assert_eq!(json["content"]["blocks"][0]["heading"]["level"], 1);
    assert_eq!(json["content"]["is_cut"], false);
}

#[test]
fn lists_have_their_description_and_entries_of_every_sort() {
    let single = [10_000, 10_001, 10_003, 10_015, 10_030, 19_999];
    let sets = [
        30_000, 30_002, 30_003, 30_004, 30_005, 30_007, 30_015, 30_030, 30_063, 30_267, 31_924,
        39_089,
    ];
    let target = address(30_023, 4);
    for kind in single.into_iter().chain(sets) {
        let list = event(
            kind,
            &[
                &["d", "name"],
                &["title", "t"],
                &["description", "s"],
                &["image", "i"],
                &["t", "tag"],
                &["p", &hex(2), "wss://a.b", "bob"],
                &["e", &hex(3)],
                &["a", &target],
                &["word", "w"],
                &["relay", "wss://c.d"],
                &["emoji", "x", "https://a.b/x.png"],
                &["other", "y"],
            ],
            &nip44_text(132),
        );
        let list = view!(List, &list);
        assert_eq!((list.kind, list.identifier, list.title), (kind, Some("name"), Some("t")));
        assert_eq!((list.description, list.image), (Some("s"), Some("i")));
        let public = &list.public;
        assert_eq!((&public.hashtags[..], &public.words[..]), (&["tag"][..], &["w"][..]));
        assert_eq!((public.people[0].pubkey, public.events[0].id), (key(2), id(3)));
        assert_eq!((public.addresses.len(), public.relays.len()), (1, 1));
        assert_eq!((public.emojis.len(), public.others[0].name()), (1, "other"));
        assert!(matches!(list.private, Some(Ciphertext::Nip44(_))));
    }
    // Private entries stay apart from the public ones.
    let private = PrivateTags::parse(&format!(r#"[["p","{}"]]"#, hex(9))).unwrap();
    assert_eq!(private.entries().people[0].pubkey, key(9));
}

#[test]
fn other_addressable_kinds_have_their_common_fields() {
    let names = [
        "title",
        "summary",
        "image",
        "streaming",
        "recording",
        "service",
        "endpoint",
        "room",
        "status",
        "location",
        "pinned",
    ];
    let mut all = tags(&[
        &["d", "name"],
        &["starts", "1"],
        &["ends", "2"],
        &["current_participants", "3"],
        &["total_participants", "4"],
        &["t", "tag"],
        &["t", "tag"],
        &["r", "https://a.b"],
        &["r", "https://a.b"],
        &["relays", "wss://a.b", "wss://c.d"],
        &["p", &hex(2), "wss://a.b", "Host", "proof"],
        &["e", &hex(3), "wss://e.f", "pinned"],
        &["a", &address(30_023, 4)],
    ]);
    all.extend(names.iter().map(|name| Tag::new([*name, &format!("the {name}")])));
    let event = UnsignedEvent::new(key(1), 0, 30_311, all, "hi #all");
    let ParsedKind::Addressable(view) = ParsedKind::of_rumor(&event).unwrap() else { panic!() };
    assert_eq!((view.address.identifier.as_str(), words(&view.content)), ("name", 2));
    assert_eq!((view.title(), view.summary()), (Some("the title"), Some("the summary")));
    for name in names {
        assert_eq!(view.field(name), Some(format!("the {name}").as_str()));
    }
    assert_eq!((view.time("starts"), view.time("ends")), (Some(1), Some(2)));
    assert_eq!(view.number("current_participants"), Some(3));
    assert_eq!(view.number("total_participants"), Some(4));
    assert_eq!((&view.hashtags[..], &view.links[..]), (&["tag"][..], &["https://a.b"][..]));
    assert_eq!(view.relays.len(), 2);
    let host = view.participants[0];
    assert_eq!((host.pubkey, host.role, host.proof), (key(2), Some("Host"), Some("proof")));
    let pinned = view.events[0];
    assert_eq!((pinned.id, pinned.marker), (id(3), Some("pinned")));
    assert_eq!((relay(pinned.relay).as_str(), view.addresses.len()), ("wss://e.f", 1));
    assert_eq!(view.tags().len(), event.tags.len());
}
