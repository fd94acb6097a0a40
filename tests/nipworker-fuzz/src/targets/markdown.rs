//! Long texts in Markdown (NIP-23).

use nipworker_pipeline::content::{
    Content, Inline, MAX_MARKDOWN_DEPTH, MAX_MARKDOWN_NODES, MarkdownBlock,
};

use crate::text::content_and_tags;

pub(super) fn run(bytes: &[u8]) {
    let (text, tags) = content_and_tags(bytes);
    let markdown = Content::new(&text, &tags).markdown();
    let mut nodes = 0;
    blocks(&markdown.blocks, 0, &mut nodes);
    // Pieces that have no beginning of their own: words of a bare link, a paragraph around words.
    assert!(nodes <= 3 * MAX_MARKDOWN_NODES, "{nodes} pieces");
    assert!(serde_json::to_string(&markdown).is_ok());
}

fn blocks(all: &[MarkdownBlock], depth: usize, nodes: &mut usize) {
    // A list is one element with two levels: itself and its items.
    assert!(depth <= 2 * MAX_MARKDOWN_DEPTH, "{depth} deep");
    for block in all {
        *nodes += 1;
        match block {
            MarkdownBlock::Paragraph(text) | MarkdownBlock::Heading { text, .. } => {
                inlines(text, depth + 1, nodes);
            }
            MarkdownBlock::Quote(inner) => blocks(inner, depth + 1, nodes),
            MarkdownBlock::List { items, .. } => {
                items.iter().for_each(|item| blocks(item, depth + 1, nodes));
            }
            _ => {}
        }
    }
}

fn inlines(all: &[Inline], depth: usize, nodes: &mut usize) {
    assert!(depth <= 2 * MAX_MARKDOWN_DEPTH, "{depth} deep");
    for inline in all {
        *nodes += 1;
        match inline {
            Inline::Emphasis(text) | Inline::Strong(text) | Inline::Link { text, .. } => {
                inlines(text, depth + 1, nodes);
            }
            _ => {}
        }
    }
}
