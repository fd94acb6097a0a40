//! Short notes and their threads (kind 1; NIP-10).

use nipworker_protocol::{PublicKey, Tag};

use super::{AnyRef, EventRef, Flaw, ProfileRef, Source, refs, tags};
use crate::content::Content;

/// A short note.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TextNote<'a> {
    /// The text; cut into blocks when asked.
    pub content: Content<'a>,
    /// Where it stands in a thread.
    pub thread: Thread<'a>,
    /// Whom it names, in order.
    pub people: Vec<ProfileRef<'a>>,
    /// What it quotes (NIP-18).
    pub quotes: Vec<AnyRef<'a>>,
    /// Topics, each once.
    pub hashtags: Vec<&'a str>,
    /// Its subject (NIP-14).
    pub subject: Option<&'a str>,
    /// Why it should not be shown at once; empty when no reason is given (NIP-36).
    pub content_warning: Option<&'a str>,
}

impl<'a> TextNote<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        Ok(Self {
            content: source.text(),
            thread: Thread::of(source.tags),
            people: refs::people(source.tags),
            quotes: refs::quotes(source.tags),
            hashtags: tags::hashtags(source.tags),
            subject: tags::value(source.tags, "subject"),
            content_warning: tags::content_warning(source.tags),
        })
    }
}

/// A note's place in a thread.
///
/// `e` tags with the markers `root` and `reply` decide. Where none has such a marker the place
/// decides, as it did before markers: the first is the root, the last is answered, those between
/// are mentioned; a tag marked `mention` has no place.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Thread<'a> {
    /// What began the thread; `None` for a note that answers nothing.
    pub root: Option<EventRef<'a>>,
    /// What is answered; the root itself for a direct answer to it.
    pub reply: Option<EventRef<'a>>,
    /// Events named without being answered.
    pub mentions: Vec<EventRef<'a>>,
    /// `e` tags passed over because they hold no id.
    pub skipped: usize,
}

impl<'a> Thread<'a> {
    /// Reads the `e` tags of a note.
    pub fn of(tags: &'a [Tag]) -> Self {
        let mut thread = Self::default();
        let mut unmarked = Vec::new();
        for tag in tags::named(tags, "e") {
            let Some(event) = EventRef::of(tag) else {
                thread.skipped += 1;
                continue;
            };
            match tag.get(3) {
                Some("root") if thread.root.is_none() => thread.root = Some(event),
                Some("reply") if thread.reply.is_none() => thread.reply = Some(event),
                Some("mention") => thread.mentions.push(event),
                _ => unmarked.push(event),
            }
        }
        if thread.root.is_some() || thread.reply.is_some() {
            thread.mentions.append(&mut unmarked);
            // With one of them only, a direct answer to the root.
            thread.root = thread.root.or(thread.reply);
            thread.reply = thread.reply.or(thread.root);
            return thread;
        }
        let mut unmarked = unmarked.into_iter();
        thread.root = unmarked.next();
        thread.reply = unmarked.next_back().or(thread.root);
        thread.mentions.extend(unmarked);
        thread
    }

    /// Who is said to have written what is answered.
    pub fn replied_author(&self) -> Option<PublicKey> {
        self.reply?.author
    }
}
