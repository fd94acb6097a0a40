//! Texts as blocks (NIP-21, 27, 30, 92 and the rest).

use nipworker_pipeline::content::{Content, MAX_BLOCKS, Shortening, galleries, shortened};

use crate::text::content_and_tags;

pub(super) fn run(bytes: &[u8]) {
    let (text, tags) = content_and_tags(bytes);
    let blocks = Content::new(&text, &tags).blocks();
    // The last one may be the rest.
    assert!(blocks.len() <= MAX_BLOCKS + 1, "{} blocks", blocks.len());
    let together: String = blocks.iter().map(|block| block.raw).collect();
    assert_eq!(together, text, "the blocks put together are the text");
    assert!(blocks.iter().all(|block| !block.raw.is_empty()), "a block is something");

    for limits in [
        Shortening::default(),
        Shortening { max_chars: 7, max_media: 0, max_lines: 1 },
        Shortening { max_chars: 0, max_media: 1, max_lines: 0 },
    ] {
        let Some(short) = shortened(&blocks, limits) else { continue };
        let short: String = short.iter().map(|block| block.raw).collect();
        assert!(text.starts_with(&short), "what is shown first is the beginning of the text");
    }
    for gallery in galleries(&blocks) {
        assert!(gallery.start < gallery.end && gallery.end <= blocks.len());
    }
    assert!(!format!("{blocks:?}").is_empty());
}
