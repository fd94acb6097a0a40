//! Long texts in Markdown (NIP-23) as blocks.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TextMergeStream};
use serde::Serialize;

use super::{
    BlockKind, Content, Entity,
    scan::{self, Explained},
};

/// Blocks and pieces of text that a long text is cut into at most. What follows is left out, and
/// [`Markdown::is_cut`] says so.
pub const MAX_MARKDOWN_NODES: usize = 20_000;

/// How deep quotes, lists, emphasis and links stand in each other at most. What stands deeper
/// is kept, as if it stood at this depth.
pub const MAX_MARKDOWN_DEPTH: usize = 16;

/// A long text as blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Markdown {
    /// The blocks in order.
    pub blocks: Vec<MarkdownBlock>,
    /// Whether [`MAX_MARKDOWN_NODES`] was reached and the rest is left out.
    pub is_cut: bool,
}

/// A block of a long text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum MarkdownBlock {
    /// Running text.
    Paragraph(Vec<Inline>),
    /// A heading.
    Heading {
        /// 1 is the highest, 6 the lowest.
        level: u8,
        /// Its text.
        text: Vec<Inline>,
    },
    /// What is quoted.
    Quote(Vec<MarkdownBlock>),
    /// A list.
    List {
        /// Number of the first item; `None` where the items are not numbered.
        start: Option<u64>,
        /// The items.
        items: Vec<Vec<MarkdownBlock>>,
    },
    /// Code, not read any further.
    Code {
        /// What stands on the line of the opening fence; may be empty.
        language: String,
        /// The lines.
        code: String,
    },
    /// A picture that stands alone.
    Image(Picture),
    /// A line across.
    Rule,
    /// HTML as written. NIP-23 allows none: it is to be shown as text, never as a page.
    Html(String),
}

/// A piece of running text. URLs are as written, of any scheme: whoever shows one chooses which
/// schemes may be followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Inline {
    /// Words.
    Text(String),
    /// Stressed.
    Emphasis(Vec<Inline>),
    /// Stressed more.
    Strong(Vec<Inline>),
    /// A link.
    Link {
        /// Where to.
        url: String,
        /// Its title; may be empty.
        title: String,
        /// What is shown for it.
        text: Vec<Inline>,
        /// What it names, where it is a `nostr:` URI (NIP-21).
        entity: Option<Box<Entity>>,
    },
    /// A picture in the text.
    Image(Picture),
    /// Code, not read any further.
    Code(String),
    /// A key, event or address, with or without `nostr:` (NIP-27).
    Mention(Box<Entity>),
    /// `#word`, without the `#`.
    Hashtag(String),
    /// `:shortcode:` that an `emoji` tag explains (NIP-30).
    Emoji {
        /// The name without colons.
        shortcode: String,
        /// The picture.
        url: String,
    },
    /// HTML as written, to be shown as text.
    Html(String),
    /// The end of a line that is not the end of a verse: mostly shown as a space.
    SoftBreak,
    /// The end of a line that is meant.
    HardBreak,
}

/// A picture.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Picture {
    /// Where it is.
    pub url: String,
    /// Its title; may be empty.
    pub title: String,
    /// What it shows, in words; may be empty.
    pub alt: String,
}

impl Content<'_> {
    /// The text read as CommonMark, at most [`MAX_MARKDOWN_NODES`] pieces, at most
    /// [`MAX_MARKDOWN_DEPTH`] deep. Mentions, hashtags, emoji and bare links are found in the
    /// words, as in a note, but not in code. Nothing that it links to is fetched.
    pub fn markdown(&self) -> Markdown {
        let mut build = Build::new(self.tags);
        for event in TextMergeStream::new(Parser::new_ext(self.text, Options::empty())) {
            if build.nodes >= MAX_MARKDOWN_NODES {
                build.is_cut = true;
                break;
            }
            build.take(event);
        }
        build.finish()
    }
}

/// What an open element becomes when it ends.
enum Wrap {
    Root,
    Paragraph,
    Heading(u8),
    Quote,
    List(Option<u64>),
    Item,
    Emphasis,
    Strong,
    Link { url: String, title: String },
}

/// An element that has not ended.
struct Open {
    wrap: Wrap,
    blocks: Vec<MarkdownBlock>,
    /// Running text; in a block that holds blocks, a paragraph without an own beginning.
    inlines: Vec<Inline>,
    items: Vec<Vec<MarkdownBlock>>,
}

impl Open {
    fn new(wrap: Wrap) -> Self {
        Self { wrap, blocks: Vec::new(), inlines: Vec::new(), items: Vec::new() }
    }

    fn end_paragraph(&mut self) {
        if !self.inlines.is_empty() {
            self.blocks.push(paragraph(std::mem::take(&mut self.inlines)));
        }
    }

    fn push_block(&mut self, block: MarkdownBlock) {
        self.end_paragraph();
        self.blocks.push(block);
    }
}

/// A picture that stands alone is a block.
fn paragraph(mut inlines: Vec<Inline>) -> MarkdownBlock {
    match inlines.pop() {
        Some(Inline::Image(picture)) if inlines.is_empty() => MarkdownBlock::Image(picture),
        last => {
            inlines.extend(last);
            MarkdownBlock::Paragraph(inlines)
        }
    }
}

/// Text that is collected until its element ends.
enum Verbatim {
    Code(String),
    Html,
    Image { url: String, title: String },
}

struct Build<'a> {
    explained: Explained<'a>,
    open: Vec<Open>,
    /// Elements that began deeper than is kept, and have not ended.
    too_deep: usize,
    verbatim: Option<(Verbatim, String)>,
    /// Elements inside of what is verbatim: of a picture's text, only the words are kept.
    inside: usize,
    links: usize,
    nodes: usize,
    is_cut: bool,
}

impl<'a> Build<'a> {
    fn new(tags: &'a [nipworker_protocol::Tag]) -> Self {
        Self {
            explained: Explained::new(tags),
            open: vec![Open::new(Wrap::Root)],
            too_deep: 0,
            verbatim: None,
            inside: 0,
            links: 0,
            nodes: 0,
            is_cut: false,
        }
    }

    fn take(&mut self, event: Event<'_>) {
        if self.verbatim.is_some() {
            return self.take_verbatim(event);
        }
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(_) if self.too_deep > 0 => {
                self.too_deep -= 1;
                // Two paragraphs that lie too deep stay two.
                if self.top().is_some_and(holds_blocks) {
                    self.top_mut(Open::end_paragraph);
                }
            }
            Event::End(_) => self.end(),
            Event::Text(text) => self.words(&text),
            Event::Code(code) => self.inline(Inline::Code(code.into_string())),
            Event::Html(html) | Event::InlineHtml(html) => {
                self.inline(Inline::Html(html.into_string()));
            }
            Event::SoftBreak => self.inline(Inline::SoftBreak),
            Event::HardBreak => self.inline(Inline::HardBreak),
            Event::Rule => self.block(MarkdownBlock::Rule),
            // Extensions, none of which is switched on: their text as it is.
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.inline(Inline::Text(text.into_string()));
            }
            Event::TaskListMarker(_) => {}
        }
    }

    fn take_verbatim(&mut self, event: Event<'_>) {
        let Some((_, collected)) = &mut self.verbatim else { return };
        match event {
            Event::Start(_) => self.inside += 1,
            Event::End(_) if self.inside > 0 => self.inside -= 1,
            Event::End(_) => self.end_verbatim(),
            Event::Text(text)
            | Event::Code(text)
            | Event::Html(text)
            | Event::InlineHtml(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text)
            | Event::FootnoteReference(text) => collected.push_str(&text),
            Event::SoftBreak | Event::HardBreak => collected.push(' '),
            Event::Rule | Event::TaskListMarker(_) => {}
        }
    }

    fn end_verbatim(&mut self) {
        let Some((sort, text)) = self.verbatim.take() else { return };
        match sort {
            Verbatim::Code(language) => self.block(MarkdownBlock::Code { language, code: text }),
            Verbatim::Html => self.block(MarkdownBlock::Html(text)),
            Verbatim::Image { url, title } => {
                self.inline(Inline::Image(Picture { url, title, alt: text }));
            }
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        let sort = match &tag {
            Tag::CodeBlock(CodeBlockKind::Fenced(language)) => {
                Some(Verbatim::Code(language.to_string()))
            }
            Tag::CodeBlock(CodeBlockKind::Indented) => Some(Verbatim::Code(String::new())),
            Tag::HtmlBlock => Some(Verbatim::Html),
            Tag::Image { dest_url, title, .. } => {
                Some(Verbatim::Image { url: dest_url.to_string(), title: title.to_string() })
            }
            _ => None,
        };
        if let Some(sort) = sort {
            self.verbatim = Some((sort, String::new()));
            return;
        }
        let wrap = match tag {
            Tag::Paragraph => Some(Wrap::Paragraph),
            Tag::Heading { level, .. } => Some(Wrap::Heading(number(level))),
            Tag::BlockQuote(_) => Some(Wrap::Quote),
            Tag::List(start) => Some(Wrap::List(start)),
            Tag::Item => Some(Wrap::Item),
            Tag::Emphasis => Some(Wrap::Emphasis),
            Tag::Strong => Some(Wrap::Strong),
            Tag::Link { dest_url, title, .. } => {
                Some(Wrap::Link { url: dest_url.into_string(), title: title.into_string() })
            }
            // Elements of extensions: their content stands for them.
            _ => None,
        };
        let fits = self.too_deep == 0 && self.open.len() <= MAX_MARKDOWN_DEPTH;
        match wrap {
            Some(wrap) if fits => {
                self.links += usize::from(matches!(wrap, Wrap::Link { .. }));
                self.nodes += 1;
                self.open.push(Open::new(wrap));
            }
            _ => self.too_deep += 1,
        }
    }

    fn end(&mut self) {
        // The root stays: an end without a beginning ends nothing.
        if self.open.len() < 2 {
            return;
        }
        let Some(mut done) = self.open.pop() else { return };
        match done.wrap {
            Wrap::Paragraph => self.push_block(paragraph(done.inlines)),
            Wrap::Heading(level) => {
                self.push_block(MarkdownBlock::Heading { level, text: done.inlines });
            }
            Wrap::Quote => {
                done.end_paragraph();
                self.push_block(MarkdownBlock::Quote(done.blocks));
            }
            Wrap::List(start) => {
                // What stands in no item is an item all the same.
                done.end_paragraph();
                if !done.blocks.is_empty() {
                    done.items.push(done.blocks);
                }
                self.push_block(MarkdownBlock::List { start, items: done.items });
            }
            Wrap::Item => {
                done.end_paragraph();
                self.top_mut(|list| list.items.push(done.blocks));
            }
            Wrap::Emphasis => self.push_inline(Inline::Emphasis(done.inlines)),
            Wrap::Strong => self.push_inline(Inline::Strong(done.inlines)),
            Wrap::Link { url, title } => {
                self.links = self.links.saturating_sub(1);
                let entity = Entity::parse(&url).ok().map(Box::new);
                self.push_inline(Inline::Link { url, title, text: done.inlines, entity });
            }
            Wrap::Root => {}
        }
    }

    /// Words, with what is found in them. The text of a link is words only: it leads to one place.
    fn words(&mut self, text: &str) {
        if self.links > 0 {
            return self.inline(Inline::Text(text.to_owned()));
        }
        for block in scan::blocks(text, &self.explained) {
            let raw = || block.raw.to_owned();
            let inline = match block.what {
                BlockKind::Hashtag(word) => Inline::Hashtag(word.to_owned()),
                BlockKind::Mention(entity) => Inline::Mention(entity),
                BlockKind::Emoji { shortcode, url } => {
                    Inline::Emoji { shortcode: shortcode.to_owned(), url: url.to_owned() }
                }
                BlockKind::Link(link) => Inline::Link {
                    url: link.url.to_owned(),
                    title: String::new(),
                    text: vec![Inline::Text(raw())],
                    entity: None,
                },
                _ => Inline::Text(raw()),
            };
            if self.nodes >= MAX_MARKDOWN_NODES {
                self.is_cut = true;
                return;
            }
            self.inline(inline);
        }
    }

    fn inline(&mut self, inline: Inline) {
        self.nodes += 1;
        self.push_inline(inline);
    }

    fn block(&mut self, block: MarkdownBlock) {
        self.nodes += 1;
        self.push_block(block);
    }

    fn push_inline(&mut self, inline: Inline) {
        self.top_mut(|top| top.inlines.push(inline));
    }

    fn push_block(&mut self, block: MarkdownBlock) {
        self.top_mut(|top| top.push_block(block));
    }

    fn top(&self) -> Option<&Open> {
        self.open.last()
    }

    fn top_mut(&mut self, change: impl FnOnce(&mut Open)) {
        if let Some(top) = self.open.last_mut() {
            change(top);
        }
    }

    fn finish(mut self) -> Markdown {
        if self.verbatim.is_some() {
            self.end_verbatim();
        }
        while self.open.len() > 1 {
            self.end();
        }
        let Some(mut root) = self.open.pop() else { return Markdown::default() };
        root.end_paragraph();
        Markdown { blocks: root.blocks, is_cut: self.is_cut }
    }
}

fn holds_blocks(open: &Open) -> bool {
    matches!(open.wrap, Wrap::Root | Wrap::Quote | Wrap::List(_) | Wrap::Item)
}

fn number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}
