//! Lists and sets (kinds 10000 to 19999 and the sets of NIP-51).

use nipworker_protocol::{RelayUrl, Tag};
use zeroize::Zeroize;

use super::{AddressRef, Ciphertext, Emoji, EventRef, Flaw, ProfileRef, Source, refs, tags};

/// What stands in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct ListEntries<'a> {
    /// People (`p`).
    pub people: Vec<ProfileRef<'a>>,
    /// Events (`e`).
    pub events: Vec<EventRef<'a>>,
    /// Addresses (`a`).
    pub addresses: Vec<AddressRef<'a>>,
    /// Topics (`t`), each once.
    pub hashtags: Vec<&'a str>,
    /// Words (`word`), each once.
    pub words: Vec<&'a str>,
    /// Relays (`relay`, and `r` where that is a relay URL), each once.
    pub relays: Vec<RelayUrl>,
    /// Custom emoji.
    pub emojis: Vec<Emoji<'a>>,
    /// Every tag that is none of these and does not describe the list.
    pub others: Vec<&'a Tag>,
    /// Entries passed over because they could not be read.
    pub skipped: usize,
}

impl<'a> ListEntries<'a> {
    fn of(tags: &'a [Tag]) -> Self {
        const DESCRIPTION: [&str; 7] =
            ["d", "title", "name", "description", "summary", "image", "alt"];
        let mut skipped = 0;
        let mut relays = tags::relay_urls(tags, "relay");
        relays.extend(tags::relay_urls(tags, "r"));
        Self {
            people: refs::all(tags, "p", ProfileRef::of, &mut skipped),
            events: refs::all(tags, "e", EventRef::of, &mut skipped),
            addresses: refs::all(tags, "a", AddressRef::of, &mut skipped),
            hashtags: tags::hashtags(tags),
            words: tags::unique(tags::values(tags, "word")),
            relays: tags::unique(relays.into_iter()),
            emojis: tags::emojis(tags).collect(),
            others: tags
                .iter()
                .filter(|tag| {
                    !matches!(tag.name(), "p" | "e" | "a" | "t" | "word" | "relay" | "r" | "emoji")
                        && !DESCRIPTION.contains(&tag.name())
                })
                .collect(),
            skipped,
        }
    }
}

/// A list or a set.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct List<'a> {
    /// Its kind: what it is a list of.
    pub kind: u16,
    /// The `d` tag; `None` for lists of which an author has one.
    pub identifier: Option<&'a str>,
    /// Its title (`title`, or `name`).
    pub title: Option<&'a str>,
    /// What it is about.
    pub description: Option<&'a str>,
    /// A picture.
    pub image: Option<&'a str>,
    /// What everybody may read.
    pub public: ListEntries<'a>,
    /// What only the author can read, still encrypted. Decrypted, it is read by
    /// [`PrivateTags::parse`]; it never joins the public entries.
    pub private: Option<Ciphertext<'a>>,
    /// Content that is no ciphertext; mostly empty.
    pub content: &'a str,
}

impl<'a> List<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let text = |name| tags::value(source.tags, name);
        let private = Ciphertext::of(source.content);
        Ok(Self {
            kind: source.kind,
            identifier: text("d"),
            title: text("title").or(text("name")),
            description: text("description").or(text("summary")),
            image: text("image"),
            public: ListEntries::of(source.tags),
            private,
            content: if private.is_some() { "" } else { source.content },
        })
    }
}

/// The private entries of a list, decrypted: tags in JSON. `Debug` shows how many, not which;
/// the memory is overwritten when they go.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateTags(Vec<Tag>);

impl PrivateTags {
    /// Reads the decrypted text.
    ///
    /// # Errors
    /// [`Flaw::Json`], which never quotes the text.
    pub fn parse(decrypted: &str) -> Result<Self, Flaw> {
        let tags = serde_json::from_str(decrypted);
        tags.map(Self).map_err(|error| Flaw::json("decrypted content", "a list of tags", &error))
    }

    pub(super) fn tags(&self) -> &[Tag] {
        &self.0
    }

    /// The entries.
    pub fn entries(&self) -> ListEntries<'_> {
        ListEntries::of(&self.0)
    }
}

impl Drop for PrivateTags {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|tag| tag.0.zeroize());
    }
}

impl std::fmt::Debug for PrivateTags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateTags({} hidden)", self.0.len())
    }
}
