//! One pass over a text.

use std::collections::HashMap;

use nipworker_protocol::Tag;

use super::{
    Block, BlockKind, CashuToken, Entity, Imeta, Invoice, Link, MAX_BLOCKS, link,
    long_bech32::MAX_BECH32_CHARS,
};
use crate::kinds::tags::emojis;

/// Longest `:shortcode:` that is looked for, in bytes.
const MAX_SHORTCODE_BYTES: usize = 64;

/// Shortest Cashu token that is believed, in characters.
const MIN_CASHU_CHARS: usize = 24;

/// Digits of the number in `#[N]`: an event has at most 10,000 tags.
const MAX_TAG_INDEX_DIGITS: usize = 5;

/// What the tags say of the words of a text. Read once, also for a text in many pieces.
pub(super) struct Explained<'a> {
    tags: &'a [Tag],
    /// By shortcode: a text may hold thousands of emoji and thousands of tags.
    emojis: HashMap<&'a str, &'a str>,
    files: HashMap<&'a str, Imeta<'a>>,
}

impl<'a> Explained<'a> {
    pub(super) fn new(tags: &'a [Tag]) -> Self {
        let mut files = HashMap::new();
        for imeta in tags.iter().filter_map(Imeta::of) {
            files.entry(imeta.url).or_insert(imeta);
        }
        let mut by_shortcode = HashMap::new();
        for emoji in emojis(tags) {
            by_shortcode.entry(emoji.shortcode).or_insert(emoji.url);
        }
        Self { tags, emojis: by_shortcode, files }
    }
}

pub(super) fn blocks<'a>(text: &'a str, explained: &Explained<'a>) -> Vec<Block<'a>> {
    let mut scan = Scan { text, explained, blocks: Vec::new(), done: 0, no_more_fences: false };
    let mut at = 0;
    let mut before = None;
    while let Some(c) = text[at..].chars().next() {
        let found = if may_begin_a_block(c) { scan.block_at(at, c, before) } else { None };
        match found {
            Some((end, what)) => {
                scan.push(at, end, what);
                before = text[..end].chars().next_back();
                at = end;
                // One more for the text before a block and one for the rest.
                if scan.blocks.len() + 3 > MAX_BLOCKS {
                    break;
                }
            }
            None => {
                before = Some(c);
                at += c.len_utf8();
            }
        }
    }
    scan.finish()
}

/// What most characters fail, cheaply. `n`, `l`, `c`, `h` and `w` begin words too.
fn may_begin_a_block(c: char) -> bool {
    matches!(c, '`' | '#' | ':' | 'n' | 'N' | 'l' | 'L' | 'c' | 'h' | 'H' | 'w' | 'W')
}

struct Scan<'a, 'e> {
    text: &'a str,
    explained: &'e Explained<'a>,
    blocks: Vec<Block<'a>>,
    /// Up to here everything is in `blocks`.
    done: usize,
    /// A fence was looked for and none was left: not looked for again.
    no_more_fences: bool,
}

impl<'a> Scan<'a, '_> {
    fn push(&mut self, start: usize, end: usize, what: BlockKind<'a>) {
        self.push_text(start);
        self.blocks.push(Block { raw: &self.text[start..end], what });
        self.done = end;
    }

    fn push_text(&mut self, end: usize) {
        if self.done < end {
            self.blocks.push(Block { raw: &self.text[self.done..end], what: BlockKind::Text });
        }
    }

    fn finish(mut self) -> Vec<Block<'a>> {
        self.push_text(self.text.len());
        self.blocks
    }

    /// The block that begins at `at` with the character `c`, and where it ends.
    fn block_at(
        &mut self,
        at: usize,
        c: char,
        before: Option<char>,
    ) -> Option<(usize, BlockKind<'a>)> {
        let rest = &self.text[at..];
        let (length, what) = match c {
            '`' => self.code(rest),
            ':' => self.emoji(rest),
            // Latin letters only: many scripts write no space before a link or a hashtag.
            _ if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') => None,
            '#' if matches!(before, Some('&' | '/' | '#')) => None,
            '#' => self.tag_mention(rest).or_else(|| hashtag(rest)),
            'n' | 'N' => mention(rest),
            'l' | 'L' => invoice(rest),
            'c' => cashu(rest),
            _ => self.link(rest),
        }?;
        Some((at + length, what))
    }

    fn code(&mut self, rest: &'a str) -> Option<(usize, BlockKind<'a>)> {
        const FENCE: &str = "```";
        let inner = rest.strip_prefix(FENCE)?;
        if self.no_more_fences {
            return None;
        }
        let Some(end) = inner.find(FENCE) else {
            self.no_more_fences = true;
            return None;
        };
        let inside = &inner[..end];
        let (language, code) = inside.split_once('\n').unwrap_or(("", inside));
        Some((end + 2 * FENCE.len(), BlockKind::Code { language: language.trim(), code }))
    }

    fn emoji(&self, rest: &'a str) -> Option<(usize, BlockKind<'a>)> {
        if self.explained.emojis.is_empty() {
            return None;
        }
        let name = &rest[1..];
        let is_name = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-');
        let length = name.bytes().take(MAX_SHORTCODE_BYTES + 1).take_while(|c| is_name(c)).count();
        if name.as_bytes().get(length) != Some(&b':') {
            return None;
        }
        let (shortcode, url) = self.explained.emojis.get_key_value(&name[..length])?;
        Some((length + 2, BlockKind::Emoji { shortcode, url }))
    }

    fn tag_mention(&self, rest: &str) -> Option<(usize, BlockKind<'a>)> {
        let inner = rest.strip_prefix("#[")?;
        let digits =
            inner.bytes().take(MAX_TAG_INDEX_DIGITS).take_while(u8::is_ascii_digit).count();
        if inner.as_bytes().get(digits) != Some(&b']') {
            return None;
        }
        let tag = self.explained.tags.get(inner[..digits].parse::<usize>().ok()?)?;
        let refers = matches!(tag.name(), "e" | "p" | "a" | "q");
        refers.then_some((digits + 3, BlockKind::TagMention(tag)))
    }

    fn link(&self, rest: &'a str) -> Option<(usize, BlockKind<'a>)> {
        let url = link::at_start(rest)?;
        Some((url.len(), BlockKind::Link(Link::new(url, self.explained.files.get(url)))))
    }
}

fn hashtag(rest: &str) -> Option<(usize, BlockKind<'_>)> {
    let word = &rest[1..];
    let end = word.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(word.len());
    let word = &word[..end];
    // An all-digit word is a number: `#1`.
    let has_letter = word.chars().any(|c| !c.is_numeric() && c != '_');
    has_letter.then_some((end + 1, BlockKind::Hashtag(word)))
}

/// Length of the run of ASCII letters and digits.
fn word_length(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_alphanumeric).count()
}

fn after_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let start = text.get(..prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

fn mention(rest: &str) -> Option<(usize, BlockKind<'_>)> {
    const PREFIXES: [&str; 5] = ["npub1", "note1", "nprofile1", "nevent1", "naddr1"];
    let name = after_prefix(rest, "nostr:").unwrap_or(rest);
    PREFIXES.iter().find_map(|prefix| after_prefix(name, prefix))?;
    let length = word_length(name);
    if length > MAX_BECH32_CHARS {
        return None;
    }
    let entity = Entity::parse(&name[..length]).ok()?;
    Some((rest.len() - name.len() + length, BlockKind::Mention(Box::new(entity))))
}

fn invoice(rest: &str) -> Option<(usize, BlockKind<'_>)> {
    let name = after_prefix(rest, "lightning:").unwrap_or(rest);
    after_prefix(name, "ln")?;
    let length = word_length(name);
    if length > MAX_BECH32_CHARS {
        return None;
    }
    let invoice = Invoice::parse(&name[..length]).ok()?;
    Some((rest.len() - name.len() + length, BlockKind::Invoice(Box::new(invoice))))
}

fn cashu(rest: &str) -> Option<(usize, BlockKind<'_>)> {
    let token = rest.strip_prefix("cashu").filter(|token| token.starts_with(['A', 'B']))?;
    let is_token = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'=');
    let length = "cashu".len() + token.bytes().take_while(is_token).count();
    if length < MIN_CASHU_CHARS {
        return None;
    }
    let text = &rest[..length];
    let token = CashuToken::parse(text).map(Box::new);
    // Also when it cannot be read: a text of nothing but beginnings is read once only.
    Some((length, BlockKind::Cashu { text, token }))
}
