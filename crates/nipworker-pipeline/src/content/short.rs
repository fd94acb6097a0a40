//! The beginning of a long text, and pictures that stand together.

use std::ops::Range;

use super::{Block, BlockKind};

/// How much of a text is shown before a reader asks for the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortening {
    /// Characters of text.
    pub max_chars: usize,
    /// Pictures, films and sounds.
    pub max_media: usize,
    /// Lines of text.
    pub max_lines: usize,
}

impl Default for Shortening {
    fn default() -> Self {
        Self { max_chars: 500, max_media: 3, max_lines: 10 }
    }
}

/// The blocks up to the first limit that is reached; `None` when all of them are within. Text is
/// cut between characters, every other block is kept or dropped whole.
pub fn shortened<'a>(blocks: &[Block<'a>], limits: Shortening) -> Option<Vec<Block<'a>>> {
    let Shortening { mut max_chars, mut max_media, max_lines } = limits;
    let mut breaks = max_lines.saturating_sub(1);
    for (at, block) in blocks.iter().enumerate() {
        let whole = match &block.what {
            BlockKind::Link(link) if link.kind.is_media() => take(&mut max_media, 1),
            BlockKind::Text | BlockKind::Code { .. } => {
                let cut = cut_at(block.raw, &mut max_chars, &mut breaks);
                if cut < block.raw.len() && block.what == BlockKind::Text {
                    let mut kept = blocks[..at].to_vec();
                    if cut > 0 {
                        kept.push(Block { raw: &block.raw[..cut], what: BlockKind::Text });
                    }
                    return Some(kept);
                }
                cut == block.raw.len()
            }
            _ => take(&mut max_chars, block.raw.chars().count()),
        };
        if !whole {
            return Some(blocks[..at].to_vec());
        }
    }
    None
}

fn take(left: &mut usize, wanted: usize) -> bool {
    let rest = left.checked_sub(wanted);
    *left = rest.unwrap_or_default();
    rest.is_some()
}

/// Where `text` has to end; takes what it has from what is left.
fn cut_at(text: &str, chars: &mut usize, breaks: &mut usize) -> usize {
    for (at, c) in text.char_indices() {
        if !take(chars, 1) || (c == '\n' && !take(breaks, 1)) {
            return at;
        }
    }
    text.len()
}

/// Runs of two or more media links with nothing but white space between them, as ranges of
/// `blocks`: what a reader shows as one gallery.
pub fn galleries(blocks: &[Block<'_>]) -> Vec<Range<usize>> {
    let mut galleries = Vec::new();
    let mut run: Option<(Range<usize>, usize)> = None;
    for (at, block) in blocks.iter().enumerate() {
        match &block.what {
            BlockKind::Link(link) if link.kind.is_media() => {
                let (start, count) = run.map_or((at, 0), |(range, count)| (range.start, count));
                run = Some((start..at + 1, count + 1));
            }
            BlockKind::Text if block.raw.trim().is_empty() => {}
            _ => galleries.extend(run.take().filter(|(_, count)| *count > 1).map(|it| it.0)),
        }
    }
    galleries.extend(run.filter(|(_, count)| *count > 1).map(|it| it.0));
    galleries
}
