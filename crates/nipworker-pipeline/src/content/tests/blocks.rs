use std::time::{Duration, Instant};

use super::*;

fn kinds<'a>(text: &'a str, tags: &'a [Tag]) -> Vec<BlockKind<'a>> {
    let blocks = Content::new(text, tags).blocks();
    assert_lossless(text, &blocks);
    blocks.into_iter().map(|block| block.what).filter(|what| *what != BlockKind::Text).collect()
}

fn links(text: &str) -> Vec<(&str, LinkKind)> {
    let links = kinds(text, &[]).into_iter().map(|what| match what {
        BlockKind::Link(link) => (link.url, link.kind),
        other => panic!("{other:?}"),
    });
    links.collect()
}

fn hashtags(text: &str) -> Vec<&str> {
    let hashtags = kinds(text, &[]).into_iter().map(|what| match what {
        BlockKind::Hashtag(word) => word,
        other => panic!("{other:?}"),
    });
    hashtags.collect()
}

#[test]
fn a_link_ends_before_the_punctuation_of_its_sentence() {
    use LinkKind::{Audio, Image, Page, Relay, Video};
    assert_eq!(links("see https://a.b/c."), [("https://a.b/c", Page)]);
    assert_eq!(links("(https://a.b/c)"), [("https://a.b/c", Page)]);
    assert_eq!(links("https://a.b/c_(d)"), [("https://a.b/c_(d)", Page)]);
    assert_eq!(links("[x](https://a.b/c(d)).)"), [("https://a.b/c(d)", Page)]);
    assert_eq!(links("HTTPS://A.b/C.JPG?x=1#y!"), [("HTTPS://A.b/C.JPG?x=1#y", Image)]);
    assert_eq!(links("看https://a.b/c.mp4。"), [("https://a.b/c.mp4", Video)]);
    assert_eq!(links("<http://a.b/c.mp3>"), [("http://a.b/c.mp3", Audio)]);
    assert_eq!(links("wss://relay.a/"), [("wss://relay.a/", Relay)]);
    // The name of a host is no ending of a file.
    assert_eq!(links("https://photos.png"), [("https://photos.png", Page)]);
    assert_eq!(links("https:// xhttps://a.b https://."), []);
}

#[test]
fn a_hashtag_is_a_word_with_a_letter() {
    assert_eq!(hashtags("#nostr, #日本語 #a_1 (#b)"), ["nostr", "日本語", "a_1", "b"]);
    assert_eq!(hashtags("中文#標籤 gm"), ["標籤"]);
    assert_eq!(hashtags("#1 # ## a#b &#39; /#x #__ C#"), Vec::<&str>::new());
}

#[test]
fn an_emoji_needs_its_tag() {
    let tags = [
        Tag::new(["emoji", "cat", "https://a.b/cat.png"]),
        Tag::new(["emoji", "cat", "https://a.b/other.png"]),
        Tag::new(["emoji", "bad name", "https://a.b/bad.png"]),
        Tag::new(["emoji", "none"]),
    ];
    let found = kinds("a:cat: :dog: :bad name: :none: 12:30:45 :cat:", &tags);
    let cat = BlockKind::Emoji { shortcode: "cat", url: "https://a.b/cat.png" };
    assert_eq!(found, [cat.clone(), cat]);
}

#[test]
fn code_is_not_searched_for_anything_else() {
    let found = kinds("```rust\nlet a = \"#b https://c.d\";\n``` #e ```", &[]);
    let code = "let a = \"#b https://c.d\";\n";
    assert_eq!(found, [BlockKind::Code { language: "rust", code }, BlockKind::Hashtag("e")]);
}

#[test]
fn mentions_are_found_with_and_without_their_scheme() {
    let key = nipworker_protocol::PublicKey::from_bytes([3; 32]);
    let npub = Entity::PublicKey(key).to_bech32().unwrap();
    let text = format!("nostr:{npub}'s friend @{npub}, NOSTR:{} x{npub}", npub.to_uppercase());
    let mention = BlockKind::Mention(Box::new(Entity::PublicKey(key)));
    assert_eq!(kinds(&text, &[]), [mention.clone(), mention.clone(), mention]);
}

#[test]
fn a_secret_key_in_a_text_stays_text() {
    let nsec = bech32::encode::<bech32::Bech32>(bech32::Hrp::parse("nsec").unwrap(), &[1; 32]);
    let nsec = nsec.unwrap();
    assert_eq!(Entity::parse(&nsec), Err(Nip19Error::Secret));
    assert_eq!(kinds(&format!("{nsec} nostr:{nsec}"), &[]), []);
}

#[test]
fn numbered_mentions_of_old_notes_find_their_tag() {
    let tags = [Tag::new(["t", "x"]), Tag::new(["p", &"11".repeat(32)])];
    let found = kinds("#[1] #[0] #[2] #[99999999999999999999] #[]", &tags);
    assert_eq!(found, [BlockKind::TagMention(&tags[1])]);
}

#[test]
fn ecash_of_both_versions_is_found() {
    let (a, b) = (format!("cashuA{}", "e".repeat(40)), format!("cashuB{}==", "o".repeat(40)));
    let text = format!("{a} {b}, cashuA cashuC{} cashu", "e".repeat(40));
    let unread = |text, error| BlockKind::Cashu { text, token: Err(error) };
    let expected = [unread(&a, CashuError::Form), unread(&b, CashuError::Base64)];
    assert_eq!(kinds(&text, &[]), expected);
}

#[test]
fn what_the_author_says_of_a_file_goes_with_its_link() {
    let tag = Tag::new([
        "imeta",
        "url https://a.b/file",
        "m image/webp",
        "dim 640x480",
        "alt two words",
        "size 12x",
        "duration 1.5",
        "fallback https://c.d/1",
        "fallback https://c.d/2",
        "nonsense",
    ]);
    let tags = [tag];
    let found = kinds("https://a.b/file https://a.b/other", &tags);
    let [BlockKind::Link(first), BlockKind::Link(second)] = found.as_slice() else { panic!() };
    let imeta = first.imeta.as_deref().unwrap();
    assert_eq!((first.kind, second.kind), (LinkKind::Image, LinkKind::Page));
    assert_eq!((imeta.pixels, imeta.alt), (Some((640, 480)), Some("two words")));
    assert_eq!((imeta.size_bytes, imeta.duration_ms), (None, Some(1_500)));
    assert_eq!(imeta.fallbacks, ["https://c.d/1", "https://c.d/2"]);
    assert_eq!(second.imeta, None);
}

#[test]
fn a_gallery_is_media_with_white_space_between() {
    let text = "https://a.b/1.png \n https://a.b/2.mp4 and https://a.b/3.png https://a.b/4";
    let blocks = Content::new(text, &[]).blocks();
    let galleries = galleries(&blocks);
    assert_eq!(galleries.len(), 1);
    let raw: String = blocks[galleries[0].clone()].iter().map(|block| block.raw).collect();
    assert_eq!(raw, "https://a.b/1.png \n https://a.b/2.mp4");
}

#[test]
fn a_text_within_the_limits_is_not_shortened() {
    let blocks = Content::new("gm #nostr https://a.b/c.png", &[]).blocks();
    assert_eq!(shortened(&blocks, Shortening::default()), None);
}

#[test]
fn a_long_text_is_cut_at_the_first_limit_reached() {
    let cut = |text: &str| {
        let blocks = Content::new(text, &[]).blocks();
        let short = shortened(&blocks, Shortening { max_chars: 6, max_media: 1, max_lines: 2 });
        short.unwrap().iter().map(|block| block.raw).collect::<String>()
    };
    assert_eq!(cut("ééééééé"), "éééééé");
    assert_eq!(cut("a\nb\nc"), "a\nb");
    assert_eq!(cut("https://a.b/1.png https://a.b/2.png"), "https://a.b/1.png ");
    assert_eq!(cut("abc #defgh"), "abc ");
}

/// Texts made to be read again and again from each of their places: half a megabyte, the largest
/// event. Quadratic reading would take minutes; the limit is some hundred times what is needed.
#[test]
fn hostile_texts_are_read_in_one_pass() {
    let emoji = Tag::new(["emoji", "x", "https://a.b/x.png"]);
    let tags: Vec<Tag> = std::iter::repeat_n(emoji, 9_000).collect();
    let size = 512 * 1024;
    for piece in [
        "https://.",
        "https://a",
        "https://a ",
        "npub1",
        "npub1-",
        "lnbc1",
        "lnbc1 ",
        "lightning:",
        "nostr:",
        ":x:",
        ":x",
        "#a",
        "#a ",
        "#[",
        "#[0]",
        "cashuA-",
        "cashuA ",
        "```",
        "`` ",
        "((",
        "ws://)",
        "https://a)))",
    ] {
        let text = piece.repeat(size / piece.len());
        let begun = Instant::now();
        let blocks = Content::new(&text, &tags).blocks();
        assert!(begun.elapsed() < Duration::from_secs(20), "{piece:?}: {:?}", begun.elapsed());
        assert!(blocks.len() <= MAX_BLOCKS, "{piece:?}: {} blocks", blocks.len());
        assert_lossless(&text, &blocks);
    }
}

#[test]
fn a_block_is_as_small_as_the_stated_limit_says() {
    assert!(MAX_BLOCKS * size_of::<Block<'_>>() <= 700_000, "{}", size_of::<Block<'_>>());
}
