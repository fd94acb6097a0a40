//! What each view says of a sound event, and of one that lacks something.

use super::*;
use crate::content::BlockKind;

#[test]
fn places_decide_in_a_thread_without_markers() {
    let thread = |ids: &[u8]| {
        let all: Vec<Tag> = ids.iter().map(|n| Tag::new(["e", hex(*n).as_str()])).collect();
        let Thread { root, reply, mentions, .. } = Thread::of(&all);
        let ids = |it: Option<EventRef<'_>>| it.map(|it| it.id);
        (ids(root), ids(reply), mentions.iter().map(|it| it.id).collect::<Vec<_>>())
    };
    assert_eq!(thread(&[]), (None, None, vec![]));
    assert_eq!(thread(&[1]), (Some(id(1)), Some(id(1)), vec![]));
    assert_eq!(thread(&[1, 2]), (Some(id(1)), Some(id(2)), vec![]));
    assert_eq!(thread(&[1, 2, 3, 4]), (Some(id(1)), Some(id(4)), vec![id(2), id(3)]));
}

#[test]
fn one_marker_makes_a_direct_answer() {
    for marker in ["root", "reply"] {
        let all = tags(&[&["e", &hex(2)], &["e", &hex(3), "", marker], &["e", "x", "", "root"]]);
        let thread = Thread::of(&all);
        assert_eq!(thread.root.map(|it| it.id), Some(id(3)));
        assert_eq!(thread.reply.map(|it| it.id), Some(id(3)));
        assert_eq!((thread.mentions.len(), thread.skipped), (1, 1));
    }
}

#[test]
fn a_note_has_its_quotes_people_and_warning() {
    let address = format!("30023:{}:d", hex(4));
    let note = event(
        1,
        &[
            &["q", &hex(2), "wss://a.b", &hex(3)],
            &["q", &address],
            &["q", "x"],
            &["p", &hex(5)],
            &["t", "a"],
            &["t", "a"],
            &["content-warning"],
            &["subject", "s"],
        ],
        "gm #a",
    );
    let note = view!(TextNote, &note);
    let [AnyRef::Event(event), AnyRef::Address(quoted)] = note.quotes.as_slice() else { panic!() };
    assert_eq!((event.id, event.author), (id(2), Some(key(3))));
    assert_eq!(quoted.address.identifier, "d");
    assert_eq!(
        (note.people[0].pubkey, note.hashtags, note.subject),
        (key(5), vec!["a"], Some("s"))
    );
    assert_eq!(note.content_warning, Some(""));
    assert_eq!(note.content.blocks()[1].what, BlockKind::Hashtag("a"));
}

#[test]
fn a_deletion_reaches_only_the_authors_own_addresses() {
    let (own, foreign) = (format!("30023:{}:d", hex(1)), format!("30023:{}:d", hex(2)));
    let deletion = event(
        5,
        &[
            &["e", &hex(3)],
            &["e", "x"],
            &["e", &hex(3)],
            &["a", &own],
            &["a", &foreign],
            &["k", "1"],
            &["k", "x"],
        ],
        "typo",
    );
    let deletion = view!(Deletion, &deletion);
    assert_eq!((&deletion.ids[..], &deletion.kinds[..]), (&[id(3)][..], &[1][..]));
    assert_eq!(deletion.addresses.len(), 1);
    assert_eq!((deletion.reason, deletion.skipped), ("typo", 2));
    assert_eq!(flaw(&event(5, &[&["k", "1"]], "")), Flaw::MissingTag("e or a"));
}

#[test]
fn reactions_name_what_is_felt_about_what() {
    let feel = |content: &str| {
        let emoji: &[&str] = &["emoji", "cat", "https://a.b/cat.png"];
        event(
            7,
            &[
                &["e", &hex(2)],
                &["e", &hex(3)],
                &["p", &hex(4)],
                &["p", &hex(5)],
                &["k", "1"],
                emoji,
            ],
            content,
        )
    };
    let cat = Emoji { shortcode: "cat", url: "https://a.b/cat.png" };
    for (content, feeling) in [
        ("+", Feeling::Like),
        ("", Feeling::Like),
        ("-", Feeling::Dislike),
        (":cat:", Feeling::Emoji(cat)),
        (":dog:", Feeling::Custom(":dog:")),
        ("::", Feeling::Custom("::")),
        ("🤙", Feeling::Custom("🤙")),
    ] {
        let event = feel(content);
        let reaction = view!(Reaction, &event);
        assert_eq!(reaction.feeling, feeling);
        assert_eq!(reaction.event.map(|it| it.id), Some(id(3)));
        assert_eq!((reaction.author, reaction.kind), (Some(key(5)), Some(1)));
    }
    let by_address = event(7, &[&["a", &format!("30023:{}:d", hex(4))]], "+");
    let by_address = view!(Reaction, &by_address);
    assert_eq!((by_address.event, by_address.author), (None, Some(key(4))));
    assert_eq!(flaw(&event(7, &[&["p", &hex(2)]], "+")), Flaw::MissingTag("e"));
    let bad = Flaw::Tag { name: "e", expected: "an event id" };
    assert_eq!(flaw(&event(7, &[&["e", "x"]], "+")), bad);
}

#[test]
fn a_comment_has_a_root_and_a_parent() {
    let address = format!("30023:{}:d", hex(4));
    let comment = event(
        1_111,
        &[
            &["A", &address, "wss://a.b"],
            &["K", "30023"],
            &["P", &hex(4)],
            &["e", &hex(3), "", &hex(5)],
            &["k", "1111"],
            &["p", &hex(5)],
        ],
        "yes",
    );
    let comment = view!(Comment, &comment);
    assert_eq!(
        (comment.root.event_kind(), comment.root.author_key()),
        (Some(30_023), Some(key(4)))
    );
    assert_eq!(comment.parent.event.map(|it| (it.id, it.author)), Some((id(3), Some(key(5)))));

    let page = event(1_111, &[&["I", "https://a.b"], &["K", "web"], &["i", "https://a.b"]], "");
    let page = view!(Comment, &page);
    assert_eq!((page.root.external, page.root.event_kind()), (Some("https://a.b"), None));
    let no_parent = event(1_111, &[&["I", "https://a.b"]], "");
    assert_eq!(flaw(&no_parent), Flaw::MissingTag("e, a or i"));
    assert_eq!(flaw(&event(1_111, &[&["e", &hex(1)]], "")), Flaw::MissingTag("E, A or I"));
}

#[test]
fn a_private_message_knows_its_room() {
    let message = |author: u8, others: [u8; 2]| {
        let all = tags(&[&["p", &hex(others[0])], &["p", &hex(others[1])], &["e", &hex(9)]]);
        UnsignedEvent::new(key(author), 0, 14, all, "hi")
    };
    for rumor in [message(1, [2, 3]), message(3, [1, 2]), message(2, [3, 1])] {
        let ParsedKind::ChatMessage(message) = ParsedKind::of_rumor(&rumor).unwrap() else {
            panic!()
        };
        assert_eq!(message.conversation.participants(), [key(1), key(2), key(3)]);
        assert_eq!(message.conversation.reply, Some(id(9)));
    }
    assert_eq!(flaw(&event(14, &[], "hi")), Flaw::MissingTag("p"));
}

#[test]
fn a_set_has_its_description_and_its_entries() {
    let set = event(
        30_030,
        &[
            &["d", "x"],
            &["title", "T"],
            &["emoji", "cat", "https://a.b/cat.png"],
            &["relay", "wss://a.b"],
            &["r", "wss://A.b/"],
            &["group", "g", "wss://a.b"],
            &["e", "x"],
        ],
        "words",
    );
    let set = view!(List, &set);
    assert_eq!((set.identifier, set.title, set.content), (Some("x"), Some("T"), "words"));
    assert_eq!((set.public.emojis.len(), set.public.relays.len()), (1, 1));
    assert_eq!(set.public.others.iter().map(|tag| tag.name()).collect::<Vec<_>>(), ["group"]);
    assert_eq!((set.public.skipped, set.private), (1, None));
}

#[test]
fn pictures_and_films_need_a_file() {
    let file: &[&str] = &["imeta", "url https://a.b/c", "duration 61.25", "annotate-user x:1:1"];
    let annotated = format!("annotate-user {}:10:20", hex(2));
    let picture = event(20, &[&["imeta", "url https://a.b/c", &annotated], &["g", "u4"]], "me");
    let picture = view!(Picture, &picture);
    let people: Vec<_> = picture.images[0].annotations.iter().map(|it| (it.x, it.y)).collect();
    assert_eq!((people, picture.geohash), (vec![(10, 20)], Some("u4")));

    for (kind, is_short) in [(21, false), (22, true), (34_235, false), (34_236, true)] {
        let segment: &[&str] = &["segment", "00:01:02.5", "01:00:00", "end"];
        let film = event(kind, &[file, segment, &["segment", "x", "y"], &["title", "T"]], "");
        let film = view!(Video, &film);
        assert_eq!((film.is_short, film.duration_ms), (is_short, Some(61_250)));
        let expected = Segment { start_ms: 62_500, end_ms: 3_600_000, title: Some("end") };
        assert_eq!(film.segments, [expected]);
    }
    for kind in [20, 21, 22] {
        let bare = event(kind, &[&["imeta", "m image/png"], &["imeta"]], "");
        assert_eq!(flaw(&bare), Flaw::MissingTag("imeta"));
    }
}

#[test]
fn worn_badges_are_pairs_of_tags_in_order() {
    let badge = format!("30009:{}:b", hex(4));
    for kind in [10_008, 30_008] {
        let worn = event(
            kind,
            &[&["a", &badge], &["e", &hex(2)], &["a", &badge], &["a", &badge], &["e", "x"]],
            "",
        );
        let worn = view!(ProfileBadges, &worn);
        assert_eq!(worn.badges.iter().map(|it| it.award.id).collect::<Vec<_>>(), [id(2)]);
    }
    let definition = event(30_009, &[&["d", "b"], &["name", "B"], &["thumb", "https://a.b"]], "");
    let definition = view!(BadgeDefinition, &definition);
    assert_eq!(
        (definition.address.to_string(), definition.name),
        (format!("30009:{}:b", hex(1)), Some("B"))
    );
    assert_eq!(flaw(&event(30_009, &[], "")), Flaw::MissingTag("d"));
}

#[test]
fn a_message_beside_a_live_activity_names_the_activity() {
    let activity = format!("30311:{}:live", hex(4));
    let message = event(1_311, &[&["a", &activity, "wss://a.b"], &["e", &hex(2)]], "gm");
    let message = view!(LiveChatMessage, &message);
    assert_eq!((message.activity.address.kind, message.replies.len()), (30_311, 1));
    assert_eq!(flaw(&event(1_311, &[], "")), Flaw::MissingTag("a"));
    let bad = event(1_311, &[&["a", "30311:x"]], "");
    assert_eq!(flaw(&bad), Flaw::Tag { name: "a", expected: "an address" });
}

#[test]
fn an_addressable_event_without_a_view_of_its_own_is_read_by_names() {
    let live = event(
        30_311,
        &[
            &["d", "live"],
            &["title", "T"],
            &["starts", "1700000000"],
            &["current_participants", "7"],
            &["status", "live"],
            &["p", &hex(2), "wss://a.b", "Host", "proof"],
        ],
        "",
    );
    let live = view!(Addressable, &live);
    assert_eq!((live.title(), live.time("starts")), (Some("T"), Some(1_700_000_000)));
    assert_eq!(
        (live.number("current_participants"), live.field("status")),
        (Some(7), Some("live"))
    );
    let host = live.participants[0];
    assert_eq!((host.role, host.proof), (Some("Host"), Some("proof")));
    assert_eq!(live.address.identifier, "live");
}

#[test]
fn a_wallets_history_shows_what_was_redeemed_in_the_open() {
    let history = event(
        7_376,
        &[&["e", &hex(2), "", "redeemed"], &["e", &hex(3), "", "created"]],
        &nip44_text(132),
    );
    let history = view!(WalletEvent, &history);
    assert_eq!(history.redeemed.iter().map(|it| it.id).collect::<Vec<_>>(), [id(2)]);
    let quote = event(7_374, &[&["mint", "https://m"], &["expiration", "9"]], &nip44_text(132));
    let quote = view!(WalletEvent, &quote);
    assert_eq!((&quote.mints[..], quote.expiration), (&["https://m"][..], Some(9)));
}

#[test]
fn a_view_is_written_as_json_with_its_blocks_and_without_what_is_not_there() {
    let note = event(
        1,
        &[&["e", &hex(2), "", "root"], &["imeta", "url https://a.b/c.png", "dim 3x4"]],
        "gm #nostr https://a.b/c.png",
    );
    assert_eq!(
        view_json(&note),
        serde_json::json!({
            "type": "text_note",
            "content": { "blocks": [
                { "raw": "gm ", "what": "text" },
                { "raw": "#nostr", "what": { "hashtag": "nostr" } },
                { "raw": " ", "what": "text" },
                { "raw": "https://a.b/c.png", "what": { "link": {
                    "url": "https://a.b/c.png",
                    "kind": "image",
                    "imeta": {
                        "url": "https://a.b/c.png", "pixels": [3, 4], "previews": [],
                        "fallbacks": [], "annotations": []
                    }
                } } }
            ] },
            "thread": {
                "root": { "id": hex(2), "marker": "root" },
                "reply": { "id": hex(2), "marker": "root" },
                "mentions": [], "skipped": 0
            },
            "people": [], "quotes": [], "hashtags": []
        })
    );
    let long = view_json(&event(1, &[], &"word ".repeat(200)));
    let short = long["content"]["shortened"][0]["raw"].as_str().unwrap();
    assert_eq!(short.chars().count(), 500);
    let broken = view_json(&event(7, &[], "+"));
    assert_eq!(broken["error"], "kind 7: tag \"e\" is missing");
    let other = view_json(&event(54_321, &[], "text"));
    assert_eq!((&other["type"], &other["content"]), (&"other".into(), &"text".into()));
}

#[test]
fn a_view_in_json_holds_no_secret() {
    let proof = r#"{"id":"00","amount":8,"secret":"hush-hush","C":"02","dleq":{"e":"1","s":"2","r":"hush-too"}}"#;
    let nutzap = event(9_321, &[&["p", &hex(2)], &["u", "https://m"], &["proof", proof]], "");
    let view = view_json(&nutzap);
    assert_eq!(view["amount"], 8);
    assert!(!view.to_string().contains("hush"), "{view}");
}
