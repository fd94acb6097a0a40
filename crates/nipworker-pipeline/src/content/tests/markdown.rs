use super::*;

fn text(words: &str) -> Inline {
    Inline::Text(words.to_owned())
}

fn paragraph(words: &str) -> MarkdownBlock {
    MarkdownBlock::Paragraph(vec![text(words)])
}

fn blocks(text: &str) -> Vec<MarkdownBlock> {
    let markdown = Content::new(text, &[]).markdown();
    assert!(!markdown.is_cut);
    markdown.blocks
}

fn depth(blocks: &[MarkdownBlock]) -> usize {
    fn of_inlines(inlines: &[Inline]) -> usize {
        let inner = inlines.iter().map(|inline| match inline {
            Inline::Emphasis(text) | Inline::Strong(text) | Inline::Link { text, .. } => {
                of_inlines(text)
            }
            _ => 0,
        });
        1 + inner.max().unwrap_or(0)
    }
    let inner = blocks.iter().map(|block| match block {
        MarkdownBlock::Paragraph(text) | MarkdownBlock::Heading { text, .. } => of_inlines(text),
        MarkdownBlock::Quote(blocks) => depth(blocks),
        MarkdownBlock::List { items, .. } => {
            1 + items.iter().map(|item| depth(item)).max().unwrap_or(0)
        }
        _ => 0,
    });
    1 + inner.max().unwrap_or(0)
}

#[test]
fn each_sort_of_block_is_found() {
    let found = blocks(
        "# One\n\nwords\n\nTwo\n---\n\n> quoted\n\n3. a\n4. b\n   - c\n\n```rust\nfn x() {}\n```\n\n\
         ![a cat](https://a.b/c.png \"Cat\")\n\n***\n\n<div>\nhi\n</div>\n",
    );
    let picture = Picture {
        url: "https://a.b/c.png".to_owned(),
        title: "Cat".to_owned(),
        alt: "a cat".to_owned(),
    };
    let inner = MarkdownBlock::List { start: None, items: vec![vec![paragraph("c")]] };
    let expected = [
        MarkdownBlock::Heading { level: 1, text: vec![text("One")] },
        paragraph("words"),
        MarkdownBlock::Heading { level: 2, text: vec![text("Two")] },
        MarkdownBlock::Quote(vec![paragraph("quoted")]),
        MarkdownBlock::List {
            start: Some(3),
            items: vec![vec![paragraph("a")], vec![paragraph("b"), inner]],
        },
        MarkdownBlock::Code { language: "rust".to_owned(), code: "fn x() {}\n".to_owned() },
        MarkdownBlock::Image(picture),
        MarkdownBlock::Rule,
        MarkdownBlock::Html("<div>\nhi\n</div>\n".to_owned()),
    ];
    assert_eq!(found, expected);
}

#[test]
fn each_sort_of_running_text_is_found() {
    const NPUB: &str = "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6";
    let entity = Box::new(Entity::parse(NPUB).unwrap());
    let tags = [Tag::new(["emoji", "cat", "https://a.b/cat.png"])];
    let source = format!(
        "*a* **b** `c #no` [d](https://a.b \"T\") ![e](f.png) nostr:{NPUB} #tag :cat: <b>\n\
         https://x.y/a_b_c  \n[me](nostr:{NPUB})"
    );
    let blocks = Content::new(&source, &tags).markdown().blocks;
    let [MarkdownBlock::Paragraph(found)] = &blocks[..] else { panic!("{blocks:?}") };
    let link = |url: &str, title: &str, words: &str, entity| Inline::Link {
        url: url.to_owned(),
        title: title.to_owned(),
        text: vec![text(words)],
        entity,
    };
    let picture = Picture { url: "f.png".to_owned(), title: String::new(), alt: "e".to_owned() };
    let expected = [
        Inline::Emphasis(vec![text("a")]),
        text(" "),
        Inline::Strong(vec![text("b")]),
        text(" "),
        Inline::Code("c #no".to_owned()),
        text(" "),
        link("https://a.b", "T", "d", None),
        text(" "),
        Inline::Image(picture),
        text(" "),
        Inline::Mention(entity.clone()),
        text(" "),
        Inline::Hashtag("tag".to_owned()),
        text(" "),
        Inline::Emoji { shortcode: "cat".to_owned(), url: "https://a.b/cat.png".to_owned() },
        text(" "),
        Inline::Html("<b>".to_owned()),
        Inline::SoftBreak,
        link("https://x.y/a_b_c", "", "https://x.y/a_b_c", None),
        Inline::HardBreak,
        link(&format!("nostr:{NPUB}"), "", "me", Some(entity)),
    ];
    assert_eq!(found, &expected);
}

#[test]
fn what_stands_too_deep_is_kept_at_the_greatest_depth() {
    let nested = format!("{} deep\n>\n> shallow", "> ".repeat(5_000));
    let lists: String = (0..200).map(|n| format!("{}- x{n}\n", "  ".repeat(n))).collect();
    let stars = format!("{}a{}", "*_".repeat(300), "_*".repeat(300));
    for (source, word) in [(nested, "deep"), (lists, "x199"), (stars, "a")] {
        let found = blocks(&source);
        assert!(depth(&found) <= 2 * MAX_MARKDOWN_DEPTH, "{}", depth(&found));
        assert!(format!("{found:?}").contains(word), "{word} is lost");
        assert!(serde_json::to_string(&found).is_ok());
    }
}

#[test]
fn a_text_of_too_many_pieces_is_cut_and_says_so() {
    for source in ["a *b*\n\n".repeat(30_000), "- x\n".repeat(30_000)] {
        let markdown = Content::new(&source, &[]).markdown();
        assert!(markdown.is_cut);
        let shown = serde_json::to_string(&markdown).unwrap();
        assert!(shown.len() < MAX_MARKDOWN_NODES * 100, "{}", shown.len());
    }
}

proptest! {
    #[test]
    fn any_text_is_read_as_markdown_within_the_bounds(
        pieces in proptest::collection::vec(
            prop_oneof![
                proptest::sample::select(&[
                    "# ", "> ", "- ", "1. ", "\n", "\n\n", "    ", "*", "**", "_", "`", "```", "[",
                    "](", ")", "![", "<b>", "<!--", "---", "  \n", "\\", "&amp;", "[x]: y\n", "word",
                ][..]).prop_map(str::to_owned),
                texts(),
            ],
            0..60,
        ),
    ) {
        let source = pieces.concat();
        let markdown = Content::new(&source, &[]).markdown();
        prop_assert!(depth(&markdown.blocks) <= 2 * MAX_MARKDOWN_DEPTH);
        prop_assert!(serde_json::to_value(&markdown).is_ok());
    }
}
